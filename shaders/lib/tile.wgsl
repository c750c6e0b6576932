// A tile: four neighbouring units or columns of eight rows. Column u of `low` holds unit u of the rows 0 to 3, `high` of
// the rows 4 to 7. A weight that is loaded serves eight rows, a value of a row four units. Imports product.

struct Tile {
    low: mat4x4<f32>,
    high: mat4x4<f32>,
}

/// Eight rows' places in a buffer.
struct Places {
    low: vec4<u32>,
    high: vec4<u32>,
}

/// The rows of a tile; those beyond the last one repeat it.
fn tile_rows(first: u32, rows: u32) -> Places {
    let low = first + vec4(0u, 1u, 2u, 3u);
    return Places(min(low, vec4(rows - 1u)), min(low + 4u, vec4(rows - 1u)));
}

/// (base + rows) * stride
fn places(rows: Places, base: u32, stride: u32) -> Places {
    return Places((base + rows.low) * stride, (base + rows.high) * stride);
}

/// The same four values in each row.
fn same_rows(quad: vec4<f32>) -> Tile {
    let columns = mat4x4<f32>(vec4(quad.x), vec4(quad.y), vec4(quad.z), vec4(quad.w));
    return Tile(columns, columns);
}

fn plus_tile(a: Tile, b: Tile) -> Tile {
    return Tile(a.low + b.low, a.high + b.high);
}

/// Rows as columns: a quad is then `low[row]` or `high[row - 4]`.
fn quads_of(t: Tile) -> Tile {
    return Tile(transpose(t.low), transpose(t.high));
}

/// acc + a matrix product, each column of it four fused multiply-adds: acc[u] + sum of b[k] a[u][k].
fn fma_columns(a: mat4x4<f32>, b: mat4x4<f32>, acc: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma4_rows(a[0], b, acc[0]),
        fma4_rows(a[1], b, acc[1]),
        fma4_rows(a[2], b, acc[2]),
        fma4_rows(a[3], b, acc[3]),
    );
}

/// acc + the products of four units of eight rows: w[u] holds a unit's weights of four k, x.low[k] four rows' values at k.
fn fma_tile(w: mat4x4<f32>, x: Tile, acc: Tile) -> Tile {
    return Tile(fma_columns(w, x.low, acc.low), fma_columns(w, x.high, acc.high));
}

/// The same for tiles with a row in each column: acc + the terms of four n. d.low[r] holds a row's factors, w[n] those of
/// four units.
fn add_terms(d: Tile, w: mat4x4<f32>, acc: Tile) -> Tile {
    return Tile(fma_columns(d.low, w, acc.low), fma_columns(d.high, w, acc.high));
}
