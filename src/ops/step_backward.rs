//! One step of a recurrent layer backward: what the later step asks of h, and the gates' gradients.
//!
//! ```text
//! d = dy[dy_row + m] + sum_{g,n} later[g, n] w_hh[g, n]      the later step's gradients; 0 at the last step
//!     + dh[m], where a part of h's gradient passes by the gates
//! later[g] = gates[next_row + m, g], of a split gate extra[next_row + m]
//! dgates, dh, dextra = cell backward (d, gates[gates_row + m], states[before_row + m], states[after_row + m],
//!                                     extra[extra_row + m])
//! gates[gates_row + m] := dgates      extra[extra_row + m] := dextra      dh[m] := dh
//! gates [*, G, H], w_hh [G, H, H] (gate, unit, h of the step before), states, dy, extra, dh [*, H]; m < M = rows
//! ```
//! The gradients are those of the pre-activations, and so of the input sums; that of a split gate's recurrent sum is
//! dextra. `states` is the state `extra` over time where a cell has one, `extra` then its gradient; else `states` is h over
//! time, and `extra` what the step saved. `dh` carries the sum between shards. Order of the sum: from dy on, blocks of 64 n
//! ascending, within a block gates ascending; the fast function sums blocks of 64 (g, n), g ascending.
//! Flops: 2 G M H^2 and some 40 M H. Bytes: 4 (G H^2 + 3 G M H + some 5 M H).

use super::activation::Activation;
use super::recurrent::{Cell, Extra, MOST_GATES, Recurrent};
use crate::plan::{Affine, Args, Builder, Case, Cost, Dim, Fill, ParamWords, Real, Role, TensorId};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct StepBackward {
    /// `[*, G, H]`: the activated gates that [`super::step`] saved; their gradients afterwards.
    pub gates: TensorId,
    /// `[G, H, H]`.
    pub w_hh: TensorId,
    /// `[*, H]`: the states over time: of `extra`, where it is one, else of h.
    pub states: TensorId,
    /// `[*, H]`: the gradient of h from above.
    pub dy: TensorId,
    /// `[*, H]`: the gradient of a state `extra`, rows 0 to M; or what the step saved, and its gradient afterwards.
    pub extra: TensorId,
    /// `[*, H]`: the gradient of h, rows 0 to M: all of it, or what passes by the gates.
    pub dh: TensorId,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct StepBackwardOffsets {
    /// First row of `gates` of this step; and of an `extra` that was saved.
    pub gates: Affine,
    /// First row of those of the later step, whose gradients are there; not rows of this step.
    pub next: Affine,
    /// First row of `states` before the step.
    pub before: Affine,
    /// First row of `states` after the step.
    pub after: Affine,
    /// First row of `dy`.
    pub dy: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, cell: &Recurrent, op: StepBackward, rows: Dim, at: StepBackwardOffsets) {
    let name = cell.step_backward.name;
    let [gates, hidden, inputs] = b.tensor(op.w_hh).shape[..] else { panic!("{name}: w_hh is [G, H, H]") };
    assert!(gates == cell.gates.into() && hidden == inputs, "{name}: w_hh is [{}, H, H]", cell.gates);
    assert!(b.tensor(op.gates).shape.ends_with(&[gates, hidden]), "{name}: gates is [*, {}, H]", cell.gates);
    for id in [op.states, op.dy, op.dh] {
        assert_eq!(b.tensor(id).shape.last(), Some(&hidden), "{name}: `{}` is [*, H]", b.tensor(id).name);
    }
    cell.expect_extra(b, name, op.extra, hidden, true);
    let extra = if cell.extra == Extra::Kept { at.gates } else { 0.into() };
    let activation = cell.activation.word().into();
    let params = [rows.into(), hidden.into(), at.gates, at.next, at.before, at.after, extra, at.dy, activation];
    b.push(cell.step_backward, &[op.gates, op.w_hh, op.states, op.dy, op.extra, op.dh], &params);
}

/// The table row of a cell's step backward, by the cell's type and name.
macro_rules! row {
    ($cell:ident, $name:literal) => {{
        use $crate::ops::recurrent::recurrent_kernel;
        use $crate::ops::step_backward;
        use $crate::plan::{Adapters, OpRow, Operand, OrderClass, Param, Requires, ShardedAxes, Variant};
        OpRow {
            name: concat!($name, "_step_backward"),
            operands: &[
                Operand::write("gates"),
                Operand::read("w_hh"),
                Operand::read("states"),
                Operand::read("dy"),
                Operand::write("extra"),
                Operand::write("dh"),
            ],
            params: &[
                Param::size("rows"),
                Param::size("hidden"),
                Param::offset("gates_row"),
                Param::offset("next_row"),
                Param::offset("before_row"),
                Param::offset("after_row"),
                Param::offset("extra_row"),
                Param::offset("dy_row"),
                Param::constant("activation"),
            ],
            shards: &[ShardedAxes { name: "n", axes: &[(1, 1)], multiple: 64 }],
            carry_words: 0,
            passes: |_| 1,
            reference_f32: step_backward::reference::<$cell, f32>,
            reference_f64: step_backward::reference::<$cell, f64>,
            variants: &[
                Variant::new(
                    recurrent_kernel!($name, "_step_backward_8x16", "backward", "backward_8x16"),
                    Requires::invocations(8),
                )
                .class(OrderClass::Blocks64)
                .better_on(Adapters::Software, |w| w["rows"] > 4 && w["hidden"] >= 64)
                .groups(|w| [w["hidden"].div_ceil(128), w["rows"].div_ceil(8), 1]),
                Variant::new(
                    recurrent_kernel!($name, "_step_backward_skinny", "backward", "backward_row"),
                    Requires::invocations(256).with_memory(4096),
                )
                .class(OrderClass::Blocks64)
                .better_on(Adapters::Any, |w| w["rows"] <= 4)
                .groups(|w| [w["hidden"].div_ceil(32), w["rows"], 1]),
                Variant::new(
                    recurrent_kernel!($name, "_step_backward", "backward", "backward_rows"),
                    Requires::invocations(64).with_memory(4096),
                )
                .class(OrderClass::Blocks64)
                .groups(|w| [w["hidden"].div_ceil(64), w["rows"].div_ceil(4), 1]),
            ],
            cases: step_backward::cases::<$cell>,
            cost: step_backward::cost::<$cell>,
        }
    }};
}
pub(crate) use row;

pub(super) fn cost<C: Cell>(w: &ParamWords) -> Cost {
    let (m, h, g) = (w.f64("rows"), w.f64("hidden"), C::GATES as f64);
    let extra = match C::EXTRA {
        Extra::Nothing => 0.0,
        Extra::State => 4.0,
        Extra::Kept => 3.0,
    };
    let bytes = 4.0 * (g * h * h + (3.0 * g + 3.0 + extra) * m * h);
    Cost { flops: m * h * (2.0 * g * h + C::FLOPS[1]), bytes }
}

pub(super) fn reference<C: Cell, F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gates_row, next_row, before_row, after_row, extra_row, dy_row, activation] = args.sizes();
    let [gates, w_hh, states, dy, extra, dh] = args.all();
    for m in 0..rows {
        let mut later = gates.real()[(next_row + m) * C::GATES * hidden..][..C::GATES * hidden].to_vec();
        if let Some(g) = C::SPLIT_GATE {
            later[g * hidden..][..hidden].copy_from_slice(&extra.real()[(next_row + m) * hidden..][..hidden]);
        }
        for j in 0..hidden {
            let own = |g: usize| ((gates_row + m) * C::GATES + g) * hidden + j;
            let mut kept = [F::ZERO; MOST_GATES];
            (0..C::GATES).for_each(|g| kept[g] = gates.real()[own(g)]);
            let [before, after] = [before_row, after_row].map(|row| states.real()[(row + m) * hidden + j]);
            let extra_at = (C::EXTRA != Extra::Nothing).then_some((extra_row + m) * hidden + j);
            let at = m * hidden + j;

            let past = if C::BYPASSES_GATES { dh.real()[at] } else { F::ZERO };
            let d = dy.real()[(dy_row + m) * hidden + j] + past + through(&later, w_hh.real(), hidden, j);
            let of_extra = extra_at.map_or(F::ZERO, |at| extra.real()[at]);
            let found = C::backward(Activation::of_word(activation), d, kept, [before, after], of_extra);
            (0..C::GATES).for_each(|g| gates.real_mut()[own(g)] = found.gates[g]);
            if let Some(extra_at) = extra_at {
                extra.real_mut()[extra_at] = found.extra;
            }
            dh.real_mut()[at] = found.h;
        }
    }
}

/// `sum_q d[q] w[q, j]`: what gradients of gates ask of unit j of h. w `[Q, H]`.
fn through<F: Real>(d: &[F], w: &[F], hidden: usize, j: usize) -> F {
    d.iter().enumerate().fold(F::ZERO, |sum, (q, &d)| d.mul_add(w[q * hidden + j], sum))
}

pub(super) fn cases<C: Cell>() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 3), (1, 65), (1, 1000), (3, 64), (5, 17), (67, 65), (33, 130)];
    let (own, normal) = (|| Fill::Normal(0.6), || Fill::Normal(1.0));
    let large = || Fill::Extreme(&[1e2, -1e4, 1e15, 0.0, -1e15]);
    let values = |i: usize| [0.0, 1.0, -1.0, 0.5, 1e-20][i * i % 5];
    let saturated = || Fill::Floats((0..15 * C::GATES * 30).map(values).collect());
    // Of a state: its values. Of what was saved: those.
    let extreme_states =
        || if C::EXTRA == Extra::State { Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30]) } else { large() };
    let of_kind = |cell: &'static Recurrent| {
        let normal_case =
            |s: (usize, usize)| case(cell, format!("rows={} hidden={}", s.0, s.1), s, [own(), normal(), normal()]);
        let mut cases: Vec<Case> = plain.into_iter().map(normal_case).collect();
        let zeros = || Fill::Normal(0.0);
        cases.extend([
            case(cell, "extreme states".into(), (7, 30), [own(), extreme_states(), normal()]),
            case(cell, "extreme gradients".into(), (7, 30), [own(), normal(), large()]),
            case(cell, "saturated gates".into(), (7, 30), [saturated(), normal(), normal()]),
            case(cell, "zeros".into(), (6, 66), [zeros(), zeros(), zeros()]),
        ]);
        cases
    };
    C::kinds().into_iter().flat_map(of_kind).collect()
}

/// `fills` are those of the gates, of the state `extra` or what was saved, and of dy.
fn case(cell: &'static Recurrent, name: String, (rows, hidden): (usize, usize), fills: [Fill; 3]) -> Case {
    let [gates_fill, extra_fill, dy_fill] = fills;
    let is_state = cell.extra == Extra::State;
    Case::new(
        cell.case_name(name),
        |b, fills| {
            let hidden_dim = Dim::fixed(hidden);
            let gates = b.f32(Role::Saved, "gates", &[(2 * rows + 1).into(), cell.gates.into(), hidden_dim]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[cell.gates.into(), hidden_dim, hidden_dim]);
            let states = b.f32(Role::Saved, "states", &[(2 * rows + 1).into(), hidden_dim]);
            let dy = b.f32(Role::Scratch, "dy", &[(rows + 2).into(), hidden_dim]);
            let shape = match cell.extra {
                Extra::Nothing => [Dim::fixed(1); 2],
                Extra::State => [rows.into(), hidden_dim],
                Extra::Kept => [(2 * rows + 1).into(), hidden_dim],
            };
            let extra = b.f32(Role::Saved, "extra", &shape);
            let dh = b.f32(Role::Scratch, "dh", &[rows.into(), hidden_dim]);
            let group = b.shard_group();
            b.shard(w_hh, 1, group);
            let w = 1.0 / (hidden as f32).sqrt();
            fills.extend([(gates, gates_fill), (w_hh, Fill::Normal(w)), (dy, dy_fill)]);
            let (of_states, of_extra) =
                if is_state { (extra_fill, Fill::Normal(0.7)) } else { (Fill::Normal(0.5), extra_fill) };
            // The old value of dh matters only where h bypasses the gates.
            let of_dh = Fill::Normal(if cell.bypasses_gates { 0.7 } else { 9.0 });
            fills.extend([(states, of_states), (extra, of_extra), (dh, of_dh)]);
            StepBackward { gates, w_hh, states, dy, extra, dh }
        },
        |b, op| {
            let (next, before, after, dy) = ((rows + 1).into(), 1.into(), (rows + 1).into(), 2.into());
            record(b, cell, op, rows.into(), StepBackwardOffsets { gates: 1.into(), next, before, after, dy });
        },
    )
}
