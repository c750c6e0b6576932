//! Files made to multiply: a few bytes that ask for much work or memory, of each format that convert reads. What a reader
//! takes is bounded by a constant and by the file's size.

use std::time::{Duration, Instant};

use gatefold::Error;
use gatefold::unstable::import::{Options, Source, Vocabulary, import};
use gatefold::unstable::model::Bytes;

use crate::allocator;
use crate::foreign::zip::zip;

/// Memory that a file may take: a constant, and so much for each of its bytes.
const CONSTANT: usize = 96 << 20;
const PER_BYTE: usize = 48;
/// Time that a file of at most 8 MB may take, on a slow machine that does other things, too.
const TIME: Duration = Duration::from_secs(20);

fn read(bytes: &[u8]) -> Result<(), Error> {
    let open = |name: &str| Err(Error::model(name, "there is no such file"));
    let source = Source { name: "bomb".into(), bytes: Bytes::new(bytes.to_vec()), open: &open };
    import(&source, &Options::default()).map(drop)
}

fn text(s: &[u8]) -> Vec<u8> {
    [&[b'X'][..], &(s.len() as u32).to_le_bytes(), s].concat()
}

/// A .pt whose pickle is stored or deflated, with an empty storage.
fn pt(pickle: &[&[u8]], deflated: bool) -> Vec<u8> {
    let entries = [("m/data.pkl".to_string(), pickle.concat(), deflated), ("m/data/0".to_string(), Vec::new(), false)];
    zip(&entries)
}

fn pickles() -> Vec<(&'static str, Vec<u8>)> {
    let long = text(&vec![b'a'; 8_000_000]);
    let storage =
        [&b"("[..], &text(b"storage"), b"ctorch\nFloatStorage\n", &long, &text(b"cpu"), b"K\x01tq\x000"].concat();
    let empty =
        [&b"("[..], &text(b"storage"), b"ctorch\nFloatStorage\n", &text(b"0"), &text(b"cpu"), b"K\x00tQ"].concat();
    let tensor = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], &empty, b"K\x00(K\x00t(K\x01t\x89}tRq\x000"].concat();
    let names: Vec<u8> =
        (0..1000).flat_map(|i| [text(format!("{i:04}").repeat(240).as_bytes()), b"h\x00".to_vec()].concat()).collect();
    let outer: Vec<u8> = (0..4000).flat_map(|i| [text(i.to_string().as_bytes()), b"h\x01".to_vec()].concat()).collect();
    let pairs = [&b"]("[..], &b"K\x01K\x02\x86".repeat(20_000), b"eq\x000"].concat();
    vec![
        (
            "texts by torch.Size",
            pt(
                &[
                    b"\x80\x02",
                    &long,
                    b"q\x000ctorch\nSize\nq\x010h\x00\x85q\x020",
                    &b"h\x01h\x02R0".repeat(1_000_000),
                    b"}.",
                ],
                true,
            ),
        ),
        ("names of storages", pt(&[b"\x80\x02", &storage, &b"h\x00Q0".repeat(1_000_000), b"}."], true)),
        ("memo", pt(&[b"\x80\x02}", &b"\x94".repeat(16_000_000), b"."], true)),
        ("stack", pt(&[b"\x80\x02}", &b"2".repeat(16_000_000), b"."], true)),
        ("marks", pt(&[b"\x80\x02}", &b"(".repeat(16_000_000), b"."], true)),
        ("shared dicts", pt(&[b"\x80\x02", &tensor, b"}(", &names, b"uq\x010}(", &outer, b"u."], false)),
        (
            "dicts from pairs",
            pt(&[b"\x80\x02", &pairs, &b"ccollections\nOrderedDict\nh\x00\x85R0".repeat(20_000), b"}."], false),
        ),
        ("sets from lists", pt(&[b"\x80\x02", &pairs, &b"cbuiltins\nset\nh\x00\x85R0".repeat(20_000), b"}."], false)),
        ("objects", pt(&[b"\x80\x02", &b"ca\nb\n)R0".repeat(500_000), b"}."], false)),
    ]
}

/// An archive whose directory names one stretch of bytes many times.
fn overlapping(data: &[u8], count: usize, method: u8, size: usize, crc: u32) -> Vec<u8> {
    let fixed = |n: usize| (n as u32).to_le_bytes();
    let common = [&[0, 0, method, 0, 0, 0, 0, 0][..], &crc.to_le_bytes(), &fixed(data.len()), &fixed(size)].concat();
    let mut file = [&b"PK\x03\x04\x14\0"[..], &common, &[1, 0, 0, 0], b"a", data].concat();
    let directory = file.len();
    for i in 0..count {
        let name = format!("{i}.npy");
        file.extend(
            [&b"PK\x01\x02\x14\0\x14\0"[..], &common, &[name.len() as u8, 0], &[0; 16], name.as_bytes()].concat(),
        );
    }
    let count = (count as u16).to_le_bytes();
    let len = fixed(file.len() - directory);
    file.extend([&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &len, &fixed(directory), &[0, 0]].concat());
    file
}

fn archives() -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![0u8; 4_000_000];
    let blocks = [b"\x00\x00\x00\xff\xff".repeat(400_000), b"\x01\x00\x00\xff\xff".to_vec()].concat();
    let npy = |n: usize| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n},), }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &vec![0; 4 * n]].concat()
    };
    let deflated: Vec<_> = (0..60).map(|i| (format!("{i}.npy"), npy(500_000), true)).collect();
    vec![
        ("stored entries over each other", overlapping(&zeros, 60_000, 0, zeros.len(), crc32fast::hash(&zeros))),
        ("deflated entries over each other", overlapping(&blocks, 40_000, 8, 0, 0)),
        ("deflated zeros", zip(&deflated)),
    ]
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

fn field(number: usize, data: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2)[..], &varint(data.len()), data].concat()
}

fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    field(1, &[inputs, field(2, output.as_bytes()), field(4, op.as_bytes())].concat())
}

/// Zeros of this shape.
fn tensor(name: &str, shape: &[usize]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|n| [varint(8), varint(*n)].concat()).collect();
    let data = vec![0u8; 4 * shape.iter().product::<usize>()];
    field(5, &[dims, vec![0x10, 1], field(8, name.as_bytes()), field(9, &data)].concat())
}

fn graphs() -> Vec<(&'static str, Vec<u8>)> {
    let model = |graph: Vec<u8>| [vec![8, 8], field(7, &graph)].concat();
    let out = |name: &str, n: usize| field(12, &field(1, name.as_bytes())).repeat(n);
    let inputs: Vec<u8> = (0..200_000).flat_map(|i| field(11, &field(1, i.to_string().as_bytes()))).collect();
    let layer = |state: &str| {
        let weights =
            [tensor("W", &[1, 6, 3]), tensor("R", &[1, 6, 2]), tensor("E", &[5, 3]), tensor("V", &[2, 5])].concat();
        let nodes = [
            node("Gather", &["E", "ids"], "x"),
            node("GRU", &["x", "W", "R", "", "", state], "y"),
            node("MatMul", &["y", "V"], "p"),
        ];
        [weights, nodes.concat(), field(11, &field(1, b"ids"))].concat()
    };
    let big = tensor("z", &[1_000_000]);
    let many: Vec<&str> = vec!["z"; 200_000];
    let some: Vec<&str> = vec!["z"; 4_000];
    let chain: Vec<u8> = (0..60_000).flat_map(|i| node("Identity", &[&i.to_string()], &(i + 1).to_string())).collect();
    let copies: Vec<u8> =
        (0..50).flat_map(|i| node("Concat", &[&format!("c{i}"), &format!("c{i}")], &format!("c{}", i + 1))).collect();
    let ring = [node("Identity", &["b"], "a"), node("Identity", &["a"], "b")].concat();
    vec![
        ("inputs", model([inputs, layer(""), out("p", 1)].concat())),
        ("outputs", model([tensor("V", &[200_000, 5]), node("MatMul", &["q", "V"], "p"), out("p", 200_000)].concat())),
        ("rings", model([ring, out("a", 100_000)].concat())),
        ("a state of many parts", model([layer("c"), big.clone(), node("Concat", &many, "c"), out("p", 1)].concat())),
        ("a state of copies", model([layer("c"), big.clone(), node("Concat", &some, "c"), out("p", 1)].concat())),
        ("copies of copies", model([layer("c50"), tensor("c0", &[1000]), copies, out("p", 1)].concat())),
        ("a long chain", model([chain, out("60000", 32)].concat())),
        ("nodes of nothing", model([field(1, b"").repeat(1_000_000), out("p", 1)].concat())),
    ]
}

/// A Keras description and TensorFlow.js files that nest and repeat.
fn descriptions() -> Vec<(&'static str, Vec<u8>)> {
    let safetensors = |keras: &str| {
        let header = serde_json::json!({"__metadata__": {"keras": keras}}).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
    };
    let call = |n: usize| format!(r#"[{}]"#, vec![r#"["a",0,0]"#; n].join(","));
    let layers = |n: usize| {
        (0..n).map(|i| format!(r#"{{"class_name":"L","config":{{"name":"{i}"}},"inbound_nodes":[["{}",0,0]]}}"#, i + 1))
    };
    let ring = layers(10_000).collect::<Vec<String>>().join(",");
    let outputs = |n: usize| vec![r#"["0",0,0]"#; n].join(",");
    vec![
        (
            "a call of many",
            safetensors(&format!(
                r#"{{"layers":[{{"class_name":"LSTM","config":{{"name":"a"}},"inbound_nodes":[{}]}}],"output_layers":[["a",0,0]]}}"#,
                call(80_000)
            )),
        ),
        (
            "a long way, many times",
            safetensors(&format!(r#"{{"layers":[{ring}],"output_layers":[{}]}}"#, outputs(1000))),
        ),
        ("lists in lists", safetensors(&format!(r#"{{"layers":{}{}}}"#, "[".repeat(100), "]".repeat(100)))),
    ]
}

#[test]
fn no_file_takes_more_than_its_size_allows() {
    let _guard = crate::ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let kinds = [(".pt", pickles()), ("zip", archives()), (".onnx", graphs()), ("description", descriptions())];
    for (kind, files) in kinds {
        let (mut most, mut longest) = ((0.0f64, ""), (Duration::ZERO, ""));
        for (name, bytes) in &files {
            let start = Instant::now();
            let (result, peak) = allocator::peak_of(0, || read(bytes));
            let (took, size) = (start.elapsed(), bytes.len());
            let cap = CONSTANT + PER_BYTE * size;
            assert!(peak <= cap, "{kind}, {name}, {size} bytes: {peak} bytes of memory; the cap is {cap}");
            assert!(took <= TIME, "{kind}, {name}, {size} bytes: {took:?}");
            // Two of these are whole models.
            let said = result.err().map_or(String::new(), |e| e.to_string());
            assert!(said.len() < 4000, "{kind}, {name}: an error of {} bytes", said.len());
            let per_byte = peak as f64 / size as f64;
            println!("{kind}, {name}: {size} bytes, {} KiB, {took:.1?}: {}", peak >> 10, &said[..said.len().min(90)]);
            most = if per_byte > most.0 { (per_byte, name) } else { most };
            longest = if took > longest.0 { (took, name) } else { longest };
        }
        println!("{kind}: at most {:.0} bytes a byte ({}), {:.1?} ({})", most.0, most.1, longest.0, longest.1);
    }
}

/// A vocabulary with one large id, and one of many tokens.
#[test]
fn vocabularies() {
    let _guard = crate::ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let many: String = (0..70_000).map(|i| format!("\"{i}\":{i},")).collect();
    for json in [r#"{"a": 1000000}"#.to_string(), format!("{{{many}\"a\":1000000}}"), format!("{{{many}\"a\":70000}}")]
    {
        let (_, peak) = allocator::peak_of(0, || Vocabulary::read("v", json.as_bytes()).map(drop));
        assert!(peak <= CONSTANT + PER_BYTE * json.len(), "{} bytes: {peak} bytes of memory", json.len());
    }
}
