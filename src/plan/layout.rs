//! Layouts: where each number of a weight lies in memory.

/// How the numbers of a tensor lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// The last axis runs fastest, as in PyTorch.
    RowMajor,
    /// A weight `[G, N, K]` as [ceil(K/4), G, N] of four consecutive k each: neighbouring outputs n lie side by
    /// side, so neighbouring invocations load neighbouring words. Padding in k is zero.
    K4,
    /// A weight `[G, N, K]` as [ceil(N/32), ceil(K/4), G, 32] of four consecutive k each: all that 32 units of every gate
    /// read lies side by side. The last panel holds what is left of N. Padding in k is zero.
    K4Panels,
    /// A weight `[G, N, K]` as [ceil(G*N/16), K, 16]: sixteen outputs side by side for SIMD. Padding is zero.
    Panel16,
    /// A weight `[G, N, K]` as [ceil(K/16), G*N, 16], for sums over G and N: sixteen k side by side for SIMD. Padding is
    /// zero.
    Panel16T,
}

/// Outputs of a panel of [`Layout::K4Panels`].
const PANEL: usize = 32;

impl Layout {
    /// Elements that a weight `[G, N, K]` takes.
    pub fn len(self, [groups, outputs, inputs]: [usize; 3]) -> usize {
        match self {
            Layout::RowMajor => groups * outputs * inputs,
            Layout::K4 | Layout::K4Panels => inputs.div_ceil(4) * 4 * groups * outputs,
            Layout::Panel16 => (groups * outputs).div_ceil(16) * 16 * inputs,
            Layout::Panel16T => inputs.div_ceil(16) * 16 * groups * outputs,
        }
    }

    /// The index of w[q, k], q = g N + n.
    fn place(self, [groups, outputs, inputs]: [usize; 3], q: usize, k: usize) -> usize {
        match self {
            Layout::RowMajor => q * inputs + k,
            Layout::K4 => (k / 4 * groups * outputs + q) * 4 + k % 4,
            Layout::K4Panels => {
                let (g, n) = (q / outputs, q % outputs);
                let first = n / PANEL * PANEL;
                let width = PANEL.min(outputs - first);
                (first * inputs.div_ceil(4) * groups + (k / 4 * groups + g) * width + n - first) * 4 + k % 4
            }
            Layout::Panel16 => (q / 16 * inputs + k) * 16 + q % 16,
            Layout::Panel16T => (k / 16 * groups * outputs + q) * 16 + k % 16,
        }
    }

    /// A row-major weight `[G, N, K]` in this layout, padded with `zero`.
    pub fn pack<T: Copy>(self, w: &[T], shape: [usize; 3], zero: T) -> Vec<T> {
        let mut packed = vec![zero; self.len(shape)];
        for (q, row) in w.chunks_exact(shape[2]).enumerate() {
            for (k, &value) in row.iter().enumerate() {
                packed[self.place(shape, q, k)] = value;
            }
        }
        packed
    }

    /// The row-major weight `[G, N, K]` of one in this layout.
    pub fn unpack<T: Copy>(self, packed: &[T], shape: [usize; 3]) -> Vec<T> {
        let places = (0..shape[0] * shape[1]).flat_map(|q| (0..shape[2]).map(move |k| (q, k)));
        places.map(|(q, k)| packed[self.place(shape, q, k)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpack_undoes_pack() {
        for shape in [[1, 1, 1], [4, 17, 5], [3, 33, 64], [1, 16, 7]] {
            let w: Vec<u32> = (1..=shape.iter().product::<usize>() as u32).collect();
            for layout in [Layout::RowMajor, Layout::K4, Layout::K4Panels, Layout::Panel16, Layout::Panel16T] {
                assert_eq!(layout.unpack(&layout.pack(&w, shape, 0), shape), w, "{layout:?} {shape:?}");
            }
        }
    }
}
