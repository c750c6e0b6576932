// What the kernels of attention share; src/ops/attention.rs has the meanings. Imports base.

struct Params {
    rows: u32,
    batch: u32,
    source: u32,
    stride: u32,
    width: u32,
    outputs: u32,
    score: u32,
    query_row: u32,
    weights_row: u32,
    context_row: u32,
    context_width: u32,
    context_column: u32,
    lengths_row: u32,
    table: u32,
    accumulate: u32,
}

const DOT: u32 = 0u;
const PRODUCT: u32 = 1u;
const ADDITIVE: u32 = 2u;

// Words of a record of the row table.
const ROW_WORDS: u32 = 32u;
const PLACE_WORD: u32 = 27u;
const SOURCE_LEN_WORD: u32 = 31u;

/// A source: the row of its first place, and how many there are.
struct Source {
    first: u32,
    len: u32,
}

/// Where the places that a row attends to are.
fn source_of(row: u32) -> Source {
    if params.table == 1u {
        return Source(lengths[row * ROW_WORDS + PLACE_WORD], lengths[row * ROW_WORDS + SOURCE_LEN_WORD]);
    }
    let m = row % params.batch;
    return Source(m, min(lengths[params.lengths_row + m], params.source));
}

/// Where the weights of a row begin.
fn weights_at(row: u32) -> u32 {
    return (params.weights_row + row) * params.source;
}

/// Where the context of a row begins.
fn context_at(row: u32) -> u32 {
    return (params.context_row + row) * quads(params.context_width) * 4u + params.context_column;
}

/// Places or steps of a block of a sum.
const PLACES: u32 = 64u;
