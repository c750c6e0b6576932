//! Packs a weight for kernels: PyTorch's `[G, N, K]` into four consecutive k side by side ([`Layout::K4`], and with
//! panels = 1 [`Layout::K4Panels`]).
//!
//! ```text
//! packed[k4, g, n][i]               = w[g, n, 4 k4 + i]     w [G, N, K], packed [ceil(K/4), G, N] vec4
//! packed[n / 32, k4, g, n % 32][i]  = w[g, n, 4 k4 + i]     packed [ceil(N/32), ceil(K/4), G, 32] vec4
//! ```
//! 0 where 4 k4 + i >= K; the last panel is as wide as what is left of N.
//! Bytes: 8 G N K. No arithmetic. [`pack`] and [`unpack`] are the same on the host, for every layout.

use super::case::{Caps, Case, Fill};
use super::variant::{Requires, Variant, folded};
use super::{Args, Cost, OpRow, Operand, Real};
use crate::plan::{Builder, Dim, Layout, Role, TensorId};

/// Outputs of a panel of [`Layout::K4Panels`].
pub const PANEL: usize = 32;

/// Records the op.
pub fn record(b: &mut Builder, w: TensorId, packed: TensorId) {
    let [groups, outputs, inputs] = b.tensor(w).shape[..] else { panic!("pack_weight: w is [G, N, K]") };
    let layout = b.tensor(packed).layout;
    assert!([Layout::K4, Layout::K4Panels].contains(&layout), "pack_weight: the result has a layout of kernels");
    b.expect_shape("pack_weight", packed, &[groups, outputs, inputs]);
    let panels = usize::from(layout == Layout::K4Panels);
    b.push(&ROW, &[w, packed], &[groups.into(), outputs.into(), inputs.into(), panels.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "pack_weight",
    operands: &[Operand::read("w"), Operand::write("packed")],
    params: &["groups", "outputs", "inputs", "panels"],
    cuts: &[],
    carry_words: 0,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    fast: None,
    variants: &[Variant::new(crate::kernel!("pack_weight"), Requires::invocations(64))
        .groups(|w| folded((w[0] * w[1]).div_ceil(64) * w[2].div_ceil(4)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * f64::from(w[0]) * f64::from(w[1]) * f64::from(w[2]) },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [groups, outputs, inputs, panels] = args.sizes();
    let layout = if panels == 1 { Layout::K4Panels } else { Layout::K4 };
    let [w, packed] = args.all();
    let values = pack(layout, w.real(), [groups, outputs, inputs], F::ZERO);
    packed.real_mut().copy_from_slice(&values);
}

/// Elements that a weight `[G, N, K]` takes in a layout.
pub fn packed_len(layout: Layout, [groups, outputs, inputs]: [usize; 3]) -> usize {
    match layout {
        Layout::RowMajor => groups * outputs * inputs,
        Layout::K4 | Layout::K4Panels => inputs.div_ceil(4) * 4 * groups * outputs,
        Layout::Panel16 => (groups * outputs).div_ceil(16) * 16 * inputs,
        Layout::Panel16T => inputs.div_ceil(16) * 16 * groups * outputs,
    }
}

/// The place of w[q, k], q = g N + n, in a layout.
fn place(layout: Layout, [groups, outputs, inputs]: [usize; 3], q: usize, k: usize) -> usize {
    match layout {
        Layout::RowMajor => q * inputs + k,
        Layout::K4 => (k / 4 * groups * outputs + q) * 4 + k % 4,
        Layout::K4Panels => {
            let (g, n) = (q / outputs, q % outputs);
            let first = n / PANEL * PANEL;
            let width = PANEL.min(outputs - first);
            (first * inputs.div_ceil(4) * groups + (k / 4 * groups + g) * width + n - first) * 4 + k % 4
        }
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
    let shapes = [(1, 1, 1), (1, 1000, 1), (1, 1, 1000), (4, 65, 33), (3, 17, 64), (1, 130, 131)];
    let layouts = [Layout::K4, Layout::K4Panels];
    (shapes.into_iter())
        .flat_map(|shape| layouts.map(|layout| (shape, layout)))
        .map(|((groups, outputs, inputs), layout)| {
            Case::new(
                format!("g={groups} n={outputs} k={inputs} {layout:?}"),
                |b, fills| {
                    let shape: [Dim; 3] = [groups.into(), outputs.into(), inputs.into()];
                    let w = b.f32(Role::Weight, "w", &shape);
                    let packed = b.f32(Role::Scratch, "packed", &shape);
                    b.layout(packed, layout);
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
            for layout in [Layout::RowMajor, Layout::K4, Layout::K4Panels, Layout::Panel16, Layout::Panel16T] {
                assert_eq!(unpack(layout, &pack(layout, &w, shape, 0), shape), w, "{layout:?} {shape:?}");
            }
        }
    }
}
