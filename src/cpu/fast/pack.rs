//! Weights in the layouts of the fast functions: made once when they are loaded, and again whenever an optimiser wrote
//! them, so it goes by whole cache lines and on all threads.

use super::parts::{Shared, range};
use super::simd::LANES;
use crate::cpu::{Lines, Pool};
use crate::plan::Layout;

/// Elements that are worth waking threads up for.
const WORTH_THREADS: usize = 100_000;

/// Packs a row-major weight `[G, N, K]`; `packed` is replaced, in its own memory where that is large enough.
pub fn pack_into(
    layout: Layout,
    w: &[f32],
    [groups, outputs, inputs]: [usize; 3],
    packed: &mut Lines,
    pool: &dyn Pool,
) {
    let rows = groups * outputs;
    let panel_len = match layout {
        Layout::Panel16 => inputs * LANES,
        Layout::Panel16T => rows * LANES,
        other => {
            let values = other.pack(w, [groups, outputs, inputs], 0.0);
            packed.resize(values.len());
            return packed.copy_from_slice(&values);
        }
    };
    // Padding is zero from the start, and is never written.
    packed.resize(layout.len([groups, outputs, inputs]));
    let panels = packed.len() / panel_len.max(1);
    let parts = if w.len() < WORTH_THREADS { 1 } else { (4 * pool.threads()).min(panels) };
    let shared = Shared::new(packed);
    pool.run(parts, &|part| {
        for panel in range(part, parts, panels) {
            // SAFETY: each panel is one task's.
            let to = unsafe { shared.part(panel * panel_len, panel_len) };
            match layout {
                Layout::Panel16 => rows_side_by_side(w, inputs, panel * LANES..rows.min((panel + 1) * LANES), to),
                _ => columns_side_by_side(w, inputs, panel * LANES..inputs.min((panel + 1) * LANES), to),
            }
        }
    });
}

/// `to[k, i] = w[first + i, k]`.
fn rows_side_by_side(w: &[f32], inputs: usize, rows: std::ops::Range<usize>, to: &mut [f32]) {
    for (i, row) in rows.enumerate() {
        let row = &w[row * inputs..][..inputs];
        for (to, x) in to[i..].iter_mut().step_by(LANES).zip(row) {
            *to = *x;
        }
    }
}

/// `to[q, i] = w[q, first + i]`.
fn columns_side_by_side(w: &[f32], inputs: usize, columns: std::ops::Range<usize>, to: &mut [f32]) {
    for (row, to) in w.chunks_exact(inputs).zip(to.as_chunks_mut::<LANES>().0) {
        to[..columns.len()].copy_from_slice(&row[columns.clone()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{Lines, Serial};

    #[test]
    fn it_is_the_layout_that_the_op_describes() {
        for shape in [[1, 1, 1], [4, 17, 5], [3, 33, 64], [1, 16, 7], [1, 300, 400]] {
            let w: Vec<f32> = (1..=shape.iter().product::<usize>()).map(|x| x as f32).collect();
            for layout in [Layout::Panel16, Layout::Panel16T, Layout::K4] {
                let mut packed = Lines::default();
                packed.resize(3);
                pack_into(layout, &w, shape, &mut packed, &Serial);
                pack_into(layout, &w, shape, &mut packed, &Serial);
                assert!(packed[..] == layout.pack(&w, shape, 0.0), "{layout:?} {shape:?}");
            }
        }
    }
}
