//! The context that trials share: adapters, opened devices, skips.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use gatefold::unstable::cpu::{CpuExecutor, Functions};
use gatefold::unstable::executor::Executor;
use gatefold::unstable::gpu::{Adapter, DeviceOptions, Gpu, GpuExecutor, GpuOptions};
use gatefold::unstable::host::{self, Threads};
use gatefold::unstable::plan::{Plan, SectionId, Sizes};
use libtest_mimic::{Completion, Trial};

pub use crate::report::{DONE, Outcome, export, trial};

/// The adapters of this machine, listed once.
pub fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(host::adapters)
}

/// One trial for each adapter; where there is none, one that says so, and fails if a GPU is required.
pub fn trials_per_adapter<F>(name: &str, run: F) -> Vec<Trial>
where
    F: Fn(usize) -> Outcome + Clone + Send + 'static,
{
    if adapters().is_empty() {
        let no_adapter = || match std::env::var("GATEFOLD_GPU").as_deref() {
            Ok("required") => Err("no Vulkan, Metal or DX12 adapter, and GATEFOLD_GPU=required".into()),
            _ => Ok(Completion::ignored_with("no adapter")),
        };
        return vec![trial(name, no_adapter)];
    }
    let of = |i: usize| {
        let run = run.clone();
        trial(format!("{name} on {}", adapters()[i].info.name), move || run(i))
    };
    (0..adapters().len()).map(of).collect()
}

/// How a shared device was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opened {
    /// With all that the adapter has.
    Fully,
    /// As on the least device that WebGPU allows: no optional feature, limits at their defaults, default kernels.
    Floor,
    /// Storage bindings of 1 MiB at most: everything large is cut into parts.
    OneMiB,
}

/// The shared device of an adapter.
pub fn gpu(adapter: usize, opened: Opened) -> Arc<Gpu> {
    type Devices = HashMap<(usize, Opened), Arc<Gpu>>;
    static DEVICES: OnceLock<Mutex<Devices>> = OnceLock::new();
    let options = match opened {
        Opened::Fully => DeviceOptions::default(),
        Opened::Floor => DeviceOptions { floor: true, ..Default::default() },
        Opened::OneMiB => DeviceOptions { max_binding_bytes: Some(1 << 20), ..Default::default() },
    };
    let mut devices = DEVICES.get_or_init(Mutex::default).lock().unwrap();
    let open = || host::open(&adapters()[adapter], options).unwrap_or_else(|e| panic!("{e}"));
    devices.entry((adapter, opened)).or_insert_with(open).clone()
}

/// An executor on a shared device.
pub fn gpu_executor(gpu: &Arc<Gpu>, plan: &Plan, sizes: Sizes, sections: &[SectionId]) -> Box<dyn Executor> {
    let options = GpuOptions::default();
    Box::new(GpuExecutor::new(gpu.clone(), plan.clone(), sizes, sections, &options).unwrap_or_else(|e| panic!("{e}")))
}

/// An executor on the CPU with this many threads.
pub fn cpu_executor(
    plan: &Plan,
    sizes: Sizes,
    sections: &[SectionId],
    functions: Functions,
    threads: usize,
) -> Box<dyn Executor> {
    Box::new(CpuExecutor::new(plan.clone(), sizes, sections, functions, pool(threads)))
}

/// A shared pool of one or two threads.
pub fn pool(threads: usize) -> Arc<Threads> {
    static POOLS: OnceLock<[Arc<Threads>; 2]> = OnceLock::new();
    POOLS.get_or_init(|| [1, 2].map(|n| Arc::new(Threads::new(Some(n)).expect("threads"))))[threads - 1].clone()
}

/// Fails with a formatted message unless a condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {{
        let holds: bool = $condition;
        if !holds {
            return Err(format!($($message)+).into());
        }
    }};
}

/// Names what is absent: the folder with data beside the project, unless `GATEFOLD_VECTORS` and the like name it.
pub fn skipped(what: &str) -> Outcome {
    Ok(Completion::ignored_with(format!("skipped: {what} is not there")))
}

/// A path in the project.
pub fn project(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
