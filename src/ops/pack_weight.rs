//! Packs a weight for kernels: PyTorch's `[G, N, K]` into four consecutive k side by side ([`Layout::K4`], and with
//! panels = 1 [`Layout::K4Panels`]).
//!
//! ```text
//! packed[k4, g, n][i]               = w[g, n, 4 k4 + i]     w [G, N, K], packed [ceil(K/4), G, N] vec4
//! packed[n / 32, k4, g, n % 32][i]  = w[g, n, 4 k4 + i]     packed [ceil(N/32), ceil(K/4), G, 32] vec4
//! ```
//! 0 where 4 k4 + i >= K; the last panel is as wide as what is left of N.
//! Bytes: 8 G N K. No arithmetic. [`Layout::pack`] is the same on the host.

use crate::plan::{
    Args, Builder, Caps, Case, Cost, Dim, Fill, Layout, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
    folded,
};

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
    params: &[Param::size("groups"), Param::size("outputs"), Param::size("inputs"), Param::flag("panels")],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("pack_weight", "base"), Requires::invocations(64))
        .groups(|w| folded((w["groups"] * w["outputs"]).div_ceil(64) * w["inputs"].div_ceil(4)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * w.f64("groups") * w.f64("outputs") * w.f64("inputs") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [groups, outputs, inputs, panels] = args.sizes();
    let layout = if panels == 1 { Layout::K4Panels } else { Layout::K4 };
    let [w, packed] = args.all();
    let values = layout.pack(w.real(), [groups, outputs, inputs], F::ZERO);
    packed.real_mut().copy_from_slice(&values);
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
