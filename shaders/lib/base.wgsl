// The functions that many kernels share: rows in memory, the safe functions, sums of products, quads and tiles.
// Rows of a float tensor start at multiples of four elements; what lies between is zero.

/// vec4s that hold n elements.
fn quads(n: u32) -> u32 {
    return (n + 3u) / 4u;
}

// Flags of a dispatch that is a part of an op.
const FIRST_PART: u32 = 1u;
const LAST_PART: u32 = 2u;
const OUTPUT_CUT: u32 = 4u;
const OPERAND_CUT: u32 = 8u;

/// The number of a workgroup in a grid that was folded into x and y.
fn fold(group: vec3<u32>) -> u32 {
    return group.y * 65535u + group.x;
}

/// v[i] without a run-time index, which some compilers refuse.
fn component(v: vec4<f32>, i: u32) -> f32 {
    return select(select(v.x, v.y, i == 1u), select(v.z, v.w, i == 3u), i > 1u);
}

// The only sigmoid and tanh. Drivers may give NaN for the tanh or exp of large arguments: these do not, up to 1e30.

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

fn safe_tanh(x: f32) -> f32 {
    // Small arguments by the series, so that they keep their relative precision.
    let s = x * x;
    let series = x * fma(s, fma(s, fma(s, fma(s, 0.021869488, -0.053968254), 0.13333334), -0.33333334), 1.0);
    let e = exp(-2.0 * min(abs(x), 20.0));
    let large = sign(x) * ((1.0 - e) / (1.0 + e));
    return select(large, series, abs(x) < 0.25);
}

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    return vec4(sigmoid(x.x), sigmoid(x.y), sigmoid(x.z), sigmoid(x.w));
}

fn safe_tanh4(x: vec4<f32>) -> vec4<f32> {
    return vec4(safe_tanh(x.x), safe_tanh(x.y), safe_tanh(x.z), safe_tanh(x.w));
}

// Sums of products in the order class `blocks64`: within a block of 64 k ascending, one fma a term, from zero; then
// block after block onto what the sum starts from. Weights lie as [ceil(K/4), G, N] vec4s of four consecutive k.

/// vec4s of a block.
const BLOCK: u32 = 16u;

/// acc + sum of w[k] x[k] over four k.
fn fma4(w: vec4<f32>, x: vec4<f32>, acc: f32) -> f32 {
    return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, acc))));
}

/// The same for four rows at once: x[k] holds the rows' values at k.
fn fma4_rows(w: vec4<f32>, x: mat4x4<f32>, acc: vec4<f32>) -> vec4<f32> {
    let a = fma(vec4(w.x), x[0], acc);
    let b = fma(vec4(w.y), x[1], a);
    let c = fma(vec4(w.z), x[2], b);
    return fma(vec4(w.w), x[3], c);
}

/// Four rows of four k each, turned so that each column holds one k.
fn by_k(row0: vec4<f32>, row1: vec4<f32>, row2: vec4<f32>, row3: vec4<f32>) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(row0, row1, row2, row3));
}

// A quad: four neighbouring units or columns of one row, in a vec4.

/// Where a quad's weights lie: units past the last of n repeat it, and are not `live`.
fn quad_units(first: u32, n: u32) -> vec4<u32> {
    return min(first + vec4(0u, 1u, 2u, 3u), vec4(n - 1u));
}

fn live(first: u32, n: u32) -> vec4<bool> {
    return first + vec4(0u, 1u, 2u, 3u) < vec4(n);
}

/// acc + the products of four units: w[u] holds a unit's weights of four k, x the row's values there.
fn fma_quad(w: mat4x4<f32>, x: vec4<f32>, acc: vec4<f32>) -> vec4<f32> {
    return vec4(fma4(w[0], x, acc.x), fma4(w[1], x, acc.y), fma4(w[2], x, acc.z), fma4(w[3], x, acc.w));
}

/// The rows of a matrix, a unit each, with zeros for those that are not live.
fn live_rows(m: mat4x4<f32>, live: vec4<bool>) -> mat4x4<f32> {
    let zero = vec4(0.0);
    return mat4x4<f32>(select(zero, m[0], live), select(zero, m[1], live), select(zero, m[2], live), select(zero, m[3], live));
}

// A tile: four neighbouring units or columns of eight rows. Column u of `low` holds unit u of the rows 0 to 3, `high` of
// the rows 4 to 7. A weight that is loaded serves eight rows, a value of a row four units.

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

/// The same four values in each row.
fn same_rows(quad: vec4<f32>) -> Tile {
    let columns = mat4x4<f32>(vec4(quad.x), vec4(quad.y), vec4(quad.z), vec4(quad.w));
    return Tile(columns, columns);
}

fn plus_tile(a: Tile, b: Tile) -> Tile {
    return Tile(a.low + b.low, a.high + b.high);
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
