//! The adapters of this machine, and which of them a `--device` means.

use std::sync::{Arc, OnceLock};

use super::device::{DeviceOptions, Gpu};
use super::findings::{Findings, Fma, PassedTests, Verdict};
use super::info::{AdapterInfo, Kind, ParamsBy};
use super::self_test::self_test;
use crate::error::{DeviceFault, Error, Result};

/// An adapter and what is listed of it.
#[derive(Clone, Debug)]
pub struct Adapter {
    raw: wgpu::Adapter,
    /// Its entry in a list of devices.
    pub info: AdapterInfo,
    /// How its self-test went, with parameters by immediates and by uniform.
    tested: Arc<[OnceLock<Findings>; 2]>,
}

impl Adapter {
    /// How the self-test goes on a device of this adapter: it runs once for each way of parameters, unless it was
    /// passed before.
    fn findings(&self, gpu: &Arc<Gpu>, passed: &PassedTests) -> Result<Findings> {
        let tested = self.tested(gpu.params_by);
        let known = tested.get().cloned().or_else(|| passed.findings(gpu.params_by));
        let findings = match known {
            Some(findings) => findings,
            None => {
                log::debug!("{}: self-test, parameters by {:?}", self.info.name, gpu.params_by);
                self_test(gpu)?
            }
        };
        Ok(tested.get_or_init(|| findings).clone())
    }

    fn tested(&self, params_by: ParamsBy) -> &OnceLock<Findings> {
        &self.tested[usize::from(params_by == ParamsBy::Uniform)]
    }

    /// The self-tests that devices of this adapter have passed: handed in when one is opened again, in this process or
    /// another, they need not run.
    pub fn passed(&self) -> PassedTests {
        PassedTests::of(|params_by| self.tested(params_by).get().cloned())
    }
}

impl Gpu {
    /// Opens an adapter, and has it prove itself: what it gets wrong is not used, with one warning.
    ///
    /// # Errors
    /// The driver refuses, the adapter is below WebGPU's floor, or its arithmetic is wrong.
    pub async fn open(adapter: &Adapter, options: DeviceOptions) -> Result<Arc<Gpu>> {
        let name = &adapter.info.name;
        let gpu = Arc::new(Gpu::request(&adapter.raw, &adapter.info, &options).await?);
        let findings = adapter.findings(&gpu, &options.passed)?;
        let mut gpu = match findings.verdict(gpu.params_by) {
            Verdict::Trusted => gpu,
            Verdict::ByUniform if !options.uniform_params => {
                log::warn!("{name} loses parameters that are part of its commands; they go through a buffer instead");
                let options = DeviceOptions { uniform_params: true, ..options };
                return Box::pin(Gpu::open(adapter, options)).await;
            }
            Verdict::ByUniform => unreachable!("they came by uniform"),
            Verdict::Refused(why) => {
                let fault = DeviceFault::Untrusted { reason: why.to_string() };
                return Err(Error::Device { device: name.clone(), fault });
            }
        };
        if findings.fma == Fma::Mixed {
            log::warn!("{name} does not always round alike in a multiply-add; only default kernels run");
            Arc::get_mut(&mut gpu).expect("the self-test is over").default_kernels = true;
        }
        Ok(gpu)
    }
}

/// The user's choice of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best GPU, else the CPU.
    Auto,
    /// The CPU, without wgpu.
    Cpu,
    /// The best GPU.
    Gpu,
    /// An index of the list.
    Index(usize),
    /// Part of an adapter's or driver's name, in any case.
    Name(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<DeviceChoice, Self::Err> {
        Ok(match text {
            "" | "auto" => DeviceChoice::Auto,
            "cpu" => DeviceChoice::Cpu,
            "gpu" => DeviceChoice::Gpu,
            text => text.parse().map_or_else(|_| DeviceChoice::Name(text.to_string()), DeviceChoice::Index),
        })
    }
}

/// Lists the adapters of Vulkan, Metal and DX12.
pub async fn adapters() -> Vec<Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor {
        backends,
        // Beyond this share of the memory that a driver grants, a buffer is an error, where the driver might end the
        // device or the system the process.
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            for_resource_creation: Some(95),
            for_device_loss: None,
        },
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let found = wgpu::Instance::new(descriptor).enumerate_adapters(backends).await;
    found.into_iter().map(|raw| Adapter { info: describe(&raw), raw, tested: Arc::default() }).collect()
}

fn describe(raw: &wgpu::Adapter) -> AdapterInfo {
    let (info, limits) = (raw.get_info(), raw.limits());
    let kind = match info.device_type {
        wgpu::DeviceType::DiscreteGpu => Kind::Discrete,
        wgpu::DeviceType::IntegratedGpu => Kind::Integrated,
        wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => Kind::Other,
        wgpu::DeviceType::Cpu => Kind::Software,
    };
    let known = [
        (wgpu::Features::IMMEDIATES, "immediates"),
        (wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES, "timestamps"),
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices"),
    ];
    AdapterInfo {
        name: info.name,
        driver: [info.driver, info.driver_info].join(" ").trim().to_string(),
        backend: info.backend.to_str().to_string(),
        kind,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_invocations: limits.max_compute_invocations_per_workgroup,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        features: known.iter().filter(|(f, _)| raw.features().contains(*f)).map(|(_, name)| *name).collect(),
    }
}

/// The adapter that a choice means; `None` is the CPU.
///
/// # Errors
/// Nothing that was asked for by name, index or kind is there.
pub fn choose<'a>(choice: &DeviceChoice, adapters: &'a [Adapter]) -> Result<Option<&'a Adapter>> {
    let best = || {
        let of = |kind| adapters.iter().find(|a| a.info.kind == kind);
        of(Kind::Discrete).or_else(|| of(Kind::Integrated)).or_else(|| of(Kind::Other))
    };
    let missing = |asked: String| Error::NoDevice { asked, adapters: listed(adapters) };
    match choice {
        DeviceChoice::Cpu => Ok(None),
        DeviceChoice::Auto => Ok(best()),
        DeviceChoice::Gpu => best().map(Some).ok_or_else(|| missing("gpu".into())),
        DeviceChoice::Index(i) => adapters.get(*i).map(Some).ok_or_else(|| missing(i.to_string())),
        DeviceChoice::Name(part) => {
            let part = part.to_lowercase();
            let matches = |a: &&Adapter| {
                a.info.name.to_lowercase().contains(&part) || a.info.driver.to_lowercase().contains(&part)
            };
            adapters.iter().find(matches).map(Some).ok_or_else(|| missing(part.clone()))
        }
    }
}

fn listed(adapters: &[Adapter]) -> Vec<String> {
    adapters.iter().map(|a| format!("{} ({})", a.info.name, a.info.backend)).collect()
}
