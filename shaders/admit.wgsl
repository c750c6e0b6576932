// Idle rows take records of the queue; src/ops/admit.rs has the rules. One workgroup: a lane takes neighbouring rows,
// counts those that are idle, and a scan over the lanes says which records are its rows'.

struct Params {
    rows: u32,
    capacity: u32,
}

@group(0) @binding(0) var<storage, read_write> table: array<Row>;
@group(0) @binding(1) var<storage, read_write> queue: array<u32>;
@group(0) @binding(2) var<storage, read> records: array<Row>;
@group(0) @binding(3) var<storage, read> cancels: array<u32>;
@group(0) @binding(4) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> places: array<u32>;

const KEEP_ROW: u32 = 0xffffffffu;

/// Idle rows of the lanes up to this one.
var<workgroup> counts: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    let each = (params.rows + 255u) / 256u;
    let first = min(lane * each, params.rows);
    let end = min(first + each, params.rows);
    let next = queue[0];
    let waiting = queue[1] - next;
    var idle = 0u;
    for (var m = first; m < end; m++) {
        let number = table[m].number;
        if number != 0u && cancels[m] == number {
            table[m].running = 0u;
        }
        idle += select(0u, 1u, table[m].running == 0u);
    }
    counts[lane] = idle;
    // All lanes have read the queue before the last one writes it.
    storageBarrier();
    workgroupBarrier();
    for (var distance = 1u; distance < 256u; distance *= 2u) {
        var before = 0u;
        if lane >= distance {
            before = counts[lane - distance];
        }
        workgroupBarrier();
        counts[lane] += before;
        workgroupBarrier();
    }
    var at = counts[lane] - idle;
    for (var m = first; m < end; m++) {
        var place = KEEP_ROW;
        if table[m].running == 0u {
            if at < waiting {
                let row = records[(next + at) % params.capacity];
                table[m] = row;
                tokens[m] = row.first_token;
                place = row.place;
            }
            at += 1u;
        }
        places[m] = place;
    }
    if lane == 255u {
        queue[0] = next + min(counts[255], waiting);
    }
}
