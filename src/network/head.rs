//! The output layer.

use super::Rows;
use crate::ops::matmul;
use crate::plan::{Builder, Dim, Role, ShardGroup, TensorId};

/// The output layer: weight `[1, V, H]`, bias `[1, V]`, and what is sharded with them.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// `[1, V, H]`.
    pub weight: TensorId,
    /// `[1, V]`.
    pub bias: TensorId,
    /// V.
    pub vocab: usize,
    group: ShardGroup,
}

/// Declares the output layer.
pub fn head(b: &mut Builder, vocab: usize, hidden: usize) -> Head {
    let weight = b.f32(Role::Weight, "output.weight", &[1.into(), vocab.into(), hidden.into()]);
    let group = b.shard_group();
    b.shard(weight, 1, group);
    head_with(b, weight)
}

/// An output layer whose weight `[1, V, H]` is there already, as the embedding's is.
pub(super) fn head_with(b: &mut Builder, weight: TensorId) -> Head {
    let tensor = b.tensor(weight);
    let vocab = tensor.shape[1].as_fixed().expect("a vocabulary has a size");
    let group = tensor.shard.expect("the weight may be sharded").group;
    let bias = b.f32(Role::Weight, "output.bias", &[1.into(), vocab.into()]);
    Head { weight, bias, vocab, group }
}

impl Head {
    /// Declares a tensor [rows, 1, V] that is sharded as the weight is.
    pub fn logits(&self, b: &mut Builder, role: Role, name: &str, rows: Dim) -> TensorId {
        let logits = b.f32(role, name, &[rows, 1.into(), self.vocab.into()]);
        b.shard(logits, 2, self.group);
        logits
    }

    /// Declares a tensor of words [rows, V] that is sharded as the weight is.
    pub fn token_flags(&self, b: &mut Builder, name: &str, rows: Dim) -> TensorId {
        let token_flags = b.u32(Role::State, name, &[rows, self.vocab.into()]);
        b.shard(token_flags, 1, self.group);
        token_flags
    }

    /// Records logits = W x + b.
    pub fn record(&self, b: &mut Builder, x: Rows, logits: TensorId, rows: Dim) {
        let op = matmul::Matmul { x: x.tensor, w: self.weight, bias: self.bias, y: logits };
        matmul::record(b, op, rows, x.first, 0);
    }
}
