"""Makes the small models of this folder, and the logits that they give: NumPy's, and ONNX's reference evaluator's.

    pip install h5py numpy onnx safetensors
    python make.py
"""
import io, json, os, subprocess, sys, tempfile, zipfile

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
V, E, H = 7, 3, 4
rng = np.random.default_rng(0)
ids = rng.integers(0, V, (2, 6))


def random(*shape):
    return rng.normal(0, 0.5, shape).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, kernel, recurrent, bias, gate, reset_after):
    """Keras's GRU: gates z r h."""
    h, ys = np.zeros(H), []
    for t in x:
        if reset_after:
            zx, rx, hx = np.split(t @ kernel + bias[0], 3)
            zh, rh, hh = np.split(h @ recurrent + bias[1], 3)
            z, n = gate(zx + zh), np.tanh(hx + gate(rx + rh) * hh)
        else:
            zx, rx, hx = np.split(t @ kernel + bias, 3)
            uz, ur, uh = np.split(recurrent, 3, 1)
            z, n = gate(zx + h @ uz), np.tanh(hx + (gate(rx + h @ ur) * h) @ uh)
        h = z * h + (1 - z) * n
        ys.append(h)
    return np.array(ys)


def lstm(x, kernel, recurrent, bias, projection=np.eye(H)):
    """PyTorch's LSTM: gates i f g o."""
    h, c, ys = np.zeros(len(projection)), np.zeros(kernel.shape[0] // 4), []
    for t in x:
        i, f, g, o = np.split(t @ kernel.T + h @ recurrent.T + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = projection @ (sigmoid(o) * np.tanh(c))
        ys.append(h)
    return np.array(ys)


def record(name, logits):
    save_file({"ids": ids, "logits": np.ascontiguousarray(logits, np.float32)}, f"{HERE}/{name}.ref.safetensors")


def export(source, name):
    script = os.path.join(HERE, "../../assets/keras_export.py")
    subprocess.run([sys.executable, script, source, f"{HERE}/{name}.safetensors"], check=True)


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def keras_2(folder, table, bias):
    kernel, recurrent, b, weight = random(E, 3 * H), random(H, 3 * H), random(3 * H), random(H, V)
    layers = [layer("Embedding", "embedding_1"),
              layer("GRU", "gru_1", activation="tanh", return_sequences=True, recurrent_activation="hard_sigmoid", reset_after=False),
              layer("Dropout", "dropout"),
              layer("TimeDistributed", "td", layer=layer("Dense", "dense", activation="softmax"))]
    with h5py.File(f"{folder}/k2.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": layers}}).encode()
        file.attrs["keras_version"] = b"2.2.4"
        group = file.create_group("model_weights")
        group.create_group("dropout")
        for name, array in {"embedding_1/embedding_1/embeddings:0": table, "gru_1/gru_1/kernel:0": kernel,
                            "gru_1/gru_1/recurrent_kernel:0": recurrent, "gru_1/gru_1/bias:0": b,
                            "td/td/kernel:0": weight, "td/td/bias:0": bias}.items():
            group[name] = array
    export(f"{folder}/k2.h5", "k2")
    hard = lambda x: np.clip(x / 5 + 0.5, 0, 1)
    record("k2", [gru(table[row].astype(float), kernel, recurrent, b, hard, False) @ weight + bias for row in ids])


def keras_3(folder, table, bias):
    cells = [(random(E, 3 * H), random(H, 3 * H), random(2, 3 * H)) for _ in range(2)]
    weight = random(2 * H, V)
    inner = layer("GRU", "gru", activation="tanh", return_sequences=True, recurrent_activation="hard_sigmoid", reset_after=True)
    layers = [layer("InputLayer", "in"), layer("Embedding", "e"),
              layer("Bidirectional", "both", merge_mode="concat", layer=inner),
              layer("Dense", "d", activation="softmax")]
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/embedding/vars/0"] = table
        for name, cell in zip(("forward_layer", "backward_layer"), cells):
            for i, array in enumerate(cell):
                file[f"layers/bidirectional/{name}/cell/vars/{i}"] = array
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = weight, bias
    with zipfile.ZipFile(f"{folder}/k3.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": layers}}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("model.weights.h5", weights.getvalue())
    export(f"{folder}/k3.keras", "k3")
    hard = lambda x: np.clip(x / 6 + 0.5, 0, 1)
    logits = []
    for row in ids:
        x = table[row].astype(float)
        both = gru(x, *cells[0], hard, True), gru(x[::-1], *cells[1], hard, True)[::-1]
        logits.append(np.concatenate(both, 1) @ weight + bias)
    record("k3", logits)


def cells(table, bias):
    arrays = {"net._embedding.weight": table, "net._linear.weight": random(V, H), "net._linear.bias": bias}
    for i, inputs in enumerate((E, H)):
        arrays[f"net.cells.{i}.weight_ih"] = np.asfortranarray(random(4 * H, inputs).astype(float))
        arrays[f"net.cells.{i}.weight_hh"] = random(4 * H, H)
        arrays[f"net.cells.{i}.bias_ih"], arrays[f"net.cells.{i}.bias_hh"] = random(4 * H), random(4 * H)
    np.savez_compressed(f"{HERE}/cells.npz", **arrays)
    logits = []
    for row in ids:
        x = table[row].astype(float)
        for i in range(2):
            part = lambda name: arrays[f"net.cells.{i}.{name}"]
            x = lstm(x, part("weight_ih"), part("weight_hh"), part("bias_ih") + part("bias_hh"))
        logits.append(x @ arrays["net._linear.weight"].T + bias)
    record("cells", logits)


def relu(table, bias):
    arrays = {"embed.weight": table, "rnn.weight_ih_l0": random(H, E), "rnn.weight_hh_l0": random(H, H),
              "rnn.bias_ih_l0": random(H), "rnn.bias_hh_l0": random(H), "head.weight": random(V, H), "head.bias": bias}
    np.savez(f"{HERE}/relu.npz", **arrays)
    logits = []
    for row in ids:
        h, ys = np.zeros(H), []
        for t in table[row].astype(float):
            sums = arrays["rnn.weight_ih_l0"] @ t + arrays["rnn.bias_ih_l0"] + arrays["rnn.bias_hh_l0"]
            h = np.maximum(sums + arrays["rnn.weight_hh_l0"] @ h, 0)
            ys.append(h)
        logits.append(np.array(ys) @ arrays["head.weight"].T + bias)
    record("relu", logits)


def projected(table, bias, p=2):
    arrays = {"encoder.weight": table, "decoder.weight": random(V, p), "decoder.bias": bias}
    for i, inputs in enumerate((E, p)):
        arrays |= {f"lstm.weight_ih_l{i}": random(4 * H, inputs), f"lstm.weight_hh_l{i}": random(4 * H, p),
                   f"lstm.weight_hr_l{i}": random(p, H)}
    np.savez(f"{HERE}/projection.npz", **arrays)
    logits = []
    for row in ids:
        x = table[row].astype(float)
        for i in range(2):
            part = lambda name: arrays[f"lstm.{name}_l{i}"]
            x = lstm(x, part("weight_ih"), part("weight_hh"), 0, part("weight_hr"))
        logits.append(x @ arrays["decoder.weight"].T + bias)
    record("projection", logits)


def onnx_model(name, kind, gates, layers, table, bias, peepholes=False, **attributes):
    tensor = lambda name, array: numpy_helper.from_array(np.ascontiguousarray(array), name)
    weights = [tensor("E", table), tensor("axis", np.array([1])), tensor("V", random(H, V)), tensor("b", bias)]
    nodes = [helper.make_node("Gather", ["E", "ids"], ["x"]), helper.make_node("Transpose", ["x"], ["x0"], perm=[1, 0, 2])]
    for i in range(layers):
        shapes = {"W": (1, gates * H, H if i else E), "R": (1, gates * H, H), "B": (1, 2 * gates * H)}
        weights += [tensor(f"{n}{i}", random(*shape)) for n, shape in shapes.items()]
        inputs = [f"x{i}"] + [f"{n}{i}" for n in shapes]
        if peepholes:
            weights.append(tensor(f"P{i}", random(1, 3 * H)))
            inputs += ["", "", "", f"P{i}"]
        nodes.append(helper.make_node(kind, inputs, [f"y{i}"], name=f"rnn{i}", hidden_size=H, **attributes))
        nodes.append(helper.make_node("Squeeze", [f"y{i}", "axis"], [f"x{i + 1}"]))
    nodes += [helper.make_node("Transpose", [f"x{layers}"], ["y"], perm=[1, 0, 2]),
              helper.make_node("MatMul", ["y", "V"], ["product"]), helper.make_node("Add", ["b", "product"], ["logits"])]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "model", [info("ids", TensorProto.INT64, ["B", "T"])],
                              [info("logits", TensorProto.FLOAT, ["B", "T", V])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    onnx.save(model, f"{HERE}/{name}.onnx")
    record(name, ReferenceEvaluator(model).run(None, {"ids": ids})[0])


def run_lstm(x, weights, hidden, projection=None):
    return lstm(x, weights["weight_ih"], weights["weight_hh"], weights["bias_ih"] + weights["bias_hh"], np.eye(hidden))


def layer_of(inputs, hidden):
    return {"weight_ih": random(4 * hidden, inputs), "weight_hh": random(4 * hidden, hidden),
            "bias_ih": random(4 * hidden), "bias_hh": random(4 * hidden)}


def stack(name, table, modules, sizes, order, arrays_of=lambda arrays: arrays, onehot=False):
    """LSTMs of these names and sizes, saved in one order; data goes through them in `order`."""
    inputs, layers = table.shape[1], {}
    for module, hidden in zip(order, sizes):
        layers[module] = (layer_of(inputs, hidden), hidden)
        inputs = hidden
    head, bias = random(V, inputs), random(V)
    arrays = {} if onehot else {"emb.weight": table}
    for module in modules:
        arrays |= {f"{module}.{k}_l0": a for k, a in layers[module][0].items()}
    arrays |= {"fc.weight": head, "fc.bias": bias}
    np.savez(f"{HERE}/{name}.npz", **arrays_of(arrays))
    logits = []
    for row in ids:
        x = table[row].astype(float)
        for module in order:
            x = run_lstm(x, *layers[module])
        logits.append(x @ head.T + bias)
    record(name, logits)


def norms(arrays):
    """Weight norm of both kinds, spectral norm and fastai's raw weight in place of the plain ones."""
    a = dict(arrays)
    w = a.pop("lstm1.weight_ih_l0")
    a["lstm1.weight_ih_l0_g"], a["lstm1.weight_ih_l0_v"] = np.linalg.norm(w, axis=1, keepdims=True), 3 * w
    w = a.pop("lstm2.weight_hh_l0")
    a["lstm2.parametrizations.weight_hh_l0.original0"] = np.linalg.norm(w, axis=1, keepdims=True)
    a["lstm2.parametrizations.weight_hh_l0.original1"] = w / 7
    w = a.pop("fc.weight")
    u, _, v = np.linalg.svd(w, full_matrices=False)
    scale = np.float32(1 / (u[:, 0] @ w @ v[0]))
    # W / (u W v) of a matrix c times as long as w is w where c u w v is its own length.
    a["fc.weight_orig"], a["fc.weight_u"], a["fc.weight_v"] = w, (u[:, 0] * scale).astype(np.float32), v[0]
    a["lstm1.weight_hh_l0_raw"], a["lstm1.weight_hh_l0"] = a["lstm1.weight_hh_l0"], np.zeros_like(a["lstm1.weight_hh_l0"])
    return {k.replace("lstm1.", "lstm1.module.") if "raw" not in k else k: x for k, x in a.items()}


def onnx_of(name, nodes, weights, inputs=("B", "T"), outputs=None, external=False):
    info = helper.make_tensor_value_info
    tensors = [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in weights.items()]
    outs = [info(o, TensorProto.FLOAT, None) for o in (outputs or ["logits"])]
    graph = helper.make_graph(nodes, "model", [info("ids", TensorProto.INT64, list(inputs))], outs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    if external:
        onnx.save(model, f"{HERE}/{name}.onnx", save_as_external_data=True, location=f"{name}.onnx.data", size_threshold=64)
    else:
        onnx.save(model, f"{HERE}/{name}.onnx")
    return whole


def graphs(table, bias):
    """Nodes between ids and logits that move numbers, that take the last step, and that change what comes out."""
    node = helper.make_node
    w, r, b, head = random(1, 4 * H, E), random(1, 4 * H, H), random(1, 8 * H), random(H, V)
    base = {"E": table, "W": w, "R": r, "B": b, "V": head, "b": bias, "one": np.array([1])}
    lstm_node = lambda x: node("LSTM", [x, "W", "R", "B"], ["y"], name="rnn", hidden_size=H)
    gather, turn = node("Gather", ["E", "ids"], ["x"]), node("Transpose", ["x"], ["xt"], perm=[1, 0, 2])
    back = [node("Squeeze", ["y", "one"], ["s"]), node("Transpose", ["s"], ["st"], perm=[1, 0, 2])]
    out = [node("MatMul", ["st", "V"], ["p"]), node("Add", ["p", "b"], ["logits"])]
    plain = onnx_of("whole", [gather, turn, lstm_node("xt")] + back + out, base)
    os.remove(f"{HERE}/whole.onnx")
    expected = ReferenceEvaluator(plain).run(None, {"ids": ids})[0]
    last = {**base, "end": np.array(-1)}
    onnx_of("last", [gather, turn, lstm_node("xt"), *back, node("Gather", ["st", "end"], ["z"], axis=1),
                     node("MatMul", ["z", "V"], ["p"]), node("Add", ["p", "b"], ["logits"])], last, external=True)
    record("last", expected)
    folded = {k: a for k, a in base.items() if k not in "WRV"}
    folded |= {"w0": w[0, :2 * H], "w1": w[0, 2 * H:], "rT": np.ascontiguousarray(r[0].T), "zero": np.array([0]),
               "V8": head.astype(np.float16)}
    onnx_of("folded", [node("Concat", ["w0", "w1"], ["w"], axis=0), node("Unsqueeze", ["w", "zero"], ["W"]),
                       node("Transpose", ["rT"], ["r"], perm=[1, 0]), node("Unsqueeze", ["r", "zero"], ["R"]),
                       node("Cast", ["V8"], ["V"], to=1), gather, turn, lstm_node("xt"), *back, *out,
                       node("Shape", ["logits"], ["size"])], folded, outputs=["size", "logits"])
    exact = ReferenceEvaluator(onnx_of("exact", [gather, turn, lstm_node("xt")] + back + out,
                                       {**base, "V": head.astype(np.float16).astype(np.float32)}))
    os.remove(f"{HERE}/exact.onnx")
    record("folded", exact.run(None, {"ids": ids})[0])
    onnx_of("shift", [node("Add", ["ids", "one"], ["i1"]), node("Mod", ["i1", "n"], ["i2"]),
                      node("Gather", ["E", "i2"], ["x"]), turn, lstm_node("xt"), *back, *out],
            {**base, "n": np.array([V])})
    onnx_of("view", [gather, node("Reshape", ["x", "shape"], ["xt"]), lstm_node("xt"), *back, *out],
            {**base, "shape": np.array([6, 2, E])}, inputs=(2, 6))


with tempfile.TemporaryDirectory() as folder:
    table, bias = random(V, E), random(V)
    keras_2(folder, table, bias)
    keras_3(folder, table, bias)
    cells(table, bias)
    onnx_model("lstm", "LSTM", 4, 2, table, bias)
    onnx_model("peep", "LSTM", 4, 1, table, bias, peepholes=True)
    onnx_model("gru0", "GRU", 3, 2, table, bias, linear_before_reset=0)
    onnx_model("gru1", "GRU", 3, 1, table, bias, linear_before_reset=1)
    onnx_model("rnn", "RNN", 1, 2, table, bias)
    relu(table, bias)
    projected(table, bias)
    stack("order", table, ["lstm_one", "lstm_two", "lstm_three"], [H, H, H], ["lstm_one", "lstm_two", "lstm_three"])
    stack("norms", table, ["lstm1", "lstm2"], [H, H], ["lstm1", "lstm2"], norms)
    stack("sizes", table, ["rnns.0", "rnns.1", "rnns.2"], [6, 5, 3], ["rnns.0", "rnns.1", "rnns.2"])
    stack("onehot", np.eye(V, dtype=np.float32), ["lstm"], [H], ["lstm"], onehot=True)
    graphs(table, bias)
