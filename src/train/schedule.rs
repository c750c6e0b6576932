//! Learning rates over a run.

use serde::{Deserialize, Serialize};

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine, from the peak at the beginning of the run to `floor` at its end.
    Cosine {
        /// The learning rate at the end.
        floor: f32,
    },
    /// Divided again and again, each time after the same number of steps.
    Step {
        /// Steps between divisions.
        every: u32,
        /// The divisor of the learning rate.
        divisor: f32,
    },
    /// Divided whenever the validation loss stops falling.
    Plateau {
        /// Validations without a better one that are waited for.
        patience: u32,
        /// The divisor of the learning rate.
        divisor: f32,
    },
}

/// The learning rate of every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Where the schedule begins.
    pub peak: f32,
    /// Steps that lead up to it from near zero, in equal parts; they multiply what the schedule says.
    pub warmup: u32,
    /// How it changes.
    pub schedule: Schedule,
}

impl Rate {
    /// The learning rate of a step, counted from 0, when this share of the run is done and validation losses have led
    /// to so many divisions.
    pub fn at(&self, step: u32, share: f64, divisions: u32) -> f32 {
        let peak = f64::from(self.peak);
        let power = |divisor: f32, n: u32| f64::from(divisor).powi(-(n.min(1 << 20) as i32));
        let rate = match self.schedule {
            Schedule::Constant => peak,
            Schedule::Cosine { floor } => {
                let floor = f64::from(floor);
                floor + (peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos())
            }
            Schedule::Step { every, divisor } => peak * power(divisor, step / every.max(1)),
            Schedule::Plateau { divisor, .. } => peak * power(divisor, divisions),
        };
        let ramp = if step < self.warmup { f64::from(step + 1) / f64::from(self.warmup) } else { 1.0 };
        (rate * ramp) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(warmup: u32, schedule: Schedule) -> Rate {
        Rate { peak: 0.5, warmup, schedule }
    }

    #[test]
    fn warm_up_leads_to_the_peak() {
        let constant = rate(4, Schedule::Constant);
        assert_eq!([0, 1, 2, 3, 4, 1000].map(|step| constant.at(step, 0.3, 0)), [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]);
        assert_eq!(rate(0, Schedule::Constant).at(0, 0.0, 0), 0.5);
    }

    #[test]
    fn a_cosine_ends_at_its_floor() {
        let cosine = rate(0, Schedule::Cosine { floor: 0.1 });
        let at = |share| cosine.at(9, share, 0);
        assert!((at(0.0) - 0.5).abs() < 1e-7 && (at(0.5) - 0.3).abs() < 1e-7 && (at(1.0) - 0.1).abs() < 1e-7);
        assert!((at(0.25) - (0.1 + 0.4 * 0.853_553_4)).abs() < 1e-6);
        assert_eq!(at(1.5), at(1.0));
    }

    #[test]
    fn steps_and_plateaus_divide() {
        let step = rate(0, Schedule::Step { every: 10, divisor: 2.0 });
        assert_eq!([0, 9, 10, 25].map(|n| step.at(n, 0.0, 7)), [0.5, 0.5, 0.25, 0.125]);
        let plateau = rate(0, Schedule::Plateau { patience: 1, divisor: 4.0 });
        assert_eq!([0, 1, 2].map(|n| plateau.at(99, 0.9, n)), [0.5, 0.125, 0.03125]);
    }
}
