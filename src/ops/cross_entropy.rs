//! Cross entropy of rows of logits with targets, and its gradient at the logits, in their place.
//!
//! ```text
//! losses[loss_row + m] = lse[m] - logits[m, t]         t = targets[target_row + m]; 0 where t is IGNORED
//! logits[m, n] := (exp(logits[m, n] - lse[m]) - (1 - smoothing) [n = t] - smoothing / V) * token_weight
//!                                                      where gradient = 1; 0 where t is IGNORED
//! logits [*, 1, V], lse [*] (of logsumexp on the same rows), targets [*] u32, losses [*]; m < M = rows
//! token_weight: schedule [S, 4], row `slot` (see schedule); losses in nats
//! ```
//! Flops: 4 M V with the gradient, M without. Bytes: 8 M V + 12 M, or 16 M. A target that is neither IGNORED nor below
//! V must have been refused before. With `smoothing` the gradient is that of a target that gives all tokens this share alike;
//! losses stay those of the targets, so that they can be compared.

use super::logsumexp::of_row;
use super::schedule::{self, SCHEDULE_COLUMNS, TOKEN_WEIGHT};
use super::typical;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, ShardedAxes, TensorId,
    Variant, folded,
};

/// The target of a position that has none: its loss and its gradient are zero.
pub const IGNORED: u32 = u32::MAX;

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// `[*, 1, V]`.
    pub logits: TensorId,
    /// `[*]`.
    pub lse: TensorId,
    /// `[*]` u32.
    pub targets: TensorId,
    /// `[S, 4]`.
    pub schedule: TensorId,
    /// `[*]`.
    pub losses: TensorId,
}

/// Where rows stand.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropyOffsets {
    /// First of the targets.
    pub target_row: Affine,
    /// First of the losses.
    pub loss_row: Affine,
    /// Row of the schedule.
    pub slot: Affine,
    /// Whether the gradient takes the logits' place; else they stay.
    pub gradient: bool,
    /// The share of a target that all tokens have alike, in the gradient.
    pub smoothing: f32,
}

/// Records the op on the first `rows` rows of logits.
pub fn record(b: &mut Builder, op: CrossEntropy, rows: Dim, at: CrossEntropyOffsets) {
    let [_, one, vocab] = b.tensor(op.logits).shape[..] else { panic!("cross_entropy: logits is [*, 1, V]") };
    assert_eq!(one, Dim::fixed(1), "cross_entropy: logits is [*, 1, V]");
    assert_eq!(b.tensor(op.schedule).shape.last(), Some(&SCHEDULE_COLUMNS.into()), "cross_entropy: schedule is [S, 4]");
    let flags = [usize::from(at.gradient).into(), Affine::float(at.smoothing)];
    let params = [&[rows.into(), vocab.into(), at.target_row, at.loss_row, at.slot], &flags[..]].concat();
    b.push(&ROW, &[op.logits, op.lse, op.targets, op.schedule, op.losses], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "cross_entropy",
    operands: &[
        Operand::write("logits"),
        Operand::read("lse"),
        Operand::read_u32("targets").typical(typical::tokens),
        Operand::read("schedule").typical(typical::schedule_rows),
        Operand::write("losses"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("vocab"),
        Param::offset("target_row"),
        Param::offset("loss_row"),
        Param::offset("slot"),
        Param::flag("gradient"),
        Param::float("smoothing"),
    ],
    shards: &[ShardedAxes { name: "n", axes: &[(0, 2)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("cross_entropy", "base"), Requires::invocations(64)).groups(|w| {
        folded(if w["gradient"] == 1 { w["rows"] * w["n_len"].div_ceil(256) } else { w["rows"].div_ceil(64) })
    })],
    cases,
    cost: |w| {
        let (m, v) = (w.f64("rows"), w.f64("vocab"));
        match w["gradient"] {
            1 => Cost { flops: 4.0 * m * v, bytes: 8.0 * m * v + 12.0 * m },
            _ => Cost { flops: m, bytes: 16.0 * m },
        }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, vocab, target_row, loss_row, slot, gradient] = args.sizes();
    let smoothing: F = args.words.float("smoothing");
    let uniform = smoothing / F::of(vocab as f32);
    let [logits, lse, targets, schedule, losses] = args.all();
    let token_weight = schedule::at(schedule.real(), slot)[TOKEN_WEIGHT];
    for m in 0..rows {
        let logits = &mut logits.real_mut()[m * vocab..][..vocab];
        let (lse, loss) = (lse.real()[m], &mut losses.real_mut()[loss_row + m]);
        let target = targets.word()[target_row + m];
        *loss = if target == IGNORED { F::ZERO } else { lse - logits[target as usize] };
        if gradient == 0 {
            continue;
        }
        for (x, n) in logits.iter_mut().zip(0..) {
            let hot = if n == target { F::ONE - smoothing + uniform } else { uniform };
            *x = if target == IGNORED { F::ZERO } else { ((*x - lse).exp() - hot) * token_weight };
        }
    }
}

fn cases() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 257), (3, 1000), (3, 50_257), (7, 50_257), (67, 65), (5, 1023)];
    let sizes = plain.into_iter().map(|(rows, vocab)| Problem::new(rows, vocab, Fill::Normal(3.0)));
    let losses_only = [(1, 1), (67, 65), (7, 50_257)]
        .map(|(rows, vocab)| Problem { gradient: false, ..Problem::new(rows, vocab, Fill::Normal(3.0)) });
    let named = |name: &str, problem: Problem| Problem { name: name.into(), ..problem };
    let mut low = vec![-1e30; 3 * 300];
    (0..300).for_each(|i| low[i] = if i % 2 == 0 { 1.0 } else { f32::NEG_INFINITY });
    low[300 + 17] = 2.0;
    let special = [
        named("extreme", Problem::new(6, 300, Fill::Extreme(&[1e2, 1e4, -1e30, 0.0]))),
        named("logits about 1e4", Problem::new(4, 513, Fill::Normal(1e4))),
        named("minus infinity and -1e30", Problem::new(3, 300, Fill::Floats(low))),
        named("all equal", Problem::new(2, 513, Fill::Floats(vec![7.0; 2 * 513]))),
        named("every third ignored", Problem { ignored: 3, ..Problem::new(67, 130, Fill::Normal(3.0)) }),
        named("ignored, cut", Problem { ignored: 2, ..Problem::new(9, 50_257, Fill::Normal(3.0)) }),
        named("smoothed", Problem { smoothing: 0.1, ..Problem::new(9, 1000, Fill::Normal(3.0)) }),
        named("smoothed, cut", Problem { ignored: 2, smoothing: 0.3, ..Problem::new(3, 50_257, Fill::Normal(3.0)) }),
        named("all ignored", Problem { ignored: 1, ..Problem::new(5, 130, Fill::Normal(3.0)) }),
    ];
    // More workgroups than a dimension of a dispatch has.
    let folded = Problem::new(70_000, 2, Fill::Normal(3.0)).case().large();
    sizes.chain(losses_only).chain(special).map(Problem::case).chain([folded]).collect()
}

/// The sizes and targets of a case.
struct Problem {
    name: String,
    rows: usize,
    vocab: usize,
    logits: Fill,
    /// Every how-manieth target is ignored; 0 is none.
    ignored: usize,
    gradient: bool,
    smoothing: f32,
}

impl Problem {
    fn new(rows: usize, vocab: usize, logits: Fill) -> Problem {
        Problem {
            name: format!("rows={rows} vocab={vocab}"),
            rows,
            vocab,
            logits,
            ignored: 0,
            gradient: true,
            smoothing: 0.0,
        }
    }

    fn case(self) -> Case {
        let Problem { name, rows, vocab, logits: fill, ignored, gradient, smoothing } = self;
        let name = if gradient { name } else { format!("{name} loss only") };
        let id = |i: usize| if ignored > 0 && i.is_multiple_of(ignored) { IGNORED } else { (i * 7919 % vocab) as u32 };
        let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
            let logits = b.f32(Role::Scratch, "logits", &[rows.into(), 1.into(), vocab.into()]);
            let lse = b.f32(Role::Scratch, "lse", &[rows.into()]);
            let targets = b.u32(Role::Io, "targets", &[(rows + 3).into()]);
            let schedule = b.f32(Role::Io, "schedule", &[2.into(), SCHEDULE_COLUMNS.into()]);
            let losses = b.f32(Role::Scratch, "losses", &[(rows + 2).into()]);
            let group = b.shard_group();
            b.shard(logits, 2, group);
            fills.push((logits, fill));
            fills.push((targets, Fill::Words((0..rows + 3).map(id).collect())));
            fills.push((schedule, Fill::Floats(vec![9.0, 9.0, 9.0, 9.0, 0.1, 3.0, 2.0, 1.0 / 64.0])));
            CrossEntropy { logits, lse, targets, schedule, losses }
        };
        let write = |b: &mut Builder, op| {
            let at = CrossEntropyOffsets {
                target_row: 3.into(),
                loss_row: 2.into(),
                slot: Affine::STEP.modulo(2),
                gradient,
                smoothing,
            };
            record(b, op, rows.into(), at);
        };
        let mut case = Case { step: 5, ..Case::new(name, declare, write) };
        let logits = case.floats(TensorId(0));
        let lse = logits.chunks(vocab).map(of_row).collect();
        case.fills.push((TensorId(1), Fill::Floats(lse)));
        case
    }
}
