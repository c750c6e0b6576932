//! Everything that the core does not use by itself: threads, files, and the one place that blocks on futures.

mod cache;
mod corpus;
mod files;
#[cfg(feature = "cli")]
mod interrupt;
mod lock;
mod manifest;
mod messages;
mod model_folder;
mod output;
mod run_folder;
mod service;
mod text_file;
mod training;
#[cfg(target_os = "linux")]
mod wayland;

use std::sync::Arc;

use crate::cpu::{CpuExecutor, Functions, Pool};
use crate::error::{Error, Fault, Result};
use crate::executor::Executor;
use crate::generate::{self, Generator, Translator};
use crate::gpu::{self, Adapter, AdapterInfo, DeviceChoice, DeviceOptions, Gpu, GpuExecutor, GpuOptions};
use crate::model::Model;
use crate::network::{LanguageModel, Recipe, Shape, training};
use crate::plan::{Plan, SectionId, Sizes};
use crate::score::{self, LineScorer, Scorer};
use crate::train::Engine;

pub use cache::{cache_folder, choices, is_news, save_choices};
pub use corpus::{Column, Reading, Tokenised, characters, tokenised, words};
pub use files::{Staged, available_memory, cpu_name, map, random, replace_file};
#[cfg(feature = "cli")]
pub use interrupt::{INTERRUPTED, interrupt_flag};
pub use lock::Lock;
pub use manifest::{Manifest, Progress};
pub use messages::{message, readable, shown, status};
pub use model_folder::{open_model, replace_model};
pub use output::{Output, is_kept};
pub use run_folder::RunFolder;
pub use service::{Service, Tokens};
pub use text_file::TextFile;
pub use training::{AttentionKind, Note, Observer, PairOptions, Session, TrainingOptions, Vocabulary, read_tokenizer};

/// Threads for the CPU executor.
pub struct Threads {
    pool: rayon::ThreadPool,
}

impl Threads {
    /// This many threads; `None` takes one for each core.
    ///
    /// # Errors
    /// The system refuses them.
    pub fn new(threads: Option<usize>) -> Result<Threads> {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0));
        let built = builder.thread_name(|i| format!("gatefold-{i}")).build();
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let refused = |e: rayon::ThreadPoolBuildError| Error::Threads {
            threads: threads.unwrap_or_else(cores),
            reason: e.to_string(),
        };
        Ok(Threads { pool: built.map_err(refused)? })
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    #[cfg(target_os = "linux")]
    fn allocated(&self, memory: &mut [f32]) {
        const LARGE: usize = 4 << 20;
        const PAGE: usize = 4096;
        let start = memory.as_mut_ptr().addr().next_multiple_of(PAGE);
        let end = (memory.as_mut_ptr().addr() + size_of_val(memory)) / PAGE * PAGE;
        if end.saturating_sub(start) >= LARGE {
            // SAFETY: whole pages inside memory that is borrowed here; the advice changes how they are backed, and
            // nothing that is read from them. Where the system knows no large pages it refuses, and nothing is lost.
            unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
        }
    }

    fn within(&self, body: &mut (dyn FnMut() + Send)) {
        self.pool.install(body);
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        use rayon::prelude::*;
        self.pool.install(|| (0..count).into_par_iter().with_max_len(1).for_each(task));
    }
}

/// The adapters of this machine.
pub fn adapters() -> Vec<Adapter> {
    #[cfg(target_os = "linux")]
    wayland::silence();
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
    /// The device that a choice means on this machine.
    ///
    /// # Errors
    /// Nothing that was asked for is there, or it cannot be opened.
    pub fn choose(choice: &DeviceChoice, threads: Option<usize>) -> Result<Device> {
        Device::open(choice, threads, |adapter| DeviceOptions { choices: choices(adapter), ..Default::default() })
    }

    /// The device that a choice means on this machine, opened with options for that adapter. A self-test that it passed
    /// is remembered in [`cache_folder`], and does not run again until driver or program are others.
    ///
    /// # Errors
    /// As [`Device::choose`].
    pub fn open(
        choice: &DeviceChoice,
        threads: Option<usize>,
        options: impl FnOnce(&AdapterInfo) -> DeviceOptions,
    ) -> Result<Device> {
        let adapters = if *choice == DeviceChoice::Cpu { Vec::new() } else { adapters() };
        match gpu::choose(choice, &adapters)? {
            Some(adapter) => {
                let mut options = options(&adapter.info);
                let before = cache::passed(&adapter.info);
                options.passed = options.passed.or(before);
                let gpu = open(adapter, options)?;
                let now = before.or(adapter.passed());
                if now != before {
                    cache::save_passed(&adapter.info, &now);
                }
                Ok(Device::Gpu(gpu))
            }
            None => Ok(Device::Cpu(Arc::new(Threads::new(threads)?))),
        }
    }

    /// The device in words.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu(threads) => crate::cpu::name(threads.threads()),
            Device::Gpu(gpu) => gpu.info.in_words(),
        }
    }

    /// An engine for training.
    ///
    /// # Errors
    /// More than the device can hold.
    pub fn engine(&self, recipe: &Recipe) -> Result<Engine> {
        let training = training(*recipe);
        let executor = self.executor(&training.plan, Engine::sizes(recipe), &Engine::sections(&training))?;
        Engine::new(training, executor)
    }

    /// Bytes that plans on this device can still have, where they are known: the system's own memory.
    pub fn available_memory(&self) -> Option<u64> {
        match self {
            Device::Gpu(gpu) if gpu.info.kind != gpu::Kind::Software => None,
            _ => available_memory(),
        }
    }

    /// An executor for some sections of a plan.
    ///
    /// # Errors
    /// More than the device can hold.
    pub fn executor(&self, plan: &Plan, capacity: Sizes, sections: &[SectionId]) -> Result<Box<dyn Executor>> {
        check_memory(plan, capacity, sections, self.available_memory())?;
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

/// A generator of `rows` sequences side by side with a model's weights; with `filters`, sequences may have all options.
///
/// # Errors
/// More than the device can hold; a model of two directions; an encoder-decoder.
pub fn generator(model: &Model, device: &Device, rows: usize, filters: bool) -> Result<Generator> {
    model.expect_language_model()?;
    let planned = if filters { generate::plan_with_filters } else { generate::plan };
    let plan = planned(model.shape, rows);
    let mut executor = device.executor(&plan.plan, generate::sizes(rows), &generate::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    Generator::new(plan, executor)
}

/// A translator of `rows` sources side by side with a model's weights, each of at most `source` tokens; with `attention`,
/// it comes back for each token.
///
/// # Errors
/// More than the device can hold; a language model, or one that lacks a token that begins or ends texts.
pub fn translator(model: &Model, device: &Device, rows: usize, source: usize, attention: bool) -> Result<Translator> {
    let plan = generate::translation_plan(model.encoder_decoder()?, rows, source, attention);
    let lacks = |field: &str| Error::model("", Fault::field(field, "is missing").expected("a token id"));
    let bos = model.config.bos_token_id.ok_or_else(|| lacks("bos_token_id"))?;
    let sizes = Sizes { source, ..Sizes::of(rows, 1) };
    let mut executor = device.executor(&plan.plan, sizes, &plan.decoding.sections())?;
    model.weights.load_into(&mut *executor)?;
    Ok(Translator::new(&plan, executor, bos, model.config.eos_token_id.clone()))
}

/// A scorer of one text of any length with a model's weights.
///
/// # Errors
/// More than the device can hold.
pub fn scorer(model: &Model, device: &Device) -> Result<Scorer> {
    let (plan, executor) = scoring(model, device, score::sizes)?;
    Scorer::new(plan, executor, model.config.bos_token_id)
}

/// A scorer of many texts side by side with a model's weights.
///
/// # Errors
/// More than the device can hold.
pub fn line_scorer(model: &Model, device: &Device) -> Result<LineScorer> {
    let (plan, executor) = scoring(model, device, score::line_sizes)?;
    Ok(LineScorer::new(plan, executor))
}

/// The plan of scoring, and an executor of these sizes that has the model's weights.
fn scoring(model: &Model, device: &Device, sizes: fn(Shape) -> Sizes) -> Result<(LanguageModel, Box<dyn Executor>)> {
    model.expect_language_model()?;
    let plan = score::plan(model.shape);
    let mut executor = device.executor(&plan.plan, sizes(model.shape), &score::sections(&plan))?;
    model.weights.load_into(&mut *executor)?;
    Ok((plan, executor))
}

/// Whether sections fit the memory that is available, asked before any of it is taken: the system might otherwise
/// grant it all, and end the process when it is used, and software adapters take what the system grants. GPUs answer for themselves when
/// buffers are made.
fn check_memory(plan: &Plan, capacity: Sizes, sections: &[SectionId], available: Option<u64>) -> Result<()> {
    let need = plan.memory(sections, capacity);
    match available {
        Some(available) if need.total() > available => {
            Err(Error::Memory { rows: Some(capacity.rows), need, available })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Cell, Shape};

    #[test]
    fn a_model_beyond_the_memory_is_refused_with_the_numbers() {
        let shape = Shape { cell: Cell::Gru, vocab: 1 << 20, embedding: 1024, hidden: 1024, layers: 1 };
        let lm = crate::generate::plan(shape, 0);
        let (sizes, sections) = (crate::generate::sizes(1), crate::generate::sections(&lm));
        let message = check_memory(&lm.plan, sizes, &sections, Some(5 << 30)).unwrap_err().to_string();
        assert!(message.contains("1 row needs 8.0 GiB (weights 8.0 GiB, states"), "{message}");
        assert!(message.contains("this machine has 5.0 GiB of memory available"), "{message}");
        assert!(check_memory(&lm.plan, sizes, &sections, Some(9 << 30)).is_ok());
        assert!(check_memory(&lm.plan, sizes, &sections, None).is_ok());
    }
}
