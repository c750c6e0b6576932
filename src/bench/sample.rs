//! Repetitions of one measurement, and what they say together.

use std::time::{Duration, Instant};

/// How long to repeat.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Repetitions go on for this long, but for at least [`Budget::LEAST`] of them.
    pub time: Duration,
}

impl Budget {
    /// Repetitions at least, and runs before them that do not count.
    const LEAST: usize = 5;
    const WARM_UP: usize = 2;
    const MOST: usize = 10_000;

    /// Runs once and again; the first runs, which make pipelines and fill caches, do not count.
    ///
    /// # Errors
    /// The first error of `run`.
    pub fn repeat(self, mut run: impl FnMut() -> crate::Result<()>) -> crate::Result<Sample> {
        for _ in 0..Budget::WARM_UP {
            run()?;
        }
        let started = Instant::now();
        let mut times_us = Vec::new();
        while times_us.len() < Budget::LEAST || started.elapsed() < self.time && times_us.len() < Budget::MOST {
            let began = Instant::now();
            run()?;
            times_us.push(began.elapsed().as_secs_f64() * 1e6);
        }
        Ok(Sample::of(times_us))
    }
}

/// Times of equal runs.
#[derive(Clone, Debug)]
pub struct Sample {
    /// In microseconds, ascending.
    times_us: Vec<f64>,
}

impl Sample {
    /// # Panics
    /// Without any time.
    pub fn of(mut times_us: Vec<f64>) -> Sample {
        assert!(!times_us.is_empty(), "a sample has a time");
        times_us.sort_by(f64::total_cmp);
        Sample { times_us }
    }

    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.times_us.len()
    }

    /// The quantile q between 0 and 1, in microseconds, interpolated.
    pub fn quantile_us(&self, q: f64) -> f64 {
        let at = q * (self.times_us.len() - 1) as f64;
        let (low, high) = (self.times_us[at.floor() as usize], self.times_us[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    /// The median, in microseconds.
    pub fn median_us(&self) -> f64 {
        self.quantile_us(0.5)
    }

    /// Half of the runs lie within this share of the median: the distance of the quartiles over the median.
    pub fn spread(&self) -> f64 {
        (self.quantile_us(0.75) - self.quantile_us(0.25)) / self.median_us().max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let sample = Sample::of(vec![40.0, 10.0, 30.0, 20.0, 50.0]);
        assert_eq!(sample.median_us(), 30.0);
        assert_eq!(sample.quantile_us(0.25), 20.0);
        assert_eq!(sample.quantile_us(0.9), 46.0);
        assert!((sample.spread() - 20.0 / 30.0).abs() < 1e-12);
        assert_eq!(Sample::of(vec![7.0]).median_us(), 7.0);
    }

    #[test]
    fn warm_up_does_not_count_and_five_runs_are_the_least() {
        let mut runs = 0;
        let sample = Budget { time: Duration::ZERO }.repeat(|| {
            runs += 1;
            Ok(())
        });
        assert_eq!(sample.unwrap().runs(), 5);
        assert_eq!(runs, 7);
    }
}
