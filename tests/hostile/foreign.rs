//! Files of other programs: safetensors of PyTorch's and Keras's names, .pt, .npz, ONNX, TensorFlow.js weights.

use std::collections::BTreeMap;

use gatefold::Error;
use gatefold::import::{Options, Source, Vocabulary, import};
use gatefold::model::{Bytes, weight_shapes};
use gatefold::plan::Sizes;
use serde_json::{Value, json};

use super::mutations::{self, Rng};
use super::{Format, attack, hold_to_cap};

/// Names and shapes of a small GRU under PyTorch's names: 5 tokens, embeddings of 3, 2 units.
const TENSORS: [(&str, &[usize]); 8] = [
    ("decoder.bias", &[5]),
    ("decoder.weight", &[5, 2]),
    ("encoder.weight", &[5, 3]),
    ("rnn.bias_hh_l0", &[6]),
    ("rnn.bias_ih_l0", &[6]),
    ("rnn.weight_hh_l0", &[6, 2]),
    ("rnn.weight_ih_l0", &[6, 3]),
    ("step", &[]),
];

/// Imports a file and does with the model what comes next.
fn use_source(bytes: &[u8], files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    let open = |name: &str| {
        let found = files.get(name).cloned().map(Bytes::new);
        found.ok_or_else(|| Error::Model(format!("{name}: there is no such file")))
    };
    let source = Source { name: "broken/file".into(), bytes: Bytes::new(bytes.to_vec()), open: &open };
    let imported = import(&source, &Options::default())?;
    let shape = imported.config.shape();
    for (name, dims) in weight_shapes(&shape) {
        let values = imported.weights.get(&name).expect("all weights are there");
        assert_eq!(values.len(), dims.iter().product::<usize>());
        assert!(values.iter().all(|x| x.is_finite()));
    }
    let plan = gatefold::generate::plan(shape, 0);
    plan.plan.memory(&gatefold::generate::sections(&plan), Sizes { rows: 256, time: 64 });
    Ok(())
}

fn attack_file(name: &'static str, valid: Vec<u8>, mutate: fn(&mut Rng, &[u8]) -> Vec<u8>) {
    let open = |bytes: &[u8]| use_source(bytes, &BTreeMap::new());
    attack(&Format { name, valid, mutate, open: &open, names: "broken/file" });
}

fn numbers(len: usize) -> Vec<u8> {
    (0..len).flat_map(|i| (i as f32 / 8.0 - 1.0).to_le_bytes()).collect()
}

fn safetensors_of(tensors: &[(&str, &[usize])], metadata: Option<&str>) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    if let Some(text) = metadata {
        header.insert("__metadata__".into(), json!({"keras": text}));
    }
    for (name, shape) in tensors {
        let first = data.len();
        data.extend(numbers(shape.iter().product()));
        header.insert((*name).into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [first, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

#[test]
fn pytorch_safetensors() {
    attack_file("safetensors of PyTorch's names", safetensors_of(&TENSORS, None), mutations::safetensors);
}

/// Layers as Keras describes them.
fn keras_description() -> String {
    json!({"keras_version": "2.4.0", "layers": [
        {"class_name": "Embedding", "config": {"name": "embedding"}},
        {"class_name": "Bidirectional", "config": {"name": "both", "merge_mode": "concat", "layer":
            {"class_name": "GRU", "config": {"reset_after": false, "recurrent_activation": "hard_sigmoid"}}}},
        {"class_name": "Dense", "config": {"name": "dense", "activation": "softmax"}},
    ]})
    .to_string()
}

const KERAS: [(&str, &[usize]); 9] = [
    ("both/backward/bias", &[6]),
    ("both/backward/kernel", &[3, 6]),
    ("both/backward/recurrent_kernel", &[2, 6]),
    ("both/forward/bias", &[6]),
    ("both/forward/kernel", &[3, 6]),
    ("both/forward/recurrent_kernel", &[2, 6]),
    ("dense/bias", &[5]),
    ("dense/kernel", &[4, 5]),
    ("embedding/embeddings", &[5, 3]),
];

/// Half of the cases break the description of the layers, half the tensors.
fn keras_mutation(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    if rng.below(2) == 0 {
        return mutations::safetensors(rng, valid);
    }
    let description = mutations::json(rng, keras_description().as_bytes());
    let mut tensors = KERAS.to_vec();
    if rng.below(4) == 0 {
        tensors.remove(rng.below(KERAS.len()));
    }
    safetensors_of(&tensors, Some(&String::from_utf8_lossy(&description)))
}

#[test]
fn keras_safetensors() {
    attack_file("safetensors of Keras layers", safetensors_of(&KERAS, Some(&keras_description())), keras_mutation);
}

/// An entry of a zip archive: name, bytes, whether it is deflated.
type ZipEntry = (String, Vec<u8>, bool);

fn zip(entries: &[ZipEntry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data, deflated) in entries {
        let packed = if *deflated { miniz_oxide::deflate::compress_to_vec(data, 6) } else { data.clone() };
        let offset = file.len() as u32;
        let mut common = Vec::new();
        common.extend(20u16.to_le_bytes());
        common.extend(0u16.to_le_bytes());
        common.extend((if *deflated { 8u16 } else { 0 }).to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc32fast::hash(data).to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((data.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend(0u16.to_le_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (first, count) = (file.len() as u32, entries.len() as u16);
    let len = directory.len() as u32;
    file.extend(directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend(len.to_le_bytes());
    file.extend(first.to_le_bytes());
    file.extend(0u16.to_le_bytes());
    file
}

/// Lies in a zip archive's numbers: one to three words of its directory become others.
fn lie_in_directory(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    let records: Vec<usize> = (0..bytes.len() - 4)
        .filter(|at| {
            [b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"].contains(&&bytes[*at..at + 4].try_into().expect("four"))
        })
        .collect();
    for _ in 0..=rng.below(3) {
        let at = rng.pick(&records) + 4 + 2 * rng.below(20);
        let words = [0u32, 1, 8, 0xffff, 0xffff_ffff, 0x7fff_ffff, bytes.len() as u32, rng.next() as u32];
        let word = rng.pick(&words).to_le_bytes();
        let end = (at + 2 + 2 * rng.below(2)).min(bytes.len());
        if at < end {
            bytes[at..end].copy_from_slice(&word[..end - at]);
        }
    }
    bytes
}

/// A pickle's operations, one a part.
fn pickle_operations() -> Vec<Vec<u8>> {
    let text = |s: &str| [&[b'X'][..], &(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    let global = |m: &str, n: &str| format!("c{m}\n{n}\n").into_bytes();
    let mut ops = vec![vec![0x80, 2], global("collections", "OrderedDict"), b")R".to_vec(), b"(".to_vec()];
    for (i, (name, shape)) in TENSORS.iter().enumerate() {
        let len: usize = shape.iter().product();
        ops.extend([text(name), global("torch._utils", "_rebuild_tensor_v2"), b"(".to_vec(), b"(".to_vec()]);
        ops.extend([text("storage"), global("torch", "FloatStorage"), text(&i.to_string()), text("cpu")]);
        ops.extend([vec![b'K', len as u8], b"t".to_vec(), b"Q".to_vec(), vec![b'K', 0], b"(".to_vec()]);
        ops.extend(shape.iter().map(|n| vec![b'K', *n as u8]));
        ops.extend([b"t".to_vec(), b"(".to_vec()]);
        ops.extend((0..shape.len()).map(|axis| vec![b'K', shape[axis + 1..].iter().product::<usize>() as u8]));
        ops.extend([b"t".to_vec(), vec![0x89], global("collections", "OrderedDict"), b")R".to_vec()]);
        ops.extend([b"t".to_vec(), b"R".to_vec()]);
    }
    ops.extend([b"u".to_vec(), b".".to_vec()]);
    ops
}

fn pt(pickle: Vec<u8>) -> Vec<u8> {
    let mut entries: Vec<ZipEntry> = vec![("m/data.pkl".into(), pickle, false)];
    for (i, (_, shape)) in TENSORS.iter().enumerate() {
        entries.push((format!("m/data/{i}"), numbers(shape.iter().product()), false));
    }
    entries.push(("m/byteorder".into(), b"little".to_vec(), false));
    zip(&entries)
}

fn pickle_mutation(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    if rng.below(3) == 0 {
        return lie_in_directory(rng, valid);
    }
    let strange: Vec<Vec<u8>> = vec![
        b"cos\nsystem\n".to_vec(),
        b"cbuiltins\neval\n".to_vec(),
        b"ctorch.nn.modules.rnn\nGRU\n".to_vec(),
        b"X\x02\0\0\0osX\x06\0\0\0system\x93".to_vec(),
        b"J\xff\xff\xff\x7f".to_vec(),
        b"J\xff\xff\xff\xff".to_vec(),
        b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        b"\x8a\xff\xff\xff".to_vec(),
        b"X\xff\xff\xff\xff".to_vec(),
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        b"r\xff\xff\xff\xff".to_vec(),
        b"j\xff\xff\xff\xff".to_vec(),
        b"}".to_vec(),
        b"]".to_vec(),
        b"q\x00h\x00s".to_vec(),
        b"q\x00h\x00a".to_vec(),
        b"(".to_vec(),
        b"t".to_vec(),
        b"u".to_vec(),
        b"R".to_vec(),
        b"Q".to_vec(),
        b"b".to_vec(),
        b"0".to_vec(),
        b"2".to_vec(),
        b"N".to_vec(),
        b"\x81".to_vec(),
        b"2".repeat(1 << rng.below(16)),
        b"(".repeat(1 << rng.below(16)),
        b"]".repeat(1 << rng.below(16)),
    ];
    let mut ops = pickle_operations();
    for _ in 0..=rng.below(3) {
        let at = rng.below(ops.len());
        match rng.below(5) {
            0 => drop(ops.remove(at)),
            1 => ops.insert(at, rng.pick(&strange).clone()),
            2 => ops[at] = rng.pick(&strange).clone(),
            3 => ops[at] = ops[rng.below(ops.len())].clone(),
            _ => ops.insert(at, ops[rng.below(ops.len())].clone()),
        }
    }
    pt(ops.concat())
}

#[test]
fn pt_files() {
    attack_file(".pt", pt(pickle_operations().concat()), pickle_mutation);
}

/// What a pickle asks for is never run, and is named.
#[test]
fn hostile_pickles_are_refused() {
    for (program, expected) in [
        (&b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R."[..], "os.system, which is refused"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", "posix.system, which is refused"),
        (b"\x80\x02cbuiltins\nexec\nX\x04\0\0\0pass\x85R.", "builtins.exec, which is refused"),
        (b"\x80\x02ctorch.nn.modules.rnn\nGRU\n)\x81.", "not a dict of tensors; save `model.state_dict()`"),
        (b"\x80\x02(X\x02\0\0\0idios\nsystem\n.", "Python object"),
        (b"\x80\x02X\x03\0\0\0abc.", "no tensor"),
        (b"\x80\x02", "cut off"),
        (b"\x80\x09.", "protocol 9"),
    ] {
        let error = use_source(&pt(program.to_vec()), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("broken/file"), "{error}");
    }
}

/// A .npy array of zeros and ones.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn shape_text(shape: &[usize]) -> String {
    format!("({})", shape.iter().map(|n| format!("{n},")).collect::<String>())
}

fn npz_mutation(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    if rng.below(3) == 0 {
        return lie_in_directory(rng, valid);
    }
    const DESCR: [&str; 8] = ["<f4", ">f4", "<f8", "<f2", "|u1", "<i8", "|O", ""];
    const SHAPES: [&str; 8] = [
        "()",
        "(5,",
        "5",
        "(-1,)",
        "(18446744073709551615, 2)",
        "(4294967295, 4294967295)",
        "(0,)",
        "(1,1,1,1,1,1,1,1,1,1)",
    ];
    let strange = rng.below(TENSORS.len());
    let mut entries: Vec<ZipEntry> = Vec::new();
    for (i, (name, shape)) in TENSORS.iter().enumerate() {
        let len: usize = shape.iter().product();
        let (mut descr, mut text, mut data) = ("<f4", shape_text(shape), numbers(len));
        if i == strange {
            match rng.below(5) {
                0 => descr = DESCR[rng.below(DESCR.len())],
                1 => text = (*rng.pick(&SHAPES)).into(),
                2 => data.truncate(rng.below(data.len() + 1)),
                3 => data = vec![0; 1 << rng.below(20)],
                _ => data.extend([0; 3]),
            }
        }
        let mut file = npy(descr, rng.below(4) == 0, &text, &data);
        if i == strange && rng.below(3) == 0 {
            file = mutations::blind(rng, &file);
        }
        entries.push((format!("{name}.npy"), file, i % 2 == 0));
    }
    zip(&entries)
}

#[test]
fn npz() {
    let entries: Vec<ZipEntry> = (TENSORS.iter().enumerate())
        .map(|(i, (name, shape))| {
            let data = numbers(shape.iter().product());
            (format!("{name}.npy"), npy("<f4", false, &shape_text(shape), &data), i % 2 == 0)
        })
        .collect();
    attack_file(".npz", zip(&entries), npz_mutation);
    // Some kilobytes that unpack to much more than such a file may.
    let bomb = zip(&[("a.npy".into(), npy("<f4", false, "(5000000,)", &vec![0; 20_000_000]), true)]);
    let size = bomb.len();
    let error = hold_to_cap("npz bomb", 0, size, || use_source(&bomb, &BTreeMap::new())).unwrap_err().0;
    assert!(error.contains("unpacks to 200000"), "{error}");
}

/// A message of a protocol buffer.
#[derive(Clone)]
enum Proto {
    Int(u64),
    Text(String),
    Raw(Vec<u8>),
    Message(Vec<(u64, Proto)>),
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn proto_bytes(fields: &[(u64, Proto)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in fields {
        let bytes = match value {
            Proto::Int(n) => {
                varint(number << 3, &mut out);
                varint(*n, &mut out);
                continue;
            }
            Proto::Text(text) => text.clone().into_bytes(),
            Proto::Raw(bytes) => bytes.clone(),
            Proto::Message(fields) => proto_bytes(fields),
        };
        varint(number << 3 | 2, &mut out);
        varint(bytes.len() as u64, &mut out);
        out.extend(bytes);
    }
    out
}

/// Gather, GRU, MatMul, Add, Softmax: a small language model.
fn onnx_model() -> Vec<(u64, Proto)> {
    use Proto::{Int, Message, Raw, Text};
    let text = |s: &str| Text(s.into());
    let node = |op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<Proto>| {
        let mut fields: Vec<(u64, Proto)> = inputs.iter().map(|name| (1, text(name))).collect();
        fields.extend(outputs.iter().map(|name| (2, text(name))));
        fields.push((4, text(op)));
        fields.extend(attributes.into_iter().map(|a| (5, a)));
        (1, Message(fields))
    };
    let int = |name: &str, n: u64| Message(vec![(1, text(name)), (3, Int(n)), (20, Int(2))]);
    let tensor = |name: &str, shape: &[usize]| {
        let mut fields: Vec<(u64, Proto)> = shape.iter().map(|n| (1, Int(*n as u64))).collect();
        fields.extend([(2, Int(1)), (8, text(name)), (9, Raw(numbers(shape.iter().product())))]);
        (5, Message(fields))
    };
    let graph = vec![
        node("Gather", &["E", "ids"], &["x"], vec![]),
        node("Transpose", &["x"], &["xt"], vec![]),
        node("GRU", &["xt", "W", "R", "B"], &["y"], vec![int("hidden_size", 2), int("linear_before_reset", 1)]),
        node("Squeeze", &["y"], &["ys"], vec![]),
        node("MatMul", &["ys", "V"], &["l"], vec![]),
        node("Add", &["l", "c"], &["logits"], vec![]),
        node("Softmax", &["logits"], &["p"], vec![]),
        (2, text("graph")),
        tensor("E", &[5, 3]),
        tensor("W", &[1, 6, 3]),
        tensor("R", &[1, 6, 2]),
        tensor("B", &[1, 12]),
        tensor("V", &[2, 5]),
        tensor("c", &[5]),
        (11, Message(vec![(1, text("ids"))])),
        (12, Message(vec![(1, text("p"))])),
    ];
    vec![(1, Int(8)), (7, Message(graph)), (8, Message(vec![(2, Int(17))]))]
}

/// Changes a field somewhere in a message.
fn mutate_proto(rng: &mut Rng, fields: &mut Vec<(u64, Proto)>) {
    if fields.is_empty() {
        return;
    }
    let at = rng.below(fields.len());
    if let Proto::Message(inner) = &mut fields[at].1
        && rng.below(5) > 0
    {
        return mutate_proto(rng, inner);
    }
    const INTS: [u64; 9] = [0, 1, 2, 7, 10, 1 << 31, 1 << 32, 1 << 63, u64::MAX];
    const TEXTS: [&str; 12] = ["", "x", "y", "E", "W", "LSTM", "RNN", "Add", "Conv", "clip", "direction", "p"];
    match rng.below(6) {
        0 => drop(fields.remove(at)),
        1 => fields.insert(at, fields[rng.below(fields.len())].clone()),
        2 => fields[at].0 = rng.below(20) as u64,
        3 => fields[at].1 = Proto::Int(*rng.pick(&INTS)),
        4 => fields[at].1 = Proto::Text((*rng.pick(&TEXTS)).into()),
        _ => fields[at].1 = Proto::Raw(vec![rng.next() as u8; 1 << rng.below(12)]),
    }
}

fn onnx_mutation(rng: &mut Rng, _: &[u8]) -> Vec<u8> {
    let mut model = onnx_model();
    for _ in 0..=rng.below(3) {
        mutate_proto(rng, &mut model);
    }
    proto_bytes(&model)
}

#[test]
fn onnx() {
    attack_file("ONNX", proto_bytes(&onnx_model()), onnx_mutation);
    // Many nodes that share one weight would make a small file large.
    let mut model = onnx_model();
    let Proto::Message(graph) = &mut model[1].1 else { unreachable!() };
    graph.retain(|(number, _)| *number != 1);
    let text = |s: String| Proto::Text(s);
    let big = numbers(3 * 256 * 256);
    let tensor = |name: &str, shape: &[u64], raw: Vec<u8>| {
        let mut fields: Vec<(u64, Proto)> = shape.iter().map(|n| (1, Proto::Int(*n))).collect();
        fields.extend([(2, Proto::Int(1)), (8, text(name.into())), (9, Proto::Raw(raw))]);
        (5, Proto::Message(fields))
    };
    graph.push(tensor("Wbig", &[1, 768, 256], big.clone()));
    graph.push(tensor("Vbig", &[256, 5], numbers(256 * 5)));
    let mut previous = "ids".to_string();
    for i in 0..2000 {
        let (next, x) = (format!("v{i}"), previous);
        let fields = vec![
            (1, text(x)),
            (1, text("Wbig".into())),
            (1, text("Wbig".into())),
            (2, text(next.clone())),
            (4, text("GRU".into())),
        ];
        graph.push((1, Proto::Message(fields)));
        previous = next;
    }
    graph.push((
        1,
        Proto::Message(vec![
            (1, text(previous)),
            (1, text("Vbig".into())),
            (2, text("p".into())),
            (4, text("MatMul".into())),
        ]),
    ));
    let bytes = proto_bytes(&model);
    let error =
        hold_to_cap("ONNX of shared weights", 0, bytes.len(), || use_source(&bytes, &BTreeMap::new())).unwrap_err().0;
    assert!(error.contains("more weights than the file can hold"), "{error}");
}

const TENSORFLOW: [(&str, &str, &[usize]); 5] = [
    ("embedding", "embedding", &[5, 3]),
    ("rnnlm/cell_0/basic_lstm_cell/bias", "bias", &[8]),
    ("rnnlm/cell_0/basic_lstm_cell/kernel", "kernel", &[5, 8]),
    ("rnnlm/softmax_b", "softmax_b", &[5]),
    ("rnnlm/softmax_w", "softmax_w", &[2, 5]),
];

#[test]
fn tensorflow_manifest() {
    let mut manifest = serde_json::Map::new();
    let mut files = BTreeMap::new();
    for (name, file, shape) in TENSORFLOW {
        manifest.insert(name.into(), json!({"filename": file, "shape": shape}));
        files.insert(file.to_string(), numbers(shape.iter().product()));
    }
    let open = |bytes: &[u8]| use_source(bytes, &files);
    let valid = Value::Object(manifest).to_string().into_bytes();
    attack(&Format {
        name: "TensorFlow.js manifest",
        valid: valid.clone(),
        mutate: mutations::json,
        open: &open,
        names: "broken/file",
    });
    let outside = String::from_utf8(valid).expect("text").replace("\"filename\":\"bias\"", "\"filename\":\"../bias\"");
    let error = use_source(outside.as_bytes(), &files).unwrap_err().to_string();
    assert!(error.contains("not beside the manifest"), "{error}");
}

/// Vocabularies as JSON objects.
#[test]
fn vocabulary() {
    let valid = br#"{"[PAD]": 0, "[START]": 1, "[C]": 2, "[=O]": 3, "a": 4}"#.to_vec();
    let open = |bytes: &[u8]| Vocabulary::read("broken/file", bytes).map(drop);
    attack(&Format { name: "vocabulary", valid, mutate: mutations::json, open: &open, names: "broken/file" });
}
