//! Times kernels and fast functions, each on its own, hot and cold, each checked once.

use super::cases::KernelCase;
use super::report::{Check, KernelLine, Limits};
use super::sample::Figure;
use super::{Budget, FAST, Reading, Sample, executor};
use crate::check::{Outcome, run_fast, run_kernel, written_tensors};
use crate::cpu::{CpuExecutor, Functions, Serial, fast_function};
use crate::error::Result;
use crate::executor::{Executor, Run, Values};
use crate::host::Device;
use crate::plan::{Buffer, Case, Element, Interpreter, OpRow, Role, SectionId, TensorId};

/// The time that a submission should take: long enough for a clock, and for a device to leave its sleep.
const SUBMISSION_US: f64 = 20_000.0;
/// Dispatches in a submission at most.
const MOST_DISPATCHES: u32 = 2_000;
/// Bytes that no cache keeps from turn to turn.
const COLD_BYTES: f64 = (192u64 << 20) as f64;
/// A dispatch that computes less than this with each byte is bound by memory somewhere: there caches matter.
const FEW_FLOPS_A_BYTE: f64 = 64.0;
/// A turn through all cold copies takes at most this.
const SLOW_US: f64 = 1e6;
/// Weights below this come from a cache wherever they lie.
const SMALL_WEIGHT: f64 = 64e3;

/// How the kernels are measured.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Time for each kernel and each temperature.
    pub budget: Budget,
    /// Whether kernels that caches matter to are measured cold too.
    pub cold: bool,
    /// An op whose results are expected to be others than they are: for tests of the comparison.
    pub spoiled: Option<&'static str>,
}

/// One implementation of a case: a kernel, or the CPU's fast function.
///
/// # Errors
/// A device that fails or cannot hold the case.
pub fn measure(device: &Device, case: &KernelCase, name: &str, settings: Settings) -> Result<KernelLine> {
    let forced = [(case.op.name.to_string(), name.to_string())];
    let (check, correct) = check(device, case, name, settings.spoiled == Some(case.op.name))?;
    let hot = time(device, &case.case, 1, &forced, settings.budget)?;
    let is_bound = case.cost.flops < FEW_FLOPS_A_BYTE * case.cost.bytes && case.weight_bytes >= SMALL_WEIGHT;
    let cold = if settings.cold && is_bound {
        let (cold, copies) = case.cold(COLD_BYTES);
        // Where all copies take seconds, the device is too slow for its caches to matter.
        let is_slow = hot.figure().median_us * copies as f64 > SLOW_US;
        if is_slow { None } else { Some(time(device, &cold, copies, &forced, settings.budget)?) }
    } else {
        None
    };
    let figure = hot.figure();
    let of_cold = || Some(format!("cold: {}", cold.as_ref()?.judged().doubt()?));
    let doubt = hot.judged().doubt().or_else(of_cold);
    let order = match name {
        FAST => fast_function(case.op).map(|f| f.class),
        name => case.op.variants.iter().find(|v| v.name == name).map(|v| v.class),
    };
    Ok(KernelLine {
        op: case.op.name.to_string(),
        shape: case.shape.clone(),
        kernel: name.to_string(),
        order: order.map_or(String::new(), |class| class.to_string()),
        chosen: Some(name) == chosen(device, case)?,
        check,
        correct,
        flops: case.cost.flops,
        bytes: case.cost.bytes,
        wall: hot.wall.figure(),
        device: hot.device.as_ref().map(Sample::figure),
        cold: cold.as_ref().map(Times::figure),
        doubt,
        gflops: case.cost.flops / figure.median_us / 1e3,
        gigabytes: case.cost.bytes / figure.median_us / 1e3,
        roof: None,
    })
}

/// Measures whether the limits explain a kernel's time.
pub fn compare_with(limits: &Limits, line: &mut KernelLine) {
    line.roof = Some(limits.roof(line.flops, line.bytes, line.figure().median_us));
}

/// The variant that the device takes for this op at these sizes when nothing is forced.
///
/// # Errors
/// A device that cannot hold the case.
pub fn chosen(device: &Device, case: &KernelCase) -> Result<Option<&'static str>> {
    Ok(match device {
        Device::Cpu(_) => fast_function(case.op).map(|_| FAST),
        Device::Gpu(gpu) => Some(gpu.variant(&case.case.plan, SectionId(0), case.case.sizes)?),
    })
}

/// Wall and device times of one dispatch.
pub struct Times {
    /// Of submissions, over the number of dispatches.
    pub wall: Sample,
    /// By timestamps.
    pub device: Option<Sample>,
}

impl Times {
    /// The figure that a kernel is judged by: the device's own time where there is one.
    pub fn figure(&self) -> Figure {
        self.judged().figure()
    }

    fn judged(&self) -> &Sample {
        self.device.as_ref().unwrap_or(&self.wall)
    }
}

/// Times a case whose section holds its op `copies` times.
///
/// # Errors
/// A device that fails or cannot hold the case.
pub fn time(device: &Device, case: &Case, copies: usize, forced: &[(String, String)], budget: Budget) -> Result<Times> {
    let mut executor = executor(device, &case.plan, case.sizes, &[SectionId(0)], forced)?;
    fill(&mut *executor, case)?;
    let mut steps = 1;
    // The first submission compiles; the second and third say how many dispatches fill a submission.
    for _ in 0..3 {
        let reading = submit(&mut *executor, case, steps)?;
        let one_us = (reading.wall_us / f64::from(steps)).max(0.01);
        steps = ((SUBMISSION_US / one_us) as u32).clamp(1, (MOST_DISPATCHES / copies as u32).max(1));
    }
    let readings = budget.repeat(|| submit(&mut *executor, case, steps))?;
    let n = f64::from(steps) * copies as f64;
    let over = |sample: &Sample| sample.scaled(1.0 / n);
    Ok(Times { wall: over(&readings.wall), device: readings.device.as_ref().map(over) })
}

pub(super) fn fill(executor: &mut dyn Executor, case: &Case) -> Result<()> {
    for id in case.plan.ids() {
        match case.plan.tensor(id).element {
            Element::F32 => executor.write(id, 0, Values::F32(&case.floats(id)))?,
            Element::U32 => executor.write(id, 0, Values::U32(&case.words(id)))?,
        }
    }
    Ok(())
}

/// One submission of a section, `steps` times over.
fn submit(executor: &mut dyn Executor, case: &Case, steps: u32) -> Result<Reading> {
    let run = Run::new(SectionId(0), case.sizes, 0..steps);
    super::reading(executor, &[run], &[])
}

/// Compares an implementation's result with what it should be.
fn check(device: &Device, case: &KernelCase, name: &str, spoiled: bool) -> Result<(Check, bool)> {
    let is_small = case.small.name == case.case.name;
    let reference = |case: &Case| {
        let mut oracle = case.reference();
        if spoiled {
            spoil(&mut oracle, case);
        }
        oracle
    };
    let fast_result = |case: &Case| -> Result<Interpreter<f64>> {
        let mut oracle = fast_result(case)?;
        if spoiled {
            spoil(&mut oracle, case);
        }
        Ok(oracle)
    };
    let (check, outcome) = match device {
        Device::Cpu(pool) => {
            let outcome = run_fast(&case.small, &reference(&case.small), pool.clone())?;
            (if is_small { Check::Reference } else { Check::FewRows }, outcome)
        }
        Device::Gpu(gpu) => {
            let variant = case.op.variants.iter().find(|v| v.name == name).expect("one of the op's");
            let run = |case: &Case, oracle: &Interpreter<f64>, op: &OpRow| -> Result<Outcome> {
                run_kernel(gpu, case, oracle, op, variant, false)
            };
            match fast_function(case.op) {
                // The fast function was compared with the reference itself, and takes no minutes.
                Some(_) if !is_small => (Check::Fast, run(&case.case, &fast_result(&case.case)?, case.op)?),
                _ if !is_small => (Check::FewRows, run(&case.small, &reference(&case.small), case.op)?),
                _ => (Check::Reference, run(&case.case, &reference(&case.case), case.op)?),
            }
        }
    };
    Ok((check, outcome.passes(&case.case)))
}

/// Makes the first number that a case writes another.
fn spoil(oracle: &mut Interpreter<f64>, case: &Case) {
    let written = written_tensors(&case.plan, SectionId(0))[0];
    match oracle.tensor_mut(written) {
        Buffer::Real(numbers) => numbers[0] += 1.0 + numbers[0].abs(),
        Buffer::Word(words) => words[0] ^= 1,
    }
}

/// The result of the CPU's fast function on a case.
fn fast_result(case: &Case) -> Result<Interpreter<f64>> {
    let plan = &case.plan;
    let mut executor =
        CpuExecutor::new(plan.clone(), case.sizes, &[SectionId(0)], Functions::Fast, std::sync::Arc::new(Serial));
    fill(&mut executor, case)?;
    // Packed weights cannot be read back, and no op writes one.
    let readable = |id: &TensorId| plan.tensor(*id).role != Role::Weight;
    let read: Vec<_> = plan.ids().filter(readable).collect();
    let ticket = executor.submit(&[Run::new(SectionId(0), case.sizes, 0..1)], &read)?;
    let mut result = Interpreter::<f64>::new(plan.clone(), case.sizes, &[SectionId(0)]);
    for (id, buffer) in read.iter().zip(executor.wait(ticket)?) {
        *result.tensor_mut(*id) = match buffer {
            Buffer::Real(values) => Buffer::Real(values.into_iter().map(f64::from).collect()),
            Buffer::Word(words) => Buffer::Word(words),
        };
    }
    Ok(result)
}
