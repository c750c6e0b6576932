//! One step of a GRU layer backwards: what the later step asks of h, and the gates' gradients.
//!
//! ```text
//! dh   = dy[dy_row + m] + dh[m] + sum_n (gates[next_row + m, 0, n] w_hh[0, n] + gates[next_row + m, 1, n] w_hh[1, n]
//!        + candidate[next_row + m, 0, n] w_hh[2, n])        the later step's gradients; 0 at the last step
//! r z n = gates[gates_row + m], activated;  q = candidate[gates_row + m] = b_hn + W_hn hb;  hb = h[h_before_row + m]
//! dn   = dh (1 - z) (1 - n^2)       dz = dh (hb - n) z (1 - z)       dr = dn q r (1 - r)       dq = dn r
//! gates[gates_row + m] := (dr, dz, dn)      candidate[gates_row + m] := dq      dh[m] := dh z
//! gates [*, 3, H], candidate [*, 1, H], w_hh [3, H, H] (gate, unit, h of the step before), h [*, H], dy [*, H],
//! dh [*, H]; m < M = rows
//! ```
//! The gradients are those of the pre-activations: dr, dz, dn of the input products, dr, dz, dq of the recurrent ones.
//! `dh` carries what goes to the step before past the gates, and the sum between parts. Order of the sum: from
//! dy + dh on, blocks of 64 n ascending, within a block gates ascending; the fast function sums blocks of 64 (g, n) for
//! r and z, then those of q. Flops: 6 M H^2 + 40 M H, say. Bytes: 4 (3 H^2 + 11 M H + 4 M H).

use super::lstm_step_backward::through;
use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Cut, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires,
    Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GruStepBackward {
    /// `[*, 3, H]`: the activated gates that [`super::gru_step`] kept; their gradients afterwards.
    pub gates: TensorId,
    /// `[*, 1, H]`: the recurrent part of n that it kept; its gradient afterwards.
    pub candidate: TensorId,
    /// `[3, H, H]`.
    pub w_hh: TensorId,
    /// `[*, H]`: the states over time.
    pub h: TensorId,
    /// `[*, H]`: the gradient of h from above.
    pub dy: TensorId,
    /// `[*, H]`: what goes to the step before past the gates, rows 0 to M.
    pub dh: TensorId,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// First row of `gates` and `candidate` of this step.
    pub gates: Affine,
    /// First row of `gates` and `candidate` of the later step, whose gradients are there; not rows of this step.
    pub next: Affine,
    /// First row of `h` before the step.
    pub h_before: Affine,
    /// First row of `dy`.
    pub dy: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GruStepBackward, rows: Dim, at: Offsets) {
    let [gates, hidden, inputs] = b.tensor(op.w_hh).shape[..] else { panic!("gru_step_backward: w_hh is [3, H, H]") };
    assert!(gates == 3.into() && hidden == inputs, "gru_step_backward: w_hh is [3, H, H]");
    assert!(b.tensor(op.gates).shape.ends_with(&[gates, hidden]), "gru_step_backward: gates is [*, 3, H]");
    assert!(b.tensor(op.candidate).shape.ends_with(&[1.into(), hidden]), "gru_step_backward: candidate is [*, 1, H]");
    for id in [op.h, op.dy, op.dh] {
        assert_eq!(b.tensor(id).shape.last(), Some(&hidden), "gru_step_backward: `{}` is [*, H]", b.tensor(id).name);
    }
    let params = [rows.into(), hidden.into(), at.gates, at.next, at.h_before, at.dy];
    b.push(&ROW, &[op.gates, op.candidate, op.w_hh, op.h, op.dy, op.dh], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "gru_step_backward",
    operands: &[
        Operand::write("gates"),
        Operand::write("candidate"),
        Operand::read("w_hh"),
        Operand::read("h"),
        Operand::read("dy"),
        Operand::write("dh"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gates_row"),
        Param::offset("next_row"),
        Param::offset("h_before_row"),
        Param::offset("dy_row"),
    ],
    cuts: &[Cut { name: "n", axes: &[(2, 1)], multiple: 64 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(crate::kernel!("gru_step_backward_8x16"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .better_on(Adapters::Software, |w| w["rows"] > 4 && w["hidden"] >= 64)
            .groups(|w| [w["hidden"].div_ceil(128), w["rows"].div_ceil(8), 1]),
        Variant::new(crate::kernel!("gru_step_backward_skinny"), Requires::invocations(256).with_memory(4096))
            .class(OrderClass::Blocks64)
            .better_on(Adapters::Any, |w| w["rows"] <= 4)
            .groups(|w| [w["hidden"].div_ceil(32), w["rows"], 1]),
        Variant::new(crate::kernel!("gru_step_backward"), Requires::invocations(64).with_memory(4096))
            .class(OrderClass::Blocks64)
            .groups(|w| [w["hidden"].div_ceil(64), w["rows"].div_ceil(4), 1]),
    ],
    cases,
    cost: |w| {
        let (m, h) = (w.f64("rows"), w.f64("hidden"));
        Cost { flops: m * h * (6.0 * h + 40.0), bytes: 4.0 * (3.0 * h * h + 15.0 * m * h) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gates_row, next_row, h_before_row, dy_row] = args.sizes();
    let [gates, candidate, w_hh, h, dy, dh] = args.all();
    for m in 0..rows {
        let mut later = gates.real()[(next_row + m) * 3 * hidden..][..2 * hidden].to_vec();
        later.extend_from_slice(&candidate.real()[(next_row + m) * hidden..][..hidden]);
        for j in 0..hidden {
            let own = |g: usize| ((gates_row + m) * 3 + g) * hidden + j;
            let own_q = (gates_row + m) * hidden + j;
            let [r, z, n] = [0, 1, 2].map(|g| gates.real()[own(g)]);
            let q = candidate.real()[own_q];
            let before = h.real()[(h_before_row + m) * hidden + j];

            let d = dy.real()[(dy_row + m) * hidden + j]
                + dh.real()[m * hidden + j]
                + through(&later, w_hh.real(), hidden, j);
            let dn = d * (F::ONE - z) * (F::ONE - n * n);
            let dz = d * (before - n) * z * (F::ONE - z);
            let dr = dn * q * r * (F::ONE - r);
            for (g, gradient) in [dr, dz, dn].into_iter().enumerate() {
                gates.real_mut()[own(g)] = gradient;
            }
            candidate.real_mut()[own_q] = dn * r;
            dh.real_mut()[m * hidden + j] = d * z;
        }
    }
}

fn cases() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 3), (1, 65), (1, 1000), (3, 64), (5, 17), (67, 65), (33, 130)];
    let normal = plain.into_iter().map(|s| {
        let own = Fill::Normal(0.6);
        case(format!("rows={} hidden={}", s.0, s.1), s, [own, Fill::Normal(1.0), Fill::Normal(1.0)])
    });
    let extreme: &[f32] = &[1e2, -1e4, 1e15, 0.0, -1e15];
    let saturated = (0..15 * 3 * 30).map(|i| [0.0, 1.0, -1.0, 0.5, 1e-20][i * i % 5]).collect();
    let odd = [
        case("extreme candidate".into(), (7, 30), [Fill::Normal(0.6), Fill::Extreme(extreme), Fill::Normal(1.0)]),
        case("extreme gradients".into(), (7, 30), [Fill::Normal(0.6), Fill::Normal(1.0), Fill::Extreme(extreme)]),
        case("saturated gates".into(), (7, 30), [Fill::Floats(saturated), Fill::Normal(1.0), Fill::Normal(1.0)]),
        case("zeros".into(), (6, 66), [Fill::Normal(0.0), Fill::Normal(0.0), Fill::Normal(0.0)]),
    ];
    normal.chain(odd).collect()
}

/// `fills` are those of the gates, of the recurrent part of n, and of dy.
fn case(name: String, (rows, hidden): (usize, usize), fills: [Fill; 3]) -> Case {
    let [gates_fill, candidate_fill, dy_fill] = fills;
    Case::new(
        name,
        |b, fills| {
            let gates = b.f32(Role::Saved, "gates", &[(2 * rows + 1).into(), 3.into(), hidden.into()]);
            let candidate = b.f32(Role::Saved, "candidate", &[(2 * rows + 1).into(), 1.into(), hidden.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[3.into(), hidden.into(), hidden.into()]);
            let h = b.f32(Role::Saved, "h", &[(rows + 3).into(), hidden.into()]);
            let dy = b.f32(Role::Scratch, "dy", &[(rows + 2).into(), hidden.into()]);
            let dh = b.f32(Role::Scratch, "dh", &[rows.into(), hidden.into()]);
            let group = b.split_group();
            b.split(w_hh, 1, group);
            let w = 1.0 / (hidden as f32).sqrt();
            fills.extend([(gates, gates_fill), (candidate, candidate_fill), (w_hh, Fill::Normal(w))]);
            fills.extend([(h, Fill::Normal(0.5)), (dy, dy_fill), (dh, Fill::Normal(0.7))]);
            GruStepBackward { gates, candidate, w_hh, h, dy, dh }
        },
        |b, op| {
            let at = Offsets { gates: 1.into(), next: (rows + 1).into(), h_before: 3.into(), dy: 2.into() };
            record(b, op, rows.into(), at);
        },
    )
}
