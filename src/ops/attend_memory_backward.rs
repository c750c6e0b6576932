//! Attention backward, third: what all steps ask of a place. See [`super::attend`].
//!
//! ```text
//! d_memory[s, :] (+)= sum_t factors[t B + m, s] from[t B + m, :]        for s < lengths[m]; 0 (or as it was) behind it
//! factors [*] of S a row, from [*, W] (context_row, context_column), lengths [*] u32, d_memory [S B, D]; t < rows / B
//! ```
//! With weights and the contexts' gradients that is the gradient of memory; with the scores' gradients and queries that of
//! keys where a score is a product. Sums go over blocks of 64 steps, t ascending. Flops: 2 M S D. Bytes: 4 (M S + M D + B S D).

use super::attention::{self, AttentionOffsets, PARAMS, Places};
use crate::plan::{Args, Builder, OpRow, Operand, OrderClass, Real, Requires, TensorId, Variant, folded};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct AttendMemoryBackward {
    /// `[*]`.
    pub factors: TensorId,
    /// `[*, W]`.
    pub from: TensorId,
    /// `[*]` u32.
    pub lengths: TensorId,
    /// `[S B, D]`.
    pub d_memory: TensorId,
}

/// Records the op; of the offsets those of queries do not matter.
pub fn record(b: &mut Builder, op: AttendMemoryBackward, at: AttentionOffsets) {
    let AttendMemoryBackward { factors, from, lengths, d_memory } = op;
    assert!(!at.table && at.stride == at.batch, "attend_memory_backward: places of a source are `batch` rows apart");
    let params = attention::params(b, [d_memory, d_memory, from], at);
    b.push(&ROW, &[factors, from, lengths, d_memory], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "attend_memory_backward",
    operands: &[
        Operand::read("factors"),
        Operand::read("from_rows"),
        Operand::read_u32("lengths"),
        Operand::write("d_memory"),
    ],
    params: PARAMS,
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("attend_memory_backward", "base", "attention"), Requires::invocations(64))
        .class(OrderClass::Blocks64)
        .groups(|w| folded((w["source"] * w["batch"] * w["outputs"]).div_ceil(64)))],
    cases: || {
        attention::cases(false, |b, t, at| {
            let attention::Tensors { memory: d_memory, lengths, weights: factors, context: from, .. } = t;
            record(b, AttendMemoryBackward { factors, from, lengths, d_memory }, at);
        })
    },
    cost: |w| attention::cost(w, 2.0 * w.f64("outputs")),
};

fn reference<F: Real>(args: &mut Args<F>) {
    let at = Places::of(&args.words);
    let [factors, from, lengths, d_memory] = args.all();
    for (m, s) in (0..at.batch).flat_map(|m| (0..at.source).map(move |s| (m, s))) {
        let (_, len) = at.source_of(m, lengths.word());
        let to = &mut d_memory.real_mut()[at.place(m, s, at.outputs)];
        if !at.accumulate {
            to.fill(F::ZERO);
        }
        for row in (m..at.rows).step_by(at.batch).filter(|_| s < len) {
            let factor = factors.real()[at.weights(row)][s];
            for (to, &x) in to.iter_mut().zip(&from.real()[at.context(row)]) {
                *to = factor.mul_add(x, *to);
            }
        }
    }
}
