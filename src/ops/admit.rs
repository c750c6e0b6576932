//! Continuous batching: idle rows take the next sequences of a queue, while the host is far away.
//!
//! ```text
//! for m ascending:
//!     row m ends where cancels[m] = table[m].number, which is not 0
//!     where row m is not running and queue = (next, end) has next < end:
//!         table[m] = records[next % Q],  tokens[m] = its first_token,  places[m] = its place,  next += 1
//!     places[m] = KEEP_ROW of other rows
//! table [M, 32] u32 (see rows), queue [2, 1] u32, records [Q, 32] u32, cancels [M] u32, tokens [M] u32,
//! places [M] u32: where the states of rows come from (see place_rows)
//! ```
//! next and end count on without end, and may pass 2^32: Q is a power of two. The host makes the same moves on its copy
//! of the table, so it knows which row took what. Bytes: about 8 M, and 256 a sequence.

use super::place_rows::{KEEP_ROW, ZERO_ROW};
use super::rows::{ROW_WORDS, Row};
use super::typical;
use crate::plan::{
    Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, TensorId, Variant,
};

/// Operands of [`record`].
#[derive(Clone, Copy, Debug)]
pub struct Admit {
    /// `[M, 32]` u32.
    pub table: TensorId,
    /// `[2, 1]` u32: how many sequences were taken, and how many have come.
    pub queue: TensorId,
    /// `[Q, 32]` u32.
    pub records: TensorId,
    /// `[M]` u32: numbers of sequences that end at once, or 0.
    pub cancels: TensorId,
    /// `[M]` u32.
    pub tokens: TensorId,
    /// `[M]` u32.
    pub places: TensorId,
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: Admit, rows: Dim) {
    let [capacity, words] = b.tensor(op.records).shape[..] else { panic!("admit: records is [Q, 32]") };
    assert!(capacity.as_fixed().is_some_and(usize::is_power_of_two), "admit: Q is a power of two");
    assert_eq!(words, ROW_WORDS.into(), "admit: records is [Q, 32]");
    b.expect_shape("admit", op.table, &[rows, ROW_WORDS.into()]);
    b.expect_shape("admit", op.queue, &[2.into(), 1.into()]);
    for id in [op.cancels, op.tokens, op.places] {
        b.expect_shape("admit", id, &[rows]);
    }
    let operands = [op.table, op.queue, op.records, op.cancels, op.tokens, op.places];
    b.push(&ROW, &operands, &[rows.into(), capacity.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "admit",
    operands: &[
        Operand::write_u32("table").typical(typical::records),
        Operand::write_u32("queue"),
        Operand::read_u32("records"),
        Operand::read_u32("cancels"),
        Operand::write_u32("tokens").typical(typical::tokens),
        Operand::write_u32("places"),
    ],
    params: &[Param::size("rows"), Param::size("capacity")],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("admit", "row"), Requires::invocations(256).with_memory(1024))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * w.f64("rows") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, capacity] = args.sizes();
    let [table, queue, records, cancels, tokens, places] = args.all();
    let [mut next, end] = [queue.word()[0], queue.word()[1]];
    for m in 0..rows {
        let record = &mut table.word_mut()[m * ROW_WORDS..][..ROW_WORDS];
        let mut row = Row::from_words(record);
        if row.number != 0 && cancels.word()[m] == row.number {
            row.running = 0;
        }
        places.word_mut()[m] = KEEP_ROW;
        if row.running == 0 && next != end {
            row = Row::from_words(&records.word()[next as usize % capacity * ROW_WORDS..]);
            tokens.word_mut()[m] = row.first_token;
            places.word_mut()[m] = row.place;
            next = next.wrapping_add(1);
        }
        record.copy_from_slice(&row.to_words());
    }
    queue.word_mut()[0] = next;
}

fn cases() -> Vec<Case> {
    // (rows, capacity, taken, come)
    [(1, 1, 0, 1), (1, 4, 7, 7), (67, 64, 60, 70), (300, 256, 0, 256), (1000, 1024, u32::MAX - 5, 600), (4, 2, 1, 3)]
        .into_iter()
        .map(case)
        .collect()
}

/// Two rows of five run; of these, every seventh is cancelled.
fn case((rows, capacity, next, end): (usize, usize, u32, u32)) -> Case {
    let declare = |b: &mut Builder, fills: &mut Vec<(TensorId, Fill)>| {
        let op = Admit {
            table: b.u32(Role::State, "table", &[rows.into(), ROW_WORDS.into()]),
            queue: b.u32(Role::State, "queue", &[2.into(), 1.into()]),
            records: b.u32(Role::Io, "records", &[capacity.into(), ROW_WORDS.into()]),
            cancels: b.u32(Role::Io, "cancels", &[rows.into()]),
            tokens: b.u32(Role::State, "tokens", &[rows.into()]),
            places: b.u32(Role::State, "places", &[rows.into()]),
        };
        let running = |m: usize| Row { running: u32::from(m * 3 % 5 < 2), number: m as u32, position: 7, ..Row::IDLE };
        let coming = |i: usize| Row {
            running: 1,
            number: 5000 + i as u32,
            first_token: 3 * i as u32,
            place: if i.is_multiple_of(3) { ZERO_ROW } else { i as u32 },
            ..Row::IDLE
        };
        let words = |count: usize, row: &dyn Fn(usize) -> Row| (0..count).flat_map(|i| row(i).to_words()).collect();
        fills.push((op.table, Fill::Words(words(rows, &running))));
        fills.push((op.records, Fill::Words(words(capacity, &coming))));
        fills.push((op.queue, Fill::Words(vec![next, end])));
        let cancelled = |m: usize| if m.is_multiple_of(7) { m as u32 } else { m as u32 / 2 };
        fills.push((op.cancels, Fill::Words((0..rows).map(cancelled).collect())));
        op
    };
    let name = format!("rows={rows} capacity={capacity} taken={next} come={end}");
    Case::new(name, declare, |b, op| record(b, op, rows.into())).caps(Caps::EXACT)
}
