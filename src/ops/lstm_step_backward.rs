//! One step of an LSTM layer backwards: what the later step asks of h, the gates' gradients, and the cell state's.
//!
//! ```text
//! dh   = dy[dy_row + m] + sum_{g,n} gates[next_row + m, g, n] w_hh[g, n]    the later step's gradients; 0 at the last step
//! dc'  = dc + dh o (1 - t^2)        t = tanh(c[c_after_row + m]);  i f g o = gates[gates_row + m], activated
//! di   = dc' g i (1 - i)            df = dc' c[c_before_row + m] f (1 - f)
//! dg   = dc' i (1 - g^2)            do = dh t o (1 - o)
//! gates[gates_row + m] := (di, df, dg, do)      dc := dc' f      dh[m] := dh
//! gates [*, 4, H], w_hh [4, H, H] (gate, unit, h of the step before), c [*, H], dy [*, H], dc [*, H], dh [*, H]; m < M = rows
//! ```
//! The gradients are those of the pre-activations, and so of the input products. `dh` carries the sum between parts.
//! Order of the sum: from dy on, blocks of 64 n ascending, within a block gates ascending; the fast function sums
//! blocks of 64 (g, n), g ascending. Flops: 8 M H^2 + 40 M H, say. Bytes: 4 (4 H^2 + 12 M H + 7 M H).

use crate::plan::{
    Adapters, Affine, Args, Builder, Case, Cost, Cut, Dim, Fill, OpRow, Operand, OrderClass, Param, Real, Requires,
    Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct LstmStepBackward {
    /// `[*, 4, H]`: the activated gates that [`super::lstm_step`] kept; their gradients afterwards.
    pub gates: TensorId,
    /// `[4, H, H]`.
    pub w_hh: TensorId,
    /// `[*, H]`: the cell states over time.
    pub c: TensorId,
    /// `[*, H]`: the gradient of h from above.
    pub dy: TensorId,
    /// `[*, H]`: the gradient of the cell state, rows 0 to M.
    pub dc: TensorId,
    /// `[*, H]`: the whole gradient of h, rows 0 to M.
    pub dh: TensorId,
}

/// Row offsets of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// First row of `gates` of this step.
    pub gates: Affine,
    /// First row of `gates` of the later step, whose gradients are there; not rows of this step.
    pub next: Affine,
    /// First row of `c` before the step.
    pub c_before: Affine,
    /// First row of `c` after the step.
    pub c_after: Affine,
    /// First row of `dy`.
    pub dy: Affine,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: LstmStepBackward, rows: Dim, at: Offsets) {
    let [gates, hidden, inputs] = b.tensor(op.w_hh).shape[..] else { panic!("lstm_step_backward: w_hh is [4, H, H]") };
    assert!(gates == 4.into() && hidden == inputs, "lstm_step_backward: w_hh is [4, H, H]");
    assert!(b.tensor(op.gates).shape.ends_with(&[gates, hidden]), "lstm_step_backward: gates is [*, 4, H]");
    for id in [op.c, op.dy, op.dc, op.dh] {
        assert_eq!(b.tensor(id).shape.last(), Some(&hidden), "lstm_step_backward: `{}` is [*, H]", b.tensor(id).name);
    }
    let params = [rows.into(), hidden.into(), at.gates, at.next, at.c_before, at.c_after, at.dy];
    b.push(&ROW, &[op.gates, op.w_hh, op.c, op.dy, op.dc, op.dh], &params);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "lstm_step_backward",
    operands: &[
        Operand::write("gates"),
        Operand::read("w_hh"),
        Operand::read("c"),
        Operand::read("dy"),
        Operand::write("dc"),
        Operand::write("dh"),
    ],
    params: &[
        Param::size("rows"),
        Param::size("hidden"),
        Param::offset("gates_row"),
        Param::offset("next_row"),
        Param::offset("c_before_row"),
        Param::offset("c_after_row"),
        Param::offset("dy_row"),
    ],
    cuts: &[Cut { name: "n", axes: &[(1, 1)], multiple: 64 }],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[
        Variant::new(crate::kernel!("lstm_step_backward_8x16"), Requires::invocations(8))
            .class(OrderClass::Blocks64)
            .better_on(Adapters::Software, |w| w["rows"] > 4 && w["hidden"] >= 64)
            .groups(|w| [w["hidden"].div_ceil(128), w["rows"].div_ceil(8), 1]),
        Variant::new(crate::kernel!("lstm_step_backward_skinny"), Requires::invocations(256).with_memory(4096))
            .class(OrderClass::Blocks64)
            .better_on(Adapters::Any, |w| w["rows"] <= 4)
            .groups(|w| [w["hidden"].div_ceil(32), w["rows"], 1]),
        Variant::new(crate::kernel!("lstm_step_backward"), Requires::invocations(64).with_memory(4096))
            .class(OrderClass::Blocks64)
            .groups(|w| [w["hidden"].div_ceil(64), w["rows"].div_ceil(4), 1]),
    ],
    cases,
    cost: |w| {
        let (m, h) = (w.f64("rows"), w.f64("hidden"));
        Cost { flops: m * h * (8.0 * h + 40.0), bytes: 4.0 * (4.0 * h * h + 19.0 * m * h) }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, hidden, gates_row, next_row, c_before_row, c_after_row, dy_row] = args.sizes();
    let [gates, w_hh, c, dy, dc, dh] = args.all();
    for m in 0..rows {
        let later = gates.real()[(next_row + m) * 4 * hidden..][..4 * hidden].to_vec();
        for j in 0..hidden {
            let own = |g: usize| ((gates_row + m) * 4 + g) * hidden + j;
            let [i, f, g, o] = [0, 1, 2, 3].map(|g| gates.real()[own(g)]);
            let before = c.real()[(c_before_row + m) * hidden + j];
            let t = c.real()[(c_after_row + m) * hidden + j].tanh();

            let d = dy.real()[(dy_row + m) * hidden + j] + through(&later, w_hh.real(), hidden, j);
            let total = dc.real()[m * hidden + j] + d * o * (F::ONE - t * t);
            let gradients = [
                total * g * i * (F::ONE - i),
                total * before * f * (F::ONE - f),
                total * i * (F::ONE - g * g),
                d * t * o * (F::ONE - o),
            ];
            for (g, gradient) in gradients.into_iter().enumerate() {
                gates.real_mut()[own(g)] = gradient;
            }
            dc.real_mut()[m * hidden + j] = total * f;
            dh.real_mut()[m * hidden + j] = d;
        }
    }
}

/// `sum_q d[q] w[q, j]`: what gradients of gates, or of some of them, ask of unit j of h. w `[Q, H]`.
pub(crate) fn through<F: Real>(d: &[F], w: &[F], hidden: usize, j: usize) -> F {
    d.iter().enumerate().fold(F::ZERO, |sum, (q, &d)| d.mul_add(w[q * hidden + j], sum))
}

fn cases() -> Vec<Case> {
    let plain = [(1, 1), (67, 1), (1, 3), (1, 65), (1, 1000), (3, 64), (5, 17), (67, 65), (33, 130)];
    let normal = plain.into_iter().map(|s| {
        let own = Fill::Normal(0.6);
        case(format!("rows={} hidden={}", s.0, s.1), s, [own, Fill::Normal(1.0), Fill::Normal(1.0)])
    });
    let extreme: &[f32] = &[1e2, -1e4, 1e15, 0.0, -1e15];
    let saturated = (0..15 * 4 * 30).map(|i| [0.0, 1.0, -1.0, 0.5, 1e-20][i * i % 5]).collect();
    let odd = [
        case(
            "extreme cell state".into(),
            (7, 30),
            [Fill::Normal(0.6), Fill::Extreme(&[1e2, -1e4, 1e30, 0.0, -1e30]), Fill::Normal(1.0)],
        ),
        case("extreme gradients".into(), (7, 30), [Fill::Normal(0.6), Fill::Normal(1.0), Fill::Extreme(extreme)]),
        case("saturated gates".into(), (7, 30), [Fill::Floats(saturated), Fill::Normal(1.0), Fill::Normal(1.0)]),
        case("zeros".into(), (6, 66), [Fill::Normal(0.0), Fill::Normal(0.0), Fill::Normal(0.0)]),
    ];
    normal.chain(odd).collect()
}

/// `fills` are those of the gates, the cell states and dy.
fn case(name: String, (rows, hidden): (usize, usize), fills: [Fill; 3]) -> Case {
    let [gates_fill, c_fill, dy_fill] = fills;
    Case::new(
        name,
        |b, fills| {
            let gates = b.f32(Role::Saved, "gates", &[(2 * rows + 1).into(), 4.into(), hidden.into()]);
            let w_hh = b.f32(Role::Weight, "w_hh", &[4.into(), hidden.into(), hidden.into()]);
            let c = b.f32(Role::Saved, "c", &[(2 * rows + 1).into(), hidden.into()]);
            let dy = b.f32(Role::Scratch, "dy", &[(rows + 2).into(), hidden.into()]);
            let dc = b.f32(Role::Scratch, "dc", &[rows.into(), hidden.into()]);
            let dh = b.f32(Role::Scratch, "dh", &[rows.into(), hidden.into()]);
            let group = b.split_group();
            b.split(w_hh, 1, group);
            let w = 1.0 / (hidden as f32).sqrt();
            fills.extend([(gates, gates_fill), (w_hh, Fill::Normal(w)), (c, c_fill), (dy, dy_fill)]);
            // What stood in dh before means nothing.
            fills.extend([(dc, Fill::Normal(0.7)), (dh, Fill::Normal(9.0))]);
            LstmStepBackward { gates, w_hh, c, dy, dc, dh }
        },
        |b, op| {
            let (c_before, c_after, dy) = (1.into(), (rows + 1).into(), 2.into());
            let at = Offsets { gates: 1.into(), next: (rows + 1).into(), c_before, c_after, dy };
            record(b, op, rows.into(), at);
        },
    )
}
