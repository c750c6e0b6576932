//! Arithmetic that a device must get right before it is trusted: run on every adapter when it is opened.
//!
//! ```text
//! words[i] = parameter i                      i < 16
//! sums[i]  = a[i] a[i] + b[i], an fma         i < 16
//! tanhs[i] = tanh(x[i])                       i < 16
//! sigmoids[i] = 1 / (1 + e^-x[i])             i < 16
//! a, b, x, sums, tanhs, sigmoids [16], words [16] u32
//! ```
//! With `b[i]` = -round(`a[i]`^2) the sums are what rounding the square lost where `fma` rounds once, and 0 where it rounds
//! the product first, as WGSL allows. The case has other b, so that either passes; [`squares`] are for who wants to know.

use crate::plan::{
    Affine, Args, Builder, Case, Cost, Fill, OpRow, Operand, PARAM_WORDS, Param, Real, Requires, Role, TensorId,
    Variant,
};

/// Elements of each operand: as many as there are parameter words.
const N: usize = PARAM_WORDS;

/// Arguments of tanh and sigmoid: near zero, on both sides of where the kernels change their formula, and so large
/// that the plain functions of a driver may give NaN.
const ARGUMENTS: [f32; N] =
    [0.0, 1e-6, -0.1, 0.249, -0.251, 1.0, -3.0, 9.0, -19.0, 21.0, 45.0, -89.0, 100.0, -1e4, 1e30, -1e30];

/// Operands of [`record`], all of 16 elements.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Factors of the products.
    pub a: TensorId,
    /// The addends.
    pub b: TensorId,
    /// Arguments of the functions.
    pub x: TensorId,
    /// The parameters as they arrived, u32.
    pub words: TensorId,
    /// The products and sums.
    pub sums: TensorId,
    /// tanh of x.
    pub tanhs: TensorId,
    /// Sigmoid of x.
    pub sigmoids: TensorId,
}

/// The parameters that are sent: no two words alike, and of 31 bits, as sizes are.
pub fn sent() -> [u32; N] {
    std::array::from_fn(|i| 0x9e37_79b9_u32.wrapping_mul(i as u32 + 1) >> 1)
}

/// Records the op.
pub fn record(b: &mut Builder, op: Probe) {
    let operands = [op.a, op.b, op.x, op.words, op.sums, op.tanhs, op.sigmoids];
    for id in operands {
        b.expect_shape("probe", id, &[N.into()]);
    }
    b.push(&ROW, &operands, &sent().map(|word| Affine::constant(word as usize)));
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "probe",
    operands: &[
        Operand::read("a"),
        Operand::read("b"),
        Operand::read("x"),
        Operand::write_u32("words"),
        Operand::write("sums"),
        Operand::write("tanhs"),
        Operand::write("sigmoids"),
    ],
    params: &[
        Param::constant("w0"),
        Param::constant("w1"),
        Param::constant("w2"),
        Param::constant("w3"),
        Param::constant("w4"),
        Param::constant("w5"),
        Param::constant("w6"),
        Param::constant("w7"),
        Param::constant("w8"),
        Param::constant("w9"),
        Param::constant("w10"),
        Param::constant("w11"),
        Param::constant("w12"),
        Param::constant("w13"),
        Param::constant("w14"),
        Param::constant("w15"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("probe", "base"), Requires::invocations(16))],
    cases: || vec![case()],
    cost: |_| Cost { flops: 0.0, bytes: 7.0 * 4.0 * N as f64 },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let sent = *args.words.raw();
    let [a, b, x, words, sums, tanhs, sigmoids] = args.all();
    words.word_mut().copy_from_slice(&sent);
    for i in 0..N {
        sums.real_mut()[i] = a.real()[i].mul_add(a.real()[i], b.real()[i]);
        tanhs.real_mut()[i] = x.real()[i].tanh();
        sigmoids.real_mut()[i] = x.real()[i].sigmoid();
    }
}

/// Values of a whose squares need more digits than a float has, and as b their rounded squares, negative.
pub fn squares() -> [[f32; N]; 2] {
    let a: [f32; N] = std::array::from_fn(|i| 1.0 + (2 * i + 1) as f32 / 4096.0 + 1.0 / 1_048_576.0);
    [a, a.map(|a| -(a * a))]
}

/// The one case, which is what a device is asked when it is opened, but for b.
pub fn case() -> Case {
    Case::new(
        "when a device is opened",
        |builder, fills| {
            let mut floats = |name: &str| builder.f32(Role::Io, name, &[N.into()]);
            let [a, b, x] = ["a", "b", "x"].map(&mut floats);
            let [sums, tanhs, sigmoids] = ["sums", "tanhs", "sigmoids"].map(floats);
            let words = builder.u32(Role::Io, "words", &[N.into()]);
            fills.push((a, Fill::Floats(squares()[0].to_vec())));
            fills.push((x, Fill::Floats(ARGUMENTS.to_vec())));
            Probe { a, b, x, words, sums, tanhs, sigmoids }
        },
        record,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_fma_that_rounds_twice_shows_in_every_element() {
        let [a, b] = squares();
        for (a, b) in a.iter().zip(b) {
            assert!(a.mul_add(*a, b) != 0.0 && a * a + b == 0.0, "{a} does not tell one from the other");
        }
    }
}
