//! Dropout: sets elements to zero at random and scales the others up, so that the mean stays.
//!
//! ```text
//! y[y_row + m, k] = x[x_row + m, k] * scale   where word(m, k) >= threshold, else 0        x, y [*, W]; m < M = rows
//! word(m, k) = word k mod 4 of Philox4x32-10, key = seed, counter = [m ceil(W / 4) + k / 4, site, step, "drop"]
//! threshold = round(probability 2^32), scale = 1 / (1 - probability)
//! ```
//! The same op on dy, with the same seed, site and step, is its own gradient: m counts the rows of the run, wherever
//! they stand. `site` tells the places of a network apart. Flops: M W. Bytes: 8 M W.

use super::rows::halves;
use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded, philox,
};

/// The last word of the counter, so that no other use of a seed has the same blocks.
pub(crate) const DROP: u32 = 0x6472_6f70;

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// `[*, W]`.
    pub x: TensorId,
    /// `[*, W]`, another tensor than `x`.
    pub y: TensorId,
}

/// The probability and seed of dropout.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Share of elements that become zero, in `[0, 1)`.
    pub probability: f32,
    /// Key of the random words.
    pub seed: u64,
    /// The number of this dropout in its network.
    pub site: u32,
    /// The step of training.
    pub step: Affine,
}

/// Records the op on `rows` rows.
pub fn record(
    b: &mut Builder,
    op: Dropout,
    rows: Dim,
    x_row: impl Into<Affine>,
    y_row: impl Into<Affine>,
    settings: Settings,
) {
    let width = *b.tensor(op.x).shape.last().expect("x is [*, W]");
    assert_eq!(b.tensor(op.y).shape.last(), Some(&width), "dropout: x and y have one width");
    let Settings { probability, seed, site, step } = settings;
    assert!((0.0..1.0).contains(&probability), "dropout: a probability below 1");
    let p = f64::from(probability);
    let threshold = (p * 4_294_967_296.0).round() as u32;
    let [low, high] = halves(seed).map(|word| Affine::constant(word as usize));
    let scale = Affine::float((1.0 / (1.0 - p)) as f32);
    let site = Affine::constant(site as usize);
    let place = [rows.into(), width.into(), x_row.into(), y_row.into()];
    let words = [Affine::constant(threshold as usize), scale, low, high, site, step];
    b.push(&ROW, &[op.x, op.y], &[&place[..], &words].concat());
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "dropout",
    operands: &[Operand::read("x"), Operand::write("y")],
    params: &[
        Param::size("rows"),
        Param::size("width"),
        Param::offset("x_row"),
        Param::offset("y_row"),
        Param::constant("threshold"),
        Param::float("scale"),
        Param::constant("seed_low"),
        Param::constant("seed_high"),
        Param::constant("site"),
        Param::offset("step"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("dropout", "base", "wide", "noise"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases,
    cost: |w| {
        let n = w.f64("rows") * w.f64("width");
        Cost { flops: n, bytes: 8.0 * n }
    },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, x_row, y_row] = args.sizes();
    let [threshold, seed_low, seed_high, site, step] =
        ["threshold", "seed_low", "seed_high", "site", "step"].map(|name| args.words[name]);
    let scale = args.words.float("scale");
    let [x, y] = args.all();
    for m in 0..rows {
        let x = &x.real()[(x_row + m) * width..][..width];
        let y = &mut y.real_mut()[(y_row + m) * width..][..width];
        for (k, (x, y)) in x.iter().zip(y).enumerate() {
            let quad = m * width.div_ceil(4) + k / 4;
            let words = philox([quad as u32, site, step, DROP], [seed_low, seed_high]);
            *y = if words[k % 4] >= threshold { *x * scale } else { F::ZERO };
        }
    }
}

fn cases() -> Vec<Case> {
    let sizes = [(1, 1), (1, 1000), (67, 3), (5, 66), (130, 64), (3, 4099), (2000, 33)];
    let sizes = sizes.map(|shape| case(format!("rows={} width={}", shape.0, shape.1), shape, 0.4));
    // Products with a power of two are exact, so that every bit of the mask and of the sum counts.
    let exact = [0.0, 0.5, 0.75].map(|p| case(format!("probability={p}"), (67, 65), p).caps(Caps::EXACT));
    let rare = [1e-3, 0.999].map(|p| case(format!("probability={p}"), (67, 130), p));
    sizes.into_iter().chain(exact).chain(rare).collect()
}

fn case(name: String, (rows, width): (usize, usize), probability: f32) -> Case {
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let x = b.f32(Role::Scratch, "x", &[(rows + 1).into(), width.into()]);
        let y = b.f32(Role::Scratch, "y", &[(rows + 2).into(), width.into()]);
        fills.extend([(x, Fill::Normal(1.0)), (y, Fill::Normal(1.0))]);
        Dropout { x, y }
    };
    let write = |b: &mut Builder, op| {
        let settings = Settings { probability, seed: 0x1234_5678_9abc_def0, site: 2, step: Affine::STEP };
        record(b, op, rows.into(), 1, 2, settings);
    };
    Case { step: 3_000_000_000, ..Case::new(name, declare, write) }
}
