//! Typical contents of operands in a network: inputs for measuring an op by itself.

use super::embed_gradient::order;
use super::filters;
use super::rows::Row;
use super::schedule;
use crate::plan::{Fill, Setting, philox};

/// Random token ids.
pub fn ids(count: usize, vocab: usize) -> Vec<u32> {
    (0..count as u32).map(|i| philox([i, 0, 0, 0], [5, 6])[0] % vocab as u32).collect()
}

pub(super) fn tokens(at: Setting) -> Fill {
    Fill::Words(ids(at.len, at.vocab))
}

/// Positions of a window by token. Of the slots of a ring the first alone is read.
pub(super) fn positions(at: Setting) -> Fill {
    let mut words = order(&ids(at.sizes.rows * at.sizes.time, at.vocab));
    words.resize(at.len, 0);
    Fill::Words(words)
}

/// Rows in the middle of sequences that never end; filters keep 40 tokens, where an op has filters.
pub(super) fn records(at: Setting) -> Fill {
    let row = |m| Row {
        running: 1,
        position: 1,
        sequence: [m, 0],
        inverse_temperature: 1.0,
        end_position: u32::MAX,
        filters: filters::TOP_K,
        top_k: 40,
        ..Row::IDLE
    };
    Fill::Words((0..at.sizes.rows as u32).flat_map(|m| row(m).to_words()).collect())
}

pub(super) fn row_numbers(at: Setting) -> Fill {
    Fill::Words((0..at.len as u32).collect())
}

pub(super) fn flags(_: Setting) -> Fill {
    Fill::Ids(2)
}

pub(super) fn schedule_rows(at: Setting) -> Fill {
    repeated(at, &schedule::row(1e-3, [0.9, 0.999], 100, at.sizes.rows * at.sizes.time))
}

/// Norms of 2 that are halved.
pub(super) fn clips(at: Setting) -> Fill {
    repeated(at, &[2.0, 0.5])
}

/// Sums of squares: none is negative.
pub(super) fn sums_of_squares(at: Setting) -> Fill {
    repeated(at, &[0.5, 1.0, 2.0])
}

/// Squares of gradients of about a tenth.
pub(super) fn squares(at: Setting) -> Fill {
    repeated(at, &[0.01])
}

fn repeated(at: Setting, values: &[f32]) -> Fill {
    Fill::Floats(values.iter().copied().cycle().take(at.len).collect())
}
