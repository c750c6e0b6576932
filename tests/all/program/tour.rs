//! The pages that show commands with their outputs, run as they stand.
//!
//! In a block ```console a line `$ COMMAND` runs in bash; what follows is its standard output. `...` as a line stands for
//! any lines, at the end of a line for its rest. Numbers with a point may be a twentieth off, all else is exact.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::ensure;
use crate::model_folders::Folder;

/// Beside the project: what MODELS.md asks its reader to download.
const PUBLISHED: [&str; 3] = ["../shared/models", "../shared/cases/published", "../shared/corpora"];

pub fn trials() -> Vec<Trial> {
    vec![
        trial("tour: docs/TOUR.md", || run("docs/TOUR.md", &Folder::new("tour"))),
        trial("tour: docs/MODELS.md", models),
        trial("tour: what counts as the same output", compared),
    ]
}

/// A command of a page, and what it prints there.
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for (at, line) in page.lines().enumerate() {
        match (inside, line) {
            (_, "```console") => inside = true,
            (true, "```") => inside = false,
            (false, _) => {}
            (true, line) => match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step { line: at + 1, command: command.into(), expected: Vec::new() }),
                (None, Some(step)) => step.expected.push(line.into()),
                (None, None) => panic!("line {}: an output without a command", at + 1),
            },
        }
    }
    steps
}

fn run(page: &str, folder: &Path) -> Outcome {
    let steps = steps(&std::fs::read_to_string(project(page))?);
    ensure!(steps.len() > 4, "{page} has {} commands", steps.len());
    let program = Path::new(env!("CARGO_BIN_EXE_gatefold")).parent().ok_or("no folder")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program.into()).chain(std::env::split_paths(&path)))?;
    for Step { line, command, expected } in steps {
        let output = Command::new("bash")
            .args(["-c", &command])
            .current_dir(folder)
            .env("PATH", &path)
            .env("GATEFOLD_DEVICE", "cpu")
            .output()?;
        let found = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{page}:{line}: `{command}`: {}\n{said}", output.status);
        let found: Vec<&str> = found.lines().collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        ensure!(same(&expected, &found), "{page}:{line}: `{command}` printed\n{}", found.join("\n"));
    }
    DONE
}

/// Whether the lines are what is expected. Blank lines at an end say nothing.
fn same(expected: &[&str], found: &[&str]) -> bool {
    match (expected.split_first(), found.split_first()) {
        (Some((&"...", rest)), _) => (0..=found.len()).any(|from| same(rest, &found[from..])),
        (Some((first, rest)), Some((line, lines))) => same_line(first, line) && same(rest, lines),
        (None, _) => found.iter().all(|line| line.trim().is_empty()),
        (Some(_), None) => expected.iter().all(|line| line.trim().is_empty()),
    }
}

fn same_line(expected: &str, found: &str) -> bool {
    if let Some(begin) = expected.strip_suffix("...") {
        return found.starts_with(begin);
    }
    let (left, right) = (expected.split_whitespace(), found.split_whitespace());
    left.clone().count() == right.clone().count() && left.zip(right).all(|(l, r)| same_word(l, r))
}

fn same_word(expected: &str, found: &str) -> bool {
    let number = |word: &str| word.parse().ok().filter(|_: &f64| word.contains('.'));
    match (number(expected), number(found)) {
        (Some(l), Some(r)) => (l - r).abs() <= 0.05 * l.abs(),
        _ => expected == found,
    }
}

fn compared() -> Outcome {
    let lines = |text: &'static str| text.split('|').collect::<Vec<_>>();
    for (expected, found, good) in [
        ("a|b", "a|b", true),
        ("a|b", "a|c", false),
        ("a", "a|b", false),
        ("a|b", "a", false),
        ("a", "a||", true),
        ("...|c", "a|b|c", true),
        ("...|c", "a|b", false),
        ("a|...", "a", true),
        ("{\"x\":...", "{\"x\":3}", true),
        ("{\"x\":...", "{\"y\":3}", false),
        ("nats 1.50", "nats 1.55", true),
        ("nats 1.50", "nats 1.60", false),
        ("tokens 42", "tokens 43", false),
        ("  1000", "1000", true),
    ] {
        ensure!(same(&lines(expected), &lines(found)) == good, "{expected} against {found}");
    }
    DONE
}

/// Links to what is beside the project, under the names that the page gives them.
fn models() -> Outcome {
    if PUBLISHED.iter().any(|folder| !project(folder).is_dir()) {
        return skipped("the folder of published models beside the project");
    }
    let folder = Folder::new("published-models");
    for published in PUBLISHED {
        for entry in std::fs::read_dir(project(published))? {
            let entry = entry?;
            link(&entry.path(), &folder.join(entry.file_name()))?;
        }
    }
    run("docs/MODELS.md", &folder)
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<(), Failed> {
    Ok(std::os::unix::fs::symlink(std::path::absolute(from)?, to)?)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> Result<(), Failed> {
    Err("this test links folders as Unix does".into())
}
