//! The networks, from free functions that each write a part: weights, a recurrent stack over time, a decode step,
//! the head, the sampler. An encoder-decoder would be built from the same parts.

mod backward;
mod head;
mod language_model;
mod optimiser;
mod stack;
mod trained_stack;
mod training;

pub use backward::LayerGradients;
pub use head::{Head, head};
pub use language_model::{LanguageModel, Room, Shape, language_model};
pub use optimiser::{Optimizer, Parameter};
pub use stack::{Layer, Rows, Stack, StackScratch, decode_stack, layer, rnn_stack, stack, stack_scratch};
pub use trained_stack::{TrainedStack, trained_stack};
pub use training::{Io, RING, Recipe, Training, training};

/// The recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory: gates i f g o, states h and c.
    Lstm,
    /// Gated recurrent unit: gates r z n, state h.
    Gru,
}

impl Cell {
    /// Number of gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// The name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }
}
