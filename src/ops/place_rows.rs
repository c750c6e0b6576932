//! Puts rows where an index says: states that sequences start from, or that are saved until they go on.
//!
//! ```text
//! to[to_row + m, :] = from[from_row + index[m], :]     gather (scatter = 0); 0 where index[m] = ZERO_ROW
//! to[to_row + index[m], :] = from[from_row + m, :]     scatter = 1; no two rows have one index
//! from, to [*, W], index [M] u32; m < M = rows; where index[m] = KEEP_ROW nothing is written
//! ```
//! Bytes: at most 8 M W + 4 M. No arithmetic. Another index outside the tensor must have been refused before.

use super::gather_rows::GatherRows;
use crate::plan::{
    Affine, Args, Builder, Caps, Case, Cost, Dim, Fill, OpRow, Operand, Param, Real, Requires, Role, Variant, folded,
};

/// An index that leaves the row as it is.
pub const KEEP_ROW: u32 = u32::MAX;
/// An index that sets the row to zero.
pub const ZERO_ROW: u32 = u32::MAX - 1;

/// The side that the index is on, and where rows begin.
#[derive(Clone, Copy, Debug)]
pub enum Indexed {
    /// Rows are taken by the index and written in order.
    Gather {
        /// First row of `from`.
        from: Affine,
        /// First row of `to`.
        to: Affine,
    },
    /// Rows are taken in order and written by the index.
    Scatter {
        /// First row of `from`.
        from: Affine,
        /// First row of `to`.
        to: Affine,
    },
}

/// Records the op on `rows` rows.
pub fn record(b: &mut Builder, op: GatherRows, rows: Dim, by: Indexed) {
    let width = *b.tensor(op.from).shape.last().expect("from is [*, W]");
    assert_eq!(b.tensor(op.to).shape.last(), Some(&width), "place_rows: one width");
    let (from, to, scatter) = match by {
        Indexed::Gather { from, to } => (from, to, 0),
        Indexed::Scatter { from, to } => (from, to, 1),
    };
    b.push(&ROW, &[op.from, op.index, op.to], &[rows.into(), width.into(), from, to, scatter.into()]);
}

/// The table row.
pub static ROW: OpRow = OpRow {
    name: "place_rows",
    operands: &[Operand::read("from_rows"), Operand::read_u32("index"), Operand::write("to_rows")],
    params: &[
        Param::size("rows"),
        Param::size("width"),
        Param::offset("from_row"),
        Param::offset("to_row"),
        Param::flag("scatter"),
    ],
    shards: &[],
    carry_words: 0,
    passes: |_| 1,
    reference_f32: reference::<f32>,
    reference_f64: reference::<f64>,
    variants: &[Variant::new(crate::kernel!("place_rows", "base"), Requires::invocations(64))
        .groups(|w| folded((w["rows"] * w["width"].div_ceil(4)).div_ceil(64)))],
    cases,
    cost: |w| Cost { flops: 0.0, bytes: 8.0 * w.f64("rows") * w.f64("width") },
};

fn reference<F: Real>(args: &mut Args<F>) {
    let [rows, width, from_row, to_row, scatter] = args.sizes();
    let [from, index, to] = args.all();
    for (m, &place) in index.word()[..rows].iter().enumerate().filter(|(_, place)| **place != KEEP_ROW) {
        let (source, target) = if scatter == 1 { (m, place as usize) } else { (place as usize, m) };
        let to = &mut to.real_mut()[(to_row + target) * width..][..width];
        if place == ZERO_ROW {
            to.fill(F::ZERO);
        } else {
            to.copy_from_slice(&from.real()[(from_row + source) * width..][..width]);
        }
    }
}

fn cases() -> Vec<Case> {
    [(1, 1, false), (67, 3, false), (2, 1000, true), (67, 65, true), (5, 64, false)]
        .into_iter()
        .map(|(rows, width, scatter)| {
            // Every third row is kept; of a gather, every fifth is zero.
            let index = |m: u32| match m {
                _ if m % 3 == 1 => KEEP_ROW,
                _ if m % 5 == 2 && !scatter => ZERO_ROW,
                _ => rows as u32 - 1 - m,
            };
            Case::new(
                format!("rows={rows} width={width} scatter={scatter}"),
                |b, fills| {
                    let from = b.f32(Role::State, "from", &[(rows + 1).into(), width.into()]);
                    let index_id = b.u32(Role::Io, "index", &[rows.into()]);
                    let to = b.f32(Role::State, "to", &[(rows + 3).into(), width.into()]);
                    fills.extend([(from, Fill::Normal(1.0)), (to, Fill::Normal(2.0))]);
                    fills.push((index_id, Fill::Words((0..rows as u32).map(index).collect())));
                    GatherRows { from, index: index_id, to }
                },
                |b, op| {
                    let (from, to) = (1.into(), 2.into());
                    let place = if scatter { Indexed::Scatter { from, to } } else { Indexed::Gather { from, to } };
                    record(b, op, rows.into(), place);
                },
            )
            .caps(Caps::EXACT)
        })
        .collect()
}
