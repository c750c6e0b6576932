// One GRU step with its input product, in registers alone: an invocation computes a quad of units of one row.
// A row whose input row lies in another part of the source is left to the dispatch of that part.
// import: index, math, product, decode_source, gru_row

struct Params {
    rows: u32,
    inputs: u32,
    hidden: u32,
    x_row: u32,
    gather: u32,
    h_read_row: u32,
    h_write_row: u32,
    unit_first: u32,
    unit_len: u32,
    source_first: u32,
    source_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> w_ih: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> w_hh: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> b_ih: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> b_hh: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> h: array<vec4<f32>>;

fn input_weights(at: vec4<u32>) -> mat4x4<f32> {
    return mat4x4<f32>(w_ih[at.x], w_ih[at.y], w_ih[at.z], w_ih[at.w]);
}

/// b_ih + W_ih x for the input row that starts at x_at, in vec4s.
fn input_gates(x_at: u32, quad: u32, first: u32) -> QuadGates {
    let stride = quads(params.hidden);
    var gates = QuadGates(b_ih[quad], b_ih[stride + quad], b_ih[2u * stride + quad]);
    let depth = quads(params.inputs);
    let width = panel_width(first);
    let w_at = panel_at(first, depth, 3u);
    for (var block = 0u; block < depth; block += BLOCK) {
        var s = QuadGates();
        for (var k = block; k < min(block + BLOCK, depth); k++) {
            let x4 = source[x_at + k];
            let at = w_at + k * 3u * width;
            s.r = fma_quad(input_weights(at), x4, s.r);
            s.z = fma_quad(input_weights(at + width), x4, s.z);
            s.n = fma_quad(input_weights(at + 2u * width), x4, s.n);
        }
        gates = plus_quads(gates, s);
    }
    return gates;
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = (group.x * 8u + lane) * 4u;
    let row = group.y;
    if first >= params.unit_len || !writes(row) {
        return;
    }
    let quad = (params.unit_first + first) / 4u;
    let depth = quads(params.hidden);
    let input = input_gates(input_at(row), quad, first);
    let start = QuadGates(input.r + b_hh[quad], input.z + b_hh[depth + quad], b_hh[2u * depth + quad]);
    let gates = add_recurrent(start, (params.h_read_row + row) * depth, first);
    write_state(new_state(gates, input.n, row, first).h, row, first);
}
