//! `gatefold bench`: that all of it runs and results agree, on every device. No trial waits for a speed.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use serde_json::Value;

use crate::command_line::{gatefold, text};
use crate::context::{DONE, Outcome, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("bench: the quick tour on the CPU", || quick("cpu")),
        trial("bench: a wrong result on the CPU is status 1", || wrong_result("cpu")),
        trial("bench: reports fit a terminal, and every form says the same", forms),
        trial("bench: compare judges, and its status says so", compare),
        trial("bench: wrong calls say what is wrong, with status 2", wrong_calls),
        trial("bench: peers that print lines are put into ratios", ratios),
    ];
    trials.extend(trials_per_adapter("bench: the quick tour", |adapter| quick(&adapter.to_string())));
    trials
        .extend(trials_per_adapter("bench: a wrong result is status 1", |adapter| wrong_result(&adapter.to_string())));
    trials.extend(trials_per_adapter("bench: tuned kernels write the same text, damaged choices are ignored", tuned));
    trials
}

/// A folder that vanishes with the trial.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gatefold-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for the trial");
        Folder(path)
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("written");
        path.to_str().expect("a path in UTF-8").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn quick(device: &str) -> Outcome {
    let output = gatefold(&["bench", "--quick", "--json", "--device", device]);
    ensure!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    let limits = report["limits"].as_object().ok_or("no limits")?;
    ensure!(limits.values().all(|v| v.as_f64().is_some_and(f64::is_finite)), "{limits:?}");
    let kernels = report["kernels"].as_array().ok_or("no kernels")?;
    ensure!(kernels.iter().all(|k| k["correct"] == true && k["wall"]["median_us"].as_f64() > Some(0.0)), "{kernels:?}");
    let forward = ["matmul", "lstm_decode", "gru_decode", "lstm_step", "gru_step", "sample", "logsumexp", "softmax"];
    let backward = ["matmul_weight_gradient", "matmul_input_gradient", "lstm_step_backward", "gru_step_backward"];
    for op in forward.into_iter().chain(backward).chain(["cross_entropy", "square_sum", "adam", "sgd"]) {
        ensure!(kernels.iter().any(|k| k["op"] == op && k["chosen"] == true), "{op} was not measured");
    }
    let runs = report["runs"].as_array().ok_or("no runs")?;
    for job in ["generate", "score", "train"] {
        let of_job: Vec<&Value> = runs.iter().filter(|r| r["job"] == job).collect();
        ensure!(of_job.len() == 2, "{job}: {of_job:?}");
        ensure!(of_job.iter().all(|r| r["tokens_per_second"].as_f64() > Some(0.0)), "{of_job:?}");
    }
    DONE
}

/// The tour expects of one op other numbers than it gives: that must be found, and nothing else.
fn wrong_result(device: &str) -> Outcome {
    let call = ["bench", "--quick", "--seconds", "0", "--spoil", "lstm_step", "--json", "--device", device];
    let output = gatefold(&call);
    ensure!(output.status.code() == Some(1), "status {:?}: {}", output.status.code(), text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    for kernel in report["kernels"].as_array().ok_or("no kernels")? {
        ensure!((kernel["correct"] == false) == (kernel["op"] == "lstm_step"), "{kernel}");
    }
    let warnings = report["warnings"].as_array().ok_or("no warnings")?;
    ensure!(warnings.iter().any(|w| w.as_str().is_some_and(|w| w.contains("its result is WRONG"))), "{warnings:?}");
    DONE
}

const SMALL: &str =
    r#"{"small": {"cell": "lstm", "vocab": 64, "embed": 16, "hidden": 32, "layers": 1, "batch": 4, "steps": 8}}"#;

fn forms() -> Outcome {
    let folder = Folder::new("forms");
    let workload = folder.file("small.json", SMALL);
    let call = ["bench", "generate", "--workload", &workload, "--device", "cpu", "--seconds", "0.01", "--profile"];
    let json = gatefold(&[&call[..], &["--batch", "1..4", "--json"]].concat());
    ensure!(json.status.success(), "{}", text(&json.stderr));
    let report = folder.file("report.json", &text(&json.stdout));
    let batches: Vec<u64> = serde_json::from_slice::<Value>(&json.stdout)?["runs"]
        .as_array()
        .ok_or("no runs")?
        .iter()
        .filter_map(|run| run["batch"].as_u64())
        .collect();
    ensure!(batches == [1, 2, 4], "{batches:?}");
    let show = |form: &str| text(&gatefold(&["bench", "show", &report, "--format", form]).stdout);
    let shown = show("text");
    ensure!(shown.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{shown}");
    ensure!(shown.contains("generate small"), "{shown}");
    let kernels = gatefold(&["bench", "kernels", "--workload", &workload, "--device", "cpu", "--seconds", "0"]);
    let kernels = text(&kernels.stdout);
    ensure!(kernels.contains("matmul_weight_gradient"), "{kernels}");
    ensure!(kernels.lines().all(|line| line.chars().count() <= 80), "wider than 80 columns:\n{kernels}");
    ensure!(show("markdown").matches("| generate | small |").count() == 3, "{}", show("markdown"));
    ensure!(show("csv").lines().count() == 4, "{}", show("csv"));
    ensure!(show("lines").lines().count() == 3, "{}", show("lines"));
    ensure!(show("json") == text(&json.stdout), "a report does not survive its JSON");
    let pictures = folder.0.join("pictures");
    let path = pictures.to_str().expect("a path in UTF-8");
    ensure!(gatefold(&["bench", "show", &report, "--plot", path]).status.success(), "no pictures");
    let svg = std::fs::read_to_string(pictures.join("batch.svg"))?;
    ensure!(svg.starts_with("<svg") && svg.contains("generate small"), "{svg}");
    DONE
}

fn compare() -> Outcome {
    let folder = Folder::new("compare");
    let report = |us: f64, workload: &str| {
        let wall = format!(r#"{{"median_us":{us},"low_us":{us},"high_us":{us},"spread":0,"runs":9}}"#);
        let run = format!(
            r#"{{"job":"score","workload":"{workload}","batch":1,"steps":1,"wall":{wall},"tokens_per_second":1,
            "dispatches":1,"submissions":1,"host_us_per_token":0,"device_us_per_step":null,"memory_bytes":1,
            "flops":1,"gflops":1,"share_of_matrix_rate":null,"profile":[],"doubt":null}}"#
        );
        format!(r#"{{"gatefold":"0","runs":[{run}]}}"#)
    };
    let before = folder.file("before.json", &report(100.0, "w"));
    for (us, status, verdict) in [(50.0, 0, "1 faster"), (101.0, 0, "1 within noise"), (150.0, 1, "1 slower")] {
        let after = folder.file("after.json", &report(us, "w"));
        let output = gatefold(&["bench", "compare", &before, &after]);
        ensure!(output.status.code() == Some(status), "{us}: status {:?}", output.status.code());
        ensure!(text(&output.stdout).contains(verdict), "{us}: {}", text(&output.stdout));
    }
    let other = folder.file("other.json", &report(1.0, "v"));
    for (file, message) in [(&other, "no figure in common"), (&folder.file("x.json", "{}"), "no report")] {
        let output = gatefold(&["bench", "compare", &before, file]);
        ensure!(output.status.code() == Some(2), "status {:?}", output.status.code());
        ensure!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
    }
    DONE
}

fn wrong_calls() -> Outcome {
    for (call, message) in [
        (&["generate", "--workload", "nowhere"][..], "there are char, chargru, seed"),
        (&["generate", "--batch", "8..4"], "the first size is the smaller one"),
        (&["generate", "--kernel", "matmul=x"], "it has matmul_1x8"),
        (&["generate", "--kernel", "matmul=matmul_4x4", "--device", "cpu"], "one function an op"),
        (&["kernels", "--filter", "zzz", "--device", "cpu"], "matches no op"),
        (&["kernels", "--seconds=-1"], "expected seconds"),
        (&["tune", "--device", "cpu"], "nothing is to be chosen"),
    ] {
        let output = gatefold(&[&["bench"], call].concat());
        ensure!(output.status.code() == Some(2), "{call:?}: status {:?}", output.status.code());
        ensure!(text(&output.stderr).contains(message), "{call:?}: {}", text(&output.stderr));
    }
    DONE
}

fn ratios() -> Outcome {
    let folder = Folder::new("ratios");
    let line = |peer: &str, rate: f64| {
        format!("{{\"peer\":\"{peer}\",\"workload\":\"a\",\"job\":\"score\",\"tok_s\":{rate}}}\n")
    };
    let lines = folder.file("lines.jsonl", &(line("gatefold-cpu", 150.0) + &line("other", 100.0)));
    let output = gatefold(&["bench", "ratios", &lines]);
    ensure!(text(&output.stdout).contains("| other | 100 | 1.50x | 1 |"), "{}", text(&output.stdout));
    DONE
}

/// The one file of a cache folder whose name begins so.
pub fn kept_file(cache: &Path, beginning: &str) -> Result<PathBuf, libtest_mimic::Failed> {
    let files = std::fs::read_dir(cache)?.collect::<Result<Vec<_>, _>>()?;
    let mut files = files.into_iter().filter(|file| file.file_name().to_string_lossy().starts_with(beginning));
    let file = files.next().ok_or("nothing was kept")?;
    Ok(file.path())
}

fn tuned(adapter: usize) -> Outcome {
    let folder = Folder::new(&format!("tuned-{adapter}"));
    let workload = folder.file("small.json", SMALL);
    let cache = folder.0.join("cache");
    let device = adapter.to_string();
    let with_cache = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatefold"));
        command.env_remove("GATEFOLD_DEVICE").env("GATEFOLD_CACHE", &cache).args(arguments).output()
    };
    let generate = ["generate", "--seed", "5", "-n", "40", "-p", "KING", "--device", &device];
    let untuned = with_cache(&generate)?;
    ensure!(untuned.status.success(), "{}", text(&untuned.stderr));
    let tune = with_cache(&["bench", "tune", "--workload", &workload, "--seconds", "0.01", "--device", &device])?;
    ensure!(tune.status.success(), "{}", text(&tune.stderr));
    ensure!(text(&tune.stdout).contains("matmul rows=4"), "{}", text(&tune.stdout));
    let file = kept_file(&cache, "choices-")?;
    let kept = std::fs::read_to_string(&file)?;
    ensure!(kept.contains("\"matmul rows=4 "), "{kept}");
    let same = with_cache(&generate)?;
    ensure!(same.stdout == untuned.stdout, "another text");
    ensure!(!text(&same.stderr).contains("ignored"), "{}", text(&same.stderr));
    for damaged in ["{", &kept.replace(env!("CARGO_PKG_VERSION"), "0.0.0"), &kept.replace("matmul_", "nomul_"), "\0\0"]
    {
        std::fs::write(&file, damaged)?;
        let output = with_cache(&generate)?;
        ensure!(output.status.success() && output.stdout == untuned.stdout, "{}", text(&output.stderr));
        let warnings = text(&output.stderr).matches("ignored, since it").count();
        ensure!(warnings == 1, "{warnings} warnings: {}", text(&output.stderr));
    }
    DONE
}
