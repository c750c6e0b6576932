// 256 bins that hold whole numbers of 64 bits. All lanes of a workgroup of 256 add to them; then they are summed up,
// from the highest one down.

var<workgroup> bins_low: array<atomic<u32>, 256>;
var<workgroup> bins_high: array<atomic<u32>, 256>;
/// The bins once all lanes have given up what they had.
var<workgroup> bins: array<vec2<u32>, 256>;
/// Sums of 16 neighbouring bins each.
var<workgroup> blocks: array<vec2<u32>, 16>;

const BLOCKS: u32 = 16u;
const BLOCK_BINS: u32 = 16u;

/// The invocation's pending sum for one bin: neighbours often fall into one, and atomics take turns.
var<private> pending_bin: u32;
var<private> pending: vec2<u32>;

fn add_to_bin(bin: u32, amount: vec2<u32>) {
    if bin != pending_bin {
        give_up_pending();
        pending_bin = bin;
    }
    pending = wide_add(pending, amount);
}

/// Adds to its bin what a lane still has.
fn give_up_pending() {
    if pending.x != 0u || pending.y != 0u {
        let before = atomicAdd(&bins_low[pending_bin], pending.x);
        let high = pending.y + select(0u, 1u, before + pending.x < before);
        if high != 0u {
            atomicAdd(&bins_high[pending_bin], high);
        }
    }
    pending = vec2(0u);
}

/// Makes `bins` and `blocks` of what the lanes have added: all lanes call it, and without `works` only keep step.
fn sum_up_bins(works: bool, lane: u32) {
    if works {
        bins[lane] = vec2(atomicLoad(&bins_low[lane]), atomicLoad(&bins_high[lane]));
    }
    workgroupBarrier();
    if works && lane < BLOCKS {
        var sum = vec2(0u);
        for (var i = 0u; i < BLOCK_BINS; i++) {
            sum = wide_add(sum, bins[lane * BLOCK_BINS + i]);
        }
        blocks[lane] = sum;
    }
    workgroupBarrier();
}

/// The sum over all bins above one.
fn sum_above(own: u32) -> vec2<u32> {
    let block = own / BLOCK_BINS;
    var higher = sum_of_blocks(block + 1u);
    for (var i = 0u; i < BLOCK_BINS; i++) {
        let bin = block * BLOCK_BINS + i;
        higher = wide_add(higher, select(vec2(0u), bins[bin], bin > own));
    }
    return higher;
}

/// The sum over a block and all above it.
fn sum_of_blocks(first: u32) -> vec2<u32> {
    var sum = vec2(0u);
    for (var block = 0u; block < BLOCKS; block++) {
        sum = wide_add(sum, select(vec2(0u), blocks[block], block >= first));
    }
    return sum;
}
