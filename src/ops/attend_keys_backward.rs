//! Attention backward where scores are additive: what all steps ask of a key, and its part of v's gradient.
//!
//! ```text
//! d_keys[s, :] = v sum_t d_scores[r, s] (1 - u^2)   rows_of_v[s, :] = sum_t d_scores[r, s] u   u = tanh(query[r] + keys[s])
//! r = t B + m; 0 behind the source's end
//! d_scores [*] of S a row, query [*, A], keys [S B, A], lengths [*] u32, v [1, A], d_keys and rows_of_v [S B, A]
//! ```
//! The sum of rows_of_v is v's gradient. Sums go over blocks of 64 steps, t ascending. See [`super::attend`].
//! Flops: 14 M S A. Bytes: 4 (M S + M A + 3 B S A).

use super::attention::{self, AttentionOffsets, PARAMS, Places};
use crate::plan::{Args, Builder, OpRow, Operand, OrderClass, Real, Requires, TensorId, Variant, folded};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct AttendKeysBackward {
    /// `[*]`.
    pub d_scores: TensorId,
    /// `[*, A]`.
    pub query: TensorId,
    /// `[S B, A]`.
    pub keys: TensorId,
    /// `[*]` u32.
    pub lengths: TensorId,
    /// `[1, A]`.
    pub v: TensorId,
    /// `[S B, A]`.
    pub d_keys: TensorId,
    /// `[S B, A]`.
    pub rows_of_v: TensorId,
}

/// Records the op; of the offsets those of contexts do not matter.
pub fn record(b: &mut Builder, op: AttendKeysBackward, at: AttentionOffsets) {
    let AttendKeysBackward { d_scores, query, keys, lengths, v, d_keys, rows_of_v } = op;
    assert!(!at.table && at.stride == at.batch, "attend_keys_backward: places of a source are `batch` rows apart");
    let params = attention::params(b, [query, d_keys, d_keys], AttentionOffsets { context_column: 0, ..at });
    b.push(&ROW, &[d_scores, query, keys, lengths, v, d_keys, rows_of_v], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "attend_keys_backward",
    operands: &[
        Operand::read("d_scores"),
        Operand::read("query"),
        Operand::read("keys"),
        Operand::read_u32("lengths"),
        Operand::read("v"),
        Operand::write("d_keys"),
        Operand::write("rows_of_v"),
    ],
    params: PARAMS,
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("attend_keys_backward", "base", "attention"), Requires::invocations(64))
        .class(OrderClass::Blocks64)
        .groups(|w| folded((w["source"] * w["batch"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases: || {
        attention::cases(false, |b, t, at| {
            let attention::Tensors { query, keys, lengths, v, scores: d_scores, d_keys, rows_of_v, .. } = t;
            record(b, AttendKeysBackward { d_scores, query, keys, lengths, v, d_keys, rows_of_v }, at);
        })
    },
    cost: |w| attention::cost(w, 14.0 * w.f64("width")),
};

fn reference<F: Real>(args: &mut Args<F>) {
    let at = Places::of(&args.words);
    let [d_scores, query, keys, lengths, v, d_keys, rows_of_v] = args.all();
    for (m, s) in (0..at.batch).flat_map(|m| (0..at.source).map(move |s| (m, s))) {
        let (_, len) = at.source_of(m, lengths.word());
        let place = at.place(m, s, at.width);
        let (d_key, of_v) = (&mut d_keys.real_mut()[place.clone()], &mut rows_of_v.real_mut()[place.clone()]);
        d_key.fill(F::ZERO);
        of_v.fill(F::ZERO);
        for row in (m..at.rows).step_by(at.batch).filter(|_| s < len) {
            let d = d_scores.real()[at.weights(row)][s];
            for (j, (&q, &k)) in query.real()[at.query(row)].iter().zip(&keys.real()[place.clone()]).enumerate() {
                let u = (q + k).tanh();
                of_v[j] = d.mul_add(u, of_v[j]);
                d_key[j] = d.mul_add(F::ONE - u * u, d_key[j]);
            }
        }
        for (d, &v) in d_key.iter_mut().zip(v.real()) {
            *d = *d * v;
        }
    }
}
