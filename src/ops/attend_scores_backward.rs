//! Attention backward, first: from the contexts' gradients to those of the scores. See [`super::attend`].
//!
//! ```text
//! da[s] = d_context[r] . memory[s]        d_scores[r, s] = weights[r, s] (da[s] - sum_s weights[r, s] da[s])
//! d_context [*, W], memory [*, D], lengths [*] u32, weights and d_scores [*] of S a row; 0 behind the source's end
//! ```
//! Flops: 2 M S D. Bytes: 4 (B S D + M (2 S + D)).

use super::attention::{self, AttentionOffsets, PARAMS, Places, product};
use crate::plan::{Args, Builder, OpRow, Operand, OrderClass, Real, Requires, TensorId, Variant, folded};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct AttendScoresBackward {
    /// `[*, W]`.
    pub d_context: TensorId,
    /// `[*, D]`.
    pub memory: TensorId,
    /// `[*]` u32.
    pub lengths: TensorId,
    /// `[*]`.
    pub weights: TensorId,
    /// `[*]`.
    pub d_scores: TensorId,
}

/// Records the op; of the offsets those of queries do not matter.
pub fn record(b: &mut Builder, op: AttendScoresBackward, at: AttentionOffsets) {
    let AttendScoresBackward { d_context, memory, lengths, weights, d_scores } = op;
    let params = attention::params(b, [memory, memory, d_context], at);
    b.push(&ROW, &[d_context, memory, lengths, weights, d_scores], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "attend_scores_backward",
    operands: &[
        Operand::read("d_context"),
        Operand::read("memory"),
        Operand::read_u32("lengths"),
        Operand::read("weights"),
        Operand::write("d_scores"),
    ],
    params: PARAMS,
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("attend_scores_backward", "base", "attention", "places"),
        Requires::invocations(128).with_memory(512),
    )
    .class(OrderClass::Blocks64)
    .groups(|w| folded(w["rows"]))],
    cases: || {
        attention::cases(false, |b, t, at| {
            let attention::Tensors { memory, lengths, weights, context: d_context, scores: d_scores, .. } = t;
            record(b, AttendScoresBackward { d_context, memory, lengths, weights, d_scores }, at);
        })
    },
    cost: |w| attention::cost(w, 2.0 * w.f64("outputs")),
};

fn reference<F: Real>(args: &mut Args<F>) {
    let at = Places::of(&args.words);
    let [d_context, memory, lengths, weights, d_scores] = args.all();
    for row in 0..at.rows {
        let (m, len) = at.source_of(row, lengths.word());
        let d = &d_context.real()[at.context(row)];
        let weights = &weights.real()[at.weights(row)];
        let of_weights: Vec<F> = (0..len).map(|s| product(d, &memory.real()[at.place(m, s, at.outputs)])).collect();
        let mean = product(&weights[..len], &of_weights);
        let d_scores = &mut d_scores.real_mut()[at.weights(row)];
        d_scores.fill(F::ZERO);
        for (s, da) in of_weights.into_iter().enumerate() {
            d_scores[s] = weights[s] * (da - mean);
        }
    }
}
