//! One decode step of a recurrent layer, input product included: one dispatch a layer and token.
//!
//! ```text
//! x = source[ids[m]]  (gather = 1: layer 0, the embedding)   or   source[x_row + m]  (the layer below)
//! h = h[h_read_row + m]      the rest as in `recurrent`, for m < M = rows
//! h' -> h[h_write_row + m]      extra[extra_row + m] in place, where it is a state
//! source [*, K], ids [M] u32, w_ih [G, H, K], w_hh [G, H, H], b_ih, b_hh [G, H], h [*, H], extra [*, H]
//! ```
//! The sums run in this order, so the bits are those of `matmul` followed by the cell's step.
//! Flops: 2 G M H (K + H) and some 10 an activation. Bytes: 4 (G H (K + H + 2) + M K + the states). Eight storage
//! buffers: the floor's.

use super::activation::Activation;
use super::matmul::dot;
use super::recurrent::{self, Cell, Extra, MOST_GATES, Recurrent};
use crate::plan::{Affine, Args, Builder, Case, Cost, Dim, Fill, ParamWords, Real, Role, TensorId};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Decode {
    /// `[*, K]`: the embedding table or the state of the layer below.
    pub source: TensorId,
    /// `[M]` u32.
    pub ids: TensorId,
    /// `[G, H, K]`.
    pub w_ih: TensorId,
    /// `[G, H, H]`.
    pub w_hh: TensorId,
    /// `[G, H]`.
    pub b_ih: TensorId,
    /// `[G, H]`.
    pub b_hh: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
    /// `[*, H]`: the cell's second state, or a stand-in.
    pub extra: TensorId,
}

/// Where a decode step finds its input and states.
#[derive(Clone, Copy, Debug)]
pub struct DecodeOffsets {
    /// Look the input row up by id, or take rows from here on.
    pub x: Input,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written.
    pub h_write: Affine,
    /// First row of `extra`.
    pub extra: Affine,
}

/// The rows of `source` that are the input.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Row `ids[m]`.
    Gather,
    /// Row `first + m`.
    Rows(Affine),
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, cell: &Recurrent, op: Decode, rows: Dim, at: DecodeOffsets) {
    let name = cell.decode.name;
    let [gates, hidden, inputs] = b.tensor(op.w_ih).shape[..] else { panic!("{name}: w_ih is [G, H, K]") };
    assert_eq!(gates, cell.gates.into(), "{name}: w_ih is [{}, H, K]", cell.gates);
    b.expect_shape(name, op.w_hh, &[gates, hidden, hidden]);
    b.expect_shape(name, op.b_ih, &[gates, hidden]);
    b.expect_shape(name, op.b_hh, &[gates, hidden]);
    assert_eq!(b.tensor(op.source).shape.last(), Some(&inputs), "{name}: source is [*, K]");
    assert_eq!(b.tensor(op.h).shape.last(), Some(&hidden), "{name}: h is [*, H]");
    cell.expect_extra(b, name, op.extra, hidden, false);
    let [x_row, gather] = match at.x {
        Input::Gather => [0.into(), 1.into()],
        Input::Rows(first) => [first, 0.into()],
    };
    let activation = cell.activation.word().into();
    let params =
        [rows.into(), inputs.into(), hidden.into(), x_row, gather, at.h_read, at.h_write, at.extra, activation];
    b.push(cell.decode, &[op.source, op.ids, op.w_ih, op.w_hh, op.b_ih, op.b_hh, op.h, op.extra], &params);
}

/// The table row of a cell's decode step, by the cell's type and name.
macro_rules! row {
    ($cell:ident, $name:literal) => {
        $crate::plan::OpRow {
            name: concat!($name, "_decode"),
            operands: &[
                $crate::plan::Operand::read("source"),
                $crate::plan::Operand::read_u32("ids").typical($crate::ops::typical::tokens),
                $crate::plan::Operand::read("w_ih"),
                $crate::plan::Operand::read("w_hh"),
                $crate::plan::Operand::read("b_ih"),
                $crate::plan::Operand::read("b_hh"),
                $crate::plan::Operand::write("h"),
                $crate::plan::Operand::write("extra"),
            ],
            params: &[
                $crate::plan::Param::size("rows"),
                $crate::plan::Param::size("inputs"),
                $crate::plan::Param::size("hidden"),
                $crate::plan::Param::offset("x_row"),
                $crate::plan::Param::flag("gather"),
                $crate::plan::Param::offset("h_read_row"),
                $crate::plan::Param::offset("h_write_row"),
                $crate::plan::Param::offset("extra_row"),
                $crate::plan::Param::constant("activation"),
            ],
            shards: &[
                $crate::plan::ShardedAxes { name: "unit", axes: &[(2, 1), (3, 1)], multiple: 4 },
                $crate::plan::ShardedAxes { name: "source", axes: &[(0, 0)], multiple: 1 },
            ],
            carry_words: 0,
            passes: |_| 1,
            reference_f32: $crate::ops::decode::reference::<$cell, f32>,
            reference_f64: $crate::ops::decode::reference::<$cell, f64>,
            variants: $crate::ops::recurrent::forward_variants!($name, "_decode", "decode", 2, 3),
            cases: $crate::ops::decode::cases::<$cell>,
            cost: $crate::ops::decode::cost::<$cell>,
        }
    };
}
pub(crate) use row;

pub(super) fn cost<C: Cell>(w: &ParamWords) -> Cost {
    let (m, k, h, g) = (w.f64("rows"), w.f64("inputs"), w.f64("hidden"), C::GATES as f64);
    let bytes = 4.0 * (g * h * (k + h + 2.0) + m * k + recurrent::state_vectors::<C>() * m * h);
    Cost { flops: m * h * (2.0 * g * (k + h) + C::FLOPS[0]), bytes }
}

pub(super) fn reference<C: Cell, F: Real>(args: &mut Args<F>) {
    let [rows, inputs, hidden, x_row, gather, h_read_row, h_write_row, extra_row, activation] = args.sizes();
    let [source, ids, w_ih, w_hh, b_ih, b_hh, h, extra] = args.all();
    for m in 0..rows {
        let row = if gather == 1 { ids.word()[m] as usize } else { x_row + m };
        let x = &source.real()[row * inputs..][..inputs];
        let before = h.real()[(h_read_row + m) * hidden..][..hidden].to_vec();
        for j in 0..hidden {
            let mut input = [F::ZERO; MOST_GATES];
            for (g, sum) in input[..C::GATES].iter_mut().enumerate() {
                let q = g * hidden + j;
                *sum = b_ih.real()[q] + dot(x, &w_ih.real()[q * inputs..][..inputs]);
            }
            let sums = recurrent::sums::<C, F>(input, w_hh.real(), b_hh.real(), &before, j);
            let at = (extra_row + m) * hidden + j;
            let is_state = C::EXTRA == Extra::State;
            let state = if is_state { extra.real()[at] } else { F::ZERO };
            let own = C::forward(Activation::of_word(activation), sums, input, before[j], state);
            h.real_mut()[(h_write_row + m) * hidden + j] = own.h;
            if is_state {
                extra.real_mut()[at] = own.extra;
            }
        }
    }
}

pub(super) fn cases<C: Cell>() -> Vec<Case> {
    let plain = [
        (1, 1, 1, true),
        (67, 2, 3, true),
        (1, 64, 65, true),
        (2, 130, 1000, false),
        (5, 33, 17, false),
        (67, 65, 65, true),
        (35, 100, 128, false),
    ];
    let of_kind = |cell: &'static Recurrent| {
        let normal = plain.map(|(rows, inputs, hidden, gather)| {
            let name = format!("rows={rows} inputs={inputs} hidden={hidden} gather={gather}");
            case(cell, name, (rows, inputs, hidden, gather), Fill::Normal(1.0))
        });
        let extreme = Fill::Extreme(&[1e2, 1e30, -1e30, 0.0]);
        let extreme = case(cell, "extreme source".into(), (7, 20, 30, true), extreme);
        let zeros = case(cell, "zeros".into(), (7, 20, 30, false), Fill::Normal(0.0));
        normal.into_iter().chain([extreme, zeros])
    };
    C::kinds().into_iter().flat_map(of_kind).collect()
}

fn case(
    cell: &'static Recurrent,
    name: String,
    (rows, inputs, hidden, gather): (usize, usize, usize, bool),
    x_fill: Fill,
) -> Case {
    let vocab = 2 * rows + 3;
    Case::new(
        cell.case_name(name),
        |b, fills| {
            let gates = Dim::fixed(cell.gates);
            let source = b.f32(Role::Weight, "source", &[vocab.into(), inputs.into()]);
            let ids = b.u32(Role::State, "ids", &[rows.into()]);
            let w_ih = b.f32(Role::Weight, "w_ih", &[gates, hidden.into(), inputs.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[gates, hidden.into(), hidden.into()]);
            let b_ih = b.f32(Role::Weight, "b_ih", &[gates, hidden.into()]);
            let b_hh = b.f32(Role::Weight, "b_hh", &[gates, hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let is_state = cell.extra == Extra::State;
            let shape = if is_state { [rows.into(), hidden.into()] } else { [Dim::fixed(1); 2] };
            let extra = b.f32(Role::State, "extra", &shape);
            let (units, source_rows) = (b.shard_group(), b.shard_group());
            b.shard(w_ih, 1, units);
            b.shard(w_hh, 1, units);
            b.shard(source, 0, source_rows);
            let scale = |n: usize| Fill::Normal(1.0 / (n as f32).sqrt());
            fills.extend([(source, x_fill), (ids, Fill::Ids(vocab as u32)), (w_ih, scale(inputs))]);
            fills.extend([(w_hh, scale(hidden)), (b_ih, Fill::Normal(0.5)), (b_hh, Fill::Normal(0.5))]);
            fills.extend([(h, Fill::Normal(0.5)), (extra, Fill::Normal(1.0))]);
            Decode { source, ids, w_ih, w_hh, b_ih, b_hh, h, extra }
        },
        |b, op| {
            let x = if gather { Input::Gather } else { Input::Rows(3.into()) };
            let at = DecodeOffsets { x, h_read: rows.into(), h_write: 0.into(), extra: 0.into() };
            record(b, cell, op, rows.into(), at);
        },
    )
}
