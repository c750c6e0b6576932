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
