// x := f(x), or backward x := x f'(.), from y = f(.); an invocation takes one number.

struct Params {
    rows: u32,
    width: u32,
    x_row: u32,
    y_row: u32,
    activation: u32,
    backward: u32,
}

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

fn slope(y: f32) -> f32 {
    if params.activation == 1u { return y * (1.0 - y); }
    if params.activation == 2u { return 1.0 - y * y; }
    if params.activation == 3u { return select(0.0, 1.0, y > 0.0); }
    return 1.0;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = fold(group) * 64u + lane;
    let m = i / params.width;
    if m >= params.rows {
        return;
    }
    let stride = quads(params.width) * 4u;
    let k = i % params.width;
    let at = (params.x_row + m) * stride + k;
    if params.backward == 1u {
        x[at] *= slope(y[(params.y_row + m) * stride + k]);
    } else {
        x[at] = activate(params.activation, x[at]);
    }
}
