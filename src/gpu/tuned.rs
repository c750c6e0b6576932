//! Tuned variants, by op and sizes: a table that measurements fill, and the text it is saved as.
//!
//! The table is data that is handed in with [`super::DeviceOptions`]. A choice never changes a result: lowering takes
//! it only where the kernel has the order of sums that the op has without the table.

use std::collections::BTreeMap;

use super::device_cache;
use super::info::AdapterInfo;
use crate::ops::TABLE;
use crate::plan::{OpRow, ParamWords, Variant};

/// Variants by op and sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunedVariants {
    table: BTreeMap<String, &'static str>,
}

impl TunedVariants {
    /// The variant for an op with these parameter words, if one was measured to be the fastest.
    pub fn variant(&self, op: &OpRow, words: &ParamWords) -> Option<&'static Variant> {
        let name = self.table.get(&class_of_sizes(op, words))?;
        variant(op.name, name)
    }

    /// Takes a variant for an op at sizes of about these.
    pub fn insert(&mut self, op: &OpRow, words: &ParamWords, variant: &'static Variant) {
        self.table.insert(class_of_sizes(op, words), variant.name);
    }

    /// Takes over all choices of another table.
    pub fn extend(&mut self, other: TunedVariants) {
        self.table.extend(other.table);
    }

    /// Number of choices.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The table as a file holds it: JSON, with the device and the kernels that it was measured with.
    pub fn to_json(&self, device: &AdapterInfo) -> String {
        device_cache::to_json(&self.table, device)
    }

    /// The table of a file, if it is for this device and these kernels.
    ///
    /// # Errors
    /// Why it is of no use: no such JSON, another device, driver or version, a kernel that does not exist.
    pub fn from_json(json: &[u8], device: &AdapterInfo) -> Result<TunedVariants, String> {
        let names: BTreeMap<String, String> = device_cache::from_json(json, device)?;
        let mut table = BTreeMap::new();
        for (sizes, name) in names {
            let op = sizes.split(' ').next().unwrap_or_default();
            let variant = variant(op, &name).ok_or_else(|| format!("it is damaged (op `{op}` has no `{name}`)"))?;
            table.insert(sizes, variant.name);
        }
        Ok(TunedVariants { table })
    }
}

fn variant(op: &str, name: &str) -> Option<&'static Variant> {
    TABLE.iter().find(|row| row.name == op)?.variants.iter().find(|v| v.name == name)
}

/// The op and its sizes, each rounded up to a power of two: what was measured at 64 rows serves 33 rows too.
fn class_of_sizes(op: &OpRow, words: &ParamWords) -> String {
    let sizes = words
        .workload()
        .into_iter()
        .map(|(name, n)| format!(" {name}={}", if n == 0 { 0 } else { n.next_power_of_two() }));
    op.name.to_string() + &sizes.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::super::info::device;
    use super::*;
    use crate::ops::find;
    use crate::plan::PARAM_WORDS;

    fn words(rows: u32) -> ParamWords {
        let mut words = [0; PARAM_WORDS];
        words[..6].copy_from_slice(&[rows, 512, 1, 256, 7, 0]);
        ParamWords::new(find("matmul").unwrap(), words)
    }

    #[test]
    fn a_choice_serves_sizes_of_its_class_and_survives_the_file() {
        let matmul = find("matmul").unwrap();
        let last = matmul.variants.last().unwrap();
        let mut choices = TunedVariants::default();
        choices.insert(matmul, &words(64), last);
        let json = choices.to_json(&device("1.0"));
        let read = TunedVariants::from_json(json.as_bytes(), &device("1.0")).unwrap();
        assert_eq!(read, choices);
        let name = |rows| read.variant(matmul, &words(rows)).map(|v| v.name);
        assert_eq!((name(64), name(33), name(32), name(65)), (Some(last.name), Some(last.name), None, None));
    }

    #[test]
    fn stale_and_damaged_files_say_why() {
        let mut choices = TunedVariants::default();
        let matmul = find("matmul").unwrap();
        choices.insert(matmul, &words(1), &matmul.variants[0]);
        let json = choices.to_json(&device("1.0"));
        let why = |json: &str, driver: &str| TunedVariants::from_json(json.as_bytes(), &device(driver)).unwrap_err();
        assert_eq!(why(&json, "2.0"), "it is for driver `1.0`, and this is `2.0`");
        assert!(why(&json[..json.len() / 2], "1.0").contains("damaged"));
        assert!(why("", "1.0").contains("damaged"));
        let other = json.replace(matmul.variants[0].name, "no_such_kernel");
        assert!(why(&other, "1.0").contains("op `matmul` has no `no_such_kernel`"));
    }
}
