//! The search for the fastest variant on this device at the sizes of a workload.
//!
//! A variant may stand in for another only where results stay the same: it has the order class of the one that is
//! preferred, and on every case of the op its results are equal bit by bit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cases::KernelCase;
use super::report::Figure;
use super::{Budget, kernels};
use crate::check::written_tensors;
use crate::error::Result;
use crate::executor::{Executor, Run};
use crate::gpu::{Gpu, GpuExecutor, GpuOptions, TunedVariants};
use crate::host::Device;
use crate::plan::{Buffer, Case, OpRow, SectionId, Variant};

/// A variant must be faster by this share to be taken instead of the preferred one.
const WORTH: f64 = 0.02;

/// The result for one op at one set of sizes.
pub struct Finding {
    /// The op.
    pub op: &'static OpRow,
    /// Its sizes.
    pub shape: String,
    /// The variant that the device takes without a measurement.
    pub preferred: &'static str,
    /// The variant that it will take.
    pub chosen: &'static str,
    /// All variants that were timed.
    pub times: Vec<(&'static str, Figure)>,
    /// Variants that were not, and why.
    pub excluded: Vec<(&'static str, String)>,
}

/// Fills a table of choices.
pub struct Tuner {
    gpu: Arc<Gpu>,
    device: Device,
    budget: Budget,
    /// Whether a variant has the bits of another on all cases of their op, by their names.
    equal: BTreeMap<(&'static str, &'static str), bool>,
    /// The choices so far.
    pub choices: TunedVariants,
}

impl Tuner {
    /// A tuner for a device that was opened without choices.
    pub fn new(gpu: Arc<Gpu>, budget: Budget) -> Tuner {
        let device = Device::Gpu(gpu.clone());
        Tuner { gpu, device, budget, equal: BTreeMap::new(), choices: TunedVariants::default() }
    }

    /// Times the variants that may stand in for each other, and takes the fastest; nothing where there is one only.
    ///
    /// # Errors
    /// A device that fails or cannot hold the case.
    pub fn tune(&mut self, case: &KernelCase) -> Result<Option<Finding>> {
        let preferred = kernels::chosen(&self.device, case)?;
        let preferred = case.op.variants.iter().find(|v| Some(v.name) == preferred).expect("the op's own");
        let (mut candidates, mut excluded) = (Vec::new(), Vec::new());
        for variant in case.op.variants {
            match self.objection(case.op, preferred, variant)? {
                None => candidates.push(variant),
                Some(why) => excluded.push((variant.name, why)),
            }
        }
        if candidates.len() < 2 {
            return Ok(None);
        }
        let mut times = Vec::new();
        for variant in &candidates {
            let forced = [(case.op.name.to_string(), variant.name.to_string())];
            times.push((variant.name, kernels::time(&self.device, &case.case, 1, &forced, self.budget)?.figure()));
        }
        let figure = |name| times.iter().find(|(n, _)| *n == name).expect("it was timed").1;
        let fastest = times.iter().min_by(|a, b| a.1.median_us.total_cmp(&b.1.median_us)).expect("two at least");
        let usual = figure(preferred.name);
        let is_sure = fastest.1.high_us < usual.low_us && fastest.1.median_us < usual.median_us * (1.0 - WORTH);
        let chosen = if is_sure { fastest.0 } else { preferred.name };
        let variant = case.op.variants.iter().find(|v| v.name == chosen).expect("the op's own");
        self.choices.insert(case.op, &case.words, variant);
        let (op, shape, preferred) = (case.op, case.shape.clone(), preferred.name);
        Ok(Some(Finding { op, shape, preferred, chosen, times, excluded }))
    }

    /// Why a variant may not stand in for the preferred one, if it may not.
    fn objection(
        &mut self,
        op: &OpRow,
        preferred: &'static Variant,
        variant: &'static Variant,
    ) -> Result<Option<String>> {
        if variant.name == preferred.name {
            return Ok(None);
        }
        if !self.gpu.supports(variant) {
            return Ok(Some("the device lacks what it needs".into()));
        }
        if variant.class != preferred.class {
            return Ok(Some(format!("order {}, not {}", variant.class, preferred.class)));
        }
        let key = (preferred.name, variant.name);
        let is_equal = match self.equal.get(&key) {
            Some(known) => *known,
            None => {
                let equal = equal_bits(&self.gpu, op, preferred, variant)?;
                self.equal.insert(key, equal);
                equal
            }
        };
        Ok((!is_equal).then(|| format!("other bits than {}", preferred.name)))
    }
}

/// Whether two variants give the same bits on every case of their op.
fn equal_bits(gpu: &Arc<Gpu>, op: &OpRow, a: &Variant, b: &Variant) -> Result<bool> {
    for case in (op.cases)() {
        if bits(gpu, op, a, &case)? != bits(gpu, op, b, &case)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bits that a variant writes on a case.
fn bits(gpu: &Arc<Gpu>, op: &OpRow, variant: &Variant, case: &Case) -> Result<Vec<Vec<u32>>> {
    let forced = [(op.name.to_string(), variant.name.to_string())].into();
    let options = GpuOptions { forced, ..Default::default() };
    let section = SectionId(0);
    let mut executor = GpuExecutor::new(gpu.clone(), case.plan.clone(), case.sizes, &[section], &options)?;
    kernels::fill(&mut executor, case)?;
    let run = Run::new(section, case.sizes, case.step..case.step + 1);
    let ticket = executor.submit(&[run], &written_tensors(&case.plan, section))?;
    let words = |buffer: Buffer<f32>| match buffer {
        Buffer::Real(values) => values.into_iter().map(f32::to_bits).collect(),
        Buffer::Word(words) => words,
    };
    Ok(executor.wait(ticket)?.into_iter().map(words).collect())
}
