//! Until the engine is there: its interface.
#![allow(missing_docs)]
use std::collections::BTreeMap;

use crate::error::Result;
use crate::host::Device;
use crate::plan::MemoryNeed;
use crate::plan::network::Shape;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    Sgd { momentum: f32, weight_decay: f32 },
    Adam { beta1: f32, beta2: f32, epsilon: f32, weight_decay: f32, decoupled: bool },
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    pub shape: Shape,
    pub tied: bool,
    pub rows: usize,
    pub time: usize,
    pub dropout: f32,
    pub seed: u64,
    pub optimizer: Optimizer,
    pub clip: Option<f32>,
}
pub const IGNORED: u32 = 0xffff_ffff;
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub time: usize,
    pub input: Vec<u32>,
    pub targets: Vec<u32>,
    pub starts: Vec<bool>,
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub step: u32,
    pub loss: f32,
    pub gradient_norm: f32,
    pub tokens: u32,
}
pub type Snapshot = BTreeMap<String, Vec<f32>>;
pub struct Engine(super::fake::Fake);

impl Engine {
    pub fn memory_need(_: &Recipe) -> MemoryNeed {
        MemoryNeed { weights: 1 << 20, ..Default::default() }
    }
    pub fn device(&self) -> String {
        "interim".into()
    }
    pub fn restore(&mut self, step: u32, snapshot: &Snapshot) -> Result<()> {
        super::Learner::restore(&mut self.0, step, snapshot)
    }
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        super::Learner::snapshot(&mut self.0)
    }
    pub fn submit(&mut self, window: &Window, learning_rate: f32) -> Result<()> {
        super::Learner::submit(&mut self.0, window, learning_rate)
    }
    pub fn take(&mut self) -> Result<Vec<Outcome>> {
        super::Learner::take(&mut self.0)
    }
    pub fn evaluate(&mut self, windows: &mut dyn Iterator<Item = Result<Window>>) -> Result<(f64, u64)> {
        super::Learner::evaluate(&mut self.0, windows)
    }
}
impl Device {
    pub fn engine(&self, recipe: &Recipe) -> Result<Engine> {
        Ok(Engine(super::fake::Fake::new(recipe)))
    }
}
