// Writes h' of a workgroup: 16 units of one row; see state_rows. All invocations call it; the first 16 hold units.

var<workgroup> h_units: array<f32, 16>;

fn store_h(group: vec3<u32>, lane: u32, new_h: f32) {
    if lane < 16u {
        h_units[lane] = new_h;
    }
    workgroupBarrier();
    let unit = group.x * 16u + lane * 4u;
    if lane < 4u && unit < params.unit_len && writes(group.y) {
        let four = vec4(h_units[lane * 4u], h_units[lane * 4u + 1u], h_units[lane * 4u + 2u], h_units[lane * 4u + 3u]);
        h[(params.h_write_row + group.y) * quads(params.hidden) + (params.unit_first + unit) / 4u] = four;
    }
}
