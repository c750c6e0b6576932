//! The display of a run: a bar on a terminal, now and then a line elsewhere.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::arguments::TrainArgs;
use super::chart::chart;
use super::words;
use crate::cli::numbers::{count, grouped};
use crate::cli::progress::{Bar, in_words, left};
use crate::error::Result;
use crate::host::{Note, Observer, interrupt_flag};
use crate::model::Model;
use crate::train::{Best, Curves, Line, Progress};

/// How often a line is printed where there is no bar, validations apart.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How fast shown speeds follow measured ones, in seconds.
const SMOOTH: f64 = 3.0;

/// Shows a run on standard error.
pub(super) struct Display<'a> {
    args: &'a TrainArgs,
    /// Set by Ctrl-C, once it is caught.
    interrupted: Option<&'static AtomicBool>,
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

impl<'a> Display<'a> {
    pub fn new(args: &'a TrainArgs) -> Display<'a> {
        let now = Instant::now();
        Display {
            args,
            interrupted: None,
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

    /// From here on Ctrl-C stops the run, and no longer the process.
    pub fn catch_interrupts(&mut self) {
        self.interrupted = Some(interrupt_flag());
    }

    /// The run is over.
    pub fn end(&self) {
        self.bar.clear();
    }

    /// The parts of the message, the most important first.
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

impl Observer for Display<'_> {
    fn interrupted(&self) -> bool {
        self.interrupted.is_some_and(|flag| flag.load(SeqCst))
    }

    fn note(&mut self, note: &Note) {
        words::say_note(self.args, note);
    }

    fn begin(&mut self, share: f64) {
        (self.begun, self.printed) = (Instant::now(), Instant::now());
        (self.first_share, self.share) = (share, share);
    }

    fn steps(&mut self, progress: &Progress, share: f64, tokens: u64, took: Duration) {
        let seconds = took.as_secs_f64().max(1e-9);
        let now = tokens as f64 / seconds;
        let weight = if self.speed == 0.0 { 1.0 } else { 1.0 - (-seconds / SMOOTH).exp() };
        self.speed += weight * (now - self.speed);
        self.share = share;
        if !self.bar.is_hidden() {
            self.bar.show(Some(share), &self.parts(progress.step, progress.loss().or(self.loss)));
        }
    }

    fn validating(&mut self) {
        self.bar.show(Some(self.share), &["validating".into()]);
    }

    fn line(&mut self, line: &Line, best: bool) {
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

    fn picture(&mut self, model: &Model, best: Option<Best>, curves: &Curves) -> Result<Option<String>> {
        let c = &model.config;
        let best = best.map_or(String::new(), |best| {
            format!(": best validation {:.4} after {}", best.loss, count(best.step.into(), "step"))
        });
        let (cell, layers, hidden) = (c.cell.name(), c.num_layers, c.hidden_size);
        chart(&format!("{} ({cell} {layers} x {hidden}){best}", model.name), curves)
    }
}
