//! The op table is complete, kernels agree with it, and the layers of the code name only what they may.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gatefold::unstable::gpu::ParamsBy;
use gatefold::unstable::ops::{CELLS, TABLE};
use gatefold::unstable::plan::{Adapters, OpRow, PARAM_WORDS, ParamKind, ParamWords};
use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, project, trial};
use crate::ensure;
use crate::wgsl::parse;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("structure: every shader has a row, every row its shader", shaders_and_rows),
        trial("structure: every file of ops is in the table", ops_and_files),
        trial("structure: only src/gpu names wgpu", || names("src", &["wgpu::"], &["src/gpu"])),
        trial("structure: messages go through the one writer that cannot fail", || {
            let panicking = ["println!", "eprint!", "print!(", "stderr().lock", "stderr().write", "dbg!"];
            names("src", &panicking, &["src/host/messages.rs"])
        }),
        trial("structure: networks know no dispatch, workgroup or padding", || {
            names("src/network", &["dispatch", "workgroup", "padded"], &[])
        }),
        trial("structure: the core uses no clock, thread or file", || {
            let core = ["std::time", "std::thread", "std::fs", "rayon", "pollster"];
            names("src", &core, &["src/bench", "src/cli", "src/host.rs", "src/host", "src/main.rs"])
        }),
    ];
    trials.push(trial("structure: only src/cli names what is typed", typed));
    trials.extend(TABLE.iter().map(|op| trial(format!("structure: row {}", op.name), || row(op))));
    trials
}

/// A row has all that the op contract asks for, and its kernels declare what it says.
fn row(op: &OpRow) -> Outcome {
    ensure!(!(op.cases)().is_empty(), "no case");
    ensure!(op.word_names().len() <= PARAM_WORDS, "{} parameter words", op.word_names().len());
    let default = op.variants.last().ok_or("no variant")?;
    let words = ParamWords::new(op, [1; PARAM_WORDS]);
    ensure!((default.suits)(&words) && default.adapters == Adapters::Any, "the last variant suits everything");
    // A closure that asks for a parameter that the row lacks panics here.
    (op.cost)(&words);
    for variant in op.variants {
        let _ = ((variant.suits)(&words), (variant.groups)(&words));
        let carry = (op.carry_words > 0).then_some("carry");
        let operands: Vec<&str> = op.operands.iter().map(|o| o.name).chain(carry).collect();
        ensure!(operands.len() <= 8, "{} storage buffers; the floor has 8", operands.len());
        let floor = variant.requires.invocations <= 256 && variant.requires.workgroup_bytes <= 16 << 10;
        ensure!(floor || variant.name != default.name, "the default variant runs on the floor");
        let (module, info) = parse(variant, ParamsBy::Immediates)?;
        kernel_agrees(op, variant, &module, &operands)?;
        let size = module.entry_points[0].workgroup_size.iter().product::<u32>();
        ensure!(size == variant.requires.invocations, "{}: workgroups of {size}", variant.name);
        let bytes = workgroup_bytes(&module, &info);
        let stated = variant.requires.workgroup_bytes;
        ensure!(bytes == stated, "{}: {bytes} bytes of workgroup memory, the row says {stated}", variant.name);
    }
    DONE
}

/// The struct `Params` has the row's words in order, and the bindings are its operands in order.
fn kernel_agrees(
    op: &OpRow,
    variant: &gatefold::unstable::plan::Variant,
    module: &naga::Module,
    operands: &[&str],
) -> Result<(), String> {
    let params = module.global_variables.iter().find(|(_, g)| g.name.as_deref() == Some("params"));
    let (_, params) = params.ok_or("no params")?;
    let naga::TypeInner::Struct { members, .. } = &module.types[params.ty].inner else {
        return Err("params is not a struct".into());
    };
    let words: Vec<String> = members.iter().filter_map(|m| m.name.clone()).collect();
    if words != op.word_names() {
        return Err(format!("{}: parameters {words:?}, the row says {:?}", variant.name, op.word_names()));
    }
    for (member, param) in members.iter().zip(op.params) {
        let is_float = module.types[member.ty].inner.scalar_kind() == Some(naga::ScalarKind::Float);
        if is_float != (param.kind == ParamKind::Float) {
            return Err(format!("{}: parameter {} is a {:?}", variant.name, param.name, param.kind));
        }
    }
    let mut bound: Vec<(u32, &str)> =
        (module.global_variables.iter()).filter_map(|(_, g)| Some((g.binding?.binding, g.name.as_deref()?))).collect();
    bound.sort_unstable();
    let names: Vec<&str> = bound.iter().map(|(_, name)| *name).collect();
    if names != operands {
        return Err(format!("{}: bindings {names:?}, the row says {operands:?}", variant.name));
    }
    Ok(())
}

/// Workgroup memory that the entry point uses.
fn workgroup_bytes(module: &naga::Module, info: &naga::valid::ModuleInfo) -> u32 {
    let entry = info.get_entry_point(0);
    let used = module
        .global_variables
        .iter()
        .filter(|(handle, g)| g.space == naga::AddressSpace::WorkGroup && !entry[*handle].is_empty());
    used.map(|(_, g)| module.types[g.ty].inner.size(module.to_ctx())).sum()
}

/// Every file is a part of a kernel, and a kernel is read in five files, but for those that draw a token.
fn shaders_and_rows() -> Outcome {
    let folder = project("shaders");
    let path =
        |p: &PathBuf| p.strip_prefix(&folder).expect("below it").with_extension("").to_string_lossy().into_owned();
    let limits = |p: &PathBuf| p.starts_with(folder.join("limits"));
    let files: BTreeSet<String> = sources(&folder, "wgsl").iter().filter(|p| !limits(p)).map(path).collect();
    let variants = || TABLE.iter().flat_map(|op| op.variants.iter().map(move |variant| (op, variant)));
    let named: BTreeSet<String> = variants().flat_map(|(_, v)| v.files).map(|file| file.path.to_string()).collect();
    ensure!(files == named, "only files: {:?}; only rows: {:?}", &files - &named, &named - &files);
    for (op, variant) in variants() {
        let most = if ["filter", "sample"].contains(&op.name) { 8 } else { 5 };
        ensure!(variant.files.len() <= most, "{}: {} files", variant.name, variant.files.len());
        ensure!(variant.name.starts_with(op.name), "{}: a kernel of {}", variant.name, op.name);
    }
    for file in sources(&folder, "wgsl") {
        ensure!(read(&file).lines().count() <= 150, "{}: over 150 lines", file.display());
    }
    DONE
}

/// An op has a file of its name; those of a recurrent cell are in the file of the cell.
fn ops_and_files() -> Outcome {
    let shared = [
        "activation",
        "attention",
        "decode",
        "filters",
        "limits",
        "mod",
        "noise",
        "recurrent",
        "rows",
        "schedule",
        "step",
        "step_backward",
        "typical",
    ];
    let files: BTreeSet<String> = stems(&project("src/ops"), "rs");
    let files: BTreeSet<String> = files.into_iter().filter(|f| !shared.contains(&f.as_str())).collect();
    let cell = |op: &OpRow| {
        let cell = op.name.split_once('_').map_or(op.name, |(cell, _)| cell);
        CELLS.iter().any(|c| [c.step, c.decode, c.step_backward].iter().any(|row| row.name == op.name)).then_some(cell)
    };
    let rows: BTreeSet<String> = TABLE.iter().map(|op| cell(op).unwrap_or(op.name).to_string()).collect();
    ensure!(files == rows, "only files: {:?}; only rows: {:?}", &files - &rows, &rows - &files);
    DONE
}

/// No code (comments apart) below a folder holds one of the words, but for the excepted places.
fn names(folder: &str, words: &[&str], except: &[&str]) -> Outcome {
    let files = sources(&project(folder), "rs");
    ensure!(!files.is_empty(), "{folder} has no source");
    for file in files {
        if except.iter().any(|place| file.starts_with(project(place))) {
            continue;
        }
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                ensure!(!code.contains(word), "{}:{}: {word}", file.display(), number + 1);
            }
        }
    }
    DONE
}

/// Options (`--x`), commands and variables of the environment are named in src/cli alone, unit tests and comments apart.
fn typed() -> Outcome {
    let mut named = 0;
    for file in sources(&project("src"), "rs") {
        let source = read(&file);
        let code = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default());
        let typed = |line: &str| {
            let option =
                line.match_indices("--").any(|(i, _)| line[i + 2..].starts_with(|c: char| c.is_ascii_lowercase()));
            let command = line.match_indices("gatefold ").any(|(i, _)| {
                let word = line[i + 9..].split(|c: char| !c.is_ascii_lowercase()).next().unwrap_or_default();
                COMMANDS.contains(&word)
            });
            option || command || line.contains("GATEFOLD_")
        };
        let found = code.enumerate().find(|(_, line)| typed(line));
        if file.starts_with(project("src/cli")) {
            named += usize::from(found.is_some());
        } else if let Some((number, line)) = found.filter(|_| file != project("src/host/cache.rs")) {
            return Err(format!("{}:{}: {}", file.display(), number + 1, line.trim()).into());
        }
    }
    ensure!(named > 10, "only {named} files of src/cli name an option: the trial looks for the wrong thing");
    DONE
}

/// The commands of the program.
const COMMANDS: [&str; 9] =
    ["generate", "score", "train", "inspect", "convert", "devices", "check", "bench", "completions"];

pub fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(sources(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// File names without extension, of the folder alone.
fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let here = sources(folder, extension).into_iter().filter(|p| p.parent() == Some(folder));
    here.map(|p| p.file_stem().expect("named").to_string_lossy().into_owned()).collect()
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
