//! How far a run is: a line on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use crate::cli::numbers::grouped;
use crate::cli::progress::{self, in_words, left};
use crate::cli::say;

/// Time between lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(30);

/// Says on standard error how far a run is.
pub(super) struct Bar {
    bar: progress::Bar,
    started: Instant,
    said: Instant,
    total: Option<u64>,
    /// Sequences that were there at the beginning.
    first: u64,
}

impl Bar {
    /// For `total` sequences, if it is known, of which some are there.
    pub fn new(total: Option<u64>, done: u64) -> Bar {
        let now = Instant::now();
        Bar { bar: progress::Bar::new(), started: now, said: now, total, first: done }
    }

    /// `done` sequences are there; `tokens` were drawn by this process.
    pub fn show(&mut self, done: u64, tokens: u64) {
        let speed = || format!("{} tokens/s", grouped(self.rate(tokens)));
        let count = |of: &str| {
            let total = self.total.map_or(String::new(), |total| format!("{of}{}", grouped(total)));
            format!("{}{total} sequences", grouped(done))
        };
        if !self.bar.is_hidden() {
            let of = |n: u64| self.total.map(|total| n as f64 / total.max(1) as f64);
            let left = of(done).and_then(|share| left(self.started.elapsed(), of(self.first)?, share));
            let left = left.map(|left| format!("{} left", in_words(left)));
            self.bar.show(of(done), &[Some(count("/")), Some(speed()), left].into_iter().flatten().collect::<Vec<_>>());
        } else if self.said.elapsed() >= EVERY {
            say(&format!("{}, {}", count(" of "), speed()));
            self.said = Instant::now();
        }
    }

    /// Tokens a second.
    pub fn rate(&self, tokens: u64) -> f64 {
        tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Says something beside it.
    pub fn say(&self, text: &str) {
        self.bar.say(&format!("gatefold: {text}"));
    }

    /// Takes it away.
    pub fn clear(&self) {
        self.bar.clear();
    }
}
