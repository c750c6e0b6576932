//! The self-test of a device when it is opened: whether parameters arrive, and whether its arithmetic is what kernels
//! rely on. No kernel uses f16 or subgroups, so neither is tested.

use std::sync::Arc;

use super::device::Gpu;
use super::executor::{GpuExecutor, GpuOptions};
use super::findings::Findings;
use crate::error::Result;
use crate::executor::{Executor, Run, Values};
use crate::ops::probe;
use crate::plan::SectionId;

/// Runs the op `probe` on a device.
///
/// # Errors
/// The device fails altogether.
pub(super) fn self_test(gpu: &Arc<Gpu>) -> Result<Findings> {
    let case = probe::case();
    let section = SectionId(0);
    let options = GpuOptions::default();
    let mut executor = GpuExecutor::new(gpu.clone(), case.plan.clone(), case.sizes, &[section], &options)?;
    let tensor = |name: &str| case.plan.find(name).expect("the probe has it");
    let [a, b] = probe::squares();
    for (name, values) in [("a", &a[..]), ("b", &b), ("x", &case.floats(tensor("x")))] {
        executor.write(tensor(name), 0, Values::F32(values))?;
    }
    let written = ["words", "sums", "tanhs", "sigmoids"].map(tensor);
    let ticket = executor.submit(&[Run::new(section, case.sizes, 0..1)], &written)?;
    let found = executor.wait(ticket)?;
    let oracle = case.reference();
    let [_, _, tanhs, sigmoids] = written.map(|id| oracle.tensor(id));
    let functions = [("tanh", found[2].real(), tanhs.real()), ("sigmoid", found[3].real(), sigmoids.real())];
    Ok(Findings::judge(found[0].word(), found[1].real(), &functions))
}
