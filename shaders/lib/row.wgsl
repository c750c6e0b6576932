// A record of the row table; src/ops/rows.rs has the meanings.

struct Row {
    running: u32,
    position: u32,
    sequence: vec2<u32>,
    seed: vec2<u32>,
    inverse_temperature: f32,
    end_position: u32,
    forced_next: u32,
    forced_end: u32,
    stop0: u32,
    stop1: u32,
    stop2: u32,
    stop3: u32,
    finish: u32,
    filters: u32,
    top_k: u32,
    top_p: u32,
    ln_min_p: f32,
    repetition: f32,
    inverse_repetition: f32,
    presence: f32,
    frequency: f32,
    limit_low: u32,
    limit_high: u32,
    number: u32,
    first_token: u32,
    place: u32,
    edits_first: u32,
    edits_end: u32,
    zero: u32,
    source_len: u32,
}

const NO_TOKEN: u32 = 0xffffffffu;

fn row_is_forced(row: Row) -> bool {
    return row.forced_next < row.forced_end;
}
