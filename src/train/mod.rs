//! Training: what surrounds the [`Engine`], which runs the steps.
//!
//! A [`Corpus`] holds ids in flat memory, [`Windows`] cuts it into what each step reads, [`Rate`] gives each step its
//! learning rate, and a [`Trainer`] leads a [`Learner`] through all of it, from one [`Checkpoint`] to the next. Nothing
//! here knows files, clocks or threads: [`crate::host`] writes folders, and the command line decides when.

mod chart;
mod checkpoint;
mod corpus;
mod engine;
#[cfg(test)]
mod fake;
mod log;
mod marks;
mod options;
mod permutation;
mod portions;
mod schedule;
mod start;
mod trainer;
mod windows;

use crate::error::Result;

pub use crate::network::{Optimizer, Recipe};
pub use crate::ops::cross_entropy::IGNORED;
pub use chart::Curves;
pub use checkpoint::{Checkpoint, Kernels, Manifest};
pub use corpus::{Corpus, Ends, Ids, Width};
pub use engine::{Engine, Outcome, Snapshot, Window};
pub use log::Line;
pub use marks::{Marks, with_marks};
pub use options::{Cadence, CorpusOptions, End, Method, Options, Unknown};
pub use schedule::{Rate, Schedule};
pub use start::{first_weights, generation_config};
pub use trainer::{Best, Progress, Trainer, VALIDATIONS};
pub use windows::{Lines, Position, Streams, Windows};

/// What a [`Trainer`] leads: weights, their optimiser, and the states of a batch of rows. [`Engine`] is one.
pub trait Learner {
    /// Goes on from a snapshot of another time, before step `step`; moments and states that it lacks are zero.
    ///
    /// # Errors
    /// Tensors of other sizes; a device that failed.
    fn restore(&mut self, step: u32, snapshot: &Snapshot) -> Result<()>;

    /// Weights, moments and states behind all steps that were queued.
    ///
    /// # Errors
    /// A device that failed.
    fn snapshot(&mut self) -> Result<Snapshot>;

    /// Queues one step.
    ///
    /// # Errors
    /// Ids outside the vocabulary; a device that failed.
    fn submit(&mut self, window: &Window, learning_rate: f32) -> Result<()>;

    /// Waits for all queued steps: what came of each, in order.
    ///
    /// # Errors
    /// A device that failed.
    fn take(&mut self) -> Result<Vec<Outcome>>;

    /// The summed loss in nats and the number of targets of some windows, whose first starts from zero.
    ///
    /// # Errors
    /// As the iterator; a device that failed.
    fn evaluate(&mut self, windows: &mut dyn Iterator<Item = Result<Window>>) -> Result<(f64, u64)>;
}

impl Learner for Engine {
    fn restore(&mut self, step: u32, snapshot: &Snapshot) -> Result<()> {
        Engine::restore(self, step, snapshot)
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        Engine::snapshot(self)
    }

    fn submit(&mut self, window: &Window, learning_rate: f32) -> Result<()> {
        Engine::submit(self, window, learning_rate)
    }

    fn take(&mut self) -> Result<Vec<Outcome>> {
        Engine::take(self)
    }

    fn evaluate(&mut self, windows: &mut dyn Iterator<Item = Result<Window>>) -> Result<(f64, u64)> {
        Engine::evaluate(self, windows)
    }
}
