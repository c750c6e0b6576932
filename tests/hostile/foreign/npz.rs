//! .npz files: arrays in a zip archive.

use std::collections::BTreeMap;

use super::zip::{ZipEntry, lie_in_directory, zip};
use super::{TENSORS, attack_file, numbers, use_source};
use crate::hold_to_cap;
use crate::mutations::{self, Rng};

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
