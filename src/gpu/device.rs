//! An opened device: what it can do, its compiled kernels, and the first thing that went wrong on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::findings::PassedTests;
use super::info::{AdapterInfo, Kind, ParamsBy};
use super::shader::assemble;
use super::timer::Timestamps;
use super::tuned::TunedVariants;
use crate::error::{DeviceFault, Error, Result};
use crate::plan::{Access, OpRow, Variant};

/// How a device is opened; the default asks for all that the adapter has.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// No storage binding may be larger than this many bytes.
    pub max_binding_bytes: Option<u64>,
    /// Parameters by uniform even where there are immediates.
    pub uniform_params: bool,
    /// Submissions are timed by timestamp queries, where the adapter has them.
    pub timestamps: bool,
    /// The variants to take at given sizes, where that was measured on this device.
    pub choices: TunedVariants,
    /// The self-tests that this adapter passed before with this driver: they do not run.
    pub passed: PassedTests,
    /// As on the least device that WebGPU allows: no optional feature, limits at their defaults, default kernels.
    pub floor: bool,
}

/// Bytes of parameters.
pub(super) const PARAM_BYTES: u32 = 4 * crate::plan::PARAM_WORDS as u32;

/// A compiled kernel.
pub(super) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub bindings: wgpu::BindGroupLayout,
}

/// A kernel's name, how it gets parameters, and whether it is checked.
type PipelineKey = (&'static str, ParamsBy, bool);

/// An opened device. Executors share it.
pub struct Gpu {
    /// The adapter's description of itself.
    pub info: AdapterInfo,
    /// How step parameters reach kernels.
    pub params_by: ParamsBy,
    /// No binding may be larger, in bytes.
    pub max_binding_bytes: u64,
    pub(super) choices: TunedVariants,
    /// How submissions are timed, if they are.
    pub(super) timestamps: Option<Timestamps>,
    /// Only the last variant of each op is chosen.
    pub(super) default_kernels: bool,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) uniform_alignment: u32,
    pub(super) params_layout: Option<wgpu::BindGroupLayout>,
    limits: wgpu::Limits,
    pipelines: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    failure: Arc<Mutex<Failure>>,
}

/// A failure of a device.
#[derive(Default)]
struct Failure {
    /// The first error that no call has returned yet.
    first: Option<DeviceFault>,
    /// Why the device is no more; every call returns it.
    lost: Option<String>,
}

impl Gpu {
    /// Opens a device as an adapter and the options allow.
    ///
    /// # Errors
    /// The driver refuses.
    pub(super) async fn request(raw: &wgpu::Adapter, info: &AdapterInfo, options: &DeviceOptions) -> Result<Gpu> {
        let name = &info.name;
        let has = raw.features();
        let available = raw.limits();
        let immediates = !options.uniform_params && !options.floor && has.contains(wgpu::Features::IMMEDIATES);
        let floor = wgpu::Limits::default();
        let most = |floor: u64, available: u64| if options.floor { floor.min(available) } else { available };
        let binding_bytes = most(floor.max_storage_buffer_binding_size, available.max_storage_buffer_binding_size);
        let mut limits = wgpu::Limits {
            max_immediate_size: if immediates { PARAM_BYTES } else { 0 },
            max_storage_buffer_binding_size: binding_bytes.min(options.max_binding_bytes.unwrap_or(u64::MAX)),
            max_buffer_size: most(floor.max_buffer_size, available.max_buffer_size),
            ..floor
        };
        // Kernels rely on the default limits; rendering limits may be lower than those.
        limits = limits.or_worse_values_from(&available);
        let mut features = wgpu::Features::empty();
        if immediates {
            features |= wgpu::Features::IMMEDIATES;
        }
        let timestamps = Timestamps::of(has).filter(|_| options.timestamps && !options.floor);
        features |= timestamps.map_or(wgpu::Features::empty(), Timestamps::features);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("gatefold"),
            required_features: features,
            required_limits: limits.clone(),
            ..Default::default()
        };
        let (device, queue) = raw
            .request_device(&descriptor)
            .await
            .map_err(|e| failed(name, DeviceFault::Refused { reason: e.to_string() }))?;
        let params_by = if immediates { ParamsBy::Immediates } else { ParamsBy::Uniform };
        let gpu = Gpu {
            info: info.clone(),
            params_by,
            choices: options.choices.clone(),
            timestamps,
            max_binding_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            default_kernels: options.floor,
            params_layout: (params_by == ParamsBy::Uniform).then(|| params_layout(&device)),
            device,
            queue,
            uniform_alignment: limits.min_uniform_buffer_offset_alignment.max(PARAM_BYTES),
            limits,
            pipelines: Mutex::default(),
            failure: Arc::default(),
        };
        gpu.watch();
        Ok(gpu)
    }

    /// Keeps the first error, so that a call can return it, where wgpu would panic.
    fn watch(&self) {
        let failure = self.failure.clone();
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            failure.lock().expect("unpoisoned").first.get_or_insert_with(|| fault(&error));
        }));
        let failure = self.failure.clone();
        self.device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                failure.lock().expect("unpoisoned").lost.get_or_insert(message);
            }
        });
    }

    /// Fails with the first thing that went wrong since the last call, or because the device was lost.
    pub(super) fn check(&self) -> Result<()> {
        let mut failure = self.failure.lock().expect("unpoisoned");
        let lost = failure.lost.clone().map(|reason| DeviceFault::Lost { reason });
        match lost.or_else(|| failure.first.take()) {
            Some(fault) => Err(failed(&self.info.name, fault)),
            None => Ok(()),
        }
    }

    /// Lets work go on, or waits for a submission.
    pub(super) fn poll(&self, wait_for: Option<&wgpu::SubmissionIndex>) -> Result<()> {
        let how = match wait_for {
            Some(index) => wgpu::PollType::Wait { submission_index: Some(index.clone()), timeout: None },
            None => wgpu::PollType::Poll,
        };
        let polled = caught(|| self.device.poll(how));
        self.check()?;
        let polled = polled.and_then(|polled| polled.map_err(|e| e.to_string()));
        polled.map(drop).map_err(|reason| failed(&self.info.name, DeviceFault::Failed { reason }))
    }

    /// Loses the device on purpose: all its memory goes back at once, and every later call on it is an error, as when
    /// a driver takes it away.
    pub fn destroy(&self) {
        self.failure.lock().expect("unpoisoned").lost.get_or_insert_with(|| "it was destroyed".into());
        self.device.destroy();
    }

    /// Whether shaders run on the CPU.
    pub fn is_software(&self) -> bool {
        self.info.kind == Kind::Software
    }

    /// Whether submissions are timed on the device.
    pub fn has_timestamps(&self) -> bool {
        self.timestamps.is_some()
    }

    /// Whether a kernel runs on this device.
    pub fn supports(&self, variant: &Variant) -> bool {
        variant.requires.invocations <= self.limits.max_compute_invocations_per_workgroup
            && variant.requires.workgroup_bytes <= self.limits.max_compute_workgroup_storage_size
    }

    /// The compiled kernel of a variant.
    pub(super) fn pipeline(&self, op: &OpRow, variant: &Variant, checked: bool) -> Arc<Pipeline> {
        let key = (variant.name, self.params_by, checked);
        let mut pipelines = self.pipelines.lock().expect("unpoisoned");
        pipelines.entry(key).or_insert_with(|| Arc::new(self.compile(op, variant, checked))).clone()
    }

    fn compile(&self, op: &OpRow, variant: &Variant, checked: bool) -> Pipeline {
        let source = assemble(variant.files, self.params_by);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(variant.name), source: wgpu::ShaderSource::Wgsl(source.into()) };
        let module = if checked {
            self.device.create_shader_module(descriptor)
        } else {
            // SAFETY: the shader is ours. Its indices are bounded by the parameter words that `record` and the
            // lowering derive from the bound tensors' shapes, token ids are refused on the host when they are out
            // of range, every loop ends, and every case runs checked and with guard words after each buffer in
            // the tests. The checks would cost up to 100x.
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
        };
        let bindings = self.binding_layout(op, variant);
        let mut groups = vec![Some(&bindings)];
        groups.extend(self.params_layout.as_ref().map(Some));
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(variant.name),
            bind_group_layouts: &groups,
            immediate_size: if self.params_by == ParamsBy::Immediates { PARAM_BYTES } else { 0 },
        });
        let raw = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(variant.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: checked,
                ..Default::default()
            },
            cache: None,
        });
        Pipeline { raw, bindings }
    }

    fn binding_layout(&self, op: &OpRow, variant: &Variant) -> wgpu::BindGroupLayout {
        let carry = (op.carry_words > 0).then_some(Access::Write);
        let accesses = op.operands.iter().map(|o| o.access).chain(carry);
        let entries: Vec<_> = accesses
            .enumerate()
            .map(|(i, access)| {
                let ty = wgpu::BufferBindingType::Storage { read_only: access == Access::Read };
                layout_entry(i as u32, ty, false, None)
            })
            .collect();
        let label = Some(variant.name);
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries })
    }
}

/// The fault of the device that an error of wgpu means.
fn fault(error: &wgpu::Error) -> DeviceFault {
    match error {
        wgpu::Error::OutOfMemory { .. } => DeviceFault::OutOfMemory,
        other => DeviceFault::Failed { reason: other.to_string() },
    }
}

fn failed(device: &str, fault: DeviceFault) -> Error {
    Error::Device { device: device.into(), fault }
}

/// The text of wgpu's panic when a device is lost while it is polled; it has no other way to say so.
pub const POLL_PANIC: &str = "Error in Device::poll";

/// Polls; a panic becomes its text.
fn caught<T>(poll: impl FnOnce() -> T) -> std::result::Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the driver failed").trim_end().to_string()
    })
}

fn params_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let size = wgpu::BufferSize::new(u64::from(PARAM_BYTES));
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("parameters"),
        entries: &[layout_entry(0, wgpu::BufferBindingType::Uniform, true, size)],
    })
}

fn layout_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
    min_binding_size: Option<wgpu::BufferSize>,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size },
        count: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_polling_is_a_text() {
        assert_eq!(caught(|| 3), Ok(3));
        let lost = caught(|| panic!("{POLL_PANIC}: {}\n", "Parent device is lost"));
        assert_eq!(lost, Err::<(), _>("Error in Device::poll: Parent device is lost".into()));
    }

    #[test]
    fn too_little_memory_comes_with_advice() {
        let error = wgpu::Error::OutOfMemory { source: "VK_ERROR_OUT_OF_DEVICE_MEMORY".into() };
        assert!(fault(&error).to_string().contains("out of device memory; fewer rows or shorter windows need less"));
    }
}
