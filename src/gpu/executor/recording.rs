//! A run written down instead of run: buffers, kernels and dispatches, for another implementation of WebGPU.

use crate::gpu::lower::Lowered;
use crate::gpu::memory::Shard;
use crate::plan::{Index, PARAM_WORDS, Sizes};

/// The bindings and dispatches of a run.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The contents of each buffer before the run.
    pub buffers: Vec<Vec<u32>>,
    /// In order.
    pub dispatches: Vec<RecordedDispatch>,
    pub(super) raw: Vec<wgpu::Buffer>,
}

/// One dispatch of a kernel.
#[derive(Clone, Debug)]
pub struct RecordedDispatch {
    /// The name of its variant.
    pub variant: &'static str,
    /// The buffers at bindings 0, 1, ... of group 0.
    pub bindings: Vec<BufferRange>,
    /// Parameter words.
    pub words: [u32; PARAM_WORDS],
    /// Workgroups.
    pub groups: [u32; 3],
}

/// A range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferRange {
    /// The index among the recording's buffers.
    pub buffer: usize,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Recording {
    /// Writes down one run of an op.
    pub(super) fn add(&mut self, op: &Lowered, sizes: Sizes, index: Index) {
        for dispatch in op.dispatches(sizes, index) {
            let bindings = dispatch.bound.iter().map(|part| self.place(part)).collect();
            let (variant, words, groups) = (op.variant.name, dispatch.words, dispatch.groups);
            self.dispatches.push(RecordedDispatch { variant, bindings, words, groups });
        }
    }

    /// Where a part lies in the recording's buffers.
    pub(super) fn place(&mut self, part: &Shard) -> BufferRange {
        let known = self.raw.iter().position(|raw| *raw == part.buffer);
        let buffer = known.unwrap_or_else(|| {
            self.raw.push(part.buffer.clone());
            self.raw.len() - 1
        });
        BufferRange { buffer, offset: part.offset, bytes: part.bytes }
    }
}
