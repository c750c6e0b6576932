//! A device's limits, measured: shares of these are what a kernel's figure means.

use std::time::Instant;

use super::cases::of_plan;
use super::kernels::{self, time};
use super::report::{Limits, Roof};
use super::{Budget, executor, implementations};
use crate::error::{DeviceFault, Error, Result};
use crate::executor::{Executor, Run};
use crate::host::Device;
use crate::ops::limits;
use crate::ops::matmul;
use crate::plan::{Affine, Builder, Case, Dim, Fill, OpRow, Role, SectionId, Sizes, TensorId};

/// Rows, inputs and outputs of the product that stands for the best matrix rate.
const MATRIX: usize = 1024;
/// Dispatches in a row: from the time of these, less the time of an eighth, follows what one costs.
const DISPATCHES: u32 = 1024;
/// Submissions in a row.
const SUBMISSIONS: u32 = 32;
/// Bytes that a small readback brings.
const READBACK_BYTES: usize = 4096;

/// Measures all limits; `budget` is for each of them.
///
/// # Errors
/// A device that fails, or a probe that computes something else than its reference.
pub fn measure(device: &Device, budget: Budget) -> Result<Limits> {
    let is_slow = matches!(device, Device::Gpu(gpu) if gpu.is_software());
    let copy = copy_case(if is_slow { 32 << 20 } else { 128 << 20 }, device);
    let copy_us = time(device, &copy, 1, &[], budget)?.figure().median_us;
    let bytes = work(&limits::COPY, &copy).bytes;
    let (gflops, rounds) = multiply_add(device, budget)?;
    check(device, &multiply_add_case(4096, rounds.min(64)))?;
    check(device, &copy_case(1 << 16, device))?;
    let (dependent_us, independent_us) = (dispatches(device, budget, false)?, dispatches(device, budget, true)?);
    Ok(Limits {
        copy_gigabytes: bytes / copy_us / 1e3,
        multiply_add_gflops: gflops,
        matrix_gflops: matrix(device, budget)?,
        dependent_dispatch_us: dependent_us,
        independent_dispatch_us: independent_us,
        submission_us: submission(device, budget)?,
        readback_us: readback(device, budget)?,
    })
}

fn work(op: &OpRow, case: &Case) -> crate::plan::Cost {
    let node = case.plan.ops(SectionId(0))[0];
    (op.cost)(&node.words(case.sizes, Default::default()))
}

/// A probe alone.
fn probe(op: &'static OpRow, tensors: &[usize], params: &[usize]) -> Case {
    let params: Vec<Affine> = params.iter().map(|n| Affine::constant(*n)).collect();
    Case::new(
        op.name,
        |b, fills| -> Vec<TensorId> {
            let declare = |(operand, len): (&crate::plan::Operand, &usize)| {
                let id = b.f32(Role::State, operand.name, &[Dim::fixed(*len)]);
                fills.push((id, Fill::Normal(1.0)));
                id
            };
            op.operands.iter().zip(tensors).map(declare).collect()
        },
        |b, operands| b.push(op, &operands, &params),
    )
}

/// A copy of this many bytes, or of as many as a binding holds.
fn copy_case(bytes: u64, device: &Device) -> Case {
    let most = if let Device::Gpu(gpu) = device { gpu.max_binding_bytes } else { u64::MAX };
    let quads = (bytes.min(most) / 16) as usize;
    probe(&limits::COPY, &[4 * quads, 4 * quads], &[quads])
}

fn multiply_add_case(count: usize, rounds: u32) -> Case {
    probe(&limits::MULTIPLY_ADD, &[count, count], &[count, rounds as usize])
}

/// The rate of multiply-adds in registers, and the rounds that it took: enough of them for a few milliseconds.
fn multiply_add(device: &Device, budget: Budget) -> Result<(f64, u32)> {
    let mut rounds = 64;
    loop {
        let case = multiply_add_case(1 << 18, rounds);
        let figure = time(device, &case, 1, &[], budget)?.figure();
        if figure.median_us > 2_000.0 || rounds >= 1 << 14 {
            return Ok((work(&limits::MULTIPLY_ADD, &case).flops / figure.median_us / 1e3, rounds));
        }
        rounds *= 8;
    }
}

/// The rate of the best kernel at a large matrix product, of those that are made for such.
fn matrix(device: &Device, budget: Budget) -> Result<f64> {
    let b = &mut Builder::new();
    let n = Dim::fixed(MATRIX);
    let x = b.f32(Role::State, "x", &[n, n]);
    let w = b.f32(Role::Weight, "w", &[Dim::fixed(1), n, n]);
    let bias = b.f32(Role::Weight, "bias", &[Dim::fixed(1), n]);
    let y = b.f32(Role::State, "y", &[n, Dim::fixed(1), n]);
    let section = b.section("product", |b| matmul::record(b, matmul::Matmul { x, w, bias, y }, n, 0, 0));
    let plan = std::mem::take(b).finish();
    let cases = of_plan(&plan, &[section], Sizes::of(1, 1), 1);
    let case = cases.first().expect("one op");
    let mut best: f64 = 0.0;
    for name in implementations(device, case.op) {
        // Kernels for few rows, or for workgroup memory that there is not, would take seconds here and are not the best.
        let variant = case.op.variants.iter().find(|v| v.name == name);
        let is_software = matches!(device, Device::Gpu(gpu) if gpu.is_software());
        if variant.is_some_and(|v| !((v.suits)(&case.words) && v.adapters.include(is_software))) {
            continue;
        }
        let forced = [(case.op.name.to_string(), name.to_string())];
        let figure = time(device, &case.case, 1, &forced, budget)?.figure();
        best = best.max(case.cost.flops / figure.median_us / 1e3);
    }
    Ok(best)
}

/// Microseconds that one of many next to empty dispatches takes: all on one tensor, so that each waits for the one
/// before, or each on its own.
fn dispatches(device: &Device, budget: Budget, independent: bool) -> Result<f64> {
    let b = &mut Builder::new();
    let count = if independent { DISPATCHES } else { 1 };
    let touched: Vec<TensorId> = (0..count).map(|i| b.f32(Role::State, format!("y{i}"), &[Dim::fixed(4)])).collect();
    let section = |b: &mut Builder, tensors: &[TensorId]| {
        b.section("touch", |b| tensors.iter().for_each(|y| b.push(&limits::TOUCH, &[*y], &[0.into()])))
    };
    let few = section(b, &touched[..touched.len().div_ceil(8)]);
    let all = section(b, &touched);
    let plan = std::mem::take(b).finish();
    let mut executor = executor(device, &plan, ONE, &[few, all], &[])?;
    // Dependent: many steps of one dispatch. Independent: one step of many, as the next step would wait for this one.
    let runs = if independent { [(few, 1), (all, 1)] } else { [(all, DISPATCHES / 8), (all, DISPATCHES)] };
    let mut time_of = |(section, steps): (SectionId, u32)| -> Result<f64> {
        let run = Run::new(section, ONE, 0..steps);
        let readings = budget.repeat(|| super::reading(&mut *executor, std::slice::from_ref(&run), &[]))?;
        Ok(readings.device.unwrap_or(readings.wall).median_us())
    };
    let (short, long) = (time_of(runs[0])?, time_of(runs[1])?);
    Ok((long - short).max(0.0) / f64::from(DISPATCHES - DISPATCHES / 8))
}

const ONE: Sizes = Sizes::of(1, 1);

/// An executor for one next to empty dispatch, and its tensor.
fn touch(device: &Device, len: usize) -> Result<(Box<dyn Executor>, Run, TensorId)> {
    let case = probe(&limits::TOUCH, &[len], &[0]);
    let executor = executor(device, &case.plan, case.sizes, &[SectionId(0)], &[])?;
    let id = case.plan.ids().next().expect("one tensor");
    Ok((executor, Run::new(SectionId(0), case.sizes, 0..1), id))
}

/// Microseconds of one of several submissions in a row, waited for together.
fn submission(device: &Device, budget: Budget) -> Result<f64> {
    let (mut executor, run, _) = touch(device, 4)?;
    let readings = budget.repeat(|| {
        let began = Instant::now();
        let runs = std::slice::from_ref(&run);
        let tickets = (0..SUBMISSIONS).map(|_| executor.submit(runs, &[])).collect::<Result<Vec<_>>>()?;
        for ticket in tickets {
            executor.wait(ticket)?;
        }
        Ok(super::Reading { wall_us: began.elapsed().as_secs_f64() * 1e6, ..Default::default() })
    })?;
    Ok(readings.wall.median_us() / f64::from(SUBMISSIONS))
}

/// Microseconds from a submission of one dispatch until the host has its result.
fn readback(device: &Device, budget: Budget) -> Result<f64> {
    let (mut executor, run, id) = touch(device, READBACK_BYTES / 4)?;
    let readings = budget.repeat(|| super::reading(&mut *executor, std::slice::from_ref(&run), &[id]))?;
    Ok(readings.wall.median_us())
}

/// A probe that computes something else would measure something else.
fn check(device: &Device, case: &Case) -> Result<()> {
    let oracle = case.reference();
    let mut executor = executor(device, &case.plan, case.sizes, &[SectionId(0)], &[])?;
    kernels::fill(&mut *executor, case)?;
    let id = case.plan.ids().last().expect("a tensor");
    let ticket = executor.submit(&[Run::new(SectionId(0), case.sizes, 0..1)], &[id])?;
    let found = executor.wait(ticket)?;
    let difference = crate::plan::Difference::of(found[0].real(), oracle.tensor(id).real());
    if difference.within(crate::plan::Caps::F32) {
        return Ok(());
    }
    let (probe, off) = (case.plan.ops(SectionId(0))[0].op.variants[0].name, difference.max_over_rms);
    let what = format!("the probe `{probe}` is wrong (max/rms {off:.1e}), so its limit means nothing");
    Err(Error::Device { device: device.name(), fault: DeviceFault::Wrong { what } })
}

impl Limits {
    /// The limit nearest to a kernel of so much work, and the share of it that the kernel reaches.
    pub fn roof(&self, flops: f64, bytes: f64, time_us: f64) -> (Roof, f64) {
        let least = [
            (Roof::Arithmetic, flops / self.multiply_add_gflops.max(1e-9) / 1e3),
            (Roof::Memory, bytes / self.copy_gigabytes.max(1e-9) / 1e3),
            (Roof::Dispatch, self.dependent_dispatch_us),
        ];
        let (roof, least_us) = least.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("three");
        (roof, least_us / time_us.max(1e-9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_nearest_limit_is_named_with_its_share() {
        let limits = Limits {
            copy_gigabytes: 10.0,
            multiply_add_gflops: 100.0,
            matrix_gflops: 80.0,
            dependent_dispatch_us: 2.0,
            independent_dispatch_us: 1.0,
            submission_us: 30.0,
            readback_us: 50.0,
        };
        assert_eq!(limits.roof(1e6, 1e3, 20.0), (Roof::Arithmetic, 0.5));
        assert_eq!(limits.roof(1e3, 1e6, 200.0), (Roof::Memory, 0.5));
        assert_eq!(limits.roof(1.0, 1.0, 8.0), (Roof::Dispatch, 0.25));
    }

    #[test]
    fn probes_compute_what_their_references_do() {
        let device = Device::Cpu(Arc::new(crate::host::Threads::new(Some(2)).unwrap()));
        check(&device, &multiply_add_case(1003, 24)).unwrap();
        check(&device, &copy_case(1 << 12, &device)).unwrap();
    }
}
