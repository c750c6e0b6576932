//! Training: the [`Engine`] runs the steps.

mod engine;
mod portions;

pub use engine::{Engine, Outcome, Snapshot, Window};
