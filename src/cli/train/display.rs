//! What people see of a run: a bar on a terminal, now and then a line elsewhere.

use std::time::{Duration, Instant};

use crate::cli::numbers::grouped;
use crate::cli::progress::{Bar, in_words, left};
use crate::train::{Line, Progress};

/// How often a line is printed where there is no bar, validations apart.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How fast shown speeds follow measured ones, in seconds.
const SMOOTH: f64 = 3.0;

/// Shows a run on standard error.
pub(super) struct Display {
    bar: Bar,
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
        let now = Instant::now();
        Display {
            bar: Bar::new(),
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
        if !self.bar.is_hidden() {
            self.bar.show(Some(share), &self.parts(progress.step, progress.loss().or(self.loss)));
        }
    }

    /// A validation begins.
    pub fn validating(&self) {
        self.bar.show(Some(self.share), &["validating".into()]);
    }

    /// A line of the log was written; `best` if its validation was the best so far.
    pub fn line(&mut self, line: &Line, best: bool) {
        self.loss = line.loss.or(self.loss);
        self.valid_loss = line.valid_loss.or(self.valid_loss);
        let due = line.valid_loss.is_some() || (self.bar.is_hidden() && self.printed.elapsed() >= LINE_EVERY);
        if !due {
            return;
        }
        self.printed = Instant::now();
        let mut text = format!("step {}, epoch {:.2}", grouped(line.step), line.epoch);
        if let Some(loss) = line.loss {
            text += &format!(", loss {loss:.4}");
        }
        if let Some(loss) = line.valid_loss {
            text += &format!(", valid {loss:.4}{}", if best { " (best)" } else { "" });
        }
        text += &format!(", {} tokens/s", grouped(line.tokens_per_second));
        match self.left().filter(|_| self.bar.is_hidden()) {
            Some(left) => self.bar.say(&format!("{text}, {} left", in_words(left))),
            None => self.bar.say(&text),
        }
    }

    /// The run is over.
    pub fn end(&self) {
        self.bar.clear();
    }

    /// What there is to say, the most important first.
    fn parts(&self, step: u32, loss: Option<f64>) -> Vec<String> {
        let parts = [
            Some(format!("step {}", grouped(step))),
            loss.map(|loss| format!("loss {loss:.3}")),
            self.left().map(|left| format!("{} left", in_words(left))),
            self.valid_loss.map(|loss| format!("valid {loss:.3}")),
            Some(format!("{} tokens/s", grouped(self.speed))),
        ];
        parts.into_iter().flatten().collect()
    }

    /// Time to the end at the pace since the beginning.
    fn left(&self) -> Option<Duration> {
        left(self.begun.elapsed(), self.first_share, self.share)
    }
}
