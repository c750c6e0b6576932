//! A run from where it stands to its end: the clock, and what is written when.

use std::time::{Duration, Instant};

use super::Observer;
use crate::error::Result;
use crate::host::RunFolder;
use crate::model::{Model, Precision, Weights};
use crate::train::{Cadence, Checkpoint, Kernels, Manifest, Snapshot, Trainer};

/// How long steps are queued before the host waits for them: often enough to show that they go on.
const WAIT_EVERY: Duration = Duration::from_millis(400);
/// Steps that are queued at most.
const MOST_QUEUED: u32 = 32;

/// A run that can go on.
pub struct Session {
    trainer: Trainer,
    folder: RunFolder,
    /// Its weights are the best ones when it is written.
    model: Model,
    corpus: Vec<u32>,
    kernels: Kernels,
    /// The first snapshot of a new run, until it is in the folder.
    first: Option<Snapshot>,
    /// The step of the last checkpoint, and when it was written.
    checkpoint: Option<(u32, Instant)>,
    /// Targets since the last line of the log, and how long they took.
    pace: (u64, Duration),
    queued: u32,
}

impl Session {
    pub(super) fn of(
        trainer: Trainer,
        folder: RunFolder,
        model: Model,
        corpus: Vec<u32>,
        kernels: Kernels,
        first: Option<Snapshot>,
    ) -> Session {
        let checkpoint = first.is_none().then(|| (trainer.progress().step, Instant::now()));
        Session { trainer, folder, model, corpus, kernels, first, checkpoint, pace: (0, Duration::ZERO), queued: 1 }
    }

    /// Trains to the end, or until the observer stops it, which is `false`; then and after an error the run can go on
    /// from its last checkpoint.
    ///
    /// # Errors
    /// Training that diverges, a device that fails, what the file system says.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        if let Some(weights) = self.first.take() {
            self.save_best(weights)?;
            self.save_checkpoint()?;
        }
        observer.begin(self.trainer.share());
        loop {
            if self.trainer.validation_is_due() {
                self.validate(observer)?;
            }
            if observer.interrupted() {
                self.save_checkpoint()?;
                return Ok(false);
            }
            if self.trainer.line_is_due() {
                self.log(observer)?;
            }
            if self.trainer.is_done() {
                self.save_checkpoint()?;
                return Ok(true);
            }
            if self.checkpoint_is_due() {
                self.save_checkpoint()?;
            }
            self.step(observer)?;
        }
    }

    /// The model; its weights are in the folder.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where the run stands.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The step of the last checkpoint; none where a new run could not write its first.
    pub fn checkpoint(&self) -> Option<u32> {
        self.checkpoint.map(|(step, _)| step)
    }

    /// Ends a run that came to its end: the ids of its texts go.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn finish(self) -> Result<()> {
        // Windows removes no file that is mapped, and the trainer's windows are.
        drop(self.trainer);
        self.folder.remove_data()
    }

    /// Takes some steps.
    fn step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let (begun, before) = (Instant::now(), self.trainer.progress().step);
        let tokens = self.trainer.run(self.queued)?;
        let (took, steps) = (begun.elapsed(), self.trainer.progress().step - before);
        self.pace.0 += tokens;
        self.pace.1 += took;
        let each = took.as_secs_f64() / f64::from(steps.max(1));
        self.queued = (WAIT_EVERY.as_secs_f64() / each.max(1e-6)).clamp(1.0, f64::from(MOST_QUEUED)) as u32;
        observer.steps(self.trainer.progress(), self.trainer.share(), tokens, took);
        Ok(())
    }

    fn validate(&mut self, observer: &mut dyn Observer) -> Result<()> {
        observer.validating();
        if self.trainer.validate(&|| observer.interrupted())? == Some(true) {
            let snapshot = self.trainer.snapshot()?;
            self.save_best(snapshot)?;
        }
        Ok(())
    }

    fn log(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let (tokens, took) = std::mem::take(&mut self.pace);
        let line = self.trainer.line(tokens as f64 / took.as_secs_f64().max(1e-9));
        self.folder.log(&line)?;
        let best = self.trainer.progress().best;
        if line.valid_loss.is_some()
            && let Some(svg) = observer.picture(&self.model, best, self.folder.curves())?
        {
            self.folder.save_chart(&svg)?;
        }
        observer.line(&line, best.is_some_and(|best| best.step == line.step));
        Ok(())
    }

    fn checkpoint_is_due(&self) -> bool {
        let Some((step, written)) = self.checkpoint else { return true };
        self.trainer.progress().step != step
            && match self.trainer.options().checkpoint_every {
                Cadence::Steps(_) => self.trainer.checkpoint_is_due(),
                Cadence::Minutes(minutes) => written.elapsed().as_secs_f64() >= 60.0 * minutes,
            }
    }

    /// Writes a checkpoint of this moment. Before the first validation its weights are the model's, too: they are
    /// better than random ones.
    fn save_checkpoint(&mut self) -> Result<()> {
        let progress = self.trainer.progress().clone();
        let step = progress.step;
        let (options, log_bytes) = (self.trainer.options().clone(), self.folder.log_bytes());
        let manifest = Manifest::new(options, progress, log_bytes, self.corpus.clone(), self.kernels.clone());
        let checkpoint = Checkpoint { manifest, snapshot: self.trainer.snapshot()? };
        self.folder.save_checkpoint(&checkpoint, &self.model.config)?;
        self.checkpoint = Some((step, Instant::now()));
        if step > 0 && self.trainer.progress().best.is_none() {
            self.save_best(checkpoint.snapshot)?;
        }
        Ok(())
    }

    /// Writes the model with the weights of a snapshot.
    fn save_best(&mut self, mut snapshot: Snapshot) -> Result<()> {
        let names = self.model.config.weight_shapes().into_iter().map(|(name, _)| name);
        let weights = names.filter_map(|name| snapshot.remove_entry(&name)).collect();
        self.model.weights = Weights::of(weights, &self.model.config);
        let precision = if self.trainer.options().f16 { Precision::F16 } else { Precision::F32 };
        let saved = self.folder.save_model(&self.model, precision);
        self.model.weights = Weights::default();
        saved
    }
}
