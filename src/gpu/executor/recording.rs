//! A run written down instead of run: buffers, kernels and dispatches, for another implementation of WebGPU.

use super::GpuExecutor;
use crate::error::Result;
use crate::executor::{Run, check_sizes};
use crate::gpu::lower::Lowered;
use crate::gpu::memory::Part;
use crate::plan::{Layout, PARAM_WORDS, TensorId};

/// What a run binds and dispatches.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The contents of each buffer before the run.
    pub buffers: Vec<Vec<u32>>,
    /// In order.
    pub dispatches: Vec<RecordedDispatch>,
    raw: Vec<wgpu::Buffer>,
}

/// One dispatch of a kernel.
#[derive(Clone, Debug)]
pub struct RecordedDispatch {
    /// The name of its variant.
    pub variant: &'static str,
    /// What stands at the bindings 0, 1, ... of group 0.
    pub bindings: Vec<Place>,
    /// Parameter words.
    pub words: [u32; PARAM_WORDS],
    /// Workgroups.
    pub groups: [u32; 3],
}

/// A range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the recording's buffers.
    pub buffer: usize,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Recording {
    fn place(&mut self, part: &Part) -> Place {
        let known = self.raw.iter().position(|raw| *raw == part.buffer);
        let buffer = known.unwrap_or_else(|| {
            self.raw.push(part.buffer.clone());
            self.raw.len() - 1
        });
        Place { buffer, offset: part.offset, bytes: part.bytes }
    }
}

impl GpuExecutor {
    /// Writes down a run of ops that pack no weight; blocks.
    ///
    /// # Errors
    /// As [`crate::executor::Executor::submit`].
    pub fn record(&mut self, run: &Run) -> Result<Recording> {
        check_sizes(run, self.capacity)?;
        let mut recording = Recording::default();
        for step in run.steps.clone() {
            for at in self.plan.instances(run.section, run.sizes, step) {
                let op: &Lowered = &self.sections[&run.section][at.node];
                for dispatch in op.dispatches(run.sizes, at.index) {
                    let bindings = dispatch.bound.iter().map(|part| recording.place(part)).collect();
                    let (variant, words, groups) = (op.variant.name, dispatch.words, dispatch.groups);
                    recording.dispatches.push(RecordedDispatch { variant, bindings, words, groups });
                }
            }
        }
        for raw in recording.raw.clone() {
            let words = self.contents(&raw)?;
            recording.buffers.push(words);
        }
        Ok(recording)
    }

    /// Where a tensor lies in a recording's buffers, and its values as they lie there: rows padded, part by part.
    pub fn place(&self, recording: &mut Recording, id: TensorId, values: &[u32]) -> Vec<(Place, Vec<u32>)> {
        let parts = self.memory.parts(self.readable(id));
        let words = match self.plan.tensor(id).layout {
            Layout::RowMajor => self.memory.to_parts(id, values),
            _ => vec![values.to_vec()],
        };
        parts.iter().zip(words).map(|(part, words)| (recording.place(part), words)).collect()
    }

    fn contents(&mut self, buffer: &wgpu::Buffer) -> Result<Vec<u32>> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let staging = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("contents"),
            size: buffer.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        let ticket = self.send(encoder, staging, Vec::new());
        self.wait_for_flight(ticket)?.words()
    }
}
