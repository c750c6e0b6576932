//! A model on a device.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::generate::{Completion, Completions, Stream};
use super::options::Options;
use super::{Device, Score};
use crate::error::Result;
use crate::host::{self, Service};
use crate::model::{self, Precision};
use crate::text::OnUnknown;

/// A language model on a device. Clones share weights and device, and it may be used from several threads.
///
/// Memory and kernels on the device are made by the first call that needs them and stay for the next.
#[derive(Clone)]
pub struct Model {
    pub(super) model: Arc<model::Model>,
    pub(super) device: Device,
    engine: Arc<Mutex<Option<Engine>>>,
}

/// The generator of the last call.
struct Engine {
    rows: usize,
    service: Arc<Service>,
}

impl Model {
    /// The model in a folder, or in the program: `builtin:shakespeare`, `builtin:molecules`.
    ///
    /// # Errors
    /// Files that cannot be read as what they should be: with the file, the field or tensor, and what was expected.
    pub fn open(name: impl AsRef<Path>, device: &Device) -> Result<Model> {
        Ok(Model::new(host::open_model(name)?, device))
    }

    /// A model that was read or trained already.
    pub(crate) fn new(model: model::Model, device: &Device) -> Model {
        Model { model: Arc::new(model), device: device.clone(), engine: Arc::default() }
    }

    /// A text that goes on from `prompt`, without it.
    ///
    /// # Errors
    /// A prompt with text that the vocabulary lacks, options out of their ranges, a device that failed.
    pub fn generate(&self, prompt: &str, options: &Options) -> Result<String> {
        let completion = self.completions([prompt], options)?.next().expect("one prompt")?;
        Ok(completion.text)
    }

    /// The same, piece by piece as it is drawn.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn stream(&self, prompt: &str, options: &Options) -> Result<Stream> {
        let resolved = options.resolve(&self.model)?;
        let ids = self.model.prompt_ids(prompt, OnUnknown::Error)?;
        let request = resolved.request(ids, options.sequence);
        Ok(Stream::new(&self.engine(1)?, request, resolved.begin(&self.model)))
    }

    /// Texts that go on from prompts, side by side on the device and in the order of the prompts. The i-th one has
    /// the sequence number `options.sequence + i`, so its text does not depend on the others. Prompts are taken as rows
    /// become free: there may be any number of them.
    ///
    /// # Errors
    /// As [`Model::generate`]; a wrong prompt is an error in its place, and the others go on.
    pub fn completions<P: AsRef<str>, I: IntoIterator<Item = P>>(
        &self,
        prompts: I,
        options: &Options,
    ) -> Result<Completions<I::IntoIter>> {
        let prompts = prompts.into_iter();
        let rows = prompts.size_hint().1.unwrap_or(ROWS).clamp(1, ROWS);
        let resolved = options.resolve(&self.model)?;
        Ok(Completions::new(self.model.clone(), self.engine(rows)?, rows, prompts, resolved, options.sequence))
    }

    /// So many texts from the model's own beginning, with the sequence numbers `options.sequence`, + 1, ...
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn sample(&self, count: usize, options: &Options) -> Result<Vec<Completion>> {
        self.completions(std::iter::repeat_n("", count), options)?.collect()
    }

    /// A generator on a thread of its own that answers many callers, with up to `rows` sequences side by side.
    ///
    /// # Errors
    /// More than the device can hold.
    pub fn serve(&self, rows: usize) -> Result<Server> {
        Ok(Server { model: self.clone(), service: Arc::new(self.start(rows)?) })
    }

    /// How likely a text is, token by token.
    ///
    /// # Errors
    /// Text that the vocabulary lacks, nothing to score, a device that failed.
    pub fn score(&self, text: &str) -> Result<Score> {
        super::score::text(self, text)
    }

    /// How likely each text is, scored side by side, each from the model's own beginning to its end token where it has them.
    ///
    /// # Errors
    /// As [`Model::score`].
    pub fn score_each<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Score>> {
        super::score::each(self, texts)
    }

    /// Writes the model's folder: config.json, model.safetensors in f32, tokenizer.json.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        host::replace_model(folder.as_ref(), &self.model, Precision::F32)
    }

    /// Where it came from.
    pub fn name(&self) -> &str {
        &self.model.name
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// Text that the vocabulary lacks.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.model.tokenizer.encode(text, OnUnknown::Error)
    }

    /// The text of ids.
    ///
    /// # Errors
    /// An id that the vocabulary lacks.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.model.tokenizer.decode(ids)
    }

    /// A generator of so many rows: the last call's, if it has as many.
    fn engine(&self, rows: usize) -> Result<Arc<Service>> {
        let mut engine = lock(&self.engine);
        if let Some(engine) = engine.as_ref().filter(|engine| engine.rows == rows) {
            return Ok(engine.service.clone());
        }
        let service = Arc::new(self.start(rows)?);
        *engine = Some(Engine { rows, service: service.clone() });
        Ok(service)
    }

    fn start(&self, rows: usize) -> Result<Service> {
        let (model, device) = (self.model.clone(), self.device.0.clone());
        Service::start(move || host::generator(&model, &device, rows, true))
    }
}

/// Rows of a batch at most: the number from which weights, and no longer dispatches, take the time on most devices.
const ROWS: usize = 256;

/// The value in a lock; a thread that panicked while it held the lock left it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A model that answers many callers at once: their sequences share a batch, and no text depends on the others.
pub struct Server {
    model: Model,
    service: Arc<Service>,
}

impl Server {
    /// A text that goes on from `prompt`, piece by piece as it is drawn. Dropped earlier, it is cancelled.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn stream(&self, prompt: &str, options: &Options) -> Result<Stream> {
        let resolved = options.resolve(&self.model.model)?;
        let ids = self.model.model.prompt_ids(prompt, OnUnknown::Error)?;
        let request = resolved.request(ids, options.sequence);
        Ok(Stream::new(&self.service, request, resolved.begin(&self.model.model)))
    }
}
