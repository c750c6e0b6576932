//! What the core does not use by itself: threads, and the one place that blocks on futures.

use std::sync::Arc;

use crate::cpu::{CpuExecutor, Functions, Pool};
use crate::error::Result;
use crate::executor::Executor;
use crate::gpu::{self, Adapter, Choice, DeviceOptions, Gpu, GpuExecutor, GpuOptions};
use crate::plan::{Plan, SectionId, Sizes};

/// Threads for the CPU executor.
pub struct Threads {
    pool: rayon::ThreadPool,
}

impl Threads {
    /// This many threads; `None` takes one for each core.
    pub fn new(threads: Option<usize>) -> Threads {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or(0))
            .thread_name(|i| format!("gatefold-{i}"))
            .build()
            .expect("the system gives threads");
        Threads { pool }
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        use rayon::prelude::*;
        self.pool.install(|| (0..count).into_par_iter().with_max_len(1).for_each(task));
    }
}

/// The adapters of this machine.
pub fn adapters() -> Vec<Adapter> {
    pollster::block_on(gpu::adapters())
}

/// Opens an adapter.
///
/// # Errors
/// As [`Gpu::open`].
pub fn open(adapter: &Adapter, options: DeviceOptions) -> Result<Arc<Gpu>> {
    pollster::block_on(Gpu::open(adapter, options))
}

/// A device that plans can run on.
#[derive(Clone)]
pub enum Device {
    /// The CPU with a pool of threads.
    Cpu(Arc<Threads>),
    /// An opened GPU, or a software adapter.
    Gpu(Arc<Gpu>),
}

impl Device {
    /// What a `--device` means here.
    ///
    /// # Errors
    /// Nothing that was asked for is there, or it cannot be opened.
    pub fn choose(choice: &Choice, threads: Option<usize>) -> Result<Device> {
        let adapters = if *choice == Choice::Cpu { Vec::new() } else { adapters() };
        match gpu::choose(choice, &adapters)? {
            Some(adapter) => Ok(Device::Gpu(open(adapter, DeviceOptions::default())?)),
            None => Ok(Device::Cpu(Arc::new(Threads::new(threads)))),
        }
    }

    /// The device in words.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu(threads) => format!("CPU ({} threads)", threads.threads()),
            Device::Gpu(gpu) => format!("{} ({}, {})", gpu.info.name, gpu.info.backend, gpu.info.driver),
        }
    }

    /// An executor for some sections of a plan.
    ///
    /// # Errors
    /// More than the device can hold.
    pub fn executor(&self, plan: &Plan, capacity: Sizes, sections: &[SectionId]) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Device::Cpu(threads) => {
                Box::new(CpuExecutor::new(plan.clone(), capacity, sections, Functions::Fast, threads.clone()))
            }
            Device::Gpu(gpu) => {
                Box::new(GpuExecutor::new(gpu.clone(), plan.clone(), capacity, sections, &GpuOptions::default())?)
            }
        })
    }
}
