//! What people see of a run: a bar on a terminal, now and then a line elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::host::message;
use crate::train::{Line, Progress};

/// Parts of the bar.
const PARTS: u64 = 1000;
/// How often a line is printed where there is no bar, validations apart.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How fast shown speeds follow measured ones, in seconds.
const SMOOTH: f64 = 3.0;

/// Shows a run on standard error.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    begun: Instant,
    first_share: f64,
    share: f64,
    /// Targets a second.
    speed: f64,
    loss: Option<f64>,
    valid_loss: Option<f64>,
    printed: Instant,
}

impl Display {
    pub fn new() -> Display {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:16} {msg}").expect("a template");
            ProgressBar::with_draw_target(Some(PARTS), ProgressDrawTarget::stderr()).with_style(style)
        });
        let now = Instant::now();
        Display {
            bar,
            begun: now,
            first_share: 0.0,
            share: 0.0,
            speed: 0.0,
            loss: None,
            valid_loss: None,
            printed: now,
        }
    }

    /// Steps begin, with this share of the run done.
    pub fn begin(&mut self, share: f64) {
        (self.begun, self.printed) = (Instant::now(), Instant::now());
        (self.first_share, self.share) = (share, share);
    }

    /// Some steps were done.
    pub fn steps(&mut self, progress: &Progress, share: f64, tokens: u64, took: Duration) {
        let seconds = took.as_secs_f64().max(1e-9);
        let now = tokens as f64 / seconds;
        let weight = if self.speed == 0.0 { 1.0 } else { 1.0 - (-seconds / SMOOTH).exp() };
        self.speed += weight * (now - self.speed);
        self.share = share;
        if let Some(bar) = &self.bar {
            bar.set_position((share.min(1.0) * PARTS as f64) as u64);
            bar.set_message(self.text(progress.step, progress.loss().or(self.loss)));
        }
    }

    /// A validation begins.
    pub fn validating(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message("validating");
        }
    }

    /// A line of the log was written; `best` if its validation was the best so far.
    pub fn line(&mut self, line: &Line, best: bool) {
        self.loss = line.loss.or(self.loss);
        self.valid_loss = line.valid_loss.or(self.valid_loss);
        let due = line.valid_loss.is_some() || (self.bar.is_none() && self.printed.elapsed() >= LINE_EVERY);
        if !due {
            return;
        }
        self.printed = Instant::now();
        let mut text = format!("step {}, epoch {:.2}", line.step, line.epoch);
        if let Some(loss) = line.loss {
            text += &format!(", loss {loss:.4}");
        }
        if let Some(loss) = line.valid_loss {
            text += &format!(", valid {loss:.4}{}", if best { " (best)" } else { "" });
        }
        text += &format!(", {} tokens/s", short(line.tokens_per_second));
        match (&self.bar, self.left()) {
            (Some(bar), _) => bar.println(text),
            (None, Some(left)) => message(&format!("{text}, {} left", in_words(left))),
            (None, None) => message(&text),
        }
    }

    /// The run is over.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, step: u32, loss: Option<f64>) -> String {
        let mut text = format!("{:3.0}% step {step}", 100.0 * self.share);
        if let Some(loss) = loss {
            text += &format!(" loss {loss:.3}");
        }
        if let Some(loss) = self.valid_loss {
            text += &format!(" valid {loss:.3}");
        }
        text += &format!(" {} tok/s", short(self.speed));
        match self.left() {
            Some(left) => format!("{text} {} left", in_words(left)),
            None => text,
        }
    }

    /// Time to the end at the pace since the beginning.
    fn left(&self) -> Option<Duration> {
        let done = self.share - self.first_share;
        let left = self.begun.elapsed().as_secs_f64() * (1.0 - self.share) / done;
        (done > 0.0 && left.is_finite() && left < 1e9).then(|| Duration::from_secs_f64(left.max(0.0)))
    }
}

/// A speed with three digits.
fn short(speed: f64) -> String {
    match speed {
        0.0..1e4 => format!("{speed:.0}"),
        1e4..1e6 => format!("{:.0}k", speed / 1e3),
        _ => format!("{:.1}M", speed / 1e6),
    }
}

fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_speeds_are_short() {
        let times = [5, 65, 3600 + 120, 100 * 3600].map(|s| in_words(Duration::from_secs(s)));
        assert_eq!(times, ["5 s", "1:05 min", "1:02 h", "100:00 h"]);
        assert_eq!([0.0, 9999.0, 12_345.0, 2.5e6].map(short), ["0", "9999", "12k", "2.5M"]);
    }
}
