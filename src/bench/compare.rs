//! Two reports side by side, with a judgement of each figure.

use super::report::{Figure, Report};
use super::text::time;

/// The fate of a figure from one report to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Less time, by more than chance and the threshold explain.
    Faster,
    /// More time.
    Slower,
    /// Neither.
    WithinNoise,
}

impl Judgement {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Judgement::Faster => "faster",
            Judgement::Slower => "SLOWER",
            Judgement::WithinNoise => "within noise",
        }
    }
}

/// A figure that both reports have.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The job or kernel measured.
    pub what: String,
    /// Its figure in the older report.
    pub before: Figure,
    /// Its figure in the newer one.
    pub after: Figure,
    /// The judgement of the difference.
    pub judgement: Judgement,
}

/// The comparison of two reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Figures that both have.
    pub lines: Vec<Line>,
    /// Figures that only one of them has.
    pub unmatched: Vec<String>,
    /// Reasons to doubt the comparison.
    pub warnings: Vec<String>,
}

/// Compares a newer report with an older one. A change below `threshold` (a share of the older time) is none.
pub fn compare(before: &Report, after: &Report, threshold: f64) -> Comparison {
    let (old, new) = (figures(before), figures(after));
    let mut comparison = Comparison::default();
    for (what, figure) in &new {
        match old.iter().find(|(name, _)| name == what) {
            Some((_, older)) => comparison.lines.push(Line {
                what: what.clone(),
                before: *older,
                after: *figure,
                judgement: judge(older, figure, threshold),
            }),
            None => comparison.unmatched.push(format!("only after: {what}")),
        }
    }
    let gone = old.iter().filter(|(name, _)| !new.iter().any(|(n, _)| n == name));
    comparison.unmatched.extend(gone.map(|(name, _)| format!("only before: {name}")));
    let machines = [&before.machine, &after.machine];
    for (what, [a, b]) in [
        ("devices", machines.map(|m| &m.device)),
        ("drivers", machines.map(|m| &m.driver)),
        ("CPUs", machines.map(|m| &m.cpu)),
    ] {
        if a != b {
            comparison.warnings.push(format!("other {what}: `{a}` before, `{b}` after"));
        }
    }
    comparison
}

/// A change counts when it exceeds the threshold and the intervals of the two medians are apart.
fn judge(before: &Figure, after: &Figure, threshold: f64) -> Judgement {
    let change = after.median_us / before.median_us.max(1e-9) - 1.0;
    if change < -threshold && after.high_us < before.low_us {
        Judgement::Faster
    } else if change > threshold && after.low_us > before.high_us {
        Judgement::Slower
    } else {
        Judgement::WithinNoise
    }
}

/// All figures of a report under names that another report has too.
fn figures(report: &Report) -> Vec<(String, Figure)> {
    let kernels = report.kernels.iter().flat_map(|k| {
        let hot = (k.name(), k.figure());
        std::iter::once(hot).chain(k.cold.map(|cold| (format!("{} (cold)", k.name()), cold)))
    });
    let runs =
        report.runs.iter().map(|r| (format!("{} {} batch={} steps={}", r.job, r.workload, r.batch, r.steps), r.wall));
    kernels.chain(runs).collect()
}

impl Comparison {
    /// Whether anything became slower.
    pub fn any_slower(&self) -> bool {
        self.lines.iter().any(|line| line.judgement == Judgement::Slower)
    }

    /// For a terminal of 80 columns.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let change = 100.0 * (line.after.median_us / line.before.median_us.max(1e-9) - 1.0);
            text += &format!(
                "{}\n    {:>9} -> {:>9}  {change:>+7.1} %  {}\n",
                line.what,
                time(line.before.median_us),
                time(line.after.median_us),
                line.judgement.name()
            );
        }
        for what in self.unmatched.iter().chain(&self.warnings) {
            text += &format!("{what}\n");
        }
        let count = |j| self.lines.iter().filter(|line| line.judgement == j).count();
        let counts = [Judgement::Faster, Judgement::Slower, Judgement::WithinNoise].map(count);
        text + &format!("{} faster, {} slower, {} within noise\n", counts[0], counts[1], counts[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::RunLine;

    fn report(median: f64, half_width: f64) -> Report {
        let wall = Figure {
            median_us: median,
            low_us: median - half_width,
            high_us: median + half_width,
            spread: 0.0,
            runs: 9,
        };
        let run = RunLine {
            job: "generate".into(),
            workload: "w".into(),
            batch: 2,
            steps: 3,
            wall,
            tokens_per_second: 0.0,
            dispatches: 0,
            submissions: 0,
            host_us_per_token: 0.0,
            device_us_per_step: None,
            memory_bytes: 0,
            kernels: Vec::new(),
            flops: 0.0,
            gflops: 0.0,
            share_of_matrix_rate: None,
            profile: Vec::new(),
            profile_of_wall: None,
            doubt: None,
        };
        Report { gatefold: "0".into(), runs: vec![run], ..Default::default() }
    }

    #[test]
    fn only_what_is_sure_and_large_is_judged() {
        let judgement = |after: Report| compare(&report(100.0, 1.0), &after, 0.02).lines[0].judgement;
        assert_eq!(judgement(report(90.0, 1.0)), Judgement::Faster);
        assert_eq!(judgement(report(110.0, 1.0)), Judgement::Slower);
        assert_eq!(judgement(report(110.0, 20.0)), Judgement::WithinNoise);
        assert_eq!(judgement(report(101.9, 0.1)), Judgement::WithinNoise);
    }

    #[test]
    fn other_devices_and_missing_lines_are_said() {
        let mut after = report(100.0, 1.0);
        after.runs[0].batch = 7;
        after.machine.device = "x".into();
        let comparison = compare(&report(100.0, 1.0), &after, 0.02);
        assert!(comparison.lines.is_empty() && !comparison.any_slower());
        let text = comparison.text();
        assert!(text.contains("only after: generate w batch=7") && text.contains("only before: generate w batch=2"));
        assert!(text.contains("other devices"), "{text}");
    }
}
