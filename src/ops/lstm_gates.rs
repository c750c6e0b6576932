//! One step of an LSTM layer whose two products are there, with what PyTorch's cell does not have: other activations
//! and peepholes.
//!
//! ```text
//! i, f, g, o = gx[gx_row + m] + u[m]
//! c'  = s(f + p_f c) c + s(i + p_i c) t(g)       c[c_row + m], in place
//! h'  = s(o + p_o c') k(c')                      -> h[h_write_row + m]
//! gx [*, 4, H] = W_ih x + b_ih, u [*, 4, H] = W_hh h + b_hh, p [3, H] = p_i p_f p_o, c and h [*, H]; m < M = rows
//! ```
//! s, t and k are activations. Without peepholes p is not read. Flops: 30 M H, say. Bytes: 4 (11 M H + 3 H).

use super::activation::Activation;
use crate::plan::{
    Affine, Args, Builder, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct LstmGates {
    /// `[*, 4, H]`.
    pub gx: TensorId,
    /// `[*, 4, H]`.
    pub u: TensorId,
    /// `[3, H]`; any tensor of rows of H where there are no peepholes.
    pub p: TensorId,
    /// `[*, H]`.
    pub c: TensorId,
    /// `[*, H]`: h' of a layer, or what its projection takes.
    pub h: TensorId,
}

/// The functions of the gates.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// s, of the gates.
    pub gate: Activation,
    /// t, of the candidate.
    pub cell: Activation,
    /// k, of the cell state on its way out.
    pub output: Activation,
    /// Whether the gates see the cell state.
    pub peepholes: bool,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct LstmGatesOffsets {
    /// First row of `gx`.
    pub gx: Affine,
    /// First row of `c`.
    pub c: Affine,
    /// First row of `h` that is written.
    pub h_write: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: LstmGates, rows: Dim, f: Functions, at: LstmGatesOffsets) {
    let hidden = *b.tensor(op.h).shape.last().expect("lstm_gates: h is [*, H]");
    for id in [op.gx, op.u] {
        assert!(b.tensor(id).shape.ends_with(&[4.into(), hidden]), "lstm_gates: gx and u are [*, 4, H]");
    }
    for id in [op.c, op.p] {
        assert_eq!(b.tensor(id).shape.last(), Some(&hidden), "lstm_gates: c and p have rows of H");
    }
    let words = [f.gate.word(), f.cell.word(), f.output.word(), usize::from(f.peepholes)].map(Affine::from);
    let [gate, cell, output, peepholes] = words;
    let params = [rows.into(), hidden.into(), at.gx, at.c, at.h_write, gate, cell, output, peepholes];
    b.push(&ROW, &[op.gx, op.u, op.p, op.c, op.h], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "lstm_gates",
    operands: &[Operand::read("gx"), Operand::read("u"), Operand::read("p"), Operand::write("c"), Operand::write("h")],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gx_row"),
        Param::offset("c_row"),
        Param::offset("h_write_row"),
        Param::flag("gate"),
        Param::flag("cell"),
        Param::flag("output"),
        Param::flag("peepholes"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("lstm_gates", "base", "activation"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["hidden"]).div_ceil(64)))],
    cases,
    cost: |w| {
        let (m, h) = (w.f64("rows"), w.f64("hidden"));
        Cost { flops: 30.0 * m * h, bytes: 4.0 * h * (11.0 * m + 3.0) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, c_row, h_write_row, gate, cell, output, peepholes] = args.sizes();
    let [gate, cell, output] = [gate, cell, output].map(Activation::of_word);
    let [gx, u, p, c, h] = args.all();
    for m in 0..rows {
        for j in 0..hidden {
            let sum = |g: usize| gx.real()[((gx_row + m) * 4 + g) * hidden + j] + u.real()[(m * 4 + g) * hidden + j];
            let peep = |k: usize| if peepholes == 1 { p.real()[k * hidden + j] } else { F::ZERO };
            let before = c.real()[(c_row + m) * hidden + j];
            let (i, f) = (gate.of(sum(0) + peep(0) * before), gate.of(sum(1) + peep(1) * before));
            let after = f * before + i * cell.of(sum(2));
            c.real_mut()[(c_row + m) * hidden + j] = after;
            h.real_mut()[(h_write_row + m) * hidden + j] = gate.of(sum(3) + peep(2) * after) * output.of(after);
        }
    }
}

fn cases() -> Vec<Case> {
    use Activation::{HardSigmoid, HardSigmoid6, Linear, Relu, Sigmoid, Tanh};
    let plain = Functions { gate: Sigmoid, cell: Tanh, output: Tanh, peepholes: false };
    let shapes = [(1, 1), (67, 1), (1, 3), (3, 64), (5, 17), (67, 65), (2, 1000)];
    let mut cases: Vec<Case> = shapes.into_iter().map(|shape| case(plain, shape, Fill::Normal(1.0))).collect();
    let extreme = Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30]);
    cases.extend([
        case(Functions { peepholes: true, ..plain }, (5, 33), Fill::Normal(1.0)),
        case(Functions { gate: HardSigmoid, peepholes: true, ..plain }, (7, 18), Fill::Normal(2.0)),
        case(Functions { gate: HardSigmoid6, cell: Relu, ..plain }, (3, 70), Fill::Normal(2.0)),
        case(Functions { cell: Sigmoid, output: Linear, ..plain }, (4, 9), Fill::Normal(1.0)),
        case(Functions { gate: HardSigmoid, ..plain }, (7, 30), extreme.clone()),
        case(plain, (7, 30), extreme),
        case(Functions { peepholes: true, ..plain }, (6, 66), Fill::Normal(0.0)),
    ]);
    cases
}

fn case(f: Functions, (rows, hidden): (usize, usize), fill: Fill) -> Case {
    let kind = if matches!(fill, Fill::Extreme(_)) { " extreme" } else { "" };
    let peepholes = if f.peepholes { " peepholes" } else { "" };
    let (gate, cell, output) = (f.gate.name(), f.cell.name(), f.output.name());
    Case::new(
        format!("rows={rows} hidden={hidden} {gate} {cell} {output}{peepholes}{kind}"),
        |b, fills| {
            let gx = b.f32(Role::Scratch, "gx", &[(rows + 1).into(), 4.into(), hidden.into()]);
            let u = b.f32(Role::Scratch, "u", &[rows.into(), 4.into(), hidden.into()]);
            let p = b.f32(Role::Weight, "p", &[3.into(), hidden.into()]);
            let c = b.f32(Role::State, "c", &[(rows + 2).into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            fills.extend([(gx, fill), (u, Fill::Normal(1.0)), (p, Fill::Normal(0.5))]);
            fills.extend([(c, Fill::Normal(1.0)), (h, Fill::Normal(0.5))]);
            LstmGates { gx, u, p, c, h }
        },
        |b, op| record(b, op, rows.into(), f, LstmGatesOffsets { gx: 1.into(), c: 2.into(), h_write: rows.into() }),
    )
}
