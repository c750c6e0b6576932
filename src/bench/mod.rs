//! Measurement: what a device can do, what each kernel makes of it, and what comes out at the end.
//!
//! ```text
//! workload ── plan ── cases: its ops, each alone ── kernels: time, bytes, flops, share of a limit, a check
//!                 └── end_to_end: generate, score ── tokens a second, dispatches, host time, profile
//! probes ── limits: copy, multiply-add, matrix, dispatch, submission, readback
//!                           all ── report ── compare, plot
//! ```
//! Nothing here is a test of speed: results are checked, times are only reported. With the program's own folders this is
//! the one place that has a clock.

pub mod cases;
pub mod compare;
pub mod end_to_end;
pub mod kernels;
pub mod limits;
mod metered;
pub mod peers;
pub mod plot;
pub mod profile;
pub mod render;
pub mod report;
mod sample;
mod text;
pub mod tune;
mod workload;

pub use sample::{Budget, Reading, Readings, Sample};
pub(crate) use text::grouped;
pub use text::{date, time};
pub use workload::Workload;

use std::time::Instant;

use crate::cpu::fast_function;
use crate::error::Result;
use crate::executor::{Executor, Run};
use crate::gpu::{GpuExecutor, GpuOptions};
use crate::host::Device;
use crate::plan::{OpRow, Plan, SectionId, Sizes, TensorId};
use metered::HostClock;

/// The names of what runs an op on a device: kernels, or the CPU's one function.
///
/// Empty where the CPU has only the reference, which is not made to be fast.
pub fn implementations(device: &Device, op: &'static OpRow) -> Vec<&'static str> {
    match device {
        Device::Cpu(_) => fast_function(op).iter().map(|_| FAST).collect(),
        Device::Gpu(gpu) => op.variants.iter().filter(|v| gpu.supports(v)).map(|v| v.name).collect(),
    }
}

/// The name of the CPU's function of an op in reports.
pub const FAST: &str = "fast";

/// An executor with some ops' variants forced, by (op, variant); the CPU has nothing to choose from.
///
/// # Errors
/// More than the device can hold, a variant that it does not have.
pub fn executor(
    device: &Device,
    plan: &Plan,
    sizes: Sizes,
    sections: &[SectionId],
    forced: &[(String, String)],
) -> Result<Box<dyn Executor>> {
    Ok(match device {
        Device::Cpu(_) => device.executor(plan, sizes, sections)?,
        Device::Gpu(gpu) => {
            let options = GpuOptions { forced: forced.iter().cloned().collect(), ..Default::default() };
            Box::new(GpuExecutor::new(gpu.clone(), plan.clone(), sizes, sections, &options)?)
        }
    })
}

/// One submission, from the call until its results are there.
fn reading(executor: &mut dyn Executor, runs: &[Run], read: &[TensorId]) -> Result<Reading> {
    executor.device_time_us();
    let (began, host) = (Instant::now(), HostClock::start());
    let ticket = executor.submit(runs, read)?;
    let host_us = host.elapsed_us();
    executor.wait(ticket)?;
    let wall_us = began.elapsed().as_secs_f64() * 1e6;
    Ok(Reading { wall_us, host_us, device_us: executor.device_time_us() })
}
