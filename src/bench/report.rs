//! The measurements, as they are saved: the JSON of a report is these types.

use serde::{Deserialize, Serialize};

use crate::error::json_fault;
use crate::text::unmarked;

pub use super::sample::Figure;

/// Everything that one call measured on one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The version of gatefold.
    pub gatefold: String,
    /// UTC, as 2026-01-31T12:00:00Z.
    pub date: String,
    /// Where it ran.
    pub machine: Machine,
    /// The limits of the device.
    pub limits: Option<Limits>,
    /// Kernels, each on its own.
    pub kernels: Vec<KernelLine>,
    /// Whole jobs.
    pub runs: Vec<RunLine>,
    /// Reasons to doubt the figures.
    pub warnings: Vec<String>,
}

/// Where a measurement ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The device in words.
    pub device: String,
    /// `cpu`, or the backend.
    pub backend: String,
    /// The driver, and its version.
    pub driver: String,
    /// Shaders that run on the CPU.
    pub software: bool,
    /// Whether the device's own time was measured, by timestamps.
    pub timestamps: bool,
    /// The CPU's name.
    pub cpu: String,
    /// Threads that the CPU runs at once.
    pub threads: usize,
    /// The system.
    pub system: String,
}

/// The most that a device can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// 10^9 bytes a second, read and written ones together, of a copy that no cache holds.
    pub copy_gigabytes: f64,
    /// 10^9 flops a second of multiply-adds in registers.
    pub multiply_add_gflops: f64,
    /// 10^9 flops a second of the best kernel at a product of 1024 x 1024 x 1024.
    pub matrix_gflops: f64,
    /// Microseconds of a dispatch that waits for the one before.
    pub dependent_dispatch_us: f64,
    /// Microseconds of a dispatch that waits for none.
    pub independent_dispatch_us: f64,
    /// Microseconds of a submission among others.
    pub submission_us: f64,
    /// Microseconds from a submission to its result on the host.
    pub readback_us: f64,
}

/// The limit that keeps a kernel from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roof {
    /// The rate of multiply-adds.
    Arithmetic,
    /// The rate of bytes.
    Memory,
    /// The cost of any dispatch.
    Dispatch,
}

/// The result that a timed one was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The op's reference in f64.
    Reference,
    /// The CPU's fast function, where the reference would take minutes.
    Fast,
    /// The reference, on fewer rows.
    FewRows,
}

/// A kernel or fast function at one set of sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelLine {
    /// The op.
    pub op: String,
    /// Its sizes.
    pub shape: String,
    /// The variant; `fast` on the CPU.
    pub kernel: String,
    /// The order of its sums.
    pub order: String,
    /// The device takes it by itself.
    pub chosen: bool,
    /// The comparison of its result.
    pub check: Check,
    /// Whether it agreed.
    pub correct: bool,
    /// Flops of a run.
    pub flops: f64,
    /// Bytes that must move.
    pub bytes: f64,
    /// Wall time of a dispatch among many in a submission.
    pub wall: Figure,
    /// The device's own time of it.
    pub device: Option<Figure>,
    /// The same with nothing in a cache, where that matters.
    pub cold: Option<Figure>,
    /// Flops over time.
    pub gflops: f64,
    /// Bytes over time.
    pub gigabytes: f64,
    /// The nearest limit, and which share of it was reached.
    pub roof: Option<(Roof, f64)>,
    /// Reasons to doubt the figures.
    pub doubt: Option<String>,
}

impl KernelLine {
    /// Its kernel and sizes, which no other line of a report has.
    pub fn name(&self) -> String {
        // All fast functions have one name, and ops share sizes.
        let kernel = if self.kernel.starts_with(&self.op) { self.kernel.clone() } else { self.op.clone() };
        format!("{kernel} {}", self.shape)
    }

    /// The time that it is judged by: the device's own where there is one.
    pub fn figure(&self) -> Figure {
        self.device.unwrap_or(self.wall)
    }
}

/// A job on a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLine {
    /// `generate`, `score`, `train`.
    pub job: String,
    /// The workload's name.
    pub workload: String,
    /// Sequences side by side.
    pub batch: usize,
    /// Tokens of each.
    pub steps: usize,
    /// Wall time of all tokens.
    pub wall: Figure,
    /// Tokens over time.
    pub tokens_per_second: f64,
    /// Dispatches or calls for one token of every sequence; of score and train: for a window.
    pub dispatches: usize,
    /// Submissions of a run.
    pub submissions: usize,
    /// Microseconds of a run, over all its tokens, that the host was busy with scheduling, encoding and submitting: all
    /// that it did not wait for the device. Where it is the device, its computing does not count.
    pub host_us_per_token: f64,
    /// Microseconds of a run, over its steps, that the device worked, where it measures that.
    pub device_us_per_step: Option<f64>,
    /// Bytes of weights, states and everything between.
    pub memory_bytes: u64,
    /// The kernels that ran the ops, each as `op=kernel`.
    #[serde(default)]
    pub kernels: Vec<String>,
    /// Flops of a run.
    pub flops: f64,
    /// Flops over time.
    pub gflops: f64,
    /// The same over the device's matrix rate, where that was measured.
    pub share_of_matrix_rate: Option<f64>,
    /// Where the time goes, if that was asked for.
    pub profile: Vec<ProfileLine>,
    /// The sum of the profile's lines over the wall time: well below 1 where the host or its waiting takes
    /// time, above it where ops are faster together than alone (on the CPU, steps that take their input products along).
    #[serde(default)]
    pub profile_of_wall: Option<f64>,
    /// Reasons to doubt the figure.
    pub doubt: Option<String>,
}

/// One op of a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileLine {
    /// The op.
    pub op: String,
    /// Its sizes.
    pub shape: String,
    /// How often it runs in the section.
    pub count: usize,
    /// Microseconds of one run.
    pub time_us: f64,
    /// Of the section's time.
    pub share: f64,
    /// Flops over time.
    pub gflops: f64,
    /// Bytes over time.
    pub gigabytes: f64,
}

impl Report {
    /// Collects what the lines doubt, and what was wrong.
    pub fn add_warnings(&mut self) {
        let kernels = self.kernels.iter().filter_map(|k| Some((k.name(), k.doubt.clone()?)));
        let of_run = |run: &RunLine| format!("{} {} batch {}", run.job, run.workload, run.batch);
        let runs = self.runs.iter().filter_map(|run| Some((of_run(run), run.doubt.clone()?)));
        self.warnings.extend(kernels.chain(runs).map(|(what, doubt)| format!("{what}: {doubt}")));
        let wrong = self.kernels.iter().filter(|k| !k.correct);
        self.warnings.extend(wrong.map(|k| format!("{}: its result is WRONG", k.name())));
    }

    /// Whether every result that was compared agreed.
    pub fn is_correct(&self) -> bool {
        self.kernels.iter().all(|k| k.correct)
    }

    /// Reads a report from its JSON.
    ///
    /// # Errors
    /// Something else, in words.
    pub fn from_json(json: &[u8]) -> Result<Report, String> {
        let expected = |e| format!("{}; expected a report of a bench in JSON", json_fault(&e));
        let report: Report = serde_json::from_slice(unmarked(json)?).map_err(expected)?;
        if report.gatefold.is_empty() {
            return Err("it has no field `gatefold`, so it is no report of a bench in JSON".into());
        }
        Ok(report)
    }
}
