//! One decode step of an LSTM layer, input product included: one dispatch a layer and token.
//!
//! ```text
//! x          = source[ids[m]]  (gather = 1: layer 0, the embedding)   or   source[x_row + m]  (the layer below)
//! i, f, g, o = b_ih + W_ih x + b_hh + W_hh h[h_read_row + m]
//! c', h'     as in lstm_step                                    -> c[c_row + m], h[h_write_row + m]
//! source [*, K], ids [M] u32, w_ih [4, H, K], w_hh [4, H, H], b_ih, b_hh [4, H], h [*, H], c [*, H]
//! ```
//! The sums run in this order, so the bits are those of `matmul` followed by `lstm_step`.
//! Flops: 8 M H (K + H) + 30 M H. Bytes: 4 (4 H (K + H) + 8 H + M K + 4 M H). Eight storage buffers: the floor's.

use super::lstm_step::cell;
use super::matmul::dot;
use super::typical;
use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Cut, Dim, Fill, Layout, OpRow, Operand, OrderClass, Param, Real,
    Requires, Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct LstmDecode {
    /// `[*, K]`: the embedding table or the state of the layer below.
    pub source: TensorId,
    /// `[M]` u32.
    pub ids: TensorId,
    /// `[4, H, K]`.
    pub w_ih: TensorId,
    /// `[4, H, H]`.
    pub w_hh: TensorId,
    /// `[4, H]`.
    pub b_ih: TensorId,
    /// `[4, H]`.
    pub b_hh: TensorId,
    /// `[*, H]`.
    pub h: TensorId,
    /// `[*, H]`.
    pub c: TensorId,
}

/// Where a decode step finds its input and states.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// Look the input row up by id, or take rows from here on.
    pub x: Input,
    /// First row of `h` that is read.
    pub h_read: Affine,
    /// First row of `h` that is written.
    pub h_write: Affine,
    /// First row of `c`.
    pub c: Affine,
}

/// Which rows of `source` are the input.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    /// Row `ids[m]`.
    Gather,
    /// Row `first + m`.
    Rows(Affine),
}

impl Input {
    /// The parameters `x_row` and `gather`.
    pub(crate) fn params(self) -> [Affine; 2] {
        match self {
            Input::Gather => [0.into(), 1.into()],
            Input::Rows(first) => [first, 0.into()],
        }
    }
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: LstmDecode, rows: Dim, at: Offsets) {
    let [gates, hidden, inputs] = b.tensor(op.w_ih).shape[..] else { panic!("lstm_decode: w_ih is [4, H, K]") };
    assert_eq!(gates, 4.into(), "lstm_decode: w_ih is [4, H, K]");
    b.expect_shape("lstm_decode", op.w_hh, &[gates, hidden, hidden]);
    b.expect_shape("lstm_decode", op.b_ih, &[gates, hidden]);
    b.expect_shape("lstm_decode", op.b_hh, &[gates, hidden]);
    assert_eq!(b.tensor(op.source).shape.last(), Some(&inputs), "lstm_decode: source is [*, K]");
    for id in [op.h, op.c] {
        assert_eq!(b.tensor(id).shape.last(), Some(&hidden), "lstm_decode: h and c are [*, H]");
    }
    let [x_row, gather] = at.x.params();
    let params = [rows.into(), inputs.into(), hidden.into(), x_row, gather, at.h_read, at.h_write, at.c];
    b.push(&ROW, &[op.source, op.ids, op.w_ih, op.w_hh, op.b_ih, op.b_hh, op.h, op.c], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "lstm_decode",
    operands: &[
        Operand::read("source"),
        Operand::read_u32("ids").typical(typical::tokens),
        Operand::read("w_ih"),
        Operand::read("w_hh"),
        Operand::read("b_ih"),
        Operand::read("b_hh"),
        Operand::write("h"),
        Operand::write("c"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("inputs"),
        Param::size("hidden"),
        Param::offset("x_row"),
        Param::flag("gather"),
        Param::offset("h_read_row"),
        Param::offset("h_write_row"),
        Param::offset("c_row"),
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
        Variant::new(crate::kernel!("lstm_decode_1x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4Panels), (3, Layout::K4Panels)])
            .better_on(Adapters::Software, |w| w["rows"] == 1)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"], 1]),
        Variant::new(crate::kernel!("lstm_decode_8x4"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4), (3, Layout::K4)])
            .better_on(Adapters::Software, |w| w["rows"] > 4)
            .groups(|w| [w["unit_len"].div_ceil(32), w["rows"].div_ceil(8), 1]),
        Variant::new(crate::kernel!("lstm_decode_skinny"), Requires::invocations(256).with_memory(4096 + 64))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4), (3, Layout::K4)])
            .better_on(Adapters::Hardware, |w| w["rows"] <= 4)
            .groups(|w| [w["unit_len"].div_ceil(16), w["rows"], 1]),
        Variant::new(crate::kernel!("lstm_decode"), Requires::invocations(64).with_memory(1024))
            .class(OrderClass::Blocks64)
            .layouts(&[(2, Layout::K4), (3, Layout::K4)])
            .groups(|w| [w["unit_len"].div_ceil(64), w["rows"].div_ceil(4), 1]),
    ],
    cases,
    cost: |w| {
        let (m, k, h) = (w.f64("rows"), w.f64("inputs"), w.f64("hidden"));
        Cost { flops: m * h * (8.0 * (k + h) + 30.0), bytes: 4.0 * (4.0 * h * (k + h + 2.0) + m * k + 4.0 * m * h) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, inputs, hidden, x_row, gather, h_read_row, h_write_row, c_row] = args.sizes();
    let [source, ids, w_ih, w_hh, b_ih, b_hh, h, c] = args.all();
    for m in 0..rows {
        let row = if gather == 1 { ids.word()[m] as usize } else { x_row + m };
        let x = &source.real()[row * inputs..][..inputs];
        let before = h.real()[(h_read_row + m) * hidden..][..hidden].to_vec();
        for j in 0..hidden {
            let gate = |g: usize| {
                let q = g * hidden + j;
                let input = dot(x, &w_ih.real()[q * inputs..][..inputs]);
                let recurrent = dot(&before, &w_hh.real()[q * hidden..][..hidden]);
                b_ih.real()[q] + input + b_hh.real()[q] + recurrent
            };
            let at = (c_row + m) * hidden + j;
            let (c_new, h_new) = cell([gate(0), gate(1), gate(2), gate(3)], c.real()[at]);
            c.real_mut()[at] = c_new;
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
    let extreme = Fill::Extreme(&[1e2, 1e30, -1e30, 0.0]);
    cases.push(case("extreme source".into(), (7, 20, 30, true), extreme));
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
            let w_ih = b.f32(Role::Weight, "w_ih", &[4.into(), hidden.into(), inputs.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[4.into(), hidden.into(), hidden.into()]);
            let b_ih = b.f32(Role::Weight, "b_ih", &[4.into(), hidden.into()]);
            let b_hh = b.f32(Role::Weight, "b_hh", &[4.into(), hidden.into()]);
            let h = b.f32(Role::State, "h", &[(2 * rows).into(), hidden.into()]);
            let c = b.f32(Role::State, "c", &[rows.into(), hidden.into()]);
            let (units, source_rows) = (b.split_group(), b.split_group());
            b.split(w_ih, 1, units);
            b.split(w_hh, 1, units);
            b.split(source, 0, source_rows);
            let scale = |n: usize| Fill::Normal(1.0 / (n as f32).sqrt());
            fills.extend([(source, x_fill), (ids, Fill::Ids(vocab as u32)), (w_ih, scale(inputs))]);
            fills.extend([(w_hh, scale(hidden)), (b_ih, Fill::Normal(0.5)), (b_hh, Fill::Normal(0.5))]);
            fills.extend([(h, Fill::Normal(0.5)), (c, Fill::Normal(1.0))]);
            LstmDecode { source, ids, w_ih, w_hh, b_ih, b_hh, h, c }
        },
        |b, op| {
            let x = if gather { Input::Gather } else { Input::Rows(3.into()) };
            record(b, op, rows.into(), Offsets { x, h_read: rows.into(), h_write: 0.into(), c: 0.into() });
        },
    )
}
