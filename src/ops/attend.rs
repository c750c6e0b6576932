//! Attention: how much each place of a row's source counts, and the mean of its memory with these weights.
//!
//! ```text
//! e[r, s] = query[r] . memory[s]   |   query[r] . keys[s]   |   v . tanh(query[r] + keys[s])        see `attention`
//! weights[r, s] = exp(e[r, s] - most) / sum_s exp(e[r, s] - most) over the source's places; 0 behind its end
//! context[r, :] = sum_s weights[r, s] memory[s, :]
//! query [*, A], keys [*, A], memory [*, D], lengths [*] u32, v [1, A], weights [*] of S a row, context [*, W]
//! ```
//! Without keys or v stand-ins are bound. A row depends on its own source alone: places behind its end are not read, and
//! sums go over blocks of 64 places, s ascending. Flops: 2 M S (A + D). Bytes: 4 (B S (A + D) + M (S + A + D)).

use super::attention::{self, AttentionOffsets, PARAMS, Places, Score, product};
use crate::plan::{Args, Builder, OpRow, Operand, OrderClass, Real, Requires, TensorId, Variant, folded};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Attend {
    /// `[*, A]`.
    pub query: TensorId,
    /// `[*, A]`, or a stand-in where the score is a product with memory.
    pub keys: TensorId,
    /// `[*, D]`.
    pub memory: TensorId,
    /// `[*]` u32, or a table of rows.
    pub lengths: TensorId,
    /// `[1, A]`, or a stand-in.
    pub v: TensorId,
    /// `[*]`.
    pub weights: TensorId,
    /// `[*, W]`.
    pub context: TensorId,
}

/// Records the op.
pub fn record(b: &mut Builder, op: Attend, at: AttentionOffsets) {
    let Attend { query, keys, memory, lengths, v, weights, context } = op;
    let params = attention::params(b, [query, memory, context], at);
    b.push(&ROW, &[query, keys, memory, lengths, v, weights, context], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "attend",
    operands: &[
        Operand::read("query"),
        Operand::read("keys"),
        Operand::read("memory"),
        Operand::read_u32("lengths"),
        Operand::read("v"),
        Operand::write("weights"),
        Operand::write("context"),
    ],
    params: PARAMS,
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(
        crate::kernel!("attend", "base", "attention", "places"),
        Requires::invocations(128).with_memory(512),
    )
    .class(OrderClass::Blocks64)
    .groups(|w| folded(w["rows"]))],
    cases: || {
        attention::cases(true, |b, t, at| {
            let attention::Tensors { query, keys, memory, lengths, v, weights, context, .. } = t;
            record(b, Attend { query, keys, memory, lengths, v, weights, context }, at);
        })
    },
    cost: |w| attention::cost(w, 2.0 * (w.f64("width") + w.f64("outputs"))),
};

fn reference<F: Real>(args: &mut Args<F>) {
    let at = Places::of(&args.words);
    let [query, keys, memory, lengths, v, weights, context] = args.all();
    for row in 0..at.rows {
        let (m, len) = at.source_of(row, lengths.word());
        let q = &query.real()[at.query(row)];
        let score = |s: usize| match at.score {
            Score::Dot => product(q, &memory.real()[at.place(m, s, at.width)]),
            Score::Product => product(q, &keys.real()[at.place(m, s, at.width)]),
            Score::Additive => {
                let key = &keys.real()[at.place(m, s, at.width)];
                let fit: Vec<F> = q.iter().zip(key).map(|(&q, &k)| (q + k).tanh()).collect();
                product(v.real(), &fit)
            }
        };
        let scores: Vec<F> = (0..len).map(score).collect();
        let most = scores.iter().fold(F::NEG_INFINITY, |most, &e| if e > most { e } else { most });
        let shares: Vec<F> = scores.into_iter().map(|e| (e - most).exp()).collect();
        let total = shares.iter().fold(F::ZERO, |sum, &x| sum + x);
        let weights = &mut weights.real_mut()[at.weights(row)];
        weights.fill(F::ZERO);
        let context = &mut context.real_mut()[at.context(row)];
        context.fill(F::ZERO);
        for (s, share) in shares.into_iter().enumerate() {
            weights[s] = share / total;
            for (c, &x) in context.iter_mut().zip(&memory.real()[at.place(m, s, at.outputs)]) {
                *c = weights[s].mul_add(x, *c);
            }
        }
    }
}
