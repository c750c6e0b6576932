//! One step of an LSTM layer whose input product is already there: recurrent product, gates and state in one run.
//!
//! ```text
//! i, f, g, o = gx[gx_row + m] + b_hh + W_hh h[h_read_row + m]
//! c'         = s(f) c[c_read_row + m] + s(i) tanh(g)             -> c[c_write_row + m]
//! h'         = s(o) tanh(c')                                     -> h[h_write_row + m]
//! gx [*, 4, H] = W_ih x + b_ih, w_hh [4, H, H], b_hh [4, H], h [*, H], c [*, H]; m < M = rows
//! ```
//! gx stands in the operand `gates`. Where `keep_gates` = 1, the activated gates s(i), s(f), tanh(g), s(o) take its place,
//! for [`super::lstm_step_backward`]; where it is 0, it is left as it was.
//!
//! Gates in PyTorch's order i f g o. Flops: 8 M H^2 + 30 M H, say. Bytes: 4 (4 H^2 + 4 H + 4 M H + 4 M H).

use super::matmul::dot;
use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Cut, Dim, Fill, Layout, OpRow, Operand, OrderClass, Param, Real,
    Requires, Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct LstmStep {
    /// `[*, 4, H]`: the input products; the activated gates afterwards, where they are kept.
    pub gates: TensorId,
    /// `[4, H, H]`.
    pub w_hh: TensorId,
    /// `[4, H]`.
    pub b_hh: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
    /// `[*, H]`.
    pub c: TensorId,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// First row of `gates`.
    pub gx: Affine,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written; not the rows that are read.
    pub h_write: Affine,
    /// First row of `c` that is read.
    pub c_read: Affine,
    /// First row of `c` that is written; may be the rows that are read.
    pub c_write: Affine,
    /// Whether the activated gates take the place of the input products.
    pub keep_gates: bool,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: LstmStep, rows: Dim, at: Offsets) {
    let [gates, hidden, inputs] = b.tensor(op.w_hh).shape[..] else { panic!("lstm_step: w_hh is [4, H, H]") };
    assert!(gates == 4.into() && hidden == inputs, "lstm_step: w_hh is [4, H, H]");
    b.expect_shape("lstm_step", op.b_hh, &[gates, hidden]);
    assert!(b.tensor(op.gates).shape.ends_with(&[gates, hidden]), "lstm_step: gates is [*, 4, H]");
    for id in [op.h, op.c] {
        assert_eq!(b.tensor(id).shape.last(), Some(&hidden), "lstm_step: h and c are [*, H]");
    }
    let keep = Affine::constant(usize::from(at.keep_gates));
    let params = [rows.into(), hidden.into(), at.gx, at.h_read, at.h_write, at.c_read, at.c_write, keep];
    b.push(&ROW, &[op.gates, op.w_hh, op.b_hh, op.h, op.c], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "lstm_step",
    operands: &[
        Operand::write("gates"),
        Operand::read("w_hh"),
        Operand::read("b_hh"),
        Operand::write("h"),
        Operand::write("c"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gx_row"),
        Param::offset("h_read_row"),
        Param::offset("h_write_row"),
        Param::offset("c_read_row"),
        Param::offset("c_write_row"),
        Param::flag("keep_gates"),
    ],
    cuts: &[Cut { name: "unit", axes: &[(1, 1)], multiple: 4 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(crate::kernel!("lstm_step_1x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4Panels)])
            .better_on(Adapters::Software, |w| w["rows"] == 1)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"], 1]),
        Variant::new(crate::kernel!("lstm_step_8x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .better_on(Adapters::Software, |w| w["rows"] > 4)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"].div_ceil(8), 1]),
        Variant::new(crate::kernel!("lstm_step_skinny"), Requires::invocations(256).with_memory(4096 + 64))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .better_on(Adapters::Hardware, |w| w["rows"] <= 4)
            .groups(|w| [w["unit_len"].div_ceil(16), w["rows"], 1]),
        Variant::new(crate::kernel!("lstm_step"), Requires::invocations(64).with_memory(1024))
            .class(OrderClass::Blocks64)
            .layouts(&[(1, Layout::K4)])
            .groups(|w| [w["unit_len"].div_ceil(64), w["rows"].div_ceil(4), 1]),
    ],
    cases,
    cost: |w| {
        let (m, h) = (w.f64("rows"), w.f64("hidden"));
        Cost { flops: m * h * (8.0 * h + 30.0), bytes: 16.0 * (h * h + h + 2.0 * m * h) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gx_row, h_read_row, h_write_row, c_read_row, c_write_row, keep_gates] = args.sizes();
    let [gates, w_hh, b_hh, h, c] = args.all();
    for m in 0..rows {
        let before = h.real()[(h_read_row + m) * hidden..][..hidden].to_vec();
        for j in 0..hidden {
            let gate = |g: usize| {
                let q = g * hidden + j;
                let recurrent = dot(&before, &w_hh.real()[q * hidden..][..hidden]);
                gates.real()[(gx_row + m) * 4 * hidden + q] + b_hh.real()[q] + recurrent
            };
            let own = activated([0, 1, 2, 3].map(gate));
            let (c_new, h_new) = new_state(own, c.real()[(c_read_row + m) * hidden + j]);
            c.real_mut()[(c_write_row + m) * hidden + j] = c_new;
            h.real_mut()[(h_write_row + m) * hidden + j] = h_new;
            for (g, gate) in own.into_iter().enumerate().filter(|_| keep_gates == 1) {
                gates.real_mut()[((gx_row + m) * 4 + g) * hidden + j] = gate;
            }
        }
    }
}

/// (c', h') of one unit from the pre-activations i f g o and c.
pub(crate) fn cell<F: Real>(gates: [F; 4], c: F) -> (F, F) {
    new_state(activated(gates), c)
}

fn activated<F: Real>([i, f, g, o]: [F; 4]) -> [F; 4] {
    [i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()]
}

/// (c', h') from the activated gates.
fn new_state<F: Real>([i, f, g, o]: [F; 4], c: F) -> (F, F) {
    let c_new = f * c + i * g;
    (c_new, o * c_new.tanh())
}

fn cases() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 3), (1, 65), (1, 1000), (3, 64), (5, 17), (67, 65), (33, 130)];
    let extreme: &[f32] = &[1e2, -1e4, 1e30, 0.0, -1e30];
    let normal = plain
        .into_iter()
        .map(|s| case(format!("rows={} hidden={}", s.0, s.1), s, Fill::Normal(1.0), Fill::Normal(1.0), false));
    let kept = [(1, 1), (2, 3), (67, 65), (1, 1000), (33, 130)]
        .into_iter()
        .map(|s| case(format!("kept rows={} hidden={}", s.0, s.1), s, Fill::Normal(1.0), Fill::Normal(1.0), true));
    let odd = [
        case("extreme input product".into(), (7, 30), Fill::Extreme(extreme), Fill::Normal(1.0), false),
        case("extreme input product, kept".into(), (7, 30), Fill::Extreme(extreme), Fill::Normal(1.0), true),
        case("extreme cell state".into(), (7, 30), Fill::Normal(1.0), Fill::Extreme(extreme), false),
        case("zeros".into(), (6, 66), Fill::Normal(0.0), Fill::Normal(0.0), true),
    ];
    normal.chain(kept).chain(odd).collect()
}

fn case(name: String, (rows, hidden): (usize, usize), gx_fill: Fill, c_fill: Fill, keep_gates: bool) -> Case {
    Case::new(
        name,
        |b, fills| {
            let gates = b.f32(Role::Scratch, "gates", &[(rows + 1).into(), 4.into(), hidden.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[4.into(), hidden.into(), hidden.into()]);
            let b_hh = b.f32(Role::Weight, "b_hh", &[4.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let c = b.f32(Role::State, "c", &[rows.into(), hidden.into()]);
            let group = b.split_group();
            b.split(w_hh, 1, group);
            let w = 1.0 / (hidden as f32).sqrt();
            fills.extend([(gates, gx_fill), (w_hh, Fill::Normal(w)), (b_hh, Fill::Normal(0.5))]);
            fills.extend([(h, Fill::Normal(0.5)), (c, c_fill)]);
            LstmStep { gates, w_hh, b_hh, h, c }
        },
        |b, op| {
            let zero = Affine::constant(0);
            let (h_write, c_read, c_write) = (zero, zero, zero);
            let at = Offsets { gx: 1.into(), h_read: rows.into(), h_write, c_read, c_write, keep_gates };
            record(b, op, rows.into(), at);
        },
    )
}
