//! ONNX files: a graph as a protocol buffer.

use std::collections::BTreeMap;

use super::{attack_file, numbers, use_source};
use crate::hold_to_cap;
use crate::mutations::Rng;

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
    let ints = |name: &str, all: &[u64]| {
        let mut fields = vec![(1, text(name)), (20, Int(7))];
        fields.extend(all.iter().map(|n| (8, Int(*n))));
        Message(fields)
    };
    let tensor = |name: &str, shape: &[usize]| {
        let mut fields: Vec<(u64, Proto)> = shape.iter().map(|n| (1, Int(*n as u64))).collect();
        fields.extend([(2, Int(1)), (8, text(name)), (9, Raw(numbers(shape.iter().product())))]);
        (5, Message(fields))
    };
    let graph = vec![
        node("Gather", &["E", "ids"], &["x"], vec![]),
        node("Transpose", &["x"], &["xt"], vec![ints("perm", &[1, 0, 2])]),
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
    graph.push(tensor("Ebig", &[5, 256], numbers(5 * 256)));
    let node = |op: &str, inputs: &[&str], output: &str| {
        let mut fields: Vec<(u64, Proto)> = inputs.iter().map(|name| (1, text((*name).into()))).collect();
        fields.extend([(2, text(output.into())), (4, text(op.into()))]);
        (1, Proto::Message(fields))
    };
    graph.push(node("Gather", &["Ebig", "ids"], "x"));
    let mut previous = "x".to_string();
    for i in 0..2000 {
        let (next, x) = (format!("v{i}"), previous);
        graph.push(node("Squeeze", &[&format!("w{i}")], &next));
        let fields = vec![
            (1, text(x)),
            (1, text("Wbig".into())),
            (1, text("Wbig".into())),
            (2, text(format!("w{i}"))),
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
