//! The networks, from free functions that each write a part: weights, a recurrent stack over time, a decode step,
//! the head, the sampler. An encoder-decoder is built from the same parts.

mod admission;
mod backward;
mod decoding;
mod encoder_decoder;
mod general_cell;
mod general_layers;
mod head;
mod language_model;
mod level;
mod optimiser;
mod stack;
mod trained_stack;
mod training;

pub use admission::Admission;
pub use backward::LayerGradients;
pub use decoding::{Capacity, Decoding, DrawnRows, SourceMemory};
pub use encoder_decoder::{
    Attention, Bridge, CellState, Coupling, Encoder, EncoderDecoder, Feed, Misfit, Pool, Query, Readout, ReadoutInput,
    Score, Translation, translation,
};
pub use general_cell::{GeneralCell, Kind, weight_name};
pub use general_layers::{GeneralLayer, GeneralStack, general_stack, layers};
pub use head::{Head, head};
pub use language_model::{LanguageModel, Shape, language_model};
pub use optimiser::{Optimizer, Parameter};
pub use stack::{Layer, Rows, Stack, StackScratch, decode_stack, layer, rnn_stack, stack, stack_scratch};
pub use trained_stack::{TrainedStack, TrainedWay, trained_stack};
pub use training::{Io, Pairs, RING, Recipe, SourceIo, Training, training};

pub use crate::ops::activation::Activation;
use crate::ops::recurrent::Recurrent;
use crate::ops::{gru, lstm, rnn};

/// The recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory: gates i f g o, states h and c.
    Lstm,
    /// Gated recurrent unit: gates r z n, state h.
    Gru,
    /// A plain layer without gates, state h.
    Rnn(Nonlinearity),
    /// A layer of another form than these; it runs, and is not trained.
    General(GeneralCell),
}

/// The function of a plain RNN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
}

impl Nonlinearity {
    fn activation(self) -> Activation {
        match self {
            Nonlinearity::Tanh => Activation::Tanh,
            Nonlinearity::Relu => Activation::Relu,
        }
    }
}

impl Cell {
    /// The cells that have a fused op.
    pub const PLAIN: [Cell; 4] = [Cell::Lstm, Cell::Gru, Cell::Rnn(Nonlinearity::Tanh), Cell::Rnn(Nonlinearity::Relu)];

    /// All that the cell is.
    pub fn form(self) -> GeneralCell {
        match self {
            Cell::Lstm => GeneralCell::plain(Kind::Lstm),
            Cell::Gru => GeneralCell::plain(Kind::Gru),
            Cell::Rnn(f) => GeneralCell { cell: f.activation(), ..GeneralCell::plain(Kind::Rnn) },
            Cell::General(form) => form,
        }
    }

    /// The ops of its steps, if it is one of those that have a fused op.
    pub fn fused(self) -> Option<&'static Recurrent> {
        match self {
            Cell::Lstm => Some(&lstm::LSTM),
            Cell::Gru => Some(&gru::GRU),
            Cell::Rnn(Nonlinearity::Tanh) => Some(&rnn::TANH),
            Cell::Rnn(Nonlinearity::Relu) => Some(&rnn::RELU),
            Cell::General(_) => None,
        }
    }

    /// Number of gates.
    pub fn gates(self) -> usize {
        self.form().kind.gates()
    }

    /// The name in config.json.
    pub fn name(self) -> &'static str {
        self.form().kind.name()
    }

    /// Whether it reads from the end too, so that text cannot be written token by token.
    pub fn is_bidirectional(self) -> bool {
        self.form().bidirectional
    }
}
