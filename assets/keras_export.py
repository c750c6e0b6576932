"""A Keras model as a .safetensors that `gatefold convert` reads.

    pip install h5py numpy safetensors
    python keras_export.py model.keras model.safetensors        (or model.h5 with its architecture, as Keras 2 saves)

Weights stay in Keras's order; tensors are called LAYER/kernel, LAYER/recurrent_kernel, LAYER/bias, LAYER/embeddings and,
in a Bidirectional, LAYER/forward/kernel and so on. The header's metadata `keras` holds Keras's own description of the
layers. Keras itself is not needed.
"""
import io, json, re, sys, zipfile

import h5py
import numpy as np
from safetensors.numpy import save_file

RECURRENT = ("kernel", "recurrent_kernel", "bias")
VARIABLES = {"Embedding": ("embeddings",), "Dense": ("kernel", "bias"), "LSTM": RECURRENT, "GRU": RECURRENT,
             "SimpleRNN": RECURRENT, "TimeDistributed": ("kernel", "bias")}


def arrays(group):
    """All arrays below a group, by their path."""
    found = {}
    group.visititems(lambda path, node: found.update({path: np.asarray(node)}) if isinstance(node, h5py.Dataset) else None)
    return found


def part(path):
    """The direction that a path of a Bidirectional names."""
    return "forward/" if re.search(r"(^|/)forward", path) else "backward/" if re.search(r"(^|/)backward", path) else ""


def of_h5(file):
    """Layers and tensors of a .h5 with `model_config`: arrays have names such as lstm/lstm_cell/kernel:0."""
    if "model_config" not in file.attrs:
        sys.exit("the file has weights but no `model_config`; save the whole model (model.save), not its weights alone")
    config = file.attrs["model_config"]
    config = json.loads(config if isinstance(config, str) else config.decode())
    version = file.attrs.get("keras_version", "2")
    version = version if isinstance(version, str) else version.decode()
    tensors = {}
    for layer in layers_of(config):
        name = layer["config"]["name"]
        group = file["model_weights"].get(name)
        for path, array in (arrays(group) if group is not None else {}).items():
            tensors[f"{name}/{part(path)}{path.split('/')[-1].split(':')[0]}"] = array
    return layers_of(config), version, tensors


def of_keras(archive):
    """Layers and tensors of a .keras: arrays are numbered under layers/CLASS_NUMBER/.../vars/."""
    config = json.loads(archive.read("config.json"))
    version = json.loads(archive.read("metadata.json")).get("keras_version", "3")
    file = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
    root = next((file[key] for key in ("layers", "_layer_checkpoint_dependencies") if key in file), file)
    tensors, seen = {}, {}
    for layer in layers_of(config):
        kind, name = layer["class_name"], layer["config"]["name"]
        stem = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        count = seen[stem] = seen.get(stem, -1) + 1
        group = root.get(f"{stem}_{count}" if count else stem, root.get(name))
        for path, array in (arrays(group) if group is not None else {}).items():
            inner = layer["config"]["layer"]["class_name"] if kind == "Bidirectional" else kind
            names = VARIABLES.get(inner)
            if names is None or "/seed_generator" in f"/{path}":
                continue
            tensors[f"{name}/{part(path)}{names[int(path.split('/')[-1])]}"] = array
    return layers_of(config), version, tensors


def layers_of(config):
    """The layers of a Sequential or functional model, in their order."""
    layers = config["config"]["layers"] if isinstance(config["config"], dict) else config["config"]
    for layer in layers:
        layer["config"].setdefault("name", layer.get("name"))
    return layers


def main(source, target):
    if zipfile.is_zipfile(source):
        layers, version, tensors = of_keras(zipfile.ZipFile(source))
    else:
        layers, version, tensors = of_h5(h5py.File(source, "r"))
    tensors = {name: np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    description = json.dumps({"keras_version": version, "layers": layers})
    save_file(tensors, target, metadata={"keras": description})
    for name, array in tensors.items():
        print(f"{name}  {list(array.shape)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
