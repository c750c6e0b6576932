//! Ratios between gatefold and other programs that ran the same workloads in turn.
//!
//! Each line is a JSON object `{"peer", "workload", "job", "tok_s"}`, or has `"skipped"` with a reason instead of the
//! rate. A peer runs several rounds; its rate is the median of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::{Report, RunLine};
use super::text::{grouped, three_digits};

/// A line of a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerLine {
    /// The program, its version and its device.
    pub peer: String,
    /// The workload.
    pub workload: String,
    /// The job.
    pub job: String,
    /// Tokens a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tok_s: Option<f64>,
    /// Milliseconds of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// Runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// Why there is no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// Our own runs as lines of a peer.
pub fn lines_of(report: &Report) -> Vec<PeerLine> {
    let kind = if report.machine.backend == "cpu" { "cpu" } else { &report.machine.device };
    let peer = format!("gatefold-{}-{}", report.gatefold, kind.replace(' ', "-"));
    let line = |run: &RunLine| PeerLine {
        peer: peer.clone(),
        workload: run.workload.clone(),
        job: run.job.clone(),
        tok_s: Some(run.tokens_per_second),
        ms: Some(run.wall.median_us / 1e3),
        n: Some(run.wall.runs),
        skipped: None,
    };
    report.runs.iter().map(line).collect()
}

/// A table of rates and of gatefold's ratio to each peer, in markdown.
///
/// # Errors
/// A line that is no such object, with its number.
pub fn table(lines: &str) -> Result<String, String> {
    let mut rates: BTreeMap<(String, String), BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    let mut skipped: BTreeMap<(String, String), BTreeMap<String, String>> = BTreeMap::new();
    for (number, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: PeerLine = serde_json::from_str(line).map_err(|e| format!("line {}: {e}", number + 1))?;
        let key = (line.workload, line.job);
        match (line.tok_s, line.skipped) {
            (Some(rate), _) => rates.entry(key).or_default().entry(line.peer).or_default().push(rate),
            (None, why) => {
                let why = why.unwrap_or_else(|| "no rate".into());
                skipped.entry(key).or_default().insert(line.peer, why);
            }
        }
    }
    let keys: std::collections::BTreeSet<_> = rates.keys().chain(skipped.keys()).cloned().collect();
    let mut text =
        String::from("| workload | job | program | tokens/s | gatefold is | rounds |\n|---|---|---|--:|--:|--:|\n");
    for key in keys {
        let none = BTreeMap::new();
        let peers = rates.get(&key).unwrap_or(&none);
        let ours = peers.iter().filter(|(peer, _)| is_ours(peer)).map(|(_, r)| median(r)).reduce(f64::max);
        for (peer, rounds) in peers.iter().filter(|(p, _)| is_ours(p)).chain(peers.iter().filter(|(p, _)| !is_ours(p)))
        {
            let ratio = match ours {
                Some(ours) if !is_ours(peer) => format!("{}x", three_digits(ours / median(rounds))),
                _ => String::new(),
            };
            let (workload, job) = &key;
            let rate = grouped(median(rounds));
            text += &format!("| {workload} | {job} | {peer} | {rate} | {ratio} | {} |\n", rounds.len());
        }
        for (peer, why) in skipped.get(&key).into_iter().flatten() {
            text += &format!("| {} | {} | {peer} | {why} | | |\n", key.0, key.1);
        }
    }
    Ok(text)
}

fn is_ours(peer: &str) -> bool {
    peer.starts_with("gatefold")
}

fn median(rates: &[f64]) -> f64 {
    super::Sample::of(rates.to_vec()).median_us()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians_and_what_is_missing_is_named() {
        let lines = r#"
            {"peer": "gatefold-1-cpu", "workload": "a", "job": "score", "tok_s": 300.0}
            {"peer": "torch", "workload": "a", "job": "score", "tok_s": 100.0, "ms": 1.0, "n": 5}
            {"peer": "torch", "workload": "a", "job": "score", "tok_s": 900.0}
            {"peer": "torch", "workload": "a", "job": "score", "tok_s": 200.0}
            {"peer": "keras", "workload": "a", "job": "score", "skipped": "not installed"}"#;
        let table = table(lines).unwrap();
        assert!(table.contains("| a | score | torch | 200 | 1.50x | 3 |"), "{table}");
        assert!(table.contains("| a | score | keras | not installed |"), "{table}");
        assert!(super::table("{}").unwrap_err().starts_with("line 1: "));
    }
}
