// The sum over a row's places by a workgroup of 128. Imports attention; the kernel has `block_sum`.

/// Blocks of places whose sums lanes take side by side.
const LANES: u32 = 128u;

var<workgroup> numbers: array<f32, 128>;

/// The sum over a row's places, block by block: all lanes come here.
fn sum_of_places(at: u32, len: u32, lane: u32) -> f32 {
    numbers[lane] = block_sum(at, lane * PLACES, len);
    workgroupBarrier();
    let blocks = (len + PLACES - 1u) / PLACES;
    var total = 0.0;
    for (var i = 0u; i < min(blocks, LANES); i++) {
        total += numbers[i];
    }
    for (var first = LANES * PLACES; first < len; first += PLACES) {
        total += block_sum(at, first, len);
    }
    return total;
}
