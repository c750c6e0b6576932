//! Attention within a decoder, forward and backward.

use super::super::Rows;
use super::parts::{Common, Dense, Span, bias_gradient, gradient_of};
use super::shape::{EncoderDecoder, Query, Score};
use crate::ops::activation::Activation;
use crate::ops::attend::{self, Attend};
use crate::ops::attend_keys_backward::{self, AttendKeysBackward};
use crate::ops::attend_memory_backward::{self, AttendMemoryBackward};
use crate::ops::attend_query_backward::{self, AttendQueryBackward};
use crate::ops::attend_scores_backward::{self, AttendScoresBackward};
use crate::ops::attention::{self, AttentionOffsets};
use crate::ops::select_rows::SelectRowsOffsets;
use crate::ops::sum_rows;
use crate::plan::{Affine, Builder, Dim, Role, TensorId};

/// Rows over time: the tensor, its blocks before the first step's, and the first column.
pub(super) type Place = (TensorId, usize, usize);

/// The rows of a span there.
fn rows_of((tensor, before, _): Place, span: Span) -> Rows {
    Rows { tensor, first: span.row(before) }
}

/// Attention to a memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attending {
    score: attention::Score,
    /// When the query is there.
    pub query: Query,
    /// `[S, B, D]`.
    pub memory: TensorId,
    /// `[*, 1, A]`: the product with the query, of additive scores.
    query_product: Option<Dense>,
    /// `[S, B, 1, A]`: the product with the memory, or what stands for it.
    key_product: Option<Dense>,
    keys: TensorId,
    /// `[1, A]`, or what stands for it.
    v: TensorId,
    /// `[T S B]`.
    pub weights: TensorId,
}

/// What flows backward through it.
#[derive(Clone, Copy)]
pub(super) struct AttendingFlow {
    d_scores: TensorId,
    /// `[T, B, 1, A]`.
    d_query: TensorId,
    d_keys: Option<TensorId>,
    /// `[S, B, 1, A]`: parts of v's gradient.
    rows_of_v: Option<TensorId>,
}

impl Attending {
    /// Declares it for queries over `rows`, places over `places`, and weights of so many numbers in all.
    pub fn declare(
        b: &mut Builder,
        model: &EncoderDecoder,
        memory: TensorId,
        [rows, places]: [&[Dim]; 2],
        weights: Dim,
    ) -> Option<Attending> {
        let options = model.coupling.attention?;
        let (size, outputs) = (options.size, model.coupling.encoder.outputs());
        let additive = options.score == Score::Additive;
        let score = match options.score {
            Score::Dot => attention::Score::Dot,
            Score::General => attention::Score::Product,
            Score::Additive => attention::Score::Additive,
        };
        let linear = Activation::Linear;
        let query_sizes = [size, model.query_width(&options)];
        let query_product =
            additive.then(|| Dense::declare(b, "attention.query", query_sizes, (rows, Role::Saved), false, linear));
        let key_product = (options.score != Score::Dot)
            .then(|| Dense::declare(b, "attention.memory", [size, outputs], (places, Role::Saved), additive, linear));
        let stand_in = |b: &mut Builder, name: &str| b.f32(Role::Scratch, name, &[Dim::fixed(1); 2]);
        let v = match additive {
            true => b.f32(Role::Weight, "attention.score.weight", &[1.into(), size.into()]),
            false => stand_in(b, "attention.no_score"),
        };
        let keys = key_product.map_or_else(|| stand_in(b, "attention.no_keys"), |product| product.y);
        let weights = b.f32(Role::Saved, "attention.weights", &[weights]);
        Some(Attending { score, query: options.query, memory, query_product, key_product, keys, v, weights })
    }

    /// The same with keys that stand elsewhere than their product.
    pub fn with_keys(self, keys: Option<TensorId>) -> Attending {
        Attending { keys: keys.unwrap_or(self.keys), ..self }
    }

    /// From where the product with the memory stands to where keys do, if there is one.
    pub fn product_and_keys(&self) -> Option<(TensorId, TensorId)> {
        self.key_product.map(|product| (product.y, self.keys))
    }

    pub fn parameters(&self) -> impl Iterator<Item = TensorId> + use<> {
        let products = [self.query_product, self.key_product].into_iter().flatten();
        let v = (self.score == attention::Score::Additive).then_some(self.v);
        products.flat_map(|product| product.weights()).chain(v)
    }

    /// The keys of the first `rows` places of a memory.
    pub fn keys(&self, b: &mut Builder, memory: TensorId, rows: Dim) {
        if let Some(product) = self.key_product {
            product.forward(b, memory, rows, [Affine::from(0); 2]);
        }
    }

    /// Where rows and places of a window are: `rows` queries from the first given, weights from `row` on, and contexts.
    pub fn offsets(
        &self,
        common: &Common,
        [rows, batch]: [Dim; 2],
        [query_row, row]: [Affine; 2],
        (context_row, context_column): (Affine, usize),
    ) -> AttentionOffsets {
        AttentionOffsets {
            rows,
            batch,
            source: common.ends.time,
            stride: Dim::ROWS,
            score: self.score,
            query_row,
            weights_row: row,
            context_row,
            context_column,
            lengths_row: common.ends.first,
            table: false,
            accumulate: false,
        }
    }

    /// The offsets of a span, with its queries and some other rows in the place of contexts.
    fn of_span(&self, common: &Common, span: Span, query_row: Affine, (_, before, column): Place) -> AttentionOffsets {
        self.offsets(common, [span.rows, Dim::ROWS], [query_row, span.row(0)], (span.row(before), column))
    }

    /// The queries as they are compared, from row `row` on if they are products, else the rows themselves.
    fn compared(&self, query: Rows, row: Affine) -> Rows {
        self.query_product.map_or(query, |product| Rows { tensor: product.y, first: row })
    }

    /// From the queries of a span to its contexts.
    pub fn forward(&self, b: &mut Builder, (common, span): (&Common, Span), query: Place, context: Place) {
        let compared = self.product(b, span.rows, rows_of(query, span), span.row(0));
        let at = self.of_span(common, span, compared.first, context);
        self.record(b, compared.tensor, (common.ends.lengths, context.0), at);
    }

    /// The queries' product, where there is one, in rows from `row` on; else the rows themselves.
    pub fn product(&self, b: &mut Builder, rows: Dim, query: Rows, row: Affine) -> Rows {
        if let Some(product) = self.query_product {
            product.forward(b, query.tensor, rows, [query.first, row]);
        }
        self.compared(query, row)
    }

    /// Records the op.
    pub fn record(
        &self,
        b: &mut Builder,
        query: TensorId,
        (lengths, context): (TensorId, TensorId),
        at: AttentionOffsets,
    ) {
        let Attending { memory, keys, v, weights, .. } = *self;
        attend::record(b, Attend { query, keys, memory, lengths, v, weights, context }, at);
    }

    pub fn flow(&self, b: &mut Builder, query_width: usize) -> AttendingFlow {
        let d_scores = gradient_of(b, self.weights);
        let size = self.query_product.map_or(query_width, |product| super::parts::width(b, product.y));
        let shape = [Dim::TIME, Dim::ROWS, 1.into(), size.into()];
        let d_query = b.f32(Role::Scratch, "d_attention.query", &shape);
        let d_keys = self.key_product.map(|product| gradient_of(b, product.y));
        let rows_of_v = d_keys.filter(|_| self.query_product.is_some()).map(|keys| {
            let shape = b.tensor(keys).shape.clone();
            b.f32(Role::Scratch, "rows_of_d_attention.score", &shape)
        });
        AttendingFlow { d_scores, d_query, d_keys, rows_of_v }
    }

    /// From the gradients of a span's contexts to those of its queries, added to what is there.
    pub fn backward(
        &self,
        b: &mut Builder,
        (common, span): (&Common, Span),
        flow: &AttendingFlow,
        [query, d_query, d_context]: [Place; 3],
    ) {
        let lengths = common.ends.lengths;
        let Rows { tensor: rows, first } = self.compared(rows_of(query, span), span.row(0));
        let at = self.of_span(common, span, first, d_context);
        let AttendingFlow { d_scores, d_query: d_compared, .. } = *flow;
        let (memory, weights, v) = (self.memory, self.weights, self.v);
        let op = AttendScoresBackward { d_context: d_context.0, memory, lengths, weights, d_scores };
        attend_scores_backward::record(b, op, at);
        let keys = if self.score == attention::Score::Dot { memory } else { self.keys };
        let op = AttendQueryBackward { d_scores, query: rows, keys, lengths, v, d_query: d_compared };
        attend_query_backward::record(b, op, at);
        let to = span.row(d_query.1);
        match self.query_product {
            Some(product) => product.backward(b, [d_compared, d_query.0], span.rows, [span.row(0), to], true),
            None => {
                let plain = SelectRowsOffsets::plain(super::parts::width(b, d_compared));
                let at = SelectRowsOffsets { from: span.row(0), to, add: true, ..plain };
                common.ends.select(b, [d_compared, d_query.0], span.rows, at);
            }
        }
    }

    /// Once all steps have been: the memory's gradient, and those of the weights.
    pub fn backward_of_memory(
        &self,
        b: &mut Builder,
        common: &Common,
        flow: &AttendingFlow,
        ([query, d_context], d_memory): ([Place; 2], TensorId),
        gradient: &dyn Fn(TensorId) -> TensorId,
    ) {
        let (span, lengths, places) = (Span::all(), common.ends.lengths, common.ends.window());
        let AttendingFlow { d_scores, .. } = *flow;
        let Rows { tensor: rows, first } = self.compared(rows_of(query, span), span.row(0));
        let at = self.of_span(common, span, first, d_context);
        let op = AttendMemoryBackward { factors: self.weights, from: d_context.0, lengths, d_memory };
        attend_memory_backward::record(b, op, at);
        let of_queries = AttentionOffsets { context_row: first, context_column: 0, ..at };
        match (flow.d_keys, flow.rows_of_v) {
            (None, _) => {
                let op = AttendMemoryBackward { factors: d_scores, from: rows, lengths, d_memory };
                attend_memory_backward::record(b, op, AttentionOffsets { accumulate: true, ..of_queries });
            }
            (Some(d_keys), None) => {
                let op = AttendMemoryBackward { factors: d_scores, from: rows, lengths, d_memory: d_keys };
                attend_memory_backward::record(b, op, of_queries);
            }
            (Some(d_keys), Some(rows_of_v)) => {
                let (keys, v) = (self.keys, self.v);
                let op = AttendKeysBackward { d_scores, query: rows, keys, lengths, v, d_keys, rows_of_v };
                attend_keys_backward::record(b, op, at);
                let op = sum_rows::SumRows { dy: rows_of_v, db: gradient(self.v) };
                sum_rows::record(b, op, places, bias_gradient(0.into()));
            }
        }
        if let Some(product) = self.query_product {
            let rows = [span.row(0), span.row(query.1)];
            product.weight_gradients(b, [flow.d_query, query.0], span.rows, rows, gradient);
        }
        if let Some((product, d_keys)) = self.key_product.zip(flow.d_keys) {
            product.backward(b, [d_keys, d_memory], places, [Affine::from(0); 2], true);
            product.weight_gradients(b, [d_keys, self.memory], places, [Affine::from(0); 2], gradient);
        }
    }
}
