//! Packs a weight for kernels: PyTorch's `[G, N, K]` into four consecutive k side by side ([`Layout::K4`]).
//!
//! ```text
//! packed[k4, g, n][i] = w[g, n, 4 k4 + i],  0 where 4 k4 + i >= K        w [G, N, K], packed [ceil(K/4), G, N] vec4
//! ```
//! Bytes: 8 G N K. No arithmetic. [`pack`] and [`unpack`] are the same on the host, for every layout.

use super::case::{Caps, Case, Fill};
use super::variant::{Adapters, OrderClass, Requires, Variant, always, folded};
use super::{Args, Cost, OpRow, Operand, Real};
use crate::plan::{Builder, Dim, Layout, Role, TensorId};

/// Records the op.
pub fn record(b: &mut Builder, w: TensorId, packed: TensorId) {
    let [groups, outputs, inputs] = b.tensor(w).shape[..] else { panic!("pack_weight: w is [G, N, K]") };
    assert_eq!(b.tensor(packed).layout, Layout::K4, "pack_weight: the result has layout K4");
    b.expect_shape("pack_weight", packed, &[groups, outputs, inputs]);
    b.push(&ROW, &[w, packed], &[groups.into(), outputs.into(), inputs.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "pack_weight",
    operands: &[Operand::read("w"), Operand::write("packed")],
    params: &["groups", "outputs", "inputs"],
    cuts: &[],
    carry_words: 0,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    fast: None,
    variants: &[Variant {
        name: "pack_weight",
        source: crate::wgsl!("pack_weight"),
        overrides: &[],
        requires: Requires::invocations(64),
        layouts: &[],
        class: OrderClass::None,
        suits: always,
        adapters: Adapters::Any,
        groups: |w| folded((w[0] * w[1]).div_ceil(64) * w[2].div_ceil(4)),
    }],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * f64::from(w[0]) * f64::from(w[1]) * f64::from(w[2]) },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [groups, outputs, inputs] = args.sizes();
    let [w, packed] = args.all();
    let values = pack(Layout::K4, w.real(), [groups, outputs, inputs], F::ZERO);
    packed.real_mut().copy_from_slice(&values);
}

/// Elements that a weight `[G, N, K]` takes in a layout.
pub fn packed_len(layout: Layout, [groups, outputs, inputs]: [usize; 3]) -> usize {
    match layout {
        Layout::RowMajor => groups * outputs * inputs,
        Layout::K4 => inputs.div_ceil(4) * 4 * groups * outputs,
        Layout::Panel16 => (groups * outputs).div_ceil(16) * 16 * inputs,
        Layout::Panel16T => inputs.div_ceil(16) * 16 * groups * outputs,
    }
}

/// The place of w[q, k], q = g N + n, in a layout.
fn place(layout: Layout, [groups, outputs, inputs]: [usize; 3], q: usize, k: usize) -> usize {
    match layout {
        Layout::RowMajor => q * inputs + k,
        Layout::K4 => (k / 4 * groups * outputs + q) * 4 + k % 4,
        Layout::Panel16 => (q / 16 * inputs + k) * 16 + q % 16,
        Layout::Panel16T => (k / 16 * groups * outputs + q) * 16 + k % 16,
    }
}

/// A row-major weight `[G, N, K]` in another layout, padded with `zero`.
pub fn pack<T: Copy>(layout: Layout, w: &[T], shape: [usize; 3], zero: T) -> Vec<T> {
    let mut packed = vec![zero; packed_len(layout, shape)];
    for (q, row) in w.chunks_exact(shape[2]).enumerate() {
        for (k, &value) in row.iter().enumerate() {
            packed[place(layout, shape, q, k)] = value;
        }
    }
    packed
}

/// The row-major weight `[G, N, K]` of a packed one.
pub fn unpack<T: Copy>(layout: Layout, packed: &[T], shape: [usize; 3]) -> Vec<T> {
    let places = (0..shape[0] * shape[1]).flat_map(|q| (0..shape[2]).map(move |k| (q, k)));
    places.map(|(q, k)| packed[place(layout, shape, q, k)]).collect()
}

fn cases() -> Vec<Case> {
    [(1, 1, 1), (1, 1000, 1), (1, 1, 1000), (4, 65, 33), (3, 17, 64), (1, 130, 131)]
        .into_iter()
        .map(|(groups, outputs, inputs)| {
            Case::new(
                format!("g={groups} n={outputs} k={inputs}"),
                |b, fills| {
                    let shape: [Dim; 3] = [groups.into(), outputs.into(), inputs.into()];
                    let w = b.f32(Role::Weight, "w", &shape);
                    let packed = b.f32(Role::Scratch, "packed", &shape);
                    b.layout(packed, Layout::K4);
                    fills.push((w, Fill::Normal(1.0)));
                    (w, packed)
                },
                |b, (w, packed)| record(b, w, packed),
            )
            .caps(Caps::EXACT)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpack_undoes_pack() {
        for shape in [[1, 1, 1], [4, 17, 5], [3, 33, 64], [1, 16, 7]] {
            let w: Vec<u32> = (1..=shape.iter().product::<usize>() as u32).collect();
            for layout in [Layout::RowMajor, Layout::K4, Layout::Panel16, Layout::Panel16T] {
                assert_eq!(unpack(layout, &pack(layout, &w, shape, 0), shape), w, "{layout:?} {shape:?}");
            }
        }
    }
}
