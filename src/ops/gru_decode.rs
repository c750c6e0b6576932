//! One decode step of a GRU layer, input product included: one dispatch a layer and token.
//!
//! ```text
//! x        = source[ids[m]]  (gather = 1: layer 0, the embedding)   or   source[x_row + m]  (the layer below)
//! gx       = b_ih + W_ih x
//! r, z, n, h' as in gru_step, h read at h_read_row, h' written at h_write_row
//! source [*, K], ids [M] u32, w_ih [3, H, K], w_hh [3, H, H], b_ih, b_hh [3, H], h [*, H]
//! ```
//! The sums run in this order, so the bits are those of `matmul` followed by `gru_step`.
//! Flops: 6 M H (K + H) + 25 M H. Bytes: 4 (3 H (K + H) + 6 H + M K + 2 M H).

use super::gru_step::cell;
use super::lstm_decode::Input;
use super::matmul::dot;
use super::typical;
use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Cut, Dim, Fill, Layout, OpRow, Operand, OrderClass, Param, Real,
    Requires, Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct GruDecode {
    /// `[*, K]`: the embedding table or the state of the layer below.
    pub source: TensorId,
    /// `[M]` u32.
    pub ids: TensorId,
    /// `[3, H, K]`.
    pub w_ih: TensorId,
    /// `[3, H, H]`.
    pub w_hh: TensorId,
    /// `[3, H]`.
    pub b_ih: TensorId,
    /// `[3, H]`.
    pub b_hh: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
}

/// Where a decode step finds its input and state.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// Look the input row up by id, or take rows from here on.
    pub x: Input,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written.
    pub h_write: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GruDecode, rows: Dim, at: Offsets) {
    let [gates, hidden, inputs] = b.tensor(op.w_ih).shape[..] else { panic!("gru_decode: w_ih is [3, H, K]") };
    assert_eq!(gates, 3.into(), "gru_decode: w_ih is [3, H, K]");
    b.expect_shape("gru_decode", op.w_hh, &[gates, hidden, hidden]);
    b.expect_shape("gru_decode", op.b_ih, &[gates, hidden]);
    b.expect_shape("gru_decode", op.b_hh, &[gates, hidden]);
    assert_eq!(b.tensor(op.source).shape.last(), Some(&inputs), "gru_decode: source is [*, K]");
    assert_eq!(b.tensor(op.h).shape.last(), Some(&hidden), "gru_decode: h is [*, H]");
    let [x_row, gather] = at.x.params();
    let params = [rows.into(), inputs.into(), hidden.into(), x_row, gather, at.h_read, at.h_write];
    b.push(&ROW, &[op.source, op.ids, op.w_ih, op.w_hh, op.b_ih, op.b_hh, op.h], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "gru_decode",
    operands: &[
        Operand::read("source"),
        Operand::read_u32("ids").typical(typical::tokens),
        Operand::read("w_ih"),
        Operand::read("w_hh"),
        Operand::read("b_ih"),
        Operand::read("b_hh"),
        Operand::write("h"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("inputs"),
        Param::size("hidden"),
        Param::offset("x_row"),
        Param::flag("gather"),
        Param::offset("h_read_row"),
        Param::offset("h_write_row"),
    ],
    cuts: &[
        Cut { name: "unit", axes: &[(2, 1), (3, 1)], multiple: 4 },
        Cut { name: "source", axes: &[(0, 0)], multiple: 1 },
    ],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(crate::kernel!("gru_decode_1x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4Panels), (3, Layout::K4Panels)])
            .better_on(Adapters::Software, |w| w["rows"] == 1)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"], 1]),
        Variant::new(crate::kernel!("gru_decode_8x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4), (3, Layout::K4)])
            .better_on(Adapters::Software, |w| w["rows"] > 4)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"].div_ceil(8), 1]),
        Variant::new(crate::kernel!("gru_decode_skinny"), Requires::invocations(256).with_memory(4096 + 64))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4), (3, Layout::K4)])
            .better_on(Adapters::Hardware, |w| w["rows"] <= 4)
            .groups(|w| [w["unit_len"].div_ceil(16), w["rows"], 1]),
        Variant::new(crate::kernel!("gru_decode"), Requires::invocations(64).with_memory(1024))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4), (3, Layout::K4)])
            .groups(|w| [w["unit_len"].div_ceil(64), w["rows"].div_ceil(4), 1]),
    ],
    cases,
    cost: |w| {
        let (m, k, h) = (w.f64("rows"), w.f64("inputs"), w.f64("hidden"));
        Cost { flops: m * h * (6.0 * (k + h) + 25.0), bytes: 4.0 * (3.0 * h * (k + h + 2.0) + m * k + 2.0 * m * h) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, inputs, hidden, x_row, gather, h_read_row, h_write_row] = args.sizes();
    let [source, ids, w_ih, w_hh, b_ih, b_hh, h] = args.all();
    for m in 0..rows {
        let row = if gather == 1 { ids.word()[m] as usize } else { x_row + m };
        let x = &source.real()[row * inputs..][..inputs];
        let before = h.real()[(h_read_row + m) * hidden..][..hidden].to_vec();
        for j in 0..hidden {
            let input = |g: usize| {
                let q = g * hidden + j;
                b_ih.real()[q] + dot(x, &w_ih.real()[q * inputs..][..inputs])
            };
            let recurrent = |g: usize| {
                let q = g * hidden + j;
                b_hh.real()[q] + dot(&before, &w_hh.real()[q * hidden..][..hidden])
            };
            let h_new = cell([0, 1, 2].map(input), [0, 1, 2].map(recurrent), before[j]);
            h.real_mut()[(h_write_row + m) * hidden + j] = h_new;
        }
    }
}

fn cases() -> Vec<Case> {
    let plain = [
        (1, 1, 1, true),
        (67, 2, 3, true),
        (1, 64, 65, true),
        (2, 130, 1000, false),
        (5, 33, 17, false),
        (67, 65, 65, true),
        (35, 100, 128, false),
    ];
    let mut cases: Vec<Case> = plain
        .into_iter()
        .map(|(rows, inputs, hidden, gather)| {
            let name = format!("rows={rows} inputs={inputs} hidden={hidden} gather={gather}");
            case(name, (rows, inputs, hidden, gather), Fill::Normal(1.0))
        })
        .collect();
    cases.push(case("extreme source".into(), (7, 20, 30, true), Fill::Extreme(&[1e2, 1e30, -1e30, 0.0])));
    cases.push(case("zeros".into(), (7, 20, 30, false), Fill::Normal(0.0)));
    cases
}

fn case(name: String, (rows, inputs, hidden, gather): (usize, usize, usize, bool), x_fill: Fill) -> Case {
    let vocab = 2 * rows + 3;
    Case::new(
        name,
        |b, fills| {
            let source = b.f32(Role::Weight, "source", &[vocab.into(), inputs.into()]);
            let ids = b.u32(Role::State, "ids", &[rows.into()]);
            let w_ih = b.f32(Role::Weight, "w_ih", &[3.into(), hidden.into(), inputs.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[3.into(), hidden.into(), hidden.into()]);
            let b_ih = b.f32(Role::Weight, "b_ih", &[3.into(), hidden.into()]);
            let b_hh = b.f32(Role::Weight, "b_hh", &[3.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let (units, source_rows) = (b.split_group(), b.split_group());
            b.split(w_ih, 1, units);
            b.split(w_hh, 1, units);
            b.split(source, 0, source_rows);
            let scale = |n: usize| Fill::Normal(1.0 / (n as f32).sqrt());
            fills.extend([(source, x_fill), (ids, Fill::Ids(vocab as u32)), (w_ih, scale(inputs))]);
            fills.extend([(w_hh, scale(hidden)), (b_ih, Fill::Normal(0.5)), (b_hh, Fill::Normal(0.5))]);
            fills.push((h, Fill::Normal(0.5)));
            GruDecode { source, ids, w_ih, w_hh, b_ih, b_hh, h }
        },
        |b, op| {
            let x = if gather { Input::Gather } else { Input::Rows(3.into()) };
            record(b, op, rows.into(), Offsets { x, h_read: rows.into(), h_write: 0.into() });
        },
    )
}
