//! The figures of all compilers in one table, and what became worse since it was kept.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::Result;
use crate::loops::inner_loop;

/// The columns.
const HEAD: &str =
    "target\trobust\tkernel\tsubgroup\tregisters\twaves\tspills\tscratch\tshared\tcode\tinstructions\tinner loop";
/// How much more than the kept table has is a failure.
const RISE: f64 = 1.10;

/// A kernel by a compiler. What a driver does not say is a dash.
struct Row {
    /// Target, robustness, kernel.
    key: String,
    /// By the names of [`HEAD`], from the fourth on.
    figures: Vec<Option<u64>>,
    inner: String,
    error: Option<String>,
}

/// The names that drivers give a figure; they are added up. What NVIDIA's driver moves between kinds of registers
/// (`Spills_to_reg`) never reaches memory, and is no spill here.
const NAMES: [(&str, &[&str]); 8] = [
    ("subgroup", &["subgroup"]),
    ("registers", &["VGPRs", "Number_of_GPRs", "GPRs", "Registers_used"]),
    ("waves", &["Subgroups_per_SIMD", "Max_warps/SM", "Threads", "Max_Waves_Per_Core"]),
    ("spills", &["Spilled_VGPRs", "Spilled_SGPRs", "Spills_to_memory", "Spills", "STP_Count"]),
    ("scratch", &["Scratch_size", "SLM_size", "Scratch"]),
    ("shared", &["LDS_size"]),
    ("code", &["Code_size"]),
    ("instructions", &["Instructions", "Instruction_count", "Instruction_Count"]),
];

/// Reads what [`crate::run`] printed for each target, files `TARGET.ROBUST` with the listings in `TARGET.ROBUST.asm`, and
/// prints the table. With a table to compare with, what is wrong is printed too, and their number given.
pub fn run(folder: &Path, kept: Option<&Path>) -> Result<usize> {
    let rows = read(folder)?;
    let mut table = format!("{HEAD}\n");
    rows.iter().for_each(|row| row.write(&mut table));
    print!("{table}");
    // Before it is kept for the first time there is none.
    let kept = kept.filter(|file| file.exists()).map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let kept: BTreeMap<String, Vec<Option<u64>>> = kept.lines().skip(1).filter_map(parse).collect();
    let faults: Vec<String> = rows.iter().flat_map(|row| row.faults(kept.get(&row.key))).collect();
    for fault in &faults {
        eprintln!("FAILED  {fault}");
    }
    Ok(faults.len())
}

fn read(folder: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut targets: Vec<_> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    targets.retain(|path| path.extension().is_some_and(|extension| extension == "0" || extension == "1"));
    targets.sort();
    for path in targets {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace('.', "\t");
        let listings = path.with_file_name(format!("{}.asm", path.file_name().unwrap_or_default().to_string_lossy()));
        for line in std::fs::read_to_string(&path)?.lines().filter(|line| !line.starts_with('#')) {
            rows.push(Row::new(&name, line, &listings));
        }
    }
    Ok(rows)
}

impl Row {
    fn new(target: &str, line: &str, listings: &Path) -> Row {
        let mut fields = line.split('\t');
        let kernel = fields.next().unwrap_or_default();
        let given: BTreeMap<&str, &str> = fields.filter_map(|field| field.split_once('=')).collect();
        let sum = |names: &[&str]| {
            let found = names.iter().filter_map(|name| given.get(name)?.parse::<u64>().ok());
            found.reduce(|sum, more| sum + more)
        };
        let figures = NAMES.iter().map(|(_, names)| sum(names)).collect();
        let listing = std::fs::read(listings.join(kernel).with_extension("asm")).unwrap_or_default();
        let inner = inner_loop(&String::from_utf8_lossy(&listing));
        let error = given.get("error").map(|error| error.to_string());
        Row { key: format!("{target}\t{kernel}"), figures, inner, error }
    }

    fn write(&self, table: &mut String) {
        let _ = write!(table, "{}", self.key);
        for figure in &self.figures {
            let _ = write!(table, "\t{}", figure.map_or("-".into(), |figure| figure.to_string()));
        }
        let _ = writeln!(table, "\t{}", self.inner);
    }

    fn faults(&self, kept: Option<&Vec<Option<u64>>>) -> Vec<String> {
        let name = self.key.replace('\t', " ");
        if let Some(error) = &self.error {
            return vec![format!("{name}: {error}")];
        }
        let of = |figures: &[Option<u64>], name: &str| {
            NAMES.iter().position(|(column, _)| *column == name).and_then(|i| figures.get(i).copied().flatten())
        };
        let mut faults = Vec::new();
        for never in ["spills", "scratch"] {
            if let Some(some) = of(&self.figures, never).filter(|some| *some > 0) {
                faults.push(format!("{name}: {never} {some}"));
            }
        }
        for figure in ["registers", "code", "instructions"] {
            let before = kept.and_then(|kept| of(kept, figure));
            if let (Some(now), Some(before)) = (of(&self.figures, figure), before)
                && now as f64 > RISE * before as f64
            {
                faults.push(format!("{name}: {figure} {now}, were {before}"));
            }
        }
        faults
    }
}

/// A line of a kept table.
fn parse(line: &str) -> Option<(String, Vec<Option<u64>>)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let figures = fields.get(3..3 + NAMES.len())?.iter().map(|field| field.parse().ok()).collect();
    Some((fields[..3].join("\t"), figures))
}
