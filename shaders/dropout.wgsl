// y = x * scale where the element's random word reaches the threshold, else 0; an invocation takes four elements, which
// one block of Philox serves.

struct Params {
    rows: u32,
    width: u32,
    x_row: u32,
    y_row: u32,
    threshold: u32,
    scale: f32,
    seed_low: u32,
    seed_high: u32,
    site: u32,
    step: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.width);
    let i = fold(group) * 64u + lane;
    let m = i / width;
    if m >= params.rows {
        return;
    }
    let words = philox(vec4(i, params.site, params.step, 0x64726f70u), vec2(params.seed_low, params.seed_high));
    // The padding of x is zero and stays so.
    let four = x[params.x_row * width + i] * params.scale;
    y[params.y_row * width + i] = select(vec4(0.0), four, words >= vec4(params.threshold));
}
