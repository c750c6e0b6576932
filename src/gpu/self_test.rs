//! What a device is asked when it is opened: whether parameters arrive, and whether its arithmetic is what kernels
//! rely on. No kernel uses f16 or subgroups, so neither is asked for.

use std::sync::Arc;

use super::device::{Gpu, ParamsBy};
use super::executor::{GpuExecutor, GpuOptions};
use crate::check::reference;
use crate::error::Result;
use crate::executor::{Executor, Run, Values};
use crate::ops::case::{Caps, Difference};
use crate::ops::probe;
use crate::plan::SectionId;

/// What a device made of the op `probe`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Findings {
    /// The parameters as they were sent.
    params_arrive: bool,
    /// `fma` rounds once.
    pub exact_fma: bool,
    /// What is wrong with the shared functions: name, worst difference.
    wrong: Option<String>,
}

/// What follows from the findings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The device may be used.
    Trusted,
    /// It may be used with parameters by uniform.
    ByUniform,
    /// It must not be used, and why.
    Refused(String),
}

impl Findings {
    /// Runs the probe.
    ///
    /// # Errors
    /// The device fails altogether.
    pub fn of(gpu: &Arc<Gpu>) -> Result<Findings> {
        let case = probe::case();
        let section = SectionId(0);
        let options = GpuOptions::default();
        let mut executor = GpuExecutor::new(gpu.clone(), case.plan.clone(), case.sizes, &[section], &options)?;
        let tensor = |name: &str| case.plan.find(name).expect("the probe has it");
        for id in ["a", "b", "x"].map(tensor) {
            executor.write(id, 0, Values::F32(&case.floats(id)))?;
        }
        let written = ["words", "rest", "tanhs", "sigmoids"].map(tensor);
        let ticket = executor.submit(&[Run::new(section, case.sizes, 0..1)], &written)?;
        let found = executor.wait(ticket)?;
        let oracle = reference(&case);
        let expected = written.map(|id| oracle.tensor(id));
        Ok(Findings::judge(found[0].word(), [1, 2, 3].map(|i| found[i].real()), [1, 2, 3].map(|i| expected[i].real())))
    }

    fn judge(words: &[u32], [rest, tanhs, sigmoids]: [&[f32]; 3], expected: [&[f64]; 3]) -> Findings {
        let functions = [("tanh", tanhs, expected[1]), ("sigmoid", sigmoids, expected[2])];
        let wrong = functions.into_iter().find_map(|(name, found, expected)| {
            let apart = |i: &usize| {
                let apart = (f64::from(found[*i]) - expected[*i]).abs();
                if apart.is_nan() { f64::INFINITY } else { apart }
            };
            let worst = (0..found.len()).max_by(|i, j| apart(i).total_cmp(&apart(j))).expect("the probe has elements");
            let text = || format!("{name} is {} where it should be {}", found[worst], expected[worst]);
            (!Difference::of(found, expected).within(Caps::F32)).then(text)
        });
        let exact_fma = rest.iter().zip(expected[0]).all(|(found, expected)| f64::from(*found) == *expected);
        Findings { params_arrive: words == probe::sent(), exact_fma, wrong }
    }

    /// Whether the device may be used as it was opened.
    pub fn verdict(&self, params_by: ParamsBy) -> Verdict {
        match (&self.wrong, self.params_arrive, params_by) {
            (_, false, ParamsBy::Immediates) => Verdict::ByUniform,
            (_, false, ParamsBy::Uniform) => Verdict::Refused("parameters do not arrive as they were sent".into()),
            (Some(wrong), true, _) => Verdict::Refused(format!("its arithmetic is wrong: {wrong}")),
            (None, true, _) => Verdict::Trusted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: [f64; 16] = [0.5; 16];

    fn findings(words: &[u32], rest: &[f32], tanhs: &[f32]) -> Findings {
        Findings::judge(words, [rest, tanhs, &[0.5; 16]], [&EXPECTED; 3])
    }

    #[test]
    fn a_right_device_is_trusted() {
        let findings = findings(&probe::sent(), &[0.5; 16], &[0.5; 16]);
        assert!(findings.exact_fma);
        for by in [ParamsBy::Immediates, ParamsBy::Uniform] {
            assert_eq!(findings.verdict(by), Verdict::Trusted);
        }
    }

    #[test]
    fn lost_parameters_go_another_way_or_end_it() {
        let mut words = probe::sent();
        words[15] = 0;
        let findings = findings(&words, &[0.5; 16], &[0.5; 16]);
        assert_eq!(findings.verdict(ParamsBy::Immediates), Verdict::ByUniform);
        assert!(matches!(findings.verdict(ParamsBy::Uniform), Verdict::Refused(_)));
    }

    #[test]
    fn a_product_that_was_rounded_is_found() {
        let mut rest = [0.5; 16];
        rest[7] = 0.0;
        let findings = findings(&probe::sent(), &rest, &[0.5; 16]);
        assert!(!findings.exact_fma);
        assert_eq!(findings.verdict(ParamsBy::Immediates), Verdict::Trusted);
    }

    #[test]
    fn wrong_functions_are_refused_by_name() {
        let mut tanhs = [0.5; 16];
        tanhs[14] = f32::NAN;
        let verdict = findings(&probe::sent(), &[0.5; 16], &tanhs).verdict(ParamsBy::Uniform);
        let why = "its arithmetic is wrong: tanh is NaN where it should be 0.5";
        assert_eq!(verdict, Verdict::Refused(why.into()));
    }
}
