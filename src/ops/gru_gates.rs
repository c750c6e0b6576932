//! One step of a GRU layer whose products are there, with what PyTorch's cell does not have: other activations, and the
//! reset gate before the product.
//!
//! ```text
//! z  = s(gx_z + u_z)
//! n  = t(gx_n + s(gx_r + u_r) u_n)    the reset after the product; v is not read
//! n  = t(gx_n + v_n)                  before it (reset_before = 1): v = W_hh (r h) + b_hh, r h by gru_reset
//! h' = (1 - z) n + z h                -> h[h_write_row + m]
//! gx [*, 3, H] = W_ih x + b_ih at gx_row, u [*, 3, H] = W_hh h + b_hh, v [*, 3, H], h [*, H] read at h_read_row;
//! m < M = rows
//! ```
//! Gates in PyTorch's order r z n; s and t are activations. Flops: 25 M H, say. Bytes: 36 M H.

use super::activation::Activation;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GruGates {
    /// `[*, 3, H]`.
    pub gx: TensorId,
    /// `[*, 3, H]`.
    pub u: TensorId,
    /// `[*, 3, H]`.
    pub v: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
}

/// The functions of the gates.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// s, of the gates.
    pub gate: Activation,
    /// t, of the candidate.
    pub cell: Activation,
    /// Whether the reset gate came before the product.
    pub reset_before: bool,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GruGatesOffsets {
    /// First row of `gx`.
    pub gx: Affine,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written.
    pub h_write: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GruGates, rows: Dim, f: Functions, at: GruGatesOffsets) {
    let hidden = *b.tensor(op.h).shape.last().expect("gru_gates: h is [*, H]");
    for id in [op.gx, op.u, op.v] {
        assert!(b.tensor(id).shape.ends_with(&[3.into(), hidden]), "gru_gates: gx, u and v are [*, 3, H]");
    }
    let [gate, cell, before] = [f.gate.word(), f.cell.word(), usize::from(f.reset_before)].map(Affine::from);
    let params = [rows.into(), hidden.into(), at.gx, at.h_read, at.h_write, gate, cell, before];
    b.push(&ROW, &[op.gx, op.u, op.v, op.h], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "gru_gates",
    operands: &[Operand::read("gx"), Operand::read("u"), Operand::read("v"), Operand::write("h")],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gx_row"),
        Param::offset("h_read_row"),
        Param::offset("h_write_row"),
        Param::flag("gate"),
        Param::flag("cell"),
        Param::flag("reset_before"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("gru_gates", "base", "activation"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["hidden"]).div_ceil(64)))],
    cases,
    cost: |w| {
        let elements = w.f64("rows") * w.f64("hidden");
        Cost { flops: 25.0 * elements, bytes: 36.0 * elements }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, h_read_row, h_write_row, gate, cell, before] = args.sizes();
    let [gate, cell] = [gate, cell].map(Activation::of_word);
    let [gx, u, v, h] = args.all();
    for m in 0..rows {
        for j in 0..hidden {
            let input = |g: usize| gx.real()[((gx_row + m) * 3 + g) * hidden + j];
            let recurrent = |g: usize| u.real()[(m * 3 + g) * hidden + j];
            let z = gate.of(input(1) + recurrent(1));
            let n = if before == 1 {
                v.real()[(m * 3 + 2) * hidden + j]
            } else {
                gate.of(input(0) + recurrent(0)) * recurrent(2)
            };
            let n = cell.of(input(2) + n);
            let state = h.real()[(h_read_row + m) * hidden + j];
            h.real_mut()[(h_write_row + m) * hidden + j] = (F::ONE - z) * n + z * state;
        }
    }
}

fn cases() -> Vec<Case> {
    use Activation::{HardSigmoid, HardSigmoid6, Relu, Sigmoid, Tanh};
    let plain = Functions { gate: Sigmoid, cell: Tanh, reset_before: true };
    let shapes = [(1, 1), (67, 1), (1, 3), (3, 64), (5, 17), (67, 65), (2, 1000)];
    let mut cases: Vec<Case> = shapes.into_iter().map(|shape| case(plain, shape, Fill::Normal(1.0))).collect();
    cases.extend([
        case(Functions { reset_before: false, ..plain }, (5, 33), Fill::Normal(1.0)),
        case(Functions { gate: HardSigmoid, reset_before: false, ..plain }, (7, 18), Fill::Normal(2.0)),
        case(Functions { gate: HardSigmoid6, cell: Relu, ..plain }, (3, 70), Fill::Normal(2.0)),
        case(Functions { cell: Sigmoid, ..plain }, (4, 9), Fill::Normal(1.0)),
        case(plain, (7, 30), Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30])),
        case(plain, (6, 66), Fill::Normal(0.0)),
    ]);
    cases
}

fn case(f: Functions, (rows, hidden): (usize, usize), fill: Fill) -> Case {
    let kind = if matches!(fill, Fill::Extreme(_)) { " extreme" } else { "" };
    let reset = if f.reset_before { "before" } else { "after" };
    Case::new(
        format!("rows={rows} hidden={hidden} {} {} reset {reset}{kind}", f.gate.name(), f.cell.name()),
        |b, fills| {
            let products = |b: &mut Builder, name, rows: usize| {
                b.f32(Role::Scratch, name, &[rows.into(), 3.into(), hidden.into()])
            };
            let (gx, u, v) = (products(b, "gx", rows + 1), products(b, "u", rows), products(b, "v", rows));
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            fills.extend([(gx, fill), (u, Fill::Normal(1.0)), (v, Fill::Normal(1.0)), (h, Fill::Normal(0.5))]);
            GruGates { gx, u, v, h }
        },
        |b, op| record(b, op, rows.into(), f, GruGatesOffsets { gx: 1.into(), h_read: rows.into(), h_write: 0.into() }),
    )
}
