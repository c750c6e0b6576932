// dtable[v] = the sum of the rows of d_x whose id is v. An invocation takes four columns of one v, and finds the run of
// v in the order of positions by bisection. Rows of other parts have their own dispatches.

struct Params {
    rows: u32,
    width: u32,
    vocab: u32,
    ids_row: u32,
    order_row: u32,
    accumulate: u32,
    v_first: u32,
    v_len: u32,
    flags: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> d_x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dtable: array<vec4<f32>>;

/// The position at a place in the order.
fn position(place: u32) -> u32 {
    return order[params.order_row + place];
}

/// The first place in the order, from `start` on, whose id is at least v.
fn first_from(start: u32, v: u32) -> u32 {
    var low = start;
    var high = params.rows;
    while low < high {
        let middle = (low + high) / 2u;
        if ids[params.ids_row + position(middle)] < v {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let width = quads(params.width);
    let i = fold(group) * 64u + lane;
    let k = i % width;
    if i / width >= params.v_len {
        return;
    }
    let v = params.v_first + i / width;
    var sum = vec4(0.0);
    if params.accumulate != 0u {
        sum = dtable[i];
    }
    var place = first_from(0u, v);
    let end = first_from(place, v + 1u);
    // Four at a time, so that loads do not wait for sums; the order of the sums is the positions'.
    for (; place + 4u <= end; place += 4u) {
        let a = d_x[position(place) * width + k];
        let b = d_x[position(place + 1u) * width + k];
        let c = d_x[position(place + 2u) * width + k];
        let d = d_x[position(place + 3u) * width + k];
        sum = (((sum + a) + b) + c) + d;
    }
    for (; place < end; place++) {
        sum += d_x[position(place) * width + k];
    }
    dtable[i] = sum;
}
