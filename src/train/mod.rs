//! Training: what surrounds the [`Engine`], which runs the steps.
//!
//! A [`Corpus`] holds ids in flat memory, [`Windows`] cuts it into what each step reads, [`Rate`] gives each step its
//! learning rate, and a [`Trainer`] leads an [`Engine`] through all of it, from one [`Checkpoint`] to the next. Nothing
//! here knows files, clocks or threads: [`crate::host`] writes folders and decides when.

mod checkpoint;
mod corpus;
mod curves;
mod defaults;
mod engine;
mod groups;
mod log;
mod options;
mod pair_windows;
mod permutation;
mod schedule;
mod special_tokens;
mod start;
mod submissions;
mod trainer;
mod windows;

pub use crate::network::{Optimizer, Pairs, Recipe};
pub use crate::ops::cross_entropy::IGNORED;
pub use checkpoint::{Checkpoint, Kernels, Manifest};
pub use corpus::{Corpus, Ends, Ids, Width};
pub use curves::Curves;
pub use defaults::{Defaults, Extent};
pub use engine::{Engine, Outcome, Snapshot, Sources, Window};
pub use log::Line;
pub use options::{Cadence, CorpusOptions, End, Method, Options, Unknown};
pub use pair_windows::PairWindows;
pub use schedule::{Rate, Schedule};
pub use special_tokens::{SpecialTokens, with_special_tokens};
pub use start::{first_weights, generation_config};
pub use trainer::{Best, Progress, Trainer, VALIDATIONS};
pub use windows::{Lines, Position, Streams, Windows};
