//! Attention backward, second: the queries' gradients from those of the scores. See [`super::attend`].
//!
//! ```text
//! d_query[r, :] = sum_s d_scores[r, s] keys[s, :]   |   sum_s d_scores[r, s] v (1 - tanh(query[r] + keys[s])^2)
//! d_scores [*] of S a row, query [*, A], keys [*, A], lengths [*] u32, v [1, A], d_query [*, A] from row weights_row on
//! ```
//! Where the score is a product with memory, that is bound as `keys`. Sums go over blocks of 64 places, s ascending.
//! Flops: 2 M S A. Bytes: 4 (B S A + M (S + 2 A)).

use super::attention::{self, AttentionOffsets, PARAMS, Places, Score};
use crate::plan::{Args, Builder, OpRow, Operand, OrderClass, Real, Requires, TensorId, Variant, folded};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct AttendQueryBackward {
    /// `[*]`.
    pub d_scores: TensorId,
    /// `[*, A]`.
    pub query: TensorId,
    /// `[*, A]`.
    pub keys: TensorId,
    /// `[*]` u32.
    pub lengths: TensorId,
    /// `[1, A]`, or a stand-in.
    pub v: TensorId,
    /// `[*, A]`.
    pub d_query: TensorId,
}

/// Records the op; of the offsets those of contexts do not matter.
pub fn record(b: &mut Builder, op: AttendQueryBackward, at: AttentionOffsets) {
    let AttendQueryBackward { d_scores, query, keys, lengths, v, d_query } = op;
    let at = AttentionOffsets { context_column: 0, ..at };
    let params = attention::params(b, [query, keys, d_query], at);
    b.push(&ROW, &[d_scores, query, keys, lengths, v, d_query], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "attend_query_backward",
    operands: &[
        Operand::read("d_scores"),
        Operand::read("query"),
        Operand::read("keys"),
        Operand::read_u32("lengths"),
        Operand::read("v"),
        Operand::write("d_query"),
    ],
    params: PARAMS,
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("attend_query_backward", "base", "attention"), Requires::invocations(64))
        .class(OrderClass::Blocks64)
        .groups(|w| folded((w["rows"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases: || {
        attention::cases(false, |b, t, at| {
            let attention::Tensors { query, keys, lengths, v, scores: d_scores, d_query, .. } = t;
            record(b, AttendQueryBackward { d_scores, query, keys, lengths, v, d_query }, at);
        })
    },
    cost: |w| attention::cost(w, 2.0 * w.f64("width")),
};

fn reference<F: Real>(args: &mut Args<F>) {
    let at = Places::of(&args.words);
    let [d_scores, query, keys, lengths, v, d_query] = args.all();
    for row in 0..at.rows {
        let (m, len) = at.source_of(row, lengths.word());
        let (d_scores, q) = (&d_scores.real()[at.weights(row)], &query.real()[at.query(row)]);
        let d_query = &mut d_query.real_mut()[at.query_gradient(row)];
        d_query.fill(F::ZERO);
        for (s, &d) in d_scores[..len].iter().enumerate() {
            let key = &keys.real()[at.place(m, s, at.width)];
            for (j, dq) in d_query.iter_mut().enumerate() {
                let slope = if at.score == Score::Additive { v.real()[j] * flatness(q[j] + key[j]) } else { key[j] };
                *dq = d.mul_add(slope, *dq);
            }
        }
    }
}

/// `1 - tanh(x)^2`.
pub(super) fn flatness<F: Real>(x: F) -> F {
    let u = x.tanh();
    F::ONE - u * u
}
