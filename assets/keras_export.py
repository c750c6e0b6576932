"""A Keras model as a .safetensors that `gatefold convert` reads.

    pip install h5py numpy safetensors
    python keras_export.py model.keras model.safetensors        (or model.h5 with its architecture, as Keras 2 saves)

Weights stay in Keras's order; tensors are called LAYER/kernel, LAYER/recurrent_kernel, LAYER/bias, LAYER/embeddings and,
in a Bidirectional, LAYER/forward/kernel and so on; those that this script knows no name for keep their path, and convert
refuses them. The header's metadata `keras` holds Keras's own description of the layers and of their calls. Keras itself
is not needed.
"""
import io, json, re, sys, zipfile

try:
    import h5py
    import numpy as np
    from safetensors.numpy import save_file
except ImportError as missing:
    sys.exit(f"keras_export.py: {missing}; pip install h5py numpy safetensors")

RECURRENT = ("kernel", "recurrent_kernel", "bias")
VARIABLES = {"Embedding": ("embeddings",), "Dense": ("kernel", "bias"), "LSTM": RECURRENT, "GRU": RECURRENT,
             "SimpleRNN": RECURRENT, "TimeDistributed": ("kernel", "bias")}
SUBCLASS = ("a subclassed model: the file does not say what its call() does. Build the same layers as a Sequential or "
            "functional model, copy the weights (new.set_weights(old.get_weights())), and save that")


def arrays(group):
    """All arrays below a group, by their path."""
    found = {}
    group.visititems(lambda path, node: found.update({path: node}) if isinstance(node, h5py.Dataset) else None)
    return found


def part(path):
    """The direction that a path of a Bidirectional names."""
    return "forward/" if re.search(r"(^|/)forward", path) else "backward/" if re.search(r"(^|/)backward", path) else ""


def floats(name, node):
    """An array as 32-bit floats."""
    array = np.asarray(node)
    if array.dtype == np.int8:
        sys.exit(f"`{name}` is quantised to int8; save the model as it was before quantize()")
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:  # bfloat16, which NumPy does not have
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind not in "fiub":
        sys.exit(f"`{name}` has numbers of type {array.dtype}; expected floats")
    return np.ascontiguousarray(array, np.float32)


def text(value):
    return value if isinstance(value, str) else value.decode()


def of_h5(file):
    """Model and tensors of a .h5 with `model_config`: arrays have names such as lstm/lstm_cell/kernel:0."""
    if "model_config" not in file.attrs:
        sys.exit("the file has weights but no `model_config`; save the whole model (model.save), not its weights alone")
    model = json.loads(text(file.attrs["model_config"]))
    version = text(file.attrs.get("keras_version", "2"))
    weights = file["model_weights"] if "model_weights" in file else file
    tensors = {}
    for layer in layers_of(model):
        name = layer["config"]["name"]
        for path, node in (arrays(weights[name]) if name in weights else {}).items():
            tensors[f"{name}/{part(path)}{path.split('/')[-1].split(':')[0]}"] = floats(path, node)
    return model, version, tensors


def of_keras(archive):
    """Model and tensors of a .keras: arrays are numbered under layers/CLASS_NUMBER/.../vars/."""
    for name in ("config.json", "model.weights.h5"):
        if name not in archive.namelist():
            sys.exit(f"a zip archive without {name}, so no .keras file")
    model = json.loads(archive.read("config.json"))
    version = json.loads(archive.read("metadata.json")).get("keras_version", "3") if "metadata.json" in archive.namelist() else "3"
    file = h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r")
    root = next((file[key] for key in ("layers", "_layer_checkpoint_dependencies") if key in file), file)
    tensors, seen = {}, {}
    for layer in layers_of(model):
        kind, name = layer["class_name"], layer["config"]["name"]
        stem = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        count = seen[stem] = seen.get(stem, -1) + 1
        group = root.get(f"{stem}_{count}" if count else stem, root.get(name))
        inner = layer["config"].get("layer", {}).get("class_name") if kind == "Bidirectional" else kind
        names = VARIABLES.get(inner, ())
        for path, node in (arrays(group) if group is not None else {}).items():
            if "/seed_generator" in f"/{path}":
                continue
            number = path.split("/")[-1]
            known = number.isdigit() and int(number) < len(names)
            tensors[f"{name}/{part(path)}{names[int(number)]}" if known else f"{name}/{path}"] = floats(f"{name}/{path}", node)
    return model, version, tensors


def layers_of(model):
    """The layers of a Sequential or functional model, in their order."""
    config = model.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list):
        sys.exit(SUBCLASS)
    for layer in layers:
        layer["config"].setdefault("name", layer.get("name"))
    return layers


def main(source, target):
    if zipfile.is_zipfile(source):
        model, version, tensors = of_keras(zipfile.ZipFile(source))
    elif h5py.is_hdf5(source):
        model, version, tensors = of_h5(h5py.File(source, "r"))
    else:
        open(source, "rb").close()
        sys.exit(f"{source} is neither a .keras archive nor an HDF5 file")
    outputs = model["config"].get("output_layers", []) if isinstance(model["config"], dict) else []
    description = json.dumps({"keras_version": version, "layers": layers_of(model), "output_layers": outputs})
    save_file(tensors, target, metadata={"keras": description})
    for name, array in tensors.items():
        print(f"{name}  {list(array.shape)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        sys.exit(f"{sys.argv[1]}: {type(error).__name__}: {error}; expected a Sequential or functional model of Keras")
