//! The engine: training steps on one executor, queued ahead of the device, their losses read later.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::submissions::submissions;
use crate::error::{Error, Fault, Result};
use crate::executor::{Executor, Run, Ticket, Values, check_sizes};
use crate::network::{Layer, Optimizer, Parameter, RING, Recipe, Training, training};
use crate::ops::cross_entropy::IGNORED;
use crate::ops::{embed_gradient, schedule};
use crate::plan::{MemoryNeed, SectionId, Sizes, TensorId};

/// A window of B streams: what one step learns from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// T, at most the recipe's.
    pub time: usize,
    /// `[T, B]`: the tokens that are read.
    pub input: Vec<u32>,
    /// `[T, B]`: the tokens that follow, or [`IGNORED`].
    pub targets: Vec<u32>,
    /// `[B]`: rows whose state starts from zero; the others go on where their last window ended.
    pub starts: Vec<bool>,
    /// What an encoder reads: then no state is carried, and B and T may be others in each window.
    pub sources: Option<Sources>,
}

/// The sources of a window's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// S: the tokens of the longest one.
    pub time: usize,
    /// `[S, B]`: their tokens, from the first row's on; behind its end a row may hold any token.
    pub ids: Vec<u32>,
    /// `[B]`: the tokens of each, at least one.
    pub lengths: Vec<u32>,
}

impl Window {
    /// B, T and S.
    pub fn sizes(&self) -> Sizes {
        let source = self.sources.as_ref().map_or(1, |sources| sources.time);
        Sizes { source, ..Sizes::of(self.starts.len(), self.time) }
    }

    /// Whether it is one of `rows` rows of tokens.
    fn check(&self, rows: usize, vocabulary: usize) -> Result<()> {
        let len = self.time * rows;
        if self.input.len() != len || self.targets.len() != len || self.starts.len() != rows {
            return Err(Error::Limit(format!(
                "a window of {} ids, {} targets and {} starts; expected {len}, {len} and {rows}",
                self.input.len(),
                self.targets.len(),
                self.starts.len()
            )));
        }
        let targets = self.targets.iter().filter(|target| **target != IGNORED);
        match self.input.iter().chain(targets).find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(Error::TokenId { id: *id, vocabulary }),
            None => Ok(()),
        }
    }
}

impl Sources {
    /// The tokens, with those behind the ends all alike: nothing may depend on them.
    fn padded(&self) -> Vec<u32> {
        let rows = self.lengths.len();
        let within = |i: usize| i / rows < self.lengths[i % rows] as usize;
        self.ids.iter().enumerate().map(|(i, id)| if within(i) { *id } else { 0 }).collect()
    }

    /// Whether these are those of `rows` rows.
    fn check(&self, rows: usize, vocabulary: usize) -> Result<()> {
        if self.lengths.len() != rows || self.ids.len() != rows * self.time {
            let (ids, lengths) = (self.ids.len(), self.lengths.len());
            let expected = rows * self.time;
            return Err(Error::Limit(format!(
                "sources of {ids} ids and {lengths} lengths; expected {expected} and {rows}"
            )));
        }
        if let Some(length) = self.lengths.iter().find(|len| !(1..=self.time).contains(&(**len as usize))) {
            let steps = self.time;
            return Err(Error::Limit(format!("a source of {length} tokens; expected 1 to {steps}")));
        }
        match self.padded().into_iter().find(|id| *id as usize >= vocabulary) {
            Some(id) => Err(Error::TokenId { id, vocabulary }),
            None => Ok(()),
        }
    }
}

/// The results of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Its number, from 0.
    pub step: u32,
    /// Mean over its targets, in nats.
    pub loss: f32,
    /// Of all parameters together, before clipping.
    pub gradient_norm: f32,
    /// Targets that counted.
    pub tokens: u32,
}

/// All that a run goes on from, by name: parameters, `first_moment.*`, `second_moment.*`, `state.*`.
pub type Snapshot = BTreeMap<String, Vec<f32>>;

/// A step that was queued, in one submission or several.
struct Queued {
    step: u32,
    tokens: u32,
    tickets: Vec<Ticket>,
}

/// Training steps on one executor.
pub struct Engine {
    training: Training,
    executor: Box<dyn Executor>,
    step: u32,
    queued: Vec<Queued>,
    outcomes: Vec<Outcome>,
    /// How sections are cut into submissions, for the windows' sizes that occurred.
    submissions: HashMap<(SectionId, Sizes), Vec<Range<usize>>>,
}

impl Engine {
    /// The sections that an engine runs: what its executor must have been made for.
    pub fn sections(training: &Training) -> [SectionId; 4] {
        [training.forward, training.backward, training.optimise, training.evaluate]
    }

    /// The sizes of a recipe: the capacity that its executor must have been made for.
    pub fn sizes(recipe: &Recipe) -> Sizes {
        let source = recipe.pairs.map_or(1, |pairs| pairs.source);
        Sizes { source, ..Sizes::of(recipe.rows, recipe.time) }
    }

    /// The memory that a run needs.
    pub fn memory_need(recipe: &Recipe) -> MemoryNeed {
        let training = training(*recipe);
        training.plan.memory(&Engine::sections(&training), Engine::sizes(recipe))
    }

    /// An engine at step 0, with all parameters, moments and states zero.
    ///
    /// # Errors
    /// A lost device.
    pub fn new(training: Training, mut executor: Box<dyn Executor>) -> Result<Engine> {
        let io = training.io;
        let order: Vec<u32> = (0..training.recipe.rows as u32).collect();
        executor.write(io.row_order, 0, Values::U32(&order))?;
        executor.write(io.always, 0, Values::U32(&vec![1; 4 * training.recipe.rows]))?;
        let (queued, outcomes, submissions) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Engine { training, executor, step: 0, queued, outcomes, submissions })
    }

    /// The device in words.
    pub fn device(&self) -> String {
        self.executor.device()
    }

    /// The executor, for questions about the device.
    pub fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    /// The plan that runs.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// Steps that were queued so far, those before a restored snapshot included.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Sets all parameters, moments and states; moments and states that are not there become zero.
    ///
    /// # Errors
    /// A parameter that is missing, a tensor of another size; a lost device.
    pub fn restore(&mut self, step: u32, snapshot: &Snapshot) -> Result<()> {
        self.collect()?;
        self.step = step;
        self.outcomes.clear();
        let parameters = self.training.parameters.clone();
        for Parameter { name, weight, first, second, .. } in &parameters {
            let values = snapshot.get(name).ok_or_else(|| Error::model("", Fault::tensor(name, "is missing")))?;
            self.write(name, *weight, 0, values)?;
            self.write_or_zero(snapshot, &format!("first_moment.{name}"), *first, 0)?;
            if let Some(second) = second {
                self.write_or_zero(snapshot, &format!("second_moment.{name}"), *second, 0)?;
            }
        }
        for (name, tensor, first_row) in self.states() {
            self.write_or_zero(snapshot, &name, tensor, first_row)?;
        }
        let known: Vec<String> = self.snapshot_tensors().into_iter().map(|(name, ..)| name).collect();
        match snapshot.keys().find(|name| !known.contains(name)) {
            Some(name) => Err(Error::model("", Fault::tensor(name, "is none of this run"))),
            None => Ok(()),
        }
    }

    /// Name, tensor and first row of each state that the next step reads.
    fn states(&self) -> Vec<(String, TensorId, usize)> {
        let slot = self.step as usize % 2 * self.training.recipe.rows;
        let of_layer = |(i, layer): (usize, &Layer)| {
            let h = (format!("state.h_l{i}"), layer.h, slot);
            [Some(h), layer.c.map(|c| (format!("state.c_l{i}"), c, 0))].into_iter().flatten()
        };
        self.training.layers.iter().enumerate().flat_map(of_layer).collect()
    }

    fn write_or_zero(&mut self, snapshot: &Snapshot, name: &str, tensor: TensorId, first_row: usize) -> Result<()> {
        let zeros;
        let values = match snapshot.get(name) {
            Some(values) => values,
            None => {
                zeros = vec![0.0; self.len(name, tensor)];
                &zeros
            }
        };
        self.write(name, tensor, first_row, values)
    }

    /// Elements of a snapshot's tensor: a state has those of one slot.
    fn len(&self, name: &str, tensor: TensorId) -> usize {
        let len = self.training.plan.tensor(tensor).len(Engine::sizes(&self.training.recipe));
        if name.starts_with("state.h_") { len / 2 } else { len }
    }

    fn write(&mut self, name: &str, tensor: TensorId, first_row: usize, values: &[f32]) -> Result<()> {
        let expected = self.len(name, tensor);
        if values.len() != expected {
            return Err(Error::model(
                "",
                Fault::tensor(name, format!("has {} elements", values.len())).expected(expected.to_string()),
            ));
        }
        self.executor.write(tensor, first_row, Values::F32(values))
    }

    /// All that a run goes on from, once the queued steps have run.
    ///
    /// # Errors
    /// A lost device.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        self.collect()?;
        let wanted = self.snapshot_tensors();
        let ids: Vec<TensorId> = wanted.iter().map(|(_, id, _)| *id).collect();
        let ticket = self.executor.submit(&[], &ids)?;
        let tensors = self.executor.wait(ticket)?;
        let of = |((name, id, first_row), tensor): ((String, TensorId, usize), crate::plan::Buffer<f32>)| {
            let first = first_row * self.training.plan.tensor(id).width(Engine::sizes(&self.training.recipe));
            let values = tensor.real()[first..][..self.len(&name, id)].to_vec();
            (name, values)
        };
        Ok(wanted.into_iter().zip(tensors).map(of).collect())
    }

    /// Name, tensor and first row of all that a snapshot has.
    fn snapshot_tensors(&self) -> Vec<(String, TensorId, usize)> {
        let mut wanted: Vec<(String, TensorId, usize)> = Vec::new();
        for Parameter { name, weight, first, second, .. } in &self.training.parameters {
            wanted.push((name.clone(), *weight, 0));
            wanted.push((format!("first_moment.{name}"), *first, 0));
            wanted.extend(second.map(|second| (format!("second_moment.{name}"), second, 0)));
        }
        wanted.extend(self.states());
        wanted
    }

    /// Queues a step. Where all slots are in flight it waits for them.
    ///
    /// # Errors
    /// A window of another shape than the recipe's, ids outside the vocabulary; a lost device.
    pub fn submit(&mut self, window: &Window, learning_rate: f32) -> Result<()> {
        if self.queued.len() == RING {
            self.collect()?;
        }
        let tokens = window.targets.iter().filter(|target| **target != IGNORED).count() as u32;
        let step = self.step;
        let row = schedule::row(learning_rate.into(), betas(&self.training.recipe), step + 1, tokens as usize);
        self.write_window(step, window, row)?;
        let Training { forward, backward, optimise, .. } = self.training;
        let mut tickets = Vec::new();
        for section in [forward, backward, optimise] {
            tickets.extend(self.run(section, window.sizes(), step)?);
        }
        self.queued.push(Queued { step, tokens, tickets });
        self.step += 1;
        Ok(())
    }

    /// Queues a section for one step, in as many submissions as its work asks for.
    fn run(&mut self, section: SectionId, sizes: Sizes, step: u32) -> Result<Vec<Ticket>> {
        let plan = &self.training.plan;
        let ranges = self.submissions.entry((section, sizes)).or_insert_with(|| submissions(plan, section, sizes));
        let run = |ops: &Range<usize>| Run { ops: ops.clone(), ..Run::new(section, sizes, step..step + 1) };
        ranges.iter().map(|ops| self.executor.submit(&[run(ops)], &[])).collect()
    }

    /// Writes a window into the slot of a step.
    fn write_window(&mut self, step: u32, window: &Window, schedule: [f32; 4]) -> Result<()> {
        self.check(window)?;
        let (io, recipe) = (self.training.io, self.training.recipe);
        let slot = step as usize % RING;
        let row = slot * recipe.time;
        self.executor.write(io.input, row, Values::U32(&window.input))?;
        self.executor.write(io.targets, row, Values::U32(&window.targets))?;
        self.executor.write(io.order, row, Values::U32(&embed_gradient::order(&window.input)))?;
        if let (Some(io), Some(sources), Some(pairs)) = (io.sources, &window.sources, recipe.pairs) {
            let ids = sources.padded();
            let row = slot * pairs.source;
            self.executor.write(io.ids, row, Values::U32(&ids))?;
            self.executor.write(io.order, row, Values::U32(&embed_gradient::order(&ids)))?;
            self.executor.write(io.lengths, slot, Values::U32(&sources.lengths))?;
        }
        let starts: Vec<u32> = window.starts.iter().map(|starts| u32::from(*starts)).collect();
        self.executor.write(io.starts, slot, Values::U32(&starts))?;
        self.executor.write(io.schedule, slot, Values::F32(&schedule))
    }

    fn check(&self, window: &Window) -> Result<()> {
        let Recipe { rows, time, shape, pairs, .. } = self.training.recipe;
        let Some(pairs) = pairs else {
            if window.time == 0 || window.time > time {
                return Err(Error::Limit(format!("a window of {} time steps; expected 1 to {time}", window.time)));
            }
            return window.check(rows, shape.vocab);
        };
        let Some(sources) = window.sources.as_ref().filter(|_| window.time > 0) else {
            return Err(Error::Limit("a window without sources or targets; an encoder-decoder takes both".into()));
        };
        let sizes = window.sizes();
        check_sizes(&Run::new(self.training.forward, sizes, 0..1), Engine::sizes(&self.training.recipe))?;
        if window.starts.contains(&false) {
            return Err(Error::Limit("a row that goes on; an encoder-decoder's begin in each window".into()));
        }
        sources.check(sizes.rows, pairs.coupling.encoder.shape.vocab)?;
        window.check(sizes.rows, shape.vocab)
    }

    /// The results of the steps since the last call, in order; waits for all that were queued.
    ///
    /// # Errors
    /// A lost device.
    pub fn take(&mut self) -> Result<Vec<Outcome>> {
        self.collect()?;
        Ok(std::mem::take(&mut self.outcomes))
    }

    fn collect(&mut self) -> Result<()> {
        if self.queued.is_empty() {
            return Ok(());
        }
        let io = self.training.io;
        let ticket = self.executor.submit(&[], &[io.losses, io.clips])?;
        let results = self.executor.wait(ticket)?;
        let (losses, clips) = (results[0].real(), results[1].real());
        for Queued { step, tokens, tickets } in std::mem::take(&mut self.queued) {
            self.forget(tickets)?;
            let slot = step as usize % RING;
            self.outcomes.push(Outcome { step, loss: losses[slot], gradient_norm: clips[2 * slot], tokens });
        }
        Ok(())
    }

    /// Takes results that nobody reads.
    fn forget(&mut self, tickets: Vec<Ticket>) -> Result<()> {
        tickets.into_iter().try_for_each(|ticket| self.executor.wait(ticket).map(drop))
    }

    /// Summed loss in nats and number of targets of windows that follow each other, on states of their own that start
    /// at zero. Waits for the queued steps first.
    ///
    /// # Errors
    /// An error of the iterator; as [`Engine::submit`].
    pub fn evaluate(&mut self, windows: &mut dyn Iterator<Item = Result<Window>>) -> Result<(f64, u64)> {
        self.collect()?;
        let sizes = Engine::sizes(&self.training.recipe);
        let states: Vec<TensorId> = self.training.evaluated.iter().flat_map(|l| [Some(l.h), l.c]).flatten().collect();
        for state in states {
            let zeros = vec![0.0; self.training.plan.tensor(state).len(sizes)];
            self.executor.write(state, 0, Values::F32(&zeros))?;
        }
        let (mut nats, mut tokens, mut step) = (0.0, 0, 0u32);
        let mut in_flight: Vec<Vec<Ticket>> = Vec::new();
        for window in windows {
            let window = window?;
            // The loss of a slot is its sum where a target weighs 1.
            self.write_window(step, &window, [0.0, 0.0, 0.0, 1.0])?;
            in_flight.push(self.run(self.training.evaluate, window.sizes(), step)?);
            tokens += window.targets.iter().filter(|target| **target != IGNORED).count() as u64;
            step += 1;
            if in_flight.len() == RING {
                nats += self.summed_losses(&mut in_flight)?;
            }
        }
        nats += self.summed_losses(&mut in_flight)?;
        Ok((nats, tokens))
    }

    /// The losses of the first slots, as many as were in flight.
    fn summed_losses(&mut self, in_flight: &mut Vec<Vec<Ticket>>) -> Result<f64> {
        let ticket = self.executor.submit(&[], &[self.training.io.losses])?;
        let results = self.executor.wait(ticket)?;
        let sum = results[0].real()[..in_flight.len()].iter().map(|loss| f64::from(*loss)).sum();
        in_flight.drain(..).try_for_each(|tickets| self.forget(tickets))?;
        Ok(sum)
    }
}

/// Decays of the moments that the schedule corrects for; none for gradient descent.
fn betas(recipe: &Recipe) -> [f64; 2] {
    match recipe.optimizer {
        Optimizer::Sgd { .. } => [0.0; 2],
        Optimizer::Adam { beta1, beta2, .. } => [beta1, beta2],
    }
}
