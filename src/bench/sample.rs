//! Repetitions of one measurement, and what they say together.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long to repeat.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Repetitions end after this time, but there are at least [`Budget::LEAST`] of them; three, where they are long.
    pub time: Duration,
}

/// The measurement of one repetition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// From the call to the results, in microseconds.
    pub wall_us: f64,
    /// Of it, how long the host took to encode and submit.
    pub host_us: f64,
    /// How long the device worked, where it measures that.
    pub device_us: Option<f64>,
}

/// All repetitions of a measurement.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Wall times, in microseconds.
    pub wall: Sample,
    /// Host times.
    pub host: Sample,
    /// Device times.
    pub device: Option<Sample>,
}

impl Budget {
    /// Repetitions at least, however long they take.
    pub const LEAST: usize = 5;
    /// Repetitions at least, where they already took [`Budget::LONG`] times the budget.
    const LEAST_LONG: usize = 3;
    const LONG: u32 = 2;
    /// Repetitions at most.
    const MOST: usize = 2_000;
    /// Runs before them that do not count: until three in a row agree, at most these.
    const WARM_UP: std::ops::RangeInclusive<usize> = 2..=12;
    /// Three runs agree when they lie within this share of each other.
    const STEADY: f64 = 0.05;
    /// Enough when the interval of the median is within this share of it on either side.
    const NARROW: f64 = 0.005;

    /// This many seconds.
    pub fn seconds(seconds: f64) -> Budget {
        Budget { time: Duration::from_secs_f64(seconds) }
    }

    /// Warms up until times are steady, then repeats until the median is known well or the time is up.
    ///
    /// # Errors
    /// The first error of `run`.
    pub fn repeat(self, mut run: impl FnMut() -> crate::Result<Reading>) -> crate::Result<Readings> {
        let started = Instant::now();
        let mut warm = Vec::new();
        while warm.len() < *Budget::WARM_UP.end() {
            warm.push(run()?.wall_us);
            let (enough, spent) = (warm.len() >= *Budget::WARM_UP.start(), started.elapsed());
            let is_long = spent > self.time * Budget::LONG;
            if is_long || enough && (is_steady(&warm) || spent > self.time / 3) {
                break;
            }
        }
        let started = Instant::now();
        let mut readings: Vec<Reading> = Vec::new();
        loop {
            readings.push(run()?);
            let n = readings.len();
            let is_long = started.elapsed() > self.time * Budget::LONG && n >= Budget::LEAST_LONG;
            if n < Budget::LEAST && !is_long {
                continue;
            }
            // The interval is looked at now and then: sorting each time would be work of its own.
            let narrow = n.is_power_of_two() || n.is_multiple_of(16);
            if n >= Budget::MOST
                || started.elapsed() >= self.time
                || narrow && n >= 2 * Budget::LEAST && wall(&readings).uncertainty() < Budget::NARROW
            {
                break;
            }
        }
        let devices: Option<Vec<f64>> = readings.iter().map(|r| r.device_us).collect();
        Ok(Readings {
            wall: wall(&readings),
            host: Sample::of(readings.iter().map(|r| r.host_us).collect()),
            device: devices.map(Sample::of),
        })
    }
}

fn wall(readings: &[Reading]) -> Sample {
    Sample::of(readings.iter().map(|r| r.wall_us).collect())
}

fn is_steady(times: &[f64]) -> bool {
    let Some(last) = times.last_chunk::<3>() else { return false };
    let (least, most) = last.iter().fold((f64::MAX, 0.0f64), |(a, b), t| (a.min(*t), b.max(*t)));
    most <= least * (1.0 + Budget::STEADY)
}

/// Times of equal runs, in the order in which they were taken.
#[derive(Clone, Debug)]
pub struct Sample {
    times_us: Vec<f64>,
    /// The same, ascending.
    sorted_us: Vec<f64>,
}

/// The reported figures of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The median, in microseconds.
    pub median_us: f64,
    /// Low end of the 95 % interval of the median.
    pub low_us: f64,
    /// High end of it.
    pub high_us: f64,
    /// Distance of the quartiles over the median.
    pub spread: f64,
    /// Number of runs.
    pub runs: usize,
}

impl Figure {
    /// Half of the interval's width, over the median.
    pub fn uncertainty(&self) -> f64 {
        (self.high_us - self.low_us) / 2.0 / self.median_us.max(1e-9)
    }
}

impl Sample {
    /// # Panics
    /// Without any time.
    pub fn of(times_us: Vec<f64>) -> Sample {
        assert!(!times_us.is_empty(), "a sample has a time");
        let mut sorted_us = times_us.clone();
        sorted_us.sort_by(f64::total_cmp);
        Sample { times_us, sorted_us }
    }

    /// The same of a part of each run, as of one of its dispatches.
    pub fn scaled(&self, factor: f64) -> Sample {
        Sample::of(self.times_us.iter().map(|t| t * factor).collect())
    }

    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.times_us.len()
    }

    /// The quantile q between 0 and 1, in microseconds, interpolated.
    pub fn quantile_us(&self, q: f64) -> f64 {
        let at = q * (self.sorted_us.len() - 1) as f64;
        let (low, high) = (self.sorted_us[at.floor() as usize], self.sorted_us[at.ceil() as usize]);
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

    /// The interval in which the true median lies with a probability of 95 %, in microseconds: between two of the
    /// times, whose ranks follow from the binomial distribution alone, whatever the times' own distribution.
    pub fn interval_us(&self) -> (f64, f64) {
        let n = self.sorted_us.len() as f64;
        let reach = 0.98 * n.sqrt();
        let low = (n / 2.0 - reach).floor().max(0.0) as usize;
        let high = (n / 2.0 + reach).ceil().min(n - 1.0) as usize;
        (self.sorted_us[low], self.sorted_us[high])
    }

    /// Half of the interval's width, over the median.
    pub fn uncertainty(&self) -> f64 {
        self.figure().uncertainty()
    }

    /// The figures to report.
    pub fn figure(&self) -> Figure {
        let (low_us, high_us) = self.interval_us();
        Figure { median_us: self.median_us(), low_us, high_us, spread: self.spread(), runs: self.runs() }
    }

    /// Reasons to doubt the figure, if there are any.
    pub fn doubt(&self) -> Option<String> {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let (head, tail) = self.times_us.split_at(self.times_us.len() / 2);
        if self.times_us.len() >= 2 * Budget::LEAST {
            let (before, after) = (Sample::of(head.to_vec()).median_us(), Sample::of(tail.to_vec()).median_us());
            let drift = after / before.max(1e-9) - 1.0;
            if drift.abs() > 0.1 {
                let way = if drift > 0.0 { "slower" } else { "faster" };
                return Some(format!("the second half of its runs was {} {way} than the first", percent(drift.abs())));
            }
        }
        if self.spread() > 0.1 {
            return Some(format!("half of its runs spread over {} of the median", percent(self.spread())));
        }
        let uncertainty = self.uncertainty();
        (uncertainty > 0.1).then(|| format!("its median is known to {} only", percent(uncertainty)))
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
    fn the_interval_holds_the_median_and_narrows() {
        let few = Sample::of((1..=5).map(f64::from).collect());
        assert_eq!(few.interval_us(), (1.0, 5.0));
        let many = Sample::of((0..1000).map(f64::from).collect());
        let (low, high) = many.interval_us();
        assert!(low < 499.5 && high > 499.5 && high - low < 70.0, "{low} {high}");
    }

    #[test]
    fn warm_up_does_not_count_and_long_runs_are_fewer() {
        let count = |seconds: f64, sleep: u64| {
            let mut runs = 0u32;
            let readings = Budget::seconds(seconds).repeat(|| {
                runs += 1;
                std::thread::sleep(Duration::from_millis(sleep));
                Ok(Reading { wall_us: 1.0 + f64::from(runs % 2), ..Default::default() })
            });
            (runs, readings.unwrap().wall.runs())
        };
        assert_eq!(count(0.000_1, 5), (1 + Budget::LEAST_LONG as u32, Budget::LEAST_LONG));
        let (runs, counted) = count(0.02, 1);
        assert!(counted >= Budget::LEAST && runs as usize >= counted + *Budget::WARM_UP.start(), "{runs} {counted}");
    }

    #[test]
    fn a_known_median_ends_the_repetitions() {
        let once = || Ok(Reading { wall_us: 1.0, device_us: Some(0.5), ..Default::default() });
        let readings = Budget::seconds(60.0).repeat(once).unwrap();
        assert_eq!(readings.wall.runs(), 16);
        assert_eq!(readings.device.unwrap().median_us(), 0.5);
    }

    #[test]
    fn drift_and_spread_are_doubted() {
        let doubt = |times: Vec<f64>| Sample::of(times).doubt().unwrap_or_default();
        assert_eq!(doubt(vec![1.0; 20]), "");
        assert!(doubt((0..20).map(|i| 1.0 + f64::from(i) / 20.0).collect()).contains("slower than the first"));
        assert!(doubt((0..20).map(|i| 1.0 + f64::from(i % 3)).collect()).contains("spread over"));
    }
}
