//! .pt files: pickles in a zip archive.

use std::collections::BTreeMap;

use super::zip::{ZipEntry, lie_in_directory, zip};
use super::{TENSORS, attack_file, numbers, use_source};
use crate::mutations::Rng;

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

/// Code that a pickle asks for is never run, and is named.
#[test]
fn hostile_pickles_are_refused() {
    for (program, expected) in [
        (&b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R."[..], "os.system, which is refused"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", "posix.system, which is refused"),
        (b"\x80\x02cbuiltins\nexec\nX\x04\0\0\0pass\x85R.", "builtins.exec, which is refused"),
        (b"\x80\x02ctorch.nn.modules.rnn\nGRU\n)\x81.", "it holds no tensor, but objects of torch.nn.modules.rnn.GRU"),
        (b"\x80\x02(X\x02\0\0\0idios\nsystem\n.", "os.system, which is refused"),
        (b"\x80\x02X\x03\0\0\0abc.", "no tensor"),
        (b"\x80\x02", "cut off"),
        (b"\x80\x09.", "protocol 9"),
    ] {
        let error = use_source(&pt(program.to_vec()), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("broken/file"), "{error}");
    }
}
