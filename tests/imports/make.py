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
    h, c, ys = np.zeros(len(projection)), np.zeros(H), []
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
              layer("GRU", "gru_1", activation="tanh", recurrent_activation="hard_sigmoid", reset_after=False),
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
    inner = layer("GRU", "gru", activation="tanh", recurrent_activation="hard_sigmoid", reset_after=True)
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
