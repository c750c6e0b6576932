//! The modules of src that each may name: a table, and all paths of the source against it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, project, trial};
use crate::ensure;
use crate::structure::{read, sources};

/// Modules from the lowest to the highest, each with those that it names: all stand above it in the table, so there is
/// no circle. Tests within a module may name more.
const ARROWS: [(&str, &[&str]); 19] = [
    ("hash", &[]),
    ("plan", &[]),
    ("error", &["plan"]),
    ("ops", &["plan"]),
    ("network", &["ops", "plan"]),
    ("executor", &["error", "plan"]),
    ("cpu", &["error", "executor", "ops", "plan"]),
    ("gpu", &["error", "executor", "hash", "ops", "plan"]),
    ("text", &["error"]),
    ("model", &["error", "executor", "hash", "network", "ops", "plan", "text"]),
    ("score", &["error", "executor", "network", "plan"]),
    ("import", &["error", "executor", "model", "network", "ops", "plan", "score", "text"]),
    ("generate", &["error", "executor", "network", "ops", "plan", "text"]),
    ("train", &["error", "executor", "model", "network", "ops", "plan", "text"]),
    ("check", &["cpu", "error", "executor", "gpu", "ops", "plan"]),
    ("host", &["cpu", "error", "executor", "generate", "gpu", "model", "network", "plan", "score", "text", "train"]),
    ("front", &["error", "generate", "gpu", "host", "model", "text", "train"]),
    (
        "bench",
        &[
            "check", "cpu", "error", "executor", "generate", "gpu", "host", "model", "network", "ops", "plan", "score",
            "text", "train",
        ],
    ),
    (
        "cli",
        &[
            "bench", "check", "cpu", "error", "executor", "front", "generate", "gpu", "hash", "host", "import",
            "model", "network", "ops", "plan", "score", "text", "train",
        ],
    ),
];

/// Folders whose files make no circle either.
const NO_CIRCLES: [&str; 1] = ["gpu"];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("structure: modules name only those below them", modules)];
    let folders = NO_CIRCLES.into_iter();
    trials.extend(folders.map(|f| trial(format!("structure: no circle of files in src/{f}"), move || no_circle(f))));
    trials
}

fn modules() -> Outcome {
    for (i, (name, below)) in ARROWS.iter().enumerate() {
        let lower = |other: &&str| ARROWS[..i].iter().any(|(name, _)| name == other);
        ensure!(below.iter().all(lower), "{name} stands above a module that it may name");
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files() {
        let from = &file.module[0];
        let allowed = ARROWS.iter().find(|(name, _)| name == from).ok_or(format!("{from} is not in the table"))?.1;
        for path in &file.paths {
            let to = if path[0].starts_with(char::is_uppercase) { "error" } else { &path[0] };
            ensure!(to == from || allowed.contains(&to), "{}: {from} may not name {to}", file.name);
            found.entry(from.clone()).or_default().insert(to.into());
        }
    }
    for (from, allowed) in ARROWS {
        let unused = allowed.iter().find(|to| !found.get(from).is_some_and(|found| found.contains(**to)));
        ensure!(unused.is_none(), "{from} does not name {unused:?}: strike it from the table");
    }
    DONE
}

/// No file of a folder leads back to itself. A name that `mod.rs` hands on counts as the file's that has it.
fn no_circle(folder: &str) -> Outcome {
    let files: Vec<File> = files().into_iter().filter(|file| file.module[0] == folder).collect();
    let names: BTreeSet<&[String]> = files.iter().map(|file| &file.module[..]).collect();
    let mut exports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for export in files.iter().filter(|file| file.module.len() == 1).flat_map(|file| &file.exports) {
        exports.insert(export.last().expect("a name").clone(), [vec![folder.to_string()], export.clone()].concat());
    }
    let target = |path: &[String]| -> Option<Vec<String>> {
        let path = path.get(1).and_then(|name| exports.get(name)).map_or(path, |path| path);
        (2..=path.len()).rev().map(|n| path[..n].to_vec()).find(|path| names.contains(&path[..]))
    };
    let arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = (files.iter())
        .map(|file| {
            let targets = file.paths.iter().filter_map(|path| target(path)).filter(|to| *to != file.module);
            (file.module.clone(), targets.collect())
        })
        .collect();
    ensure!(arrows.values().any(|to| !to.is_empty()), "{folder}: nothing was read");
    for start in arrows.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(file) = next.pop() {
            for to in arrows.get(file).into_iter().flatten() {
                ensure!(to != start, "{} leads back to itself through {}", start.join("/"), file.join("/"));
                if seen.insert(to) {
                    next.push(to);
                }
            }
        }
    }
    DONE
}

/// A file of src, and the paths from the crate's root that its code names.
struct File {
    name: String,
    module: Vec<String>,
    paths: Vec<Vec<String>>,
    /// The names that it hands on by `pub use`, from itself.
    exports: Vec<Vec<String>>,
}

fn files() -> Vec<File> {
    let src = project("src");
    let all = sources(&src, "rs").into_iter().filter_map(|path| {
        let inside = path.strip_prefix(&src).expect("found there").with_extension("");
        let mut module: Vec<String> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        // `unstable` hands every module on, and is no module of the walk.
        if ["lib", "main", "unstable"].contains(&&module[0][..]) || module.iter().any(|part| part == "tests") {
            return None;
        }
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        Some(file(&path, module))
    });
    all.collect()
}

fn file(path: &Path, module: Vec<String>) -> File {
    let text = read(path);
    // The tests within a file are its last module.
    let is_tests = |at: &usize| text[*at..].lines().nth(1).is_some_and(|line| line.ends_with("mod tests {"));
    let end = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_tests).unwrap_or(text.len());
    let code: Vec<&str> = text[..end].lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut paths = Vec::new();
    for (at, prefix) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) {
            continue;
        }
        let mut root = if prefix == "crate::" { &[][..] } else { &module[..module.len() - 1] };
        let mut rest = &code[at + prefix.len()..];
        while let Some(more) = rest.strip_prefix("super::") {
            (root, rest) = (&root[..root.len() - 1], more);
        }
        paths.extend(tree(&mut rest).into_iter().map(|path| [root, &path].concat()).filter(|path| !path.is_empty()));
    }
    // A child that a file declares is one that it names.
    let children =
        code.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    if path.file_stem().is_some_and(|stem| stem != "mod") {
        paths.extend(children.map(|child| [&module[..], &[child.to_string()]].concat()));
    }
    let exports = code.match_indices("pub use ").flat_map(|(at, word)| tree(&mut &code[at + word.len()..])).collect();
    File { name: path.display().to_string(), module, paths, exports }
}

/// The paths of a tree as `use` has them, from where it begins: `a::{b, c::D}` is a::b and a::c::D. Macros are none.
fn tree(rest: &mut &str) -> Vec<Vec<String>> {
    if let Some(mut inner) = rest.strip_prefix('{') {
        let mut paths = Vec::new();
        loop {
            inner = inner.trim_start_matches([' ', '\n', ',']);
            if let Some(end) = inner.strip_prefix('}') {
                *rest = end;
                return paths;
            }
            let before = inner.len();
            paths.extend(tree(&mut inner));
            assert!(inner.len() < before, "a use that cannot be read: {inner:.60}");
        }
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
    let name = rest[..end].to_string();
    *rest = &rest[end..];
    if let Some(mut more) = rest.strip_prefix("::") {
        let below = tree(&mut more);
        *rest = more;
        return below.into_iter().map(|path| [vec![name.clone()], path].concat()).collect();
    }
    let alias =
        rest.strip_prefix(" as ").map(|alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    *rest = alias.unwrap_or(rest);
    if rest.starts_with('!') || name.is_empty() || name == "self" { vec![Vec::new()] } else { vec![vec![name]] }
}
