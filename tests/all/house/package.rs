//! The promises to those who build or publish the crate: its Rust version, what their examples build, what is in it.

use std::collections::BTreeSet;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::context::{DONE, Outcome, project, trial};
use crate::ensure;

/// The most bytes that the crate may take, unpacked: crates.io takes 10 MB packed, and packing hardly makes models
/// smaller.
const MOST_BYTES: u64 = 10_000_000;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("package: the Rust version is that of the newest dependency", rust_version),
        trial("package: examples build the dependencies as the program does", examples),
        trial("package: what is in the crate", contents),
    ]
}

/// The output of cargo about this project, without a network: of packages for other systems it may have no copy.
fn cargo(arguments: &[&str]) -> Result<String, Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(arguments).args(["--offline", "--quiet"]).current_dir(project("")).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Numbers of a version, `1.90` as `[1, 90, 0]`.
fn version(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.split('.').map(|n| n.parse().expect("a number")).collect();
    numbers.resize(3, 0);
    numbers
}

fn rust_version() -> Outcome {
    let host = cargo(&["-vV"])?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("no host")?.to_string();
    let said = cargo(&["metadata", "--format-version", "1", "--locked", "--filter-platform", &host])?;
    let metadata: Value = serde_json::from_str(&said)?;
    let (mut ours, mut newest, mut asked) = (None, (Vec::new(), String::new()), 0);
    for package in metadata["packages"].as_array().ok_or("no packages")? {
        let Some(rust) = package["rust_version"].as_str() else { continue };
        let name = format!("{} {}", package["name"], package["version"]);
        match package["name"].as_str() {
            Some("gatefold") => ours = Some(version(rust)),
            _ => newest = newest.max((version(rust), name)),
        }
        asked += 1;
    }
    let ours = ours.ok_or("Cargo.toml has no rust-version")?;
    ensure!(asked > 50, "{asked} packages say which Rust they need");
    ensure!(ours >= newest.0, "rust-version {ours:?}, but {} needs {:?}", newest.1, newest.0);
    let readme = std::fs::read_to_string(project("README.md"))?;
    let stated = format!("Rust {}.{}", ours[0], ours[1]);
    ensure!(readme.contains(&stated), "README.md does not say {stated}");
    DONE
}

/// Dev-dependencies add packages of their own, and no feature to those of the program: else naga and wgpu would be built
/// once more for an example.
fn examples() -> Outcome {
    let built = |edges: &str| -> Result<BTreeSet<String>, Failed> {
        let tree = cargo(&["tree", "--locked", "-e", edges, "-f", "{p} {f}", "--prefix", "none", "--no-dedupe"])?;
        Ok(tree.lines().map(|line| line.trim().to_string()).collect())
    };
    let (program, examples) = (built("normal,build")?, built("normal,build,dev")?);
    ensure!(program.len() > 50, "{} packages", program.len());
    let packages: BTreeSet<&str> = program.iter().filter_map(|line| line.split(' ').next()).collect();
    let more: Vec<&String> = examples.difference(&program).collect();
    let again: Vec<_> = more.iter().filter(|line| packages.contains(line.split(' ').next().unwrap_or(""))).collect();
    ensure!(again.is_empty(), "built once more, with other features: {again:?}");
    ensure!(more.len() <= 4, "{} packages that the program lacks: {more:?}", more.len());
    DONE
}

fn contents() -> Outcome {
    let list = cargo(&["package", "--list", "--allow-dirty"])?;
    let files: BTreeSet<&str> = list.lines().collect();
    for unwanted in ["tests/", "assets/reference/", "benches/peers/", ".ci/", ".github/"] {
        let found: Vec<_> = files.iter().filter(|file| file.starts_with(unwanted)).collect();
        ensure!(found.is_empty(), "{found:?} are of no use to those who build the crate");
    }
    let needed = ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "Cargo.lock", "docs/TOUR.md", "examples/service.rs"];
    for file in needed.iter().chain(&["assets/shakespeare/model.safetensors", "shaders/sample.wgsl"]) {
        ensure!(files.contains(file), "{file} is not in the crate");
    }
    // Cargo makes some files itself.
    let bytes: u64 = files.iter().filter_map(|file| std::fs::metadata(project(file)).ok()).map(|m| m.len()).sum();
    ensure!(bytes > 1_000_000 && bytes < MOST_BYTES, "{bytes} bytes; expected less than {MOST_BYTES}");
    DONE
}
