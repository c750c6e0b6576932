//! Memory of whole cache lines, for what the fast functions read and write by vectors.

use bytemuck::{Pod, Zeroable};
use std::ops::{Deref, DerefMut};

/// A cache line, and a vector of the kernels.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; FLOATS]);

/// Floats of a line.
const FLOATS: usize = 16;

/// Floats that begin where a cache line does. A vector at a multiple of 16 then lies in one line; a `Vec<f32>` begins
/// 16 bytes after a line, so that each of its vectors is two accesses.
#[derive(Default)]
pub struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// Makes it `len` long; what is new is zero.
    pub fn resize(&mut self, len: usize) {
        let kept = self.len.min(len);
        self.lines.resize(len.div_ceil(FLOATS), Line::zeroed());
        self.len = len;
        // A line that was cut short may have been used to its end before.
        let end = len.min(kept.next_multiple_of(FLOATS));
        self[kept..end].fill(0.0);
    }

    /// Makes it `len` long at least.
    pub fn grow(&mut self, len: usize) {
        if self.len < len {
            self.resize(len);
        }
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_line_and_new_floats_are_zero() {
        let mut lines = Lines::default();
        assert!(lines.is_empty());
        for len in [5, 40, 3, 17, 16, 300] {
            let before = lines.len().min(len);
            lines.resize(len);
            assert_eq!((lines.len(), lines.as_ptr().addr() % 64), (len, 0));
            assert!(lines[before..].iter().all(|x| *x == 0.0), "{before} to {len}");
            lines.fill(1.0);
        }
        lines.grow(7);
        assert_eq!(lines.len(), 300);
    }
}
