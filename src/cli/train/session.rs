//! A run from where it stands to its end: the clock, Ctrl-C, and what is written when.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::chart::chart;
use super::display::Display;
use crate::cli::numbers::count;
use crate::cli::{print, say};
use crate::error::Result;
use crate::host::{INTERRUPTED, RunFolder, interrupt_flag};
use crate::model::{Model, Precision, Weights, weight_shapes};
use crate::train::{Cadence, Checkpoint, Kernels, Manifest, Snapshot, Trainer};

/// How long steps are queued before the host waits for them: often enough to show that they go on.
const WAIT_EVERY: Duration = Duration::from_millis(400);
/// Steps that are queued at most.
const MOST_QUEUED: u32 = 32;

/// A run that can go on.
pub(super) struct Session {
    trainer: Trainer,
    folder: RunFolder,
    /// Its weights are the best ones when it is written.
    model: Model,
    corpus: Vec<u32>,
    kernels: Kernels,
    display: Display,
    interrupted: &'static AtomicBool,
    /// The step of the last checkpoint, and when it was written.
    checkpoint: (u32, Instant),
    /// Targets since the last line of the log, and how long they took.
    pace: (u64, Duration),
    queued: u32,
}

impl Session {
    pub fn new(
        trainer: Trainer,
        folder: RunFolder,
        model: Model,
        corpus: Vec<u32>,
        kernels: Kernels,
        display: Display,
    ) -> Session {
        let checkpoint = (trainer.progress().step, Instant::now());
        Session {
            trainer,
            folder,
            model,
            corpus,
            kernels,
            display,
            interrupted: interrupt_flag(),
            checkpoint,
            pace: (0, Duration::ZERO),
            queued: 1,
        }
    }

    /// Trains to the end, or until Ctrl-C.
    pub fn run(mut self) -> Result<ExitCode> {
        let ended = self.lead();
        self.display.end();
        let (folder, step) = (self.model.name.clone(), self.checkpoint.0);
        let go_on = format!("gatefold train --resume {folder}");
        match ended {
            Ok(true) => {
                let report = self.report();
                // Windows removes no file that is mapped, and the trainer's windows are.
                drop(self.trainer);
                self.folder.remove_data()?;
                print(&report)?;
                Ok(ExitCode::SUCCESS)
            }
            Ok(false) => {
                say(&format!("stopped after step {step}, with a checkpoint; `{go_on}` goes on"));
                Ok(ExitCode::from(INTERRUPTED))
            }
            Err(error) => {
                say(&format!("the checkpoint of step {step} is whole: `{go_on}` goes on from there"));
                Err(error)
            }
        }
    }

    /// `false` if it was interrupted.
    fn lead(&mut self) -> Result<bool> {
        self.display.begin(self.trainer.share());
        loop {
            if self.trainer.validation_is_due() {
                self.validate()?;
            }
            if self.interrupted.load(SeqCst) {
                self.save_checkpoint()?;
                return Ok(false);
            }
            if self.trainer.line_is_due() {
                self.log()?;
            }
            if self.trainer.is_done() {
                self.save_checkpoint()?;
                return Ok(true);
            }
            if self.checkpoint_is_due() {
                self.save_checkpoint()?;
            }
            self.step()?;
        }
    }

    /// Takes some steps.
    fn step(&mut self) -> Result<()> {
        let (begun, before) = (Instant::now(), self.trainer.progress().step);
        let tokens = self.trainer.run(self.queued)?;
        let (took, steps) = (begun.elapsed(), self.trainer.progress().step - before);
        self.pace.0 += tokens;
        self.pace.1 += took;
        let each = took.as_secs_f64() / f64::from(steps.max(1));
        self.queued = (WAIT_EVERY.as_secs_f64() / each.max(1e-6)).clamp(1.0, f64::from(MOST_QUEUED)) as u32;
        self.display.steps(self.trainer.progress(), self.trainer.share(), tokens, took);
        Ok(())
    }

    fn validate(&mut self) -> Result<()> {
        self.display.validating();
        let interrupted = self.interrupted;
        if self.trainer.validate(&|| interrupted.load(SeqCst))? == Some(true) {
            let snapshot = self.trainer.snapshot()?;
            self.save_best(snapshot)?;
        }
        Ok(())
    }

    fn log(&mut self) -> Result<()> {
        let (tokens, took) = std::mem::take(&mut self.pace);
        let line = self.trainer.line(tokens as f64 / took.as_secs_f64().max(1e-9));
        self.folder.log(&line)?;
        if line.valid_loss.is_some() {
            let c = &self.model.config;
            let best = self.trainer.progress().best.map_or(String::new(), |best| {
                format!(": best validation {:.4} after {}", best.loss, count(best.step.into(), "step"))
            });
            let (cell, layers, hidden) = (c.cell.name(), c.num_layers, c.hidden_size);
            let title = format!("{} ({cell} {layers} x {hidden}){best}", self.model.name);
            if let Some(svg) = chart(&title, self.folder.curves())? {
                self.folder.save_chart(&svg)?;
            }
        }
        self.display.line(&line, self.trainer.progress().best.is_some_and(|best| best.step == line.step));
        Ok(())
    }

    fn checkpoint_is_due(&self) -> bool {
        let (step, written) = self.checkpoint;
        self.trainer.progress().step != step
            && match self.trainer.options().checkpoint_every {
                Cadence::Steps(_) => self.trainer.checkpoint_is_due(),
                Cadence::Minutes(minutes) => written.elapsed().as_secs_f64() >= 60.0 * minutes,
            }
    }

    /// Writes a checkpoint of this moment. Before the first validation its weights are the model's, too: they are
    /// better than random ones.
    pub fn save_checkpoint(&mut self) -> Result<()> {
        let progress = self.trainer.progress().clone();
        let step = progress.step;
        let (options, log_bytes) = (self.trainer.options().clone(), self.folder.log_bytes());
        let manifest = Manifest::new(options, progress, log_bytes, self.corpus.clone(), self.kernels.clone());
        let checkpoint = Checkpoint { manifest, snapshot: self.trainer.snapshot()? };
        self.folder.save_checkpoint(&checkpoint, &self.model.config)?;
        self.checkpoint = (step, Instant::now());
        if step > 0 && self.trainer.progress().best.is_none() {
            self.save_best(checkpoint.snapshot)?;
        }
        Ok(())
    }

    /// Writes the model with the weights of a snapshot.
    pub fn save_best(&mut self, mut snapshot: Snapshot) -> Result<()> {
        let names = weight_shapes(&self.model.shape).into_iter().map(|(name, _)| name);
        let weights = names.filter_map(|name| snapshot.remove_entry(&name)).collect();
        let tied = self.model.config.tie_word_embeddings;
        self.model.weights = if tied { Weights::tied_from_tensors(weights) } else { Weights::from_tensors(weights) };
        let precision = if self.trainer.options().f16 { Precision::F16 } else { Precision::F32 };
        let saved = self.folder.save_model(&self.model, precision);
        self.model.weights = Weights::default();
        saved
    }

    /// Says how it ended.
    fn report(&self) -> String {
        let (progress, name) = (self.trainer.progress(), &self.model.name);
        let why = match (self.trainer.stopped_early(), self.trainer.options().patience) {
            (true, Some(patience)) => format!(", as {} got no better", count(patience.into(), "validation")),
            _ => String::new(),
        };
        let mut text = format!("{name}: {}{why}", count(progress.step.into(), "step"));
        if let Some(best) = progress.best {
            let (loss, perplexity) = (best.loss, best.loss.exp());
            text += &format!(
                "\nbest validation {loss:.4} nats per token, perplexity {perplexity:.4}, after step {}",
                best.step
            );
        }
        text + &format!("\ngatefold generate --model {name}\n")
    }
}
