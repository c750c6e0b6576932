//! The self-test of devices: it runs once for an adapter, driver and version, not once a process.

use std::path::Path;

use libtest_mimic::Trial;

use crate::bench::kept_file;
use crate::command_line::text;
use crate::context::{DONE, Outcome, adapters, trials_per_adapter};
use crate::ensure;
use crate::model_folders::Folder;

pub fn trials() -> Vec<Trial> {
    let mut trials = trials_per_adapter("self-test: a second process asks nothing", second_process);
    trials.extend(trials_per_adapter("self-test: what was kept and is of no use is asked again", of_no_use));
    trials.extend(trials_per_adapter("self-test: a library's process asks each adapter once, without files", library));
    trials
}

/// A process: its output, and how often it tested its device.
struct Process {
    text: Vec<u8>,
    asked: usize,
    said: String,
}

/// Writes a short text with this cache folder.
fn generate(adapter: usize, cache: &Path) -> Result<Process, libtest_mimic::Failed> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatefold"));
    command.env_remove("GATEFOLD_DEVICE").env("GATEFOLD_CACHE", cache).env("RUST_LOG", "gatefold=debug");
    let output = command.args(["generate", "--seed", "3", "-n", "20", "--device", &adapter.to_string()]).output()?;
    let said = text(&output.stderr);
    ensure!(output.status.success() && !output.stdout.is_empty(), "{said}");
    Ok(Process { text: output.stdout, asked: said.matches(": self-test, parameters by").count(), said })
}

fn second_process(adapter: usize) -> Outcome {
    let folder = Folder::new(&format!("second-process-{adapter}"));
    let cache = folder.join("cache");
    let first = generate(adapter, &cache)?;
    ensure!(first.asked > 0, "the first process did not ask: {}", first.said);
    if adapters()[adapter].info.driver.is_empty() {
        ensure!(!cache.exists(), "a driver without a version was remembered");
        return DONE;
    }
    let second = generate(adapter, &cache)?;
    ensure!(second.asked == 0, "the second process asked {} times: {}", second.asked, second.said);
    ensure!(second.text == first.text, "another text");
    DONE
}

/// Another driver, another version, damage of any kind, a folder in its place; and a cache that cannot be written.
fn of_no_use(adapter: usize) -> Outcome {
    let info = &adapters()[adapter].info;
    if info.driver.is_empty() {
        return Ok(libtest_mimic::Completion::ignored_with("its driver does not say its version"));
    }
    let folder = Folder::new(&format!("of-no-use-{adapter}"));
    let cache = folder.join("cache");
    let first = generate(adapter, &cache)?;
    let file = kept_file(&cache, "passed-")?;
    let kept = std::fs::read_to_string(&file)?;
    let of_driver = serde_json::to_string(&info.driver)?;
    ensure!(kept.contains(&of_driver), "{kept}");
    let others = [
        kept.replace(&of_driver, "\"an older one\""),
        kept.replace(env!("CARGO_PKG_VERSION"), "0.0.0"),
        kept[..kept.len() / 2].to_string(),
        "{}".repeat(3 << 20),
        "\0\0".to_string(),
        String::new(),
    ];
    for (i, other) in others.iter().enumerate() {
        ensure!(*other != kept, "file {i} is the right one");
        std::fs::write(&file, other)?;
        let next = generate(adapter, &cache)?;
        ensure!(next.asked == first.asked, "file {i}: asked {} times", next.asked);
        ensure!(next.text == first.text && !next.said.contains("warn"), "file {i}: {}", next.said);
        ensure!(std::fs::read_to_string(&file)? == kept, "file {i} was not written anew");
    }
    std::fs::remove_file(&file)?;
    std::fs::create_dir_all(file.join("in its place"))?;
    let no_folder = folder.join("a file");
    std::fs::write(&no_folder, "")?;
    for cache in [&cache, &no_folder] {
        let next = generate(adapter, cache)?;
        ensure!(next.asked == first.asked && next.text == first.text, "{}", next.said);
        // That choices cannot be read from there is the user's concern.
        let mut warnings = next.said.lines().filter(|line| line.contains("warn"));
        ensure!(warnings.all(|line| line.contains("choices-")), "{}", next.said);
    }
    DONE
}

/// Without a host's files: an adapter that passed says so, and what it says spares another listing of it the question.
fn library(adapter: usize) -> Outcome {
    use gatefold::unstable::gpu::{DeviceOptions, PassedTests};
    let open = |adapter, options| gatefold::unstable::host::open(adapter, options);
    let listed = gatefold::unstable::host::adapters();
    ensure!(listed[adapter].passed() == PassedTests::default(), "it passed before it was opened");
    open(&listed[adapter], DeviceOptions::default())?;
    let passed = listed[adapter].passed();
    ensure!(passed != PassedTests::default(), "it is used and did not pass");
    let again = gatefold::unstable::host::adapters();
    open(&again[adapter], DeviceOptions { passed, ..Default::default() })?;
    ensure!(again[adapter].passed() == passed, "{:?} became {:?}", passed, again[adapter].passed());
    DONE
}
