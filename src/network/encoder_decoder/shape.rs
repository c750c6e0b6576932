//! What an encoder-decoder is: its sizes, its options, its weights, and which options go together.

use super::super::{Cell, GeneralCell, Kind, Shape};
use crate::ops::activation::Activation;

/// The encoder: `Shape::vocab` counts the source's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoder {
    /// Its sizes, each direction's `hidden` alone.
    pub shape: Shape,
    /// A second stack of cells reads each source from its end.
    pub bidirectional: bool,
    /// A single direction reads from the end.
    pub reverse: bool,
}

/// What the decoder's first states are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The final states of each layer's directions, side by side; layer by layer.
    Last,
    /// The state of the last layer's second direction at the source's first token; for every layer.
    FirstBackward,
    /// The mean of the memory; for every layer.
    Mean,
    /// Nothing: states begin at zero.
    Zero,
}

/// What an LSTM decoder's cell states begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellState {
    /// Zero.
    Zero,
    /// What h begins with is made of, with weights of its own; of the last states, the encoder's cell states.
    Same,
}

/// From the encoder to the decoder's first states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// What they are made of.
    pub from: Pool,
    /// The function around a product with weights; without one the pool itself is the state.
    pub activation: Option<Activation>,
    /// What an LSTM's c begins with.
    pub cell_state: CellState,
}

/// How well a query and a place of the source fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Their product.
    Dot,
    /// The product of the query and weights times the place.
    General,
    /// Weights times the tanh of both, each times weights.
    Additive,
}

/// What is compared with the places of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// The last layer's h of this step.
    State,
    /// The last layer's h of the step before.
    PreviousState,
    /// The embedding of the token that is read.
    Embedding,
}

/// Attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// The score.
    pub score: Score,
    /// The query.
    pub query: Query,
    /// A: the width of additive scores; else the query's.
    pub size: usize,
}

/// What the decoder's first layer reads behind a token's embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Nothing.
    None,
    /// The context of this step.
    Context,
    /// The readout of the step before.
    Readout,
}

/// A part of what the output layer, or the readout's weights, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadoutInput {
    /// The last layer's h.
    State,
    /// The context.
    Context,
    /// The embedding of the token that was read.
    Embedding,
}

/// What the output layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readout {
    /// The parts in their order; `None` behind the last.
    pub inputs: [Option<ReadoutInput>; 3],
    /// Weights to so many numbers, and the function around them; without them the parts themselves are read.
    pub layer: Option<(usize, Activation)>,
}

/// All of an encoder-decoder that its decoder, as a language model, has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coupling {
    /// The encoder.
    pub encoder: Encoder,
    /// The decoder's first states.
    pub bridge: Bridge,
    /// Attention, if there is any.
    pub attention: Option<Attention>,
    /// Around the decoder's embeddings.
    pub embedding_activation: Activation,
    /// What its first layer reads besides.
    pub feed: Feed,
    /// What the output layer reads.
    pub readout: Readout,
    /// Source and target have one embedding.
    pub share_embeddings: bool,
}

/// An encoder-decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderDecoder {
    /// The decoder's sizes; `Shape::vocab` counts the target's tokens.
    pub decoder: Shape,
    /// Whether the decoder's embedding is the output layer's weight.
    pub tied: bool,
    /// The rest.
    pub coupling: Coupling,
}

/// Options that do not go together: the field of config.json, what it is, and what it would have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The field, as `bridge.from`.
    pub field: &'static str,
    /// What it is, as a sentence's end: `is "last"`.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Encoder {
    /// Numbers of the memory for each token: D.
    pub fn outputs(&self) -> usize {
        self.directions() * self.shape.hidden
    }

    /// Directions of a layer.
    pub fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// The cell of its layers, as a stack of one or two directions.
    fn general(&self) -> GeneralCell {
        GeneralCell { bidirectional: self.bidirectional, ..self.shape.cell.form() }
    }
}

impl Readout {
    /// These parts in this order.
    pub fn of(parts: &[ReadoutInput], layer: Option<(usize, Activation)>) -> Readout {
        assert!(parts.len() <= 3, "three parts at most");
        Readout { inputs: std::array::from_fn(|i| parts.get(i).copied()), layer }
    }

    /// The parts in their order.
    pub fn parts(&self) -> impl Iterator<Item = ReadoutInput> + use<> {
        self.inputs.into_iter().flatten()
    }

    /// Whether it reads a part.
    pub fn reads(&self, part: ReadoutInput) -> bool {
        self.inputs.contains(&Some(part))
    }
}

impl EncoderDecoder {
    /// Width of a part of the readout.
    pub fn part_width(&self, part: ReadoutInput) -> usize {
        match part {
            ReadoutInput::State => self.decoder.hidden,
            ReadoutInput::Context => self.coupling.encoder.outputs(),
            ReadoutInput::Embedding => self.decoder.embedding,
        }
    }

    /// Numbers before a part of the readout.
    pub(super) fn part_column(&self, part: ReadoutInput) -> usize {
        self.coupling.readout.parts().take_while(|other| *other != part).map(|part| self.part_width(part)).sum()
    }

    /// Width of all parts of the readout.
    pub fn readout_inputs(&self) -> usize {
        self.coupling.readout.parts().map(|part| self.part_width(part)).sum()
    }

    /// F: what the output layer reads.
    pub fn readout(&self) -> usize {
        self.coupling.readout.layer.map_or_else(|| self.readout_inputs(), |(size, _)| size)
    }

    /// Inputs of the decoder's first layer.
    pub fn decoder_inputs(&self) -> usize {
        let fed = match self.coupling.feed {
            Feed::None => 0,
            Feed::Context => self.coupling.encoder.outputs(),
            Feed::Readout => self.readout(),
        };
        self.decoder.embedding + fed
    }

    /// Width of what attention takes as its query, before weights.
    pub fn query_width(&self, attention: &Attention) -> usize {
        match attention.query {
            Query::State | Query::PreviousState => self.decoder.hidden,
            Query::Embedding => self.decoder.embedding,
        }
    }

    /// Whether step t + 1 needs what the readout or the attention of step t gave, so that steps run one by one.
    pub fn is_sequential(&self) -> bool {
        let Coupling { attention, feed, .. } = self.coupling;
        feed == Feed::Readout || feed == Feed::Context && attention.is_some_and(|a| a.query == Query::PreviousState)
    }

    /// Width of what the bridge takes.
    pub fn pool_width(&self) -> usize {
        let encoder = self.coupling.encoder;
        match self.coupling.bridge.from {
            Pool::FirstBackward => encoder.shape.hidden,
            _ => encoder.outputs(),
        }
    }

    /// The decoder's states that the bridge fills: h, and an LSTM's c unless it begins at zero.
    pub fn bridged_states(&self) -> &'static [&'static str] {
        match (self.coupling.bridge.from, self.coupling.bridge.cell_state, self.decoder.cell.form().kind) {
            (Pool::Zero, ..) => &[],
            (_, CellState::Same, Kind::Lstm) => &["h", "c"],
            _ => &["h"],
        }
    }

    /// Names that stand for another tensor: `(name, the tensor that it is)`.
    pub fn aliases(&self) -> Vec<(&'static str, &'static str)> {
        let shared = self.coupling.share_embeddings.then_some(("encoder.embedding.weight", "decoder.embedding.weight"));
        let tied = self.tied.then_some(("output.weight", "decoder.embedding.weight"));
        shared.into_iter().chain(tied).collect()
    }

    /// Names and shapes of the weights, as on disk; those of [`EncoderDecoder::aliases`] are among them.
    pub fn weight_shapes(&self) -> Vec<(String, Vec<usize>)> {
        let Coupling { encoder, bridge, attention, readout, .. } = self.coupling;
        let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
        let mut push = |name: &str, shape: &[usize]| shapes.push((name.to_string(), shape.to_vec()));
        push("encoder.embedding.weight", &[encoder.shape.vocab, encoder.shape.embedding]);
        let mut stack = |prefix: &str, cell: GeneralCell, inputs: usize, of: Shape| {
            for layer in 0..of.layers {
                let inputs = if layer == 0 { inputs } else { cell.outputs(of.hidden) };
                for (name, shape) in cell.weight_shapes(layer, inputs, of.hidden) {
                    push(&format!("{prefix}{name}"), &shape);
                }
            }
        };
        stack("encoder.rnn.", encoder.general(), encoder.shape.embedding, encoder.shape);
        let Shape { cell, vocab, embedding, hidden, layers } = self.decoder;
        if bridge.activation.is_some() {
            for (state, layer) in self.bridged_states().iter().flat_map(|s| (0..layers).map(move |l| (s, l))) {
                push(&format!("bridge.{state}_l{layer}.weight"), &[hidden, self.pool_width()]);
                push(&format!("bridge.{state}_l{layer}.bias"), &[hidden]);
            }
        }
        if let Some(attention) = attention {
            let Attention { score, size, .. } = attention;
            if score == Score::Additive {
                push("attention.query.weight", &[size, self.query_width(&attention)]);
            }
            if score != Score::Dot {
                push("attention.memory.weight", &[size, encoder.outputs()]);
            }
            if score == Score::Additive {
                push("attention.memory.bias", &[size]);
                push("attention.score.weight", &[1, size]);
            }
        }
        push("decoder.embedding.weight", &[vocab, embedding]);
        for layer in 0..layers {
            let inputs = if layer == 0 { self.decoder_inputs() } else { hidden };
            for (name, shape) in cell.form().weight_shapes(layer, inputs, hidden) {
                push(&format!("decoder.rnn.{name}"), &shape);
            }
        }
        if let Some((size, _)) = readout.layer {
            push("readout.weight", &[size, self.readout_inputs()]);
            push("readout.bias", &[size]);
        }
        push("output.weight", &[vocab, self.readout()]);
        push("output.bias", &[vocab]);
        shapes
    }

    /// Whether its options go together.
    ///
    /// # Errors
    /// The first field that does not suit the others.
    pub fn check(&self) -> Result<(), Misfit> {
        let misfit = |field, found: &str, expected: String| Err(Misfit { field, found: found.into(), expected });
        for (field, cell) in [("encoder.cell", self.coupling.encoder.shape.cell), ("decoder.cell", self.decoder.cell)] {
            if cell.fused().is_none() {
                return misfit(field, "is of another form", "PyTorch's plain lstm, gru or rnn".into());
            }
        }
        if self.coupling.encoder.bidirectional && self.coupling.encoder.reverse {
            return misfit("encoder.reverse", "is true", "false, as the encoder is bidirectional".into());
        }
        self.check_bridge()?;
        self.check_attention()?;
        self.check_readout()?;
        let (source, target) = (self.coupling.encoder.shape, self.decoder);
        if self.coupling.share_embeddings && (source.vocab, source.embedding) != (target.vocab, target.embedding) {
            let sizes = |s: Shape| format!("{} x {}", s.vocab, s.embedding);
            let expected = format!("equal sizes; the encoder has {}, the decoder {}", sizes(source), sizes(target));
            return misfit("share_embeddings", "is true", expected);
        }
        if self.tied && target.embedding != self.readout() {
            let (found, width) = (format!("is {}", target.embedding), self.readout());
            let expected = format!("{width}, what the output layer reads, as tie_word_embeddings is true");
            return misfit("decoder.embedding_size", &found, expected);
        }
        Ok(())
    }

    fn check_bridge(&self) -> Result<(), Misfit> {
        let Coupling { encoder, bridge, attention, .. } = self.coupling;
        let misfit =
            |field, found: &str, expected: &str| Err(Misfit { field, found: found.into(), expected: expected.into() });
        let is_lstm = |cell: Cell| cell.form().kind == Kind::Lstm;
        match bridge.from {
            Pool::Zero if bridge.activation.is_some() => {
                return misfit("bridge.activation", "is there", "none, as states begin at zero");
            }
            Pool::Zero if attention.is_none() => {
                return misfit("bridge.from", "is \"zero\"", "another one where nothing attends to the source");
            }
            Pool::FirstBackward if !encoder.bidirectional => {
                return misfit("bridge.from", "is \"first_backward\"", "another one for an encoder of one direction");
            }
            Pool::Last if encoder.shape.layers != self.decoder.layers => {
                return misfit("bridge.from", "is \"last\"", "as many layers in the encoder as in the decoder");
            }
            _ => {}
        }
        if bridge.from != Pool::Zero && bridge.activation.is_none() && self.pool_width() != self.decoder.hidden {
            let expected = format!("{}, what the encoder gives, as the bridge has no weights", self.pool_width());
            return misfit("decoder.hidden_size", &format!("is {}", self.decoder.hidden), &expected);
        }
        if bridge.cell_state == CellState::Same {
            let from_cells = bridge.from == Pool::Last;
            if !is_lstm(self.decoder.cell) || from_cells && !is_lstm(encoder.shape.cell) || bridge.from == Pool::Zero {
                return misfit("bridge.cell_state", "is \"same\"", "\"zero\", as there is no such cell state");
            }
        }
        Ok(())
    }

    fn check_attention(&self) -> Result<(), Misfit> {
        let misfit = |field, found: &str, expected: String| Err(Misfit { field, found: found.into(), expected });
        let Some(attention) = self.coupling.attention else { return Ok(()) };
        let (query, memory) = (self.query_width(&attention), self.coupling.encoder.outputs());
        if attention.score == Score::Dot && query != memory {
            let expected = format!("another one: the query has {query} numbers, a place of the source {memory}");
            return misfit("attention.score", "is \"dot\"", expected);
        }
        let size = if attention.score == Score::Dot { memory } else { query };
        if attention.score != Score::Additive && attention.size != size {
            let expected = format!("{size}, or none, as the score is a product");
            return misfit("attention.size", &format!("is {}", attention.size), expected);
        }
        if self.coupling.feed == Feed::Context && attention.query == Query::State {
            let expected =
                "\"previous_state\" or \"embedding\", as the context is fed to the step that it is of".into();
            return misfit("attention.query", "is \"state\"", expected);
        }
        if !self.coupling.readout.reads(ReadoutInput::Context) && self.coupling.feed != Feed::Context {
            return misfit("readout.inputs", "lacks \"context\"", "something that reads what attention finds".into());
        }
        Ok(())
    }

    fn check_readout(&self) -> Result<(), Misfit> {
        let Coupling { attention, readout, feed, .. } = self.coupling;
        let misfit =
            |field, found: &str, expected: &str| Err(Misfit { field, found: found.into(), expected: expected.into() });
        if !readout.reads(ReadoutInput::State) {
            return misfit("readout.inputs", "lacks \"state\"", "the decoder's state among them");
        }
        let parts: Vec<ReadoutInput> = readout.parts().collect();
        if (1..parts.len()).any(|i| parts[..i].contains(&parts[i])) {
            return misfit("readout.inputs", "has one twice", "each at most once");
        }
        if attention.is_none() && readout.reads(ReadoutInput::Context) {
            return misfit("readout.inputs", "has \"context\"", "none, as there is no attention");
        }
        if attention.is_none() && feed == Feed::Context {
            return misfit("decoder.feed", "is \"context\"", "another one, as there is no attention");
        }
        Ok(())
    }
}
