//! What the ops of attention have in common: where a row finds the places of its source, and the words that say so.
//!
//! ```text
//! row r of a window belongs to source m = r mod batch, of lengths[lengths_row + m] places; in a table of rows (table = 1)
//! to source m = record.place, of record.source_len places
//! place s of source m is row m + s stride of keys and memory
//! weights, and what has their shape, are flat: place s of row r is element (weights_row + r) S + s
//! ```
//! S = source, A = width (of queries and keys), D = outputs (of memory and contexts). A context stands in a row of
//! context_width numbers, from context_column on.

use super::rows::{ROW_WORDS, Row};
use crate::plan::{Affine, Builder, Case, Cost, Dim, Fill, Param, ParamWords, Real, Role, TensorId};

/// How a query and a place fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The product of query and memory; there are no keys.
    Dot,
    /// The product of query and key.
    Product,
    /// v times the tanh of query and key.
    Additive,
}

impl Score {
    const ALL: [Score; 3] = [Score::Dot, Score::Product, Score::Additive];

    fn of_word(word: usize) -> Score {
        Score::ALL[word]
    }
}

/// Where rows and places stand.
#[derive(Clone, Copy, Debug)]
pub struct AttentionOffsets {
    /// Rows of the window.
    pub rows: Dim,
    /// Sources, of which rows have each its own in turn.
    pub batch: Dim,
    /// S: places of the longest source.
    pub source: Dim,
    /// Rows from a place of a source to the next one.
    pub stride: Dim,
    /// The score.
    pub score: Score,
    /// First row of `query`.
    pub query_row: Affine,
    /// First row of `weights` and of what has their shape.
    pub weights_row: Affine,
    /// First row of `context`.
    pub context_row: Affine,
    /// First column of `context`.
    pub context_column: usize,
    /// First of `lengths`.
    pub lengths_row: Affine,
    /// Whether `lengths` is a table of rows.
    pub table: bool,
    /// Whether a result is added to what is there.
    pub accumulate: bool,
}

/// The words of all ops of attention.
pub(super) const PARAMS: &[Param] = &[
    Param::size("rows"),
    Param::size("batch"),
    Param::size("source"),
    Param::size("stride"),
    Param::size("width"),
    Param::size("outputs"),
    Param::flag("score"),
    Param::offset("query_row"),
    Param::offset("weights_row"),
    Param::offset("context_row"),
    Param::size("context_width"),
    Param::offset("context_column"),
    Param::offset("lengths_row"),
    Param::flag("table"),
    Param::flag("accumulate"),
];

/// The words of an op, for a query or key, a row of memory, and a context.
pub(super) fn params(
    b: &Builder,
    [query, memory, context]: [TensorId; 3],
    at: AttentionOffsets,
) -> [Affine; PARAMS.len()] {
    let width = |id| *b.tensor(id).shape.last().expect("a tensor has an axis");
    let (outputs, context_width) = (width(memory), width(context));
    let fits = outputs.as_fixed().zip(context_width.as_fixed()).is_some_and(|(d, w)| at.context_column + d <= w);
    assert!(fits, "attention: `{}` has room for a context", b.tensor(context).name);
    assert!(at.score != Score::Dot || width(query) == outputs, "attention: a query as long as memory");
    [
        at.rows.into(),
        at.batch.into(),
        at.source.into(),
        at.stride.into(),
        width(query).into(),
        outputs.into(),
        (at.score as usize).into(),
        at.query_row,
        at.weights_row,
        at.context_row,
        context_width.into(),
        at.context_column.into(),
        at.lengths_row,
        usize::from(at.table).into(),
        usize::from(at.accumulate).into(),
    ]
}

/// The words as the references and fast functions take them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub rows: usize,
    pub batch: usize,
    pub source: usize,
    pub stride: usize,
    pub width: usize,
    pub outputs: usize,
    pub score: Score,
    query_row: usize,
    weights_row: usize,
    context_row: usize,
    context_width: usize,
    context_column: usize,
    lengths_row: usize,
    table: bool,
    pub accumulate: bool,
}

impl Places {
    pub fn of(words: &ParamWords) -> Places {
        let [rows, batch, source, stride, width, outputs, score] = words.sizes();
        let word = |name: &str| words[name] as usize;
        Places {
            rows,
            batch,
            source,
            stride,
            width,
            outputs,
            score: Score::of_word(score),
            query_row: word("query_row"),
            weights_row: word("weights_row"),
            context_row: word("context_row"),
            context_width: word("context_width"),
            context_column: word("context_column"),
            lengths_row: word("lengths_row"),
            table: word("table") == 1,
            accumulate: word("accumulate") == 1,
        }
    }

    /// The source of a row and the number of its places.
    pub fn source_of(&self, row: usize, lengths: &[u32]) -> (usize, usize) {
        if self.table {
            let record = Row::from_words(&lengths[row * ROW_WORDS..]);
            return (record.place as usize, record.source_len as usize);
        }
        let m = row % self.batch;
        (m, (lengths[self.lengths_row + m] as usize).min(self.source))
    }

    /// The last row of a source, of which there are rows.
    pub fn last_row(&self, m: usize) -> usize {
        m + (self.rows - 1 - m) / self.batch * self.batch
    }

    /// Where a row's query stands.
    pub fn query(&self, row: usize) -> std::ops::Range<usize> {
        let first = (self.query_row + row) * self.width;
        first..first + self.width
    }

    /// Where its weights stand.
    pub fn weights(&self, row: usize) -> std::ops::Range<usize> {
        let first = (self.weights_row + row) * self.source;
        first..first + self.source
    }

    /// Where a query's gradient stands.
    pub fn query_gradient(&self, row: usize) -> std::ops::Range<usize> {
        let first = (self.weights_row + row) * self.width;
        first..first + self.width
    }

    /// Where its context stands.
    pub fn context(&self, row: usize) -> std::ops::Range<usize> {
        let first = (self.context_row + row) * self.context_width + self.context_column;
        first..first + self.outputs
    }

    /// Place s of source m, in rows of `width` numbers.
    pub fn place(&self, m: usize, s: usize, width: usize) -> std::ops::Range<usize> {
        let first = (m + s * self.stride) * width;
        first..first + width
    }
}

/// `sum_k a[k] b[k]`.
pub(super) fn product<F: Real>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).fold(F::ZERO, |sum, (&a, &b)| a.mul_add(b, sum))
}

/// Multiply-adds of a run, a tanh counted as ten, `each` for a number of each place of each row.
pub(super) fn cost(w: &ParamWords, each: f64) -> Cost {
    let (m, s, d) = (w.f64("rows"), w.f64("source"), w.f64("outputs"));
    Cost { flops: m * s * each, bytes: 4.0 * (m * s + m * d + w.f64("batch") * s * d) }
}

/// The tensors of a case; which of them an op takes is its own affair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensors {
    pub query: TensorId,
    pub keys: TensorId,
    pub memory: TensorId,
    pub lengths: TensorId,
    pub v: TensorId,
    pub weights: TensorId,
    pub context: TensorId,
    pub scores: TensorId,
    pub d_query: TensorId,
    pub d_keys: TensorId,
    pub rows_of_v: TensorId,
}

/// Cases of all scores and sizes; `write` records an op, whose rows begin behind others. With `tables` some have their
/// sources in a table of rows.
pub(super) fn cases(tables: bool, write: fn(&mut Builder, Tensors, AttentionOffsets)) -> Vec<Case> {
    // batch, time, source, width, outputs
    let shapes = [
        (1, 1, 1, 1, 1),
        (3, 2, 7, 5, 3),
        (2, 1, 65, 64, 130),
        (5, 3, 67, 33, 66),
        (1, 2, 200, 3, 17),
        (4, 67, 3, 6, 5),
    ];
    let plain = shapes.into_iter().flat_map(|shape| Score::ALL.map(|score| (shape, score, "", 1.0)));
    let huge = Score::ALL.map(|score| ((3, 2, 70, 6, 6), score, " large", 30.0));
    let zeros = Score::ALL.map(|score| ((2, 2, 5, 4, 4), score, " zeros", 0.0));
    let mut cases: Vec<Case> = plain.chain(huge).chain(zeros).map(|spec| case(spec, false, write)).collect();
    let in_tables = [((3, 1, 7, 5, 3), Score::Product, "", 1.0), ((2, 1, 66, 4, 70), Score::Dot, "", 1.0)];
    cases.extend(in_tables.into_iter().filter(|_| tables).map(|spec| case(spec, true, write)));
    cases
}

type Spec = ((usize, usize, usize, usize, usize), Score, &'static str, f32);

fn case(
    ((batch, time, source, width, outputs), score, name, scale): Spec,
    table: bool,
    write: fn(&mut Builder, Tensors, AttentionOffsets),
) -> Case {
    let width = if score == Score::Dot { outputs } else { width };
    let rows = batch * time;
    // Sources in a table stand in other places than their rows.
    let stride = batch + usize::from(table);
    let lengths: Vec<u32> = (0..batch).map(|m| if m == 0 { source } else { 1 + m * 5 % source } as u32).collect();
    let kind = if table { " table" } else { "" };
    let name =
        format!("batch={batch} time={time} source={source} width={width} outputs={outputs} {score:?}{name}{kind}");
    let mut case = Case::new(
        name,
        |b, fills| {
            let real = |b: &mut Builder, name: &str, shape: &[usize]| {
                let shape: Vec<Dim> = shape.iter().map(|n| (*n).into()).collect();
                b.f32(Role::Scratch, name, &shape)
            };
            let query = real(b, "query", &[rows + 1, width]);
            let keys = real(b, "keys", &[source * stride, width]);
            let memory = real(b, "memory", &[source * stride, outputs]);
            let v = real(b, "v", &[1, width]);
            let weights = real(b, "weights", &[(rows + 2) * source]);
            let context = real(b, "context", &[rows + 1, outputs + 3]);
            let scores = real(b, "scores", &[(rows + 2) * source]);
            let d_query = real(b, "d_query", &[rows + 2, width]);
            let d_keys = real(b, "d_keys", &[source * stride, width]);
            let rows_of_v = real(b, "rows_of_v", &[source * stride, width]);
            let words = if table { batch * ROW_WORDS } else { batch + 1 };
            let lengths_id = b.u32(Role::Io, "lengths", &[words.into()]);
            let small = scale / (width as f32).sqrt();
            fills.extend([(query, Fill::Normal(scale)), (keys, Fill::Normal(small)), (v, Fill::Normal(small))]);
            fills.extend([(memory, Fill::Normal(if score == Score::Dot { small } else { scale }))]);
            fills.extend([(context, Fill::Normal(1.0)), (scores, Fill::Normal(0.3))]);
            let shares = (0..(rows + 2) * source).map(|i| (i * 7 % 10) as f32 / (4.5 * source as f32)).collect();
            fills.push((weights, Fill::Floats(shares)));
            let record = |m: usize| Row { place: (batch - m) as u32, source_len: lengths[m], ..Row::IDLE };
            let words = match table {
                true => (0..batch).flat_map(|m| record(m).to_words()).collect(),
                false => std::iter::once(9).chain(lengths.iter().copied()).collect(),
            };
            fills.push((lengths_id, Fill::Words(words)));
            Tensors {
                query,
                keys,
                memory,
                lengths: lengths_id,
                v,
                weights,
                context,
                scores,
                d_query,
                d_keys,
                rows_of_v,
            }
        },
        |b, tensors| {
            let at = AttentionOffsets {
                rows: rows.into(),
                batch: batch.into(),
                source: source.into(),
                stride: stride.into(),
                score,
                query_row: 1.into(),
                weights_row: 2.into(),
                context_row: 1.into(),
                context_column: 2,
                lengths_row: 1.into(),
                table,
                accumulate: rows.is_multiple_of(2),
            };
            write(b, tensors, at);
        },
    );
    let used = case.plan.used_by(case.plan.section("case").as_slice());
    case.fills.retain(|(id, _)| used[id.index()]);
    case
}
