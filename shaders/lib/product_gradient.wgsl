// The bindings that both gradients of a matrix product share; src/ops/matmul_input_gradient.rs has the parameters.

struct Params {
    rows: u32,
    inputs: u32,
    outputs: u32,
    groups: u32,
    y_row: u32,
    x_row: u32,
    y_groups: u32,
    y_group: u32,
    w_group: u32,
    accumulate: u32,
    n_first: u32,
    n_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
