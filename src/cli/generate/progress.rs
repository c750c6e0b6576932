//! How far a run is: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(30);

/// Says on standard error how far a run is.
pub(super) struct Bar {
    bar: ProgressBar,
    started: Instant,
    said: Instant,
    total: Option<u64>,
}

impl Bar {
    /// For `total` sequences, if it is known, of which some are there.
    pub fn new(total: Option<u64>, done: u64) -> Bar {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5)).with_position(done);
        let template = match total {
            Some(_) => "{wide_bar} {human_pos}/{human_len} sequences, {msg}, {eta} left",
            None => "{spinner} {human_pos} sequences, {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a template"));
        bar.reset_eta();
        Bar { bar, started: Instant::now(), said: Instant::now(), total }
    }

    /// `done` sequences are there; `tokens` were drawn by this process.
    pub fn show(&mut self, done: u64, tokens: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{:.0} tokens/s", self.rate(tokens)));
            self.bar.set_position(done);
        } else if self.said.elapsed() >= EVERY {
            let of = self.total.map_or(String::new(), |total| format!(" of {total}"));
            super::super::say(&format!("{done}{of} sequences, {:.0} tokens/s", self.rate(tokens)));
            self.said = Instant::now();
        }
    }

    /// Tokens a second.
    pub fn rate(&self, tokens: u64) -> f64 {
        tokens as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    /// Says something beside it.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| super::super::say(text));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
