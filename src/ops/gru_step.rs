//! One step of a GRU layer whose input product is already there.
//!
//! ```text
//! r  = s(gx_r + b_hr + W_hr h)      z = s(gx_z + b_hz + W_hz h)
//! n  = tanh(gx_n + r (b_hn + W_hn h))        the reset gate after the product, as in PyTorch
//! h' = (1 - z) n + z h
//! gx [*, 3, H] = W_ih x + b_ih read at gx_row, w_hh [3, H, H], b_hh [3, H], h [*, H] read at h_read_row,
//! h' written at h_write_row; m < M = rows
//! ```
//! gx stands in the operand `gates`. Where `keep_gates` = 1, the activated gates r z n take its place and `candidate`
//! `[*, 1, H]` gets q = b_hn + W_hn h in the same rows, for [`super::gru_step_backward`]; where it is 0, both are left as
//! they were.
//!
//! Gates in PyTorch's order r z n. Flops: 6 M H^2 + 25 M H, say. Bytes: 4 (3 H^2 + 3 H + 3 M H + 2 M H).

use super::matmul::dot;
use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Cut, Dim, Fill, Layout, OpRow, Operand, OrderClass, Param, Real,
    Requires, Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GruStep {
    /// `[*, 3, H]`: the input products; the activated gates afterwards, where they are kept.
    pub gates: TensorId,
    /// `[3, H, H]`.
    pub w_hh: TensorId,
    /// `[3, H]`.
    pub b_hh: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
    /// `[*, 1, H]`: the recurrent part of n, where the gates are kept; else it may be a stand-in `[1, 1, 1]`.
    pub candidate: TensorId,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// First row of `gates` and of `candidate`.
    pub gx: Affine,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written; not the rows that are read.
    pub h_write: Affine,
    /// Whether the activated gates take the place of the input products.
    pub keep_gates: bool,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GruStep, rows: Dim, at: Offsets) {
    let [gates, hidden, inputs] = b.tensor(op.w_hh).shape[..] else { panic!("gru_step: w_hh is [3, H, H]") };
    assert!(gates == 3.into() && hidden == inputs, "gru_step: w_hh is [3, H, H]");
    b.expect_shape("gru_step", op.b_hh, &[gates, hidden]);
    assert!(b.tensor(op.gates).shape.ends_with(&[gates, hidden]), "gru_step: gates is [*, 3, H]");
    assert_eq!(b.tensor(op.h).shape.last(), Some(&hidden), "gru_step: h is [*, H]");
    let candidate = &b.tensor(op.candidate).shape;
    let stand_in = !at.keep_gates && *candidate == [Dim::fixed(1); 3];
    assert!(stand_in || candidate.ends_with(&[1.into(), hidden]), "gru_step: candidate is [*, 1, H]");
    let keep = Affine::constant(usize::from(at.keep_gates));
    let params = [rows.into(), hidden.into(), at.gx, at.h_read, at.h_write, keep];
    b.push(&ROW, &[op.gates, op.w_hh, op.b_hh, op.h, op.candidate], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "gru_step",
    operands: &[
        Operand::write("gates"),
        Operand::read("w_hh"),
        Operand::read("b_hh"),
        Operand::write("h"),
        Operand::write("candidate"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gx_row"),
        Param::offset("h_read_row"),
        Param::offset("h_write_row"),
        Param::flag("keep_gates"),
    ],
    cuts: &[Cut { name: "unit", axes: &[(1, 1)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(crate::kernel!("gru_step_1x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4Panels)])
            .better_on(Adapters::Software, |w| w["rows"] == 1)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"], 1]),
        Variant::new(crate::kernel!("gru_step_8x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .better_on(Adapters::Software, |w| w["rows"] > 4)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"].div_ceil(8), 1]),
        Variant::new(crate::kernel!("gru_step_skinny"), Requires::invocations(256).with_memory(4096 + 64))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .better_on(Adapters::Hardware, |w| w["rows"] <= 4)
            .groups(|w| [w["unit_len"].div_ceil(16), w["rows"], 1]),
        Variant::new(crate::kernel!("gru_step"), Requires::invocations(64).with_memory(1024))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .groups(|w| [w["unit_len"].div_ceil(64), w["rows"].div_ceil(4), 1]),
    ],
    cases,
    cost: |w| {
        let (m, h) = (w.f64("rows"), w.f64("hidden"));
        Cost { flops: m * h * (6.0 * h + 25.0), bytes: 4.0 * (3.0 * h * h + 3.0 * h + 5.0 * m * h) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, h_read_row, h_write_row, keep_gates] = args.sizes();
    let [gates, w_hh, b_hh, h, candidate] = args.all();
    for m in 0..rows {
        let before = h.real()[(h_read_row + m) * hidden..][..hidden].to_vec();
        for j in 0..hidden {
            let input = |g: usize| gates.real()[((gx_row + m) * 3 + g) * hidden + j];
            let recurrent = |g: usize| {
                let q = g * hidden + j;
                b_hh.real()[q] + dot(&before, &w_hh.real()[q * hidden..][..hidden])
            };
            let recurrent = [0, 1, 2].map(recurrent);
            let own = activated([0, 1, 2].map(input), recurrent);
            h.real_mut()[(h_write_row + m) * hidden + j] = new_state(own, before[j]);
            if keep_gates == 1 {
                for (g, gate) in own.into_iter().enumerate() {
                    gates.real_mut()[((gx_row + m) * 3 + g) * hidden + j] = gate;
                }
                candidate.real_mut()[(gx_row + m) * hidden + j] = recurrent[2];
            }
        }
    }
}

/// h' of one unit from the input and recurrent parts of r z n and h.
pub(crate) fn cell<F: Real>(input: [F; 3], recurrent: [F; 3], h: F) -> F {
    new_state(activated(input, recurrent), h)
}

/// The gates r z n.
fn activated<F: Real>(input: [F; 3], recurrent: [F; 3]) -> [F; 3] {
    let r = (input[0] + recurrent[0]).sigmoid();
    let z = (input[1] + recurrent[1]).sigmoid();
    [r, z, (input[2] + r * recurrent[2]).tanh()]
}

/// h' from the activated gates and h.
fn new_state<F: Real>([_, z, n]: [F; 3], h: F) -> F {
    (F::ONE - z) * n + z * h
}

fn cases() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 3), (1, 65), (1, 1000), (3, 64), (5, 17), (67, 65), (33, 130)];
    let extreme = Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30]);
    let normal = plain.into_iter().map(|s| case(format!("rows={} hidden={}", s.0, s.1), s, Fill::Normal(1.0), false));
    let kept = [(1, 1), (2, 3), (67, 65), (1, 1000), (33, 130)]
        .into_iter()
        .map(|s| case(format!("kept rows={} hidden={}", s.0, s.1), s, Fill::Normal(1.0), true));
    let odd = [
        case("extreme input product".into(), (7, 30), extreme.clone(), false),
        case("extreme input product, kept".into(), (7, 30), extreme, true),
        case("zeros".into(), (6, 66), Fill::Normal(0.0), true),
    ];
    normal.chain(kept).chain(odd).collect()
}

fn case(name: String, (rows, hidden): (usize, usize), gx_fill: Fill, keep_gates: bool) -> Case {
    Case::new(
        name,
        |b, fills| {
            let gates = b.f32(Role::Scratch, "gates", &[(rows + 1).into(), 3.into(), hidden.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[3.into(), hidden.into(), hidden.into()]);
            let b_hh = b.f32(Role::Weight, "b_hh", &[3.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let kept = [(rows + 1).into(), 1.into(), hidden.into()];
            let candidate = if keep_gates { kept } else { [Dim::fixed(1); 3] };
            let candidate = b.f32(Role::Saved, "candidate", &candidate);
            let group = b.split_group();
            b.split(w_hh, 1, group);
            let w = 1.0 / (hidden as f32).sqrt();
            fills.extend([(gates, gx_fill), (w_hh, Fill::Normal(w))]);
            fills.extend([(b_hh, Fill::Normal(0.5)), (h, Fill::Normal(0.5))]);
            GruStep { gates, w_hh, b_hh, h, candidate }
        },
        |b, op| {
            let at = Offsets { gx: 1.into(), h_read: rows.into(), h_write: 0.into(), keep_gates };
            record(b, op, rows.into(), at);
        },
    )
}
