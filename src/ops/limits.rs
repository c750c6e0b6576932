//! Ops that do nothing useful as fast as a device can: what limits are measured with.
//!
//! They are ops like others, with a reference that they are checked with, but stand in no network and not in
//! [`crate::ops::TABLE`]. Their kernels are in `shaders/limits`.

use crate::plan::{Args, Cost, OpRow, Operand, Param, Real, Requires, Variant, folded};

/// `y = x`; x and y `[4 N]`, N = quads.
pub static COPY: OpRow = OpRow {
    params: &[Param::size("quads")],
    operands: &[Operand::read("x"), Operand::write("y")],
    reference_f32: copy::<f32>,
    reference_f64: copy::<f64>,
    variants: &[Variant::new(crate::kernel!("limits/copy", "base"), Requires::invocations(256))
        .groups(|w| folded(w["quads"].div_ceil(256)))],
    cost: |w| Cost { flops: 0.0, bytes: 32.0 * w.f64("quads") },
    ..ROW
};

/// `y[i] = sum_j s_j(R)`, `s_j(0) = x[i] + j`, `s_j(r + 1) = s_j(r) a + b`, j < 16, R = rounds; x and y `[N]`.
pub static MULTIPLY_ADD: OpRow = OpRow {
    params: &[Param::size("count"), Param::size("rounds")],
    operands: &[Operand::read("x"), Operand::write("y")],
    reference_f32: multiply_add::<f32>,
    reference_f64: multiply_add::<f64>,
    variants: &[Variant::new(crate::kernel!("limits/multiply_add", "base"), Requires::invocations(64))
        .groups(|w| folded(w["count"].div_ceil(64)))],
    cost: |w| Cost { flops: 32.0 * w.f64("count") * w.f64("rounds"), bytes: 8.0 * w.f64("count") },
    ..ROW
};

/// `y[0] += 1`; y `[4]`.
pub static TOUCH: OpRow = OpRow {
    params: &[Param::size("unused")],
    operands: &[Operand::write("y")],
    reference_f32: touch::<f32>,
    reference_f64: touch::<f64>,
    variants: &[Variant::new(crate::kernel!("limits/touch"), Requires::invocations(1))],
    cost: |_| Cost { flops: 1.0, bytes: 8.0 },
    ..ROW
};

/// The fields that all rows here share.
const ROW: OpRow = OpRow {
    name: "probe",
    operands: &[],
    params: &[],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: touch::<f32>,
    reference_f64: touch::<f64>,
    variants: &[],
    cases: Vec::new,
    cost: |_| Cost { flops: 0.0, bytes: 0.0 },
};

fn copy<F: Real>(args: &mut Args<F>) {
    let [quads] = args.sizes();
    let [x, y] = args.all();
    y.real_mut()[..4 * quads].copy_from_slice(&x.real()[..4 * quads]);
}

fn multiply_add<F: Real>(args: &mut Args<F>) {
    let [count, rounds] = args.sizes();
    let [x, y] = args.all();
    let (a, b) = (F::of(1023.0 / 1024.0), F::of(1.0 / 1024.0));
    for (x, y) in x.real()[..count].iter().zip(y.real_mut()) {
        *y = F::ZERO;
        for j in 0..16 {
            let start = *x + F::of(j as f32);
            *y += (0..rounds).fold(start, |s, _| s.mul_add(a, b));
        }
    }
}

fn touch<F: Real>(args: &mut Args<F>) {
    let [y] = args.all();
    y.real_mut()[0] += F::ONE;
}
