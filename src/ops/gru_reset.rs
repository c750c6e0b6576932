//! The operand of the recurrent product in a GRU whose reset gate is applied before it.
//!
//! ```text
//! y[m] = s(gx_r + u_r) h[h_read_row + m]
//! gx [*, 3, H] = W_ih x + b_ih at gx_row, u [*, 3, H] = W_hh h + b_hh, h [*, H], y [*, H]; m < M = rows
//! ```
//! s is an activation. Flops: 8 M H, say. Bytes: 16 M H.

use super::activation::Activation;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GruReset {
    /// `[*, 3, H]`.
    pub gx: TensorId,
    /// `[*, 3, H]`.
    pub u: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
    /// `[*, H]`.
    pub y: TensorId,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GruReset, rows: Dim, gate: Activation, gx_row: Affine, h_read_row: Affine) {
    let hidden = *b.tensor(op.h).shape.last().expect("gru_reset: h is [*, H]");
    for id in [op.gx, op.u] {
        assert!(b.tensor(id).shape.ends_with(&[3.into(), hidden]), "gru_reset: gx and u are [*, 3, H]");
    }
    assert_eq!(b.tensor(op.y).shape.last(), Some(&hidden), "gru_reset: y is [*, H]");
    let params = [rows.into(), hidden.into(), gx_row, h_read_row, gate.word().into()];
    b.push(&ROW, &[op.gx, op.u, op.h, op.y], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "gru_reset",
    operands: &[Operand::read("gx"), Operand::read("u"), Operand::read("h"), Operand::write("y")],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gx_row"),
        Param::offset("h_read_row"),
        Param::flag("gate"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("gru_reset", "base", "activation"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["hidden"]).div_ceil(64)))],
    cases,
    cost: |w| {
        let elements = w.f64("rows") * w.f64("hidden");
        Cost { flops: 8.0 * elements, bytes: 16.0 * elements }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, h_read_row, gate] = args.sizes();
    let gate = Activation::of_word(gate);
    let [gx, u, h, y] = args.all();
    for m in 0..rows {
        for j in 0..hidden {
            let r = gate.of(gx.real()[(gx_row + m) * 3 * hidden + j] + u.real()[m * 3 * hidden + j]);
            y.real_mut()[m * hidden + j] = r * h.real()[(h_read_row + m) * hidden + j];
        }
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1), (67, 1), (1, 3), (3, 64), (5, 17), (67, 65), (2, 1000)];
    let gates = [Activation::Sigmoid, Activation::HardSigmoid, Activation::HardSigmoid6].into_iter().cycle();
    let mut cases: Vec<Case> = gates.zip(shapes).map(|(f, shape)| case(f, shape, Fill::Normal(2.0))).collect();
    cases.push(case(Activation::Sigmoid, (7, 30), Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30])));
    cases
}

fn case(gate: Activation, (rows, hidden): (usize, usize), fill: Fill) -> Case {
    let kind = if matches!(fill, Fill::Extreme(_)) { " extreme" } else { "" };
    Case::new(
        format!("rows={rows} hidden={hidden} {}{kind}", gate.name()),
        |b, fills| {
            let gx = b.f32(Role::Scratch, "gx", &[(rows + 1).into(), 3.into(), hidden.into()]);
            let u = b.f32(Role::Scratch, "u", &[rows.into(), 3.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let y = b.f32(Role::Scratch, "y", &[rows.into(), hidden.into()]);
            fills.extend([(gx, fill), (u, Fill::Normal(1.0)), (h, Fill::Normal(0.5))]);
            GruReset { gx, u, h, y }
        },
        |b, op| record(b, op, rows.into(), gate, 1.into(), rows.into()),
    )
}
