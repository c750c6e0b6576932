//! Training: what surrounds the [`Engine`], which runs the steps.
//!
//! A [`Corpus`] holds ids in flat memory, [`Windows`] cuts it into what each step reads, [`Rate`] gives each step its
//! learning rate, and a [`Trainer`] leads an [`Engine`] through all of it, from one [`Checkpoint`] to the next. Nothing
//! here knows files, clocks or threads: [`crate::host`] writes folders and decides when.

mod checkpoint;
mod choice;
mod corpus;
mod curves;
mod engine;
mod log;
mod marks;
mod options;
mod permutation;
mod portions;
mod schedule;
mod start;
mod trainer;
mod windows;

pub use crate::network::{Optimizer, Recipe};
pub use crate::ops::cross_entropy::IGNORED;
pub use checkpoint::{Checkpoint, Kernels, Manifest};
pub use choice::{Choice, Extent};
pub use corpus::{Corpus, Ends, Ids, Width};
pub use curves::Curves;
pub use engine::{Engine, Outcome, Snapshot, Window};
pub use log::Line;
pub use marks::{Marks, with_marks};
pub use options::{Cadence, CorpusOptions, End, Method, Options, Unknown};
pub use schedule::{Rate, Schedule};
pub use start::{first_weights, generation_config};
pub use trainer::{Best, Progress, Trainer, VALIDATIONS};
pub use windows::{Lines, Position, Streams, Windows};
