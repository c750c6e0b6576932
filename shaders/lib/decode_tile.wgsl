// The input rows of a decode step for eight rows. The kernel declares source: array<vec4<f32>>.
// import: decode_source, tile

/// Where eight input rows begin.
fn inputs_at(rows: Places) -> Places {
    let low = vec4(input_at(rows.low.x), input_at(rows.low.y), input_at(rows.low.z), input_at(rows.low.w));
    return Places(low, vec4(input_at(rows.high.x), input_at(rows.high.y), input_at(rows.high.z), input_at(rows.high.w)));
}

/// Four k of eight input rows.
fn inputs(at: Places, k: u32) -> Tile {
    return Tile(
        by_k(source[at.low.x + k], source[at.low.y + k], source[at.low.z + k], source[at.low.w + k]),
        by_k(source[at.high.x + k], source[at.high.y + k], source[at.high.z + k], source[at.high.w + k]),
    );
}
