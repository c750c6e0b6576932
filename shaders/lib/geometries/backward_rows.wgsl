// The later step's share for many rows: a workgroup computes 64 units of four rows. Its 64 lanes are four slices of
// items by 16 quads of units; a lane sums an item for all four rows, and adds up the items of one row.

/// Items' sums [slice][row][quad].
var<workgroup> item_sums: array<vec4<f32>, 256>;

/// start + the later step's share, for the lane's own row and quad.
fn add_later(start: vec4<f32>, group: vec3<u32>, lane: u32) -> vec4<f32> {
    let quad = min(group.x * 16u + lane % 16u, quads(params.hidden) - 1u);
    // Rows beyond the last one repeat it.
    let rows = params.next_row + min(vec4(group.y * 4u) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
    let depth = quads(params.n_len);
    let count = items();
    var total = start;
    for (var round = 0u; round < count; round += 4u) {
        let item = round + lane / 16u;
        let g = item % GATES;
        let first = item / GATES * BLOCK;
        let at = vec4(later_at(rows.x, g), later_at(rows.y, g), later_at(rows.z, g), later_at(rows.w, g));
        var s0 = vec4(0.0);
        var s1 = vec4(0.0);
        var s2 = vec4(0.0);
        var s3 = vec4(0.0);
        for (var k = first; k < min(first + BLOCK, depth); k++) {
            let w = w_rows(g, 4u * k, quad);
            s0 = fma4_rows(later(g, at.x + k), w, s0);
            s1 = fma4_rows(later(g, at.y + k), w, s1);
            s2 = fma4_rows(later(g, at.z + k), w, s2);
            s3 = fma4_rows(later(g, at.w + k), w, s3);
        }
        let to = lane / 16u * 64u + lane % 16u;
        item_sums[to] = s0;
        item_sums[to + 16u] = s1;
        item_sums[to + 32u] = s2;
        item_sums[to + 48u] = s3;
        workgroupBarrier();
        for (var s = 0u; s < min(4u, count - round); s++) {
            total += item_sums[s * 64u + lane];
        }
        workgroupBarrier();
    }
    return total;
}

/// The step backwards for the lane's own row and quad. All lanes come here: `add_later` has barriers.
fn step_backward(group: vec3<u32>, lane: u32) {
    let row = group.y * 4u + lane / 16u;
    let quad = group.x * 16u + lane % 16u;
    let live = row < params.rows && quad < quads(params.hidden);
    var start = vec4(0.0);
    if live {
        start = start_of(row, quad);
    }
    let d = add_later(start, group, lane);
    if live {
        finish(row, quad, d);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    step_backward(group, lane);
}
