//! How the dispatches of a submission get their parameters: as immediates, or from a uniform with a dynamic offset.

use crate::gpu::device::{Gpu, PARAM_BYTES};
use crate::gpu::info::ParamsBy;
use crate::plan::PARAM_WORDS;

/// The uniform of a submission's parameters, one dispatch after the other; none where they come as immediates.
#[derive(Default)]
pub struct Params(Option<(wgpu::Buffer, wgpu::BindGroup)>);

impl Params {
    /// Takes the parameters of all dispatches of the next submission, in order. Immediates need nothing of this: the
    /// words are not looked at.
    pub fn deliver(&mut self, gpu: &Gpu, words: impl Iterator<Item = [u32; PARAM_WORDS]>) {
        let Some(layout) = &gpu.params_layout else { return };
        let step = gpu.uniform_alignment as usize;
        let mut bytes = Vec::new();
        for words in words {
            let end = bytes.len() + step;
            bytes.extend_from_slice(bytemuck::cast_slice(&words));
            bytes.resize(end, 0);
        }
        let size = bytes.len().max(step) as u64;
        if self.0.as_ref().is_none_or(|(buffer, _)| buffer.size() < size) {
            self.0 = Some(uniform(gpu, layout, size.next_power_of_two()));
        }
        // Ordered before the next submission and after all earlier ones, so one buffer serves every submission.
        let (buffer, _) = self.0.as_ref().expect("just made");
        gpu.queue.write_buffer(buffer, 0, &bytes);
    }

    /// Hands the dispatch at an index of the submission its parameters.
    pub fn set(&self, gpu: &Gpu, pass: &mut wgpu::ComputePass<'_>, words: &[u32; PARAM_WORDS], place: usize) {
        match (&self.0, gpu.params_by) {
            (_, ParamsBy::Immediates) => pass.set_immediates(0, bytemuck::cast_slice(words)),
            (Some((_, group)), ParamsBy::Uniform) => {
                pass.set_bind_group(1, group, &[place as u32 * gpu.uniform_alignment]);
            }
            (None, ParamsBy::Uniform) => unreachable!("deliver made the buffer"),
        }
    }
}

/// A buffer of this many bytes, bound as one dispatch's parameters.
fn uniform(gpu: &Gpu, layout: &wgpu::BindGroupLayout, size: u64) -> (wgpu::Buffer, wgpu::BindGroup) {
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("parameters"),
        size,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: &buffer,
        offset: 0,
        size: wgpu::BufferSize::new(u64::from(PARAM_BYTES)),
    });
    let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("parameters"),
        layout,
        entries: &[wgpu::BindGroupEntry { binding: 0, resource }],
    });
    (buffer, group)
}
