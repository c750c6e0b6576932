//! The program as people call it.

use std::process::{Command, Output};

use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, adapters, project, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("command line: the same seed writes the same text", same_seed),
        trial("command line: greedy text goes on from the prompt", greedy),
        trial("command line: wrong calls say what is wrong, with status 2", wrong_calls),
        trial("command line: an unknown character is named", unknown_character),
        trial("command line: a device that is not there is an error that lists what is", missing_device),
        trial("command line: a closed pipe ends the program quietly", closed_pipe),
        trial("command line: check passes on the CPU and prints JSON", check_cpu),
        trial("command line: devices lists every adapter and the CPU", devices),
        trial("command line: inspect shows models, folders and files", inspect),
    ];
    trials.extend(trials_per_adapter("command line: check --split on an adapter by index", |adapter| {
        let output = gatefold(&["check", "--split", "9", "--device", &adapter.to_string()]);
        ensure!(output.status.success(), "{}", text(&output.stderr));
        ensure!(text(&output.stdout).matches(" ok\n").count() == 2, "{}", text(&output.stdout));
        DONE
    }));
    trials.extend(trials_per_adapter("command line: generate on an adapter by name", |adapter| {
        let name: String = adapters()[adapter].info.name.chars().take(6).collect();
        let call = ["generate", "-p", "ROMEO:", "-n", "30", "--seed", "3", "--device"];
        let on_device = gatefold(&[&call[..], &[&name]].concat());
        let on_cpu = gatefold(&[&call[..], &["cpu"]].concat());
        ensure!(on_device.status.success(), "{}", text(&on_device.stderr));
        ensure!(text(&on_device.stderr).contains(&adapters()[adapter].info.name), "{}", text(&on_device.stderr));
        ensure!(on_device.stdout == on_cpu.stdout, "{}\n{}", text(&on_device.stdout), text(&on_cpu.stdout));
        DONE
    }));
    trials
}

pub fn gatefold(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
    command.env_remove("GATEFOLD_DEVICE").args(arguments).output().expect("the program starts")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn same_seed() -> Outcome {
    let call = ["generate", "--device", "cpu", "-n", "80", "--seed"];
    let run = |seed, threads| gatefold(&[&call[..], &[seed, "--threads", threads]].concat());
    let first = run("7", "1");
    ensure!(first.status.success(), "{}", text(&first.stderr));
    ensure!(text(&first.stdout).chars().count() == 81, "80 characters and a line end: {:?}", text(&first.stdout));
    ensure!(first.stdout == run("7", "2").stdout, "another text with two threads");
    ensure!(first.stdout != run("8", "1").stdout, "the same text for another seed");
    ensure!(text(&first.stderr).contains("tokens/s, seed 7"), "{}", text(&first.stderr));
    DONE
}

fn greedy() -> Outcome {
    let call = ["generate", "--device", "cpu", "-n", "40", "-p", "KING", "--temperature", "0", "--seed"];
    let runs = ["1", "2"].map(|seed| gatefold(&[&call[..], &[seed]].concat()));
    ensure!(runs[0].stdout == runs[1].stdout, "greedy text depends on the seed");
    ensure!(text(&runs[0].stdout).starts_with("KING"), "{}", text(&runs[0].stdout));
    DONE
}

fn wrong_calls() -> Outcome {
    for (call, message) in [
        (&["generate", "--temperature", "-1"][..], "--temperature"),
        (&["generate", "--temperature", "nan"], "expected 0 (greedy)"),
        (&["generate", "--max-tokens", "x"], "invalid value 'x'"),
        (&["generate", "--no-such-option"], "unexpected argument"),
        (&["check", "--device", "cpu", "--filter", "zzz"], "no op matches"),
        (&["check", "--device", "cpu", "--split", "9999"], "expected 0 to"),
        (&["check", "--split", "3", "--json"], "cannot be used with"),
        (&[], "Usage"),
    ] {
        let output = gatefold(call);
        ensure!(output.status.code() == Some(2), "{call:?}: status {:?}", output.status.code());
        ensure!(text(&output.stderr).contains(message), "{call:?}: {}", text(&output.stderr));
    }
    DONE
}

fn unknown_character() -> Outcome {
    let output = gatefold(&["generate", "--device", "cpu", "-p", "To be\nor \u{00e9}"]);
    ensure!(output.status.code() == Some(1), "status {:?}", output.status.code());
    let message = text(&output.stderr);
    ensure!(message.contains("(U+00E9) at line 2, column 4"), "{message}");
    ensure!(message.contains("--on-unknown skip leaves it out"), "{message}");
    DONE
}

fn missing_device() -> Outcome {
    for device in ["no such adapter", "999"] {
        let output = gatefold(&["generate", "--device", device]);
        ensure!(output.status.code() == Some(1), "status {:?}", output.status.code());
        let message = text(&output.stderr);
        ensure!(message.contains(device) && message.contains("--device cpu"), "{message}");
    }
    DONE
}

fn closed_pipe() -> Outcome {
    use std::io::Read;
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatefold"))
        .args(["generate", "--device", "cpu", "-n", "2000000", "--seed", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut first = [0; 10];
    child.stdout.take().expect("piped").read_exact(&mut first)?;
    // The pipe is closed here; the program has two million tokens to go and must stop by itself.
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "status {:?}: {}", output.status.code(), text(&output.stderr));
    ensure!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    DONE
}

fn check_cpu() -> Outcome {
    let output = gatefold(&["check", "--device", "cpu", "--filter", "lstm", "--json"]);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(report["failed"] == 0 && report["passed"].as_u64() > Some(10), "{report}");
    ensure!(report["lines"][0]["op"] == "lstm_step", "{report}");
    DONE
}

fn inspect() -> Outcome {
    let folder = project("assets/shakespeare");
    let folder = folder.to_str().expect("a path in UTF-8");
    for (argument, shows) in [
        ("builtin:shakespeare", "  parameters    876,929\n"),
        (folder, "  start text    \"\\n\"\n"),
        (&format!("{folder}/model.safetensors"), "rnn.weight_hh_l1  [1024, 256]\n"),
    ] {
        let output = gatefold(&["inspect", argument]);
        let shown = text(&output.stdout);
        ensure!(output.status.success() && shown.contains(shows), "{shown}{}", text(&output.stderr));
        ensure!(shown.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{shown}");
        let json: serde_json::Value = serde_json::from_slice(&gatefold(&["inspect", "--json", argument]).stdout)?;
        ensure!(json["parameters"] == 876_929, "{json}");
    }
    for (argument, message) in [("/no/where", "there is no such folder"), ("builtin:x", "builtin:shakespeare")] {
        let output = gatefold(&["inspect", argument]);
        ensure!(output.status.code() == Some(1), "status {:?}", output.status.code());
        ensure!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
    DONE
}

fn devices() -> Outcome {
    let output = gatefold(&["devices"]);
    ensure!(output.status.success(), "{}", text(&output.stderr));
    let listed = text(&output.stdout);
    for adapter in adapters() {
        ensure!(listed.contains(&adapter.info.name), "{listed}");
    }
    ensure!(listed.contains("cpu  the CPU"), "{listed}");
    ensure!(listed.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{listed}");
    DONE
}
