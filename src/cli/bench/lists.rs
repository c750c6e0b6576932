//! Lists of sizes, and workloads, as they are typed.

use std::path::Path;

use clap::Args;

use crate::bench::Workload;
use crate::error::{Error, Result};
use crate::host;

/// Sizes: `1,4,16`, or `1..256` for 1, 2, 4, ... 256.
#[derive(Clone, Debug)]
pub(super) struct Sizes(pub Vec<usize>);

/// Sizes beyond this are mistakes.
const MOST: usize = 1 << 20;

/// Reads a list of sizes.
pub(super) fn sizes(text: &str) -> std::result::Result<Sizes, String> {
    let number = |text: &str| match text.trim().parse::<usize>() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => Err(format!("`{text}`: expected sizes from 1 to {MOST}, as 1,4,16 or 1..256 (doubling)")),
    };
    let mut list = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            None => list.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("`{part}`: the first size is the smaller one"));
                }
                list.extend(std::iter::successors(Some(first), |n| Some(2 * n)).take_while(|n| *n <= last));
            }
        }
    }
    Ok(Sizes(list))
}

/// The workloads.
#[derive(Args)]
pub(super) struct WorkloadArgs {
    /// seed, char, chargru, smiles, single, or a JSON file in the form of benches/workloads.json; several with commas
    #[arg(long = "workload", short, value_name = "NAME|FILE", value_delimiter = ',')]
    workloads: Vec<String>,

    /// Other numbers of sequences side by side than the workload's: 1,4,16, or 1..256 for each power of two
    #[arg(long, value_name = "LIST", value_parser = sizes)]
    batch: Option<Sizes>,
}

impl WorkloadArgs {
    /// The workloads; those of `default` where none was typed.
    pub fn read(&self, default: &[&str]) -> Result<Vec<Workload>> {
        let names: Vec<&str> =
            if self.workloads.is_empty() { default.to_vec() } else { self.workloads.iter().map(|w| &w[..]).collect() };
        let mut found = Vec::new();
        for name in names {
            let presets = Workload::presets();
            match presets.iter().find(|w| w.name == name) {
                Some(preset) => found.push(preset.clone()),
                None if Path::new(name).exists() => found.extend(Workload::read(name, &host::map(Path::new(name))?)?),
                None => {
                    let names: Vec<&str> = presets.iter().map(|w| &w.name[..]).collect();
                    return Err(Error::Usage(format!(
                        "--workload {name}: no file, and no preset; there are {}",
                        names.join(", ")
                    )));
                }
            }
        }
        let vary = |workload: Workload| {
            let batches = self.batch.as_ref().map_or(vec![workload.batch], |list| list.0.clone());
            batches.into_iter().map(move |batch| Workload { batch, ..workload.clone() })
        };
        Ok(found.into_iter().flat_map(vary).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges() {
        assert_eq!(sizes("3").unwrap().0, [3]);
        assert_eq!(sizes("128,256, 512").unwrap().0, [128, 256, 512]);
        assert_eq!(sizes("1..9,100").unwrap().0, [1, 2, 4, 8, 100]);
        assert_eq!(sizes("24..96").unwrap().0, [24, 48, 96]);
        for wrong in ["", "0", "x", "8..4", "1..", "99999999999", "-1", "1,,2"] {
            assert!(sizes(wrong).is_err(), "{wrong}");
        }
    }
}
