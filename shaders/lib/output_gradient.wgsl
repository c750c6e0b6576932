// Where gradients of a product's outputs lie. The kernel declares dy: array<vec4<f32>> [*, y_groups, outputs] as its
// first operand, and parameters outputs, y_row, y_groups, y_group, n_first, n_len, flags.

/// Whether an operand is sharded, so that it is indexed from the shard's first output.
fn is_cut(operand: u32) -> bool {
    return (params.flags & (OPERAND_CUT << operand)) != 0u;
}

/// vec4s from row to row of dy.
fn dy_step() -> u32 {
    return params.y_groups * quads(select(params.outputs, params.n_len, is_cut(0u)));
}

/// The shard's first vec4 of outputs of a group, in a row of this op.
fn dy_at(row: u32, g: u32) -> u32 {
    let width = quads(select(params.outputs, params.n_len, is_cut(0u)));
    return (params.y_row + row) * dy_step() + (params.y_group + g) * width + select(params.n_first / 4u, 0u, is_cut(0u));
}
