//! Broken files made from good ones: the same seed makes the same file.

use serde_json::{Map, Value};

/// A splitmix64 generator.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Mutations that know nothing of the format: one to four flips, cuts, insertions, repetitions.
pub fn blind(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len() + 1);
        match rng.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let noise: Vec<u8> = (0..=rng.below(16)).map(|_| rng.next() as u8).collect();
                bytes.splice(at..at, noise);
            }
            2 => {
                let end = (at + rng.below(64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = rng.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            3 => drop(bytes.drain(at..(at + 1 + rng.below(8)).min(bytes.len()).max(at))),
            4 if at < bytes.len() => bytes[at] = *rng.pick(b"\0\xff{}[]\",:0-9e.\\ \n"),
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
            _ => {}
        }
    }
    bytes
}

/// Text that stands where a JSON value stood.
fn strange_value(rng: &mut Rng) -> String {
    const STRANGE: [&str; 30] = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "2",
        "-1",
        "0.5",
        "-0.0",
        "1e999",
        "-1e999",
        "1e-400",
        "NaN",
        "1.5e300",
        "4294967295",
        "4294967296",
        "2147483648",
        "16777217",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "9223372036854775807",
        "\"\"",
        "\"1\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        "[1,2]",
        "{\"a\":{}}",
    ];
    match rng.below(8) {
        0 => {
            let depth = 1 << rng.below(16);
            let (open, close) = if rng.below(2) == 0 { ("[", "]") } else { ("{\"a\":", "}") };
            format!("{}1{}", open.repeat(depth), close.repeat(depth))
        }
        1 => format!("[{}0]", "0,".repeat(1 << rng.below(16))),
        2 => format!("\"{}\"", "x".repeat(1 << rng.below(18))),
        3 => (rng.next() >> rng.below(64)).to_string(),
        _ => (*rng.pick(&STRANGE)).to_string(),
    }
}

/// Stands in a document where [`strange_value`] shall stand.
const MARK: &str = "here stands something else";

/// Mutations of a JSON document's structure: a value becomes another, a field vanishes, is renamed or doubled,
/// numbers move by a little.
pub fn json(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let mut document: Value = serde_json::from_slice(valid).expect("the valid file is JSON");
    for _ in 0..=rng.below(2) {
        let node = random_node(rng, &mut document);
        match node {
            Value::Object(fields) if !fields.is_empty() && rng.below(4) > 0 => mutate_fields(rng, fields),
            Value::Array(items) if !items.is_empty() && rng.below(2) == 0 => mutate_items(rng, items),
            Value::Number(n) if n.is_u64() && rng.below(3) == 0 => {
                let n = n.as_u64().expect("asked");
                *node = (n ^ (1 << rng.below(34))).into();
            }
            _ => *node = MARK.into(),
        }
    }
    let mut text = document.to_string();
    let mark = format!("\"{MARK}\"");
    while text.contains(&mark) {
        text = text.replacen(&mark, &strange_value(rng), 1);
    }
    text.into_bytes()
}

/// A node of the document: down from the root by chance.
fn random_node<'a>(rng: &mut Rng, node: &'a mut Value) -> &'a mut Value {
    let children = match node {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if children == 0 || rng.below(4) == 0 {
        return node;
    }
    let i = rng.below(children);
    let child = match node {
        Value::Object(fields) => fields.values_mut().nth(i),
        Value::Array(items) => items.get_mut(i),
        _ => None,
    };
    random_node(rng, child.expect("counted"))
}

fn mutate_fields(rng: &mut Rng, fields: &mut Map<String, Value>) {
    let keys: Vec<String> = fields.keys().cloned().collect();
    let key = rng.pick(&keys);
    match rng.below(4) {
        0 => drop(fields.remove(key)),
        1 => {
            let value = fields.remove(key).expect("picked");
            fields.insert(format!("{key}{}", rng.below(3)), value);
        }
        2 => {
            let value = fields[rng.pick(&keys)].clone();
            fields.insert(key.clone(), value);
        }
        _ => drop(fields.insert(key.clone(), MARK.into())),
    }
}

fn mutate_items(rng: &mut Rng, items: &mut Vec<Value>) {
    let i = rng.below(items.len());
    match rng.below(3) {
        0 => drop(items.remove(i)),
        1 => items.push(items[i].clone()),
        _ => items.push(MARK.into()),
    }
}

/// Mutations of a safetensors file: a lying header length, another header, data that was cut, grown or is not finite.
pub fn safetensors(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    let len = u64::from_le_bytes(valid[..8].try_into().expect("eight bytes")) as usize;
    let (header, data) = (&valid[8..8 + len], &valid[8 + len..]);
    let assemble = |stated: u64, header: &[u8], data: &[u8]| [&stated.to_le_bytes(), header, data].concat();
    match rng.below(8) {
        0 => {
            let random = rng.next() >> rng.below(64);
            let near = (len as u64).wrapping_add(rng.below(17) as u64).wrapping_sub(8);
            let lies = [random, near, 0, 1, 100_000_000, u64::MAX, u64::MAX - 7, valid.len() as u64, 1 << 40];
            assemble(*rng.pick(&lies), header, data)
        }
        1 => assemble(len as u64, header, &data[..rng.below(data.len() + 1)]),
        2 => assemble(len as u64, header, &[data, &vec![0; 1 + rng.below(4096)][..]].concat()),
        3 => {
            let mut data = data.to_vec();
            let strange = *rng.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 2.0, f32::MAX]);
            let at = 4 * rng.below(data.len() / 4);
            data[at..at + 4].copy_from_slice(&strange.to_le_bytes());
            assemble(len as u64, header, &data)
        }
        4 => {
            let header = json(rng, header);
            assemble(header.len() as u64, &header, data)
        }
        _ => {
            let header = lie_about_tensors(rng, header);
            assemble(header.len() as u64, &header, data)
        }
    }
}

/// Another dtype, shape or offset for one or two tensors, a tensor more, or sums that overflow.
fn lie_about_tensors(rng: &mut Rng, header: &[u8]) -> Vec<u8> {
    const DTYPES: [&str; 10] = ["F32", "F16", "BF16", "F64", "I64", "U8", "F4", "BOOL", "f32", ""];
    const SIZES: [u64; 12] = [0, 1, 2, 3, 4, 1 << 31, 1 << 32, 1 << 60, (1 << 61) - 1, 1 << 62, 1 << 63, u64::MAX];
    let mut header: Map<String, Value> = serde_json::from_slice(header).expect("the valid header is JSON");
    let names: Vec<String> = header.keys().filter(|name| *name != "__metadata__").cloned().collect();
    for _ in 0..=rng.below(2) {
        let mut info = header[rng.pick(&names)].clone();
        match rng.below(6) {
            0 => info["dtype"] = (*rng.pick(&DTYPES)).into(),
            1 => info["shape"] = (0..rng.below(6)).map(|_| Value::from(*rng.pick(&SIZES))).collect(),
            2 => info["data_offsets"] = [0; 2].map(|_| *rng.pick(&SIZES)).to_vec().into(),
            3 => {
                // Each end moves by a little: gaps, overlaps, an end before the start.
                for i in 0..2 {
                    let offset = info["data_offsets"][i].as_u64().unwrap_or(0) as i64;
                    info["data_offsets"][i] = offset.wrapping_add(rng.below(17) as i64 - 8).into();
                }
            }
            4 => info["data_offsets"] = header[rng.pick(&names)]["data_offsets"].clone(),
            _ => return overflowing_header(rng),
        }
        let extra = ["rnn.weight_ih_l7", "rnn.weight_hr_l0", "other", "output.weight"];
        let name = if rng.below(3) == 0 { (*rng.pick(&extra)).to_string() } else { rng.pick(&names).clone() };
        header.insert(name, info);
    }
    Value::Object(header).to_string().into_bytes()
}

/// Tensors in one unbroken row whose sizes add up to nearly 2^64 bytes.
fn overflowing_header(rng: &mut Rng) -> Vec<u8> {
    let size = (1u64 << 61) - 1;
    let tensors = (0..8 - rng.below(2) as u64).map(|i| {
        let (first, end) = (i * size, (i + 1) * size);
        (format!("t{i}"), serde_json::json!({"dtype": "U8", "shape": [size], "data_offsets": [first, end]}))
    });
    Value::Object(tensors.collect()).to_string().into_bytes()
}
