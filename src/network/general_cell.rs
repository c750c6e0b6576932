//! The ways in which a layer differs from PyTorch's plain LSTM and GRU.

use super::Cell;
use crate::ops::activation::Activation;

/// The kind of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gates i f g o, states h and c.
    Lstm,
    /// Gates r z n, state h.
    Gru,
    /// No gates, state h.
    Rnn,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Lstm, Kind::Gru, Kind::Rnn];

    /// Number of sums that a unit takes.
    pub fn gates(self) -> usize {
        match self {
            Kind::Lstm => 4,
            Kind::Gru => 3,
            Kind::Rnn => 1,
        }
    }

    /// The name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Lstm => "lstm",
            Kind::Gru => "gru",
            Kind::Rnn => "rnn",
        }
    }
}

/// All that a recurrent layer may be. General cells are for inference, not trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralCell {
    /// The kind of cell.
    pub kind: Kind,
    /// Around the sums of gates.
    pub gate: Activation,
    /// Around the candidate's sum; a plain cell's only function.
    pub cell: Activation,
    /// Around an LSTM's c on its way to h.
    pub output: Activation,
    /// An LSTM's gates see c.
    pub peepholes: bool,
    /// A GRU's reset gate multiplies h before the product, not the product.
    pub reset_before: bool,
    /// P: an LSTM's h is a product of P numbers.
    pub projection: Option<usize>,
    /// A second cell reads from the end; their outputs stand side by side.
    pub bidirectional: bool,
}

impl GeneralCell {
    /// PyTorch's cell of a kind, one direction.
    pub fn plain(kind: Kind) -> GeneralCell {
        GeneralCell {
            kind,
            gate: Activation::Sigmoid,
            cell: Activation::Tanh,
            output: Activation::Tanh,
            peepholes: false,
            reset_before: false,
            projection: None,
            bidirectional: false,
        }
    }

    /// The cell of this form: the plain one where nothing is special.
    pub fn into_cell(self) -> Cell {
        Cell::PLAIN.into_iter().find(|cell| cell.form() == self).unwrap_or(Cell::General(self))
    }

    /// Directions of a layer.
    pub fn directions(self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Length of h, of `hidden` units.
    pub fn state(self, hidden: usize) -> usize {
        self.projection.unwrap_or(hidden)
    }

    /// Numbers that a layer of `hidden` units puts out.
    pub fn outputs(self, hidden: usize) -> usize {
        self.directions() * self.state(hidden)
    }

    /// Names and shapes of the weights of layer `index`, as on disk, without their prefix.
    pub fn weight_shapes(self, index: usize, inputs: usize, hidden: usize) -> Vec<(String, Vec<usize>)> {
        let gates = self.kind.gates() * hidden;
        let mut shapes = Vec::new();
        for reverse in [false, true].into_iter().take(self.directions()) {
            let mut push = |name: &str, shape: Vec<usize>| shapes.push((weight_name(name, index, reverse), shape));
            push("weight_ih", vec![gates, inputs]);
            push("weight_hh", vec![gates, self.state(hidden)]);
            push("bias_ih", vec![gates]);
            push("bias_hh", vec![gates]);
            if let Some(projection) = self.projection {
                push("weight_hr", vec![projection, hidden]);
            }
            if self.peepholes {
                push("peephole", vec![3 * hidden]);
            }
        }
        shapes
    }
}

/// The name of a layer's weight, as PyTorch has it, without its prefix.
pub fn weight_name(name: &str, index: usize, reverse: bool) -> String {
    format!("{name}_l{index}{}", if reverse { "_reverse" } else { "" })
}
