//! A run of training as a whole: texts become windows, the model its first weights, steps are led by the clock, and the
//! folder holds what a run leaves. Who shows it is an [`Observer`].

mod options;
mod prepare;
mod session;
mod texts;

use std::time::Duration;

use super::Device;
use crate::error::Result;
use crate::model::Model;
use crate::plan::MemoryNeed;
use crate::text::{Lacking, OnUnknown};
use crate::train::{Best, Curves, Defaults, Line, Options, Progress, Windows};

pub use options::{AttentionKind, PairOptions, TrainingOptions, Vocabulary, read_tokenizer};
pub use session::Session;

/// An observer of a run while it is prepared and while it goes on; each method does nothing where it is not written.
pub trait Observer {
    /// Whether the run is to stop: it then writes a checkpoint, and can go on from there.
    fn interrupted(&self) -> bool {
        false
    }

    /// Something to know before the first step.
    fn note(&mut self, _note: &Note) {}

    /// Steps begin, with this share of the run done.
    fn begin(&mut self, _share: f64) {}

    /// Some steps were done, with so many targets.
    fn steps(&mut self, _progress: &Progress, _share: f64, _tokens: u64, _took: Duration) {}

    /// A validation begins.
    fn validating(&mut self) {}

    /// A line of the log was written; `best` if its validation was the best so far.
    fn line(&mut self, _line: &Line, _best: bool) {}

    /// A picture of the losses as SVG, for the folder; without one there is none.
    ///
    /// # Errors
    /// Its own; the run ends with it.
    fn picture(&mut self, _model: &Model, _best: Option<Best>, _curves: &Curves) -> Result<Option<String>> {
        Ok(None)
    }
}

/// News of a run before its first step.
pub enum Note<'a> {
    /// The vocabulary lacks some of the text, which was left out or replaced.
    Lacking(&'a Lacking, OnUnknown),
    /// The memory that training takes.
    Memory(MemoryNeed),
    /// The run is prepared.
    Prepared {
        /// Its sizes and name; it has no weights yet.
        model: &'a Model,
        /// Where it runs.
        device: &'a Device,
        /// All that was asked for or chosen.
        options: &'a Options,
        /// Tokens that are learnt from; of lines, how many there are.
        learnt: usize,
        /// The same of what validation reads.
        held_out: usize,
        /// The windows that the steps read.
        windows: &'a Windows,
    },
    /// Defaults for a corpus of so many tokens: each option that nobody gave is from here.
    Chosen(&'a Defaults, usize),
    /// The run was on another device: its numbers will differ in their last digits.
    OtherDevice {
        /// Where it was.
        before: &'a str,
        /// Where it is.
        now: &'a str,
    },
    /// It goes on after this step.
    GoesOn(u32),
}
