// Moves a row of the table on. Kernels bind `table`.

/// Moves a row on by a token: the counterpart of `Row::advance`. Only the lane that calls it reads all of the record.
fn advance(m: u32, token: u32, is_forced: bool) {
    let row = table[m];
    let stops = token == row.stop0 || token == row.stop1 || token == row.stop2 || token == row.stop3;
    let ends = select(0u, 2u, row.position + 1u >= row.end_position);
    let finish = select(ends, 1u, stops && !is_forced);
    table[m].position = row.position + 1u;
    table[m].forced_next = row.forced_next + select(0u, 1u, is_forced);
    table[m].finish = finish;
    table[m].running = select(0u, 1u, finish == 0u);
}
