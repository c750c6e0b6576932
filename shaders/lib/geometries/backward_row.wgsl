// The later step's share for few rows: a workgroup computes 32 units of one row. Its 256 lanes are 32 slices of items by
// 8 quads of units; the first slice adds up the items.

/// Items' sums [slice][quad].
var<workgroup> item_sums: array<vec4<f32>, 256>;

/// start + the later step's share; only the first slice's means anything.
fn add_later(start: vec4<f32>, group: vec3<u32>, lane: u32) -> vec4<f32> {
    let quad = min(group.x * 8u + lane % 8u, quads(params.hidden) - 1u);
    let depth = quads(params.n_len);
    let count = items();
    var total = start;
    for (var round = 0u; round < count; round += 32u) {
        let item = round + lane / 8u;
        let g = item % GATES;
        let first = item / GATES * BLOCK;
        let at = later_at(params.next_row + group.y, g);
        var sum = vec4(0.0);
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            sum = fma4_rows(later(g, at + k), w_rows(g, 4u * k, quad), sum);
        }
        item_sums[lane] = sum;
        workgroupBarrier();
        if lane < 8u {
            for (var s = 0u; s < min(32u, count - round); s++) {
                total += item_sums[s * 8u + lane];
            }
        }
        workgroupBarrier();
    }
    return total;
}

/// The step backwards for the quads of the first slice. All lanes come here: `add_later` has barriers.
fn step_backward(group: vec3<u32>, lane: u32) {
    let quad = group.x * 8u + lane % 8u;
    let live = lane < 8u && quad < quads(params.hidden);
    var start = vec4(0.0);
    if live {
        start = start_of(group.y, quad);
    }
    let d = add_later(start, group, lane);
    if live {
        finish(group.y, quad, d);
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    step_backward(group, lane);
}
