//! The findings of the self-test on a device, what follows from them, and which of them are cached.

use serde::{Deserialize, Serialize};

use super::device_cache;
use super::info::{AdapterInfo, ParamsBy};
use crate::ops::probe;
use crate::plan::{Caps, Difference};

/// A device's results of the op `probe`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Findings {
    /// The parameters as they were sent.
    params_arrive: bool,
    /// How `fma` rounds.
    pub fma: Fma,
    /// The fault in the shared functions: name, worst difference.
    wrong: Option<String>,
}

/// How a device rounds in `fma`. WGSL allows either; sums are the same in all kernels where it is always one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fma {
    /// Once, after the sum.
    Once,
    /// The product, then the sum.
    Twice,
    /// Now one, now the other, or neither.
    Mixed,
}

impl Fma {
    /// From sums of `a[i] a[i] + b[i]` for [`probe::squares`].
    fn of(sums: &[f32]) -> Fma {
        let [a, b] = probe::squares();
        let once = a.iter().zip(b).map(|(a, b)| a.mul_add(*a, b));
        if sums.iter().zip(once).all(|(found, once)| *found == once) {
            Fma::Once
        } else if sums.iter().all(|found| *found == 0.0) {
            Fma::Twice
        } else {
            Fma::Mixed
        }
    }
}

/// The conclusion from the findings.
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
    /// `functions` are names, values found, values expected.
    pub fn judge(words: &[u32], sums: &[f32], functions: &[(&str, &[f32], &[f64])]) -> Findings {
        let wrong = functions.iter().find_map(|(name, found, expected)| {
            let apart = |i: &usize| {
                let apart = (f64::from(found[*i]) - expected[*i]).abs();
                if apart.is_nan() { f64::INFINITY } else { apart }
            };
            let worst = (0..found.len()).max_by(|i, j| apart(i).total_cmp(&apart(j))).expect("the probe has elements");
            let text = || format!("{name} is {} where it should be {}", found[worst], expected[worst]);
            (!Difference::of(found, expected).within(Caps::F32)).then(text)
        });
        Findings { params_arrive: words == probe::sent(), fma: Fma::of(sums), wrong }
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

/// Answers that a device need not give again: how `fma` rounds, for each way of parameters with which it proved right.
///
/// It is data that is handed in with [`super::DeviceOptions`] and given back by [`super::Adapter::passed`]. A device that
/// failed is asked every time: that may have been the driver's bad day, and a process starts 10 ms later for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassedTests {
    immediates: Option<Fma>,
    uniform: Option<Fma>,
}

impl PassedTests {
    /// The findings worth caching.
    pub(super) fn of(by: impl Fn(ParamsBy) -> Option<Findings>) -> PassedTests {
        let of = |params_by| by(params_by).filter(|f| f.verdict(params_by) == Verdict::Trusted).map(|f| f.fma);
        PassedTests { immediates: of(ParamsBy::Immediates), uniform: of(ParamsBy::Uniform) }
    }

    /// The findings of that self-test.
    pub(super) fn findings(&self, params_by: ParamsBy) -> Option<Findings> {
        let fma = match params_by {
            ParamsBy::Immediates => self.immediates,
            ParamsBy::Uniform => self.uniform,
        };
        fma.map(|fma| Findings { params_arrive: true, fma, wrong: None })
    }

    /// This and what another one adds.
    pub fn or(self, other: PassedTests) -> PassedTests {
        PassedTests { immediates: self.immediates.or(other.immediates), uniform: self.uniform.or(other.uniform) }
    }

    /// The text of a file with these findings: JSON, with the device that passed. `None` for a driver that does not say
    /// its version (Metal's), since nobody would see that it is another one.
    pub fn to_json(&self, device: &AdapterInfo) -> Option<String> {
        (!device.driver.is_empty()).then(|| device_cache::to_json(self, device))
    }

    /// The findings in a file, if it is for this device and these kernels.
    ///
    /// # Errors
    /// Why it is of no use: no such JSON, another device, driver or version.
    pub fn from_json(json: &[u8], device: &AdapterInfo) -> Result<PassedTests, String> {
        device_cache::from_json(json, device)
    }
}

#[cfg(test)]
mod tests {
    use super::super::info::device;
    use super::*;

    const EXPECTED: [f64; 16] = [0.5; 16];

    /// The results of a right device.
    fn once() -> Vec<f32> {
        let [a, b] = probe::squares();
        a.iter().zip(b).map(|(a, b)| a.mul_add(*a, b)).collect()
    }

    fn findings(words: &[u32], sums: &[f32], tanhs: &[f32]) -> Findings {
        Findings::judge(words, sums, &[("tanh", tanhs, &EXPECTED), ("sigmoid", &[0.5; 16], &EXPECTED)])
    }

    #[test]
    fn a_right_device_is_trusted() {
        let findings = findings(&probe::sent(), &once(), &[0.5; 16]);
        assert_eq!(findings.fma, Fma::Once);
        for by in [ParamsBy::Immediates, ParamsBy::Uniform] {
            assert_eq!(findings.verdict(by), Verdict::Trusted);
        }
    }

    #[test]
    fn lost_parameters_go_another_way_or_end_it() {
        let mut words = probe::sent();
        words[15] = 0;
        let findings = findings(&words, &once(), &[0.5; 16]);
        assert_eq!(findings.verdict(ParamsBy::Immediates), Verdict::ByUniform);
        assert!(matches!(findings.verdict(ParamsBy::Uniform), Verdict::Refused(_)));
    }

    #[test]
    fn rounding_that_is_now_one_now_the_other_is_found() {
        assert_eq!(findings(&probe::sent(), &[0.0; 16], &[0.5; 16]).fma, Fma::Twice);
        let mut sums = once();
        sums[7] = 0.0;
        let findings = findings(&probe::sent(), &sums, &[0.5; 16]);
        assert_eq!(findings.fma, Fma::Mixed);
        assert_eq!(findings.verdict(ParamsBy::Immediates), Verdict::Trusted);
    }

    #[test]
    fn wrong_functions_are_refused_by_name() {
        let mut tanhs = [0.5; 16];
        tanhs[14] = f32::NAN;
        let verdict = findings(&probe::sent(), &once(), &tanhs).verdict(ParamsBy::Uniform);
        let why = "its arithmetic is wrong: tanh is NaN where it should be 0.5";
        assert_eq!(verdict, Verdict::Refused(why.into()));
    }

    #[test]
    fn only_what_was_right_is_kept_and_only_for_this_driver() {
        let right = findings(&probe::sent(), &[0.0; 16], &[0.5; 16]);
        let lost = findings(&[0; 16], &once(), &[0.5; 16]);
        let passed = PassedTests::of(|by| Some(if by == ParamsBy::Uniform { right.clone() } else { lost.clone() }));
        assert_eq!(passed.findings(ParamsBy::Uniform), Some(right));
        assert_eq!(passed.findings(ParamsBy::Immediates), None);
        let json = passed.to_json(&device("1.0")).unwrap();
        let read = |json: &str, driver: &str| PassedTests::from_json(json.as_bytes(), &device(driver));
        assert_eq!(read(&json, "1.0"), Ok(passed));
        assert_eq!(read(&json, "1.1").unwrap_err(), "it is for driver `1.0`, and this is `1.1`");
        for damaged in ["", &json[..json.len() - 4], &json.replace("twice", "thrice"), &json.replace("uniform", "u")] {
            assert!(read(damaged, "1.0").unwrap_err().contains("damaged"), "{damaged}");
        }
        assert_eq!(passed.to_json(&device("")), None);
    }
}
