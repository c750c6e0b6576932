//! One step of a recurrent layer whose input product is already there: recurrent product, gates and states in one run.
//!
//! ```text
//! x = gx[gx_row + m]      h = h[h_read_row + m]      the rest as in `recurrent`, for m < M = rows
//! h' -> h[h_write_row + m]      extra[extra_read_row + m] -> extra[extra_write_row + m], where it is a state
//! gx [*, G, H] = W_ih x + b_ih, w_hh [G, H, H], b_hh [G, H], h [*, H], extra [*, H]
//! ```
//! gx stands in the operand `gates`. Where `keep_gates` = 1, the activated gates take its place, and an `extra` that is saved
//! is written, for [`super::step_backward`]; where it is 0, both are left as they were.
//!
//! Flops: 2 G M H^2 and some 10 an activation. Bytes: 4 (G H^2 + G H + G M H + the states).

use super::activation::Activation;
use super::recurrent::{self, Cell, Extra, MOST_GATES, Recurrent};
use crate::plan::{Affine, Args, Builder, Case, Cost, Dim, Fill, ParamWords, Real, Role, TensorId};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// `[*, G, H]`: the input products; the activated gates afterwards, where they are saved.
    pub gates: TensorId,
    /// `[G, H, H]`.
    pub w_hh: TensorId,
    /// `[G, H]`.
    pub b_hh: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
    /// `[*, H]`: what the cell has besides, or a stand-in.
    pub extra: TensorId,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct StepOffsets {
    /// First row of `gates`.
    pub gx: Affine,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written; not the rows that are read.
    pub h_write: Affine,
    /// First row of `extra` that is read, where it is a state.
    pub extra_read: Affine,
    /// First row of `extra` that is written; of a state they may be the rows that are read.
    pub extra_write: Affine,
    /// Whether the activated gates take the place of the input products.
    pub keep_gates: bool,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, cell: &Recurrent, op: Step, rows: Dim, at: StepOffsets) {
    let name = cell.step.name;
    let [gates, hidden, inputs] = b.tensor(op.w_hh).shape[..] else { panic!("{name}: w_hh is [G, H, H]") };
    assert!(gates == cell.gates.into() && hidden == inputs, "{name}: w_hh is [{}, H, H]", cell.gates);
    b.expect_shape(name, op.b_hh, &[gates, hidden]);
    assert!(b.tensor(op.gates).shape.ends_with(&[gates, hidden]), "{name}: gates is [*, {}, H]", cell.gates);
    assert_eq!(b.tensor(op.h).shape.last(), Some(&hidden), "{name}: h is [*, H]");
    cell.expect_extra(b, name, op.extra, hidden, at.keep_gates);
    let keep = usize::from(at.keep_gates).into();
    let activation = cell.activation.word().into();
    let states = [at.h_read, at.h_write, at.extra_read, at.extra_write];
    let [h_read, h_write, extra_read, extra_write] = states;
    let params = [rows.into(), hidden.into(), at.gx, h_read, h_write, extra_read, extra_write, keep, activation];
    b.push(cell.step, &[op.gates, op.w_hh, op.b_hh, op.h, op.extra], &params);
}

/// The table row of a cell's step, by the cell's type and name.
macro_rules! row {
    ($cell:ident, $name:literal) => {
        $crate::plan::OpRow {
            name: concat!($name, "_step"),
            operands: &[
                $crate::plan::Operand::write("gates"),
                $crate::plan::Operand::read("w_hh"),
                $crate::plan::Operand::read("b_hh"),
                $crate::plan::Operand::write("h"),
                $crate::plan::Operand::write("extra"),
            ],
            params: &[
                $crate::plan::Param::size("rows"),
                $crate::plan::Param::size("hidden"),
                $crate::plan::Param::offset("gx_row"),
                $crate::plan::Param::offset("h_read_row"),
                $crate::plan::Param::offset("h_write_row"),
                $crate::plan::Param::offset("extra_read_row"),
                $crate::plan::Param::offset("extra_write_row"),
                $crate::plan::Param::flag("keep_gates"),
                $crate::plan::Param::constant("activation"),
            ],
            shards: &[$crate::plan::ShardedAxes { name: "unit", axes: &[(1, 1)], multiple: 4 }],
            carry_words: 0,
            passes: |_| 1,
            reference_f32: $crate::ops::step::reference::<$cell, f32>,
            reference_f64: $crate::ops::step::reference::<$cell, f64>,
            variants: $crate::ops::recurrent::forward_variants!($name, "_step", "step", 1),
            cases: $crate::ops::step::cases::<$cell>,
            cost: $crate::ops::step::cost::<$cell>,
        }
    };
}
pub(crate) use row;

pub(super) fn cost<C: Cell>(w: &ParamWords) -> Cost {
    let (m, h, g) = (w.f64("rows"), w.f64("hidden"), C::GATES as f64);
    let bytes = 4.0 * (g * h * h + g * h + (g + recurrent::state_vectors::<C>()) * m * h);
    Cost { flops: m * h * (2.0 * g * h + C::FLOPS[0]), bytes }
}

pub(super) fn reference<C: Cell, F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, h_read_row, h_write_row, extra_read_row, extra_write_row, keep, activation] =
        args.sizes();
    let [gates, w_hh, b_hh, h, extra] = args.all();
    for m in 0..rows {
        let before = h.real()[(h_read_row + m) * hidden..][..hidden].to_vec();
        for j in 0..hidden {
            let gx = |g: usize| ((gx_row + m) * C::GATES + g) * hidden + j;
            let mut input = [F::ZERO; MOST_GATES];
            (0..C::GATES).for_each(|g| input[g] = gates.real()[gx(g)]);
            let sums = recurrent::sums::<C, F>(input, w_hh.real(), b_hh.real(), &before, j);
            let is_state = C::EXTRA == Extra::State;
            let state = if is_state { extra.real()[(extra_read_row + m) * hidden + j] } else { F::ZERO };
            let own = C::forward(Activation::of_word(activation), sums, input, before[j], state);
            h.real_mut()[(h_write_row + m) * hidden + j] = own.h;
            if is_state || C::EXTRA == Extra::Kept && keep == 1 {
                extra.real_mut()[(extra_write_row + m) * hidden + j] = own.extra;
            }
            for g in (0..C::GATES).filter(|_| keep == 1) {
                gates.real_mut()[gx(g)] = own.gates[g];
            }
        }
    }
}

pub(super) fn cases<C: Cell>() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 3), (1, 65), (1, 1000), (3, 64), (5, 17), (67, 65), (33, 130)];
    let kept = [(1, 1), (2, 3), (67, 65), (1, 1000), (33, 130)];
    let extreme = || Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30]);
    let normal = || Fill::Normal(1.0);
    let of_kind = |cell: &'static Recurrent| {
        let case = |name: String, shape, gx: Fill, extra: Fill, keep| case(cell, name, shape, [gx, extra], keep);
        let plain = plain.map(|s| case(format!("rows={} hidden={}", s.0, s.1), s, normal(), normal(), false));
        let kept = kept.map(|s| case(format!("kept rows={} hidden={}", s.0, s.1), s, normal(), normal(), true));
        let mut cases: Vec<Case> = plain.into_iter().chain(kept).collect();
        cases.push(case("extreme input product".into(), (7, 30), extreme(), normal(), false));
        cases.push(case("extreme input product, kept".into(), (7, 30), extreme(), normal(), true));
        if C::EXTRA == Extra::State {
            cases.push(case("extreme state".into(), (7, 30), normal(), extreme(), false));
        }
        cases.push(case("zeros".into(), (6, 66), Fill::Normal(0.0), Fill::Normal(0.0), true));
        cases
    };
    C::kinds().into_iter().flat_map(of_kind).collect()
}

fn case(cell: &'static Recurrent, name: String, (rows, hidden): (usize, usize), fills: [Fill; 2], keep: bool) -> Case {
    let [gx_fill, extra_fill] = fills;
    let is_state = cell.extra == Extra::State;
    Case::new(
        cell.case_name(name),
        |b, fills| {
            let gates = b.f32(Role::Scratch, "gates", &[(rows + 1).into(), cell.gates.into(), hidden.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[cell.gates.into(), hidden.into(), hidden.into()]);
            let b_hh = b.f32(Role::Weight, "b_hh", &[cell.gates.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let extra_rows = match cell.extra {
                Extra::State => rows,
                Extra::Kept if keep => rows + 1,
                _ => 0,
            };
            let shape = if extra_rows > 0 { [extra_rows.into(), hidden.into()] } else { [Dim::fixed(1); 2] };
            let extra = b.f32(Role::State, "extra", &shape);
            let group = b.shard_group();
            b.shard(w_hh, 1, group);
            let w = 1.0 / (hidden as f32).sqrt();
            fills.extend([(gates, gx_fill), (w_hh, Fill::Normal(w)), (b_hh, Fill::Normal(0.5))]);
            fills.extend([(h, Fill::Normal(0.5)), (extra, extra_fill)]);
            Step { gates, w_hh, b_hh, h, extra }
        },
        |b, op| {
            let extra = if is_state { 0.into() } else { Affine::constant(1) };
            let (h_read, h_write) = (rows.into(), 0.into());
            let at =
                StepOffsets { gx: 1.into(), h_read, h_write, extra_read: extra, extra_write: extra, keep_gates: keep };
            record(b, cell, op, rows.into(), at);
        },
    )
}
