//! One step of a plain recurrent layer whose two products are there.
//!
//! ```text
//! h' = f(gx[gx_row + m] + u[m])       -> h[h_write_row + m]
//! gx [*, 1, H] = W_ih x + b_ih, u [*, 1, H] = W_hh h + b_hh, h [*, H]; f an activation; m < M = rows
//! ```
//! Flops: 10 M H, say. Bytes: 12 M H.

use super::activation::Activation;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct RnnGates {
    /// `[*, 1, H]`.
    pub gx: TensorId,
    /// `[*, 1, H]`.
    pub u: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: RnnGates, rows: Dim, f: Activation, gx_row: Affine, h_write_row: Affine) {
    let hidden = *b.tensor(op.h).shape.last().expect("rnn_gates: h is [*, H]");
    for id in [op.gx, op.u] {
        assert!(b.tensor(id).shape.ends_with(&[1.into(), hidden]), "rnn_gates: gx and u are [*, 1, H]");
    }
    b.push(&ROW, &[op.gx, op.u, op.h], &[rows.into(), hidden.into(), gx_row, h_write_row, f.word().into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "rnn_gates",
    operands: &[Operand::read("gx"), Operand::read("u"), Operand::write("h")],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gx_row"),
        Param::offset("h_write_row"),
        Param::flag("activation"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("rnn_gates", "base", "activation"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["hidden"]).div_ceil(64)))],
    cases,
    cost: |w| {
        let elements = w.f64("rows") * w.f64("hidden");
        Cost { flops: 10.0 * elements, bytes: 12.0 * elements }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, h_write_row, activation] = args.sizes();
    let f = Activation::of_word(activation);
    let [gx, u, h] = args.all();
    for i in 0..rows * hidden {
        let sum = gx.real()[gx_row * hidden + i] + u.real()[i];
        h.real_mut()[h_write_row * hidden + i] = f.of(sum);
    }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1), (67, 1), (1, 3), (3, 64), (5, 17), (67, 65), (2, 1000)];
    let plain = Activation::ALL.into_iter().cycle().zip(shapes);
    let mut cases: Vec<Case> = plain.map(|(f, shape)| case(f, shape, Fill::Normal(2.0))).collect();
    let extreme: &[f32] = &[1e2, -1e4, 1e30, 0.0, -1e30];
    cases.extend(Activation::ALL.map(|f| case(f, (7, 30), Fill::Extreme(extreme))));
    cases
}

fn case(f: Activation, (rows, hidden): (usize, usize), fill: Fill) -> Case {
    let kind = if matches!(fill, Fill::Extreme(_)) { " extreme" } else { "" };
    Case::new(
        format!("rows={rows} hidden={hidden} {}{kind}", f.name()),
        |b, fills| {
            let gx = b.f32(Role::Scratch, "gx", &[(rows + 1).into(), 1.into(), hidden.into()]);
            let u = b.f32(Role::Scratch, "u", &[rows.into(), 1.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            fills.extend([(gx, fill), (u, Fill::Normal(1.0)), (h, Fill::Normal(0.5))]);
            RnnGates { gx, u, h }
        },
        |b, op| record(b, op, rows.into(), f, 1.into(), rows.into()),
    )
}
