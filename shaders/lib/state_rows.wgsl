// Writes h' of a workgroup: 64 units of four rows. The kernel declares h: array<vec4<f32>> (bound once, read and
// written, so that the state before outlives the step), parameters rows, hidden, h_write_row, unit_first, unit_len,
// and `writes(row)`: whether this dispatch writes a row's state.
// Units meet in workgroup memory first, since two invocations must not write parts of one vec4.

/// [row][unit]
var<workgroup> h_tile: array<f32, 256>;

/// `new_h` holds four rows of the unit of this lane; lanes beyond the last unit give zeros, the padding of h.
fn store_h(group: vec3<u32>, lane: u32, new_h: vec4<f32>) {
    h_tile[lane] = new_h.x;
    h_tile[64u + lane] = new_h.y;
    h_tile[128u + lane] = new_h.z;
    h_tile[192u + lane] = new_h.w;
    workgroupBarrier();
    let row = group.y * 4u + lane / 16u;
    let unit = group.x * 64u + lane % 16u * 4u;
    if writes(row) && unit < params.unit_len {
        let at = lane / 16u * 64u + lane % 16u * 4u;
        let four = vec4(h_tile[at], h_tile[at + 1u], h_tile[at + 2u], h_tile[at + 3u]);
        h[(params.h_write_row + row) * quads(params.hidden) + (params.unit_first + unit) / 4u] = four;
    }
}

/// The rows of a workgroup; beyond the last one it is repeated.
fn own_rows(group: vec3<u32>) -> vec4<u32> {
    return min(vec4(group.y * 4u) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
}
