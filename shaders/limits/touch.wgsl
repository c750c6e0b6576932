// y[0] += 1: next to no work, so that a dispatch is all that takes time.

struct Params {
    unused: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
    y[0] += 1.0;
}
