//! A learner for tests: how often each token comes, by gradient descent with momentum on the output's bias.

use super::{IGNORED, Learner, Outcome, Recipe, Snapshot, Window};
use crate::error::Result;

/// The learner. Its state, a decaying sum of what each row read, enters the loss, so that a lost state shows.
#[derive(Debug)]
pub(super) struct Fake {
    recipe: Recipe,
    step: u32,
    tensors: Snapshot,
    outcomes: Vec<Outcome>,
}

const BIAS: &str = "output.bias";
const MOMENT: &str = "first_moment.output.bias";
const STATE: &str = "state.h_l0";

impl Fake {
    pub fn new(recipe: &Recipe) -> Fake {
        let mut fake = Fake { recipe: *recipe, step: 0, tensors: Snapshot::new(), outcomes: Vec::new() };
        fake.fill();
        fake
    }

    fn fill(&mut self) {
        let Recipe { shape, rows, .. } = self.recipe;
        for (name, len) in [(BIAS, shape.vocab), (MOMENT, shape.vocab), (STATE, rows * shape.hidden)] {
            self.tensors.entry(name.into()).or_insert_with(|| vec![0.0; len]);
        }
    }

    /// The mean loss and number of targets of a window, and its gradient by the bias.
    fn loss(&self, window: &Window, state: &mut [f32]) -> (f32, u32, Vec<f32>) {
        let bias = &self.tensors[BIAS];
        let most = bias.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = bias.iter().map(|b| (b - most).exp()).sum();
        let mut gradient: Vec<f32> = bias.iter().map(|b| (b - most).exp() / sum).collect();
        let (rows, hidden) = (self.recipe.rows, self.recipe.shape.hidden);
        for row in 0..rows {
            let reads = (0..window.time).map(|t| window.input[t * rows + row] as f32);
            let kept = if window.starts[row] { 0.0 } else { state[row * hidden] };
            state[row * hidden] = reads.fold(kept, |state, id| 0.9 * state + 1e-4 * id);
        }
        let targets: Vec<u32> = window.targets.iter().copied().filter(|id| *id != IGNORED).collect();
        let count = targets.len().max(1) as f32;
        let mut nats = state.iter().sum::<f32>() * 1e-3 * count;
        for target in &targets {
            nats += most + sum.ln() - bias[*target as usize];
            gradient[*target as usize] -= 1.0 / count;
        }
        (nats / count, targets.len() as u32, gradient)
    }
}

impl Learner for Fake {
    fn restore(&mut self, step: u32, snapshot: &Snapshot) -> Result<()> {
        (self.step, self.tensors) = (step, snapshot.clone());
        self.fill();
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        Ok(self.tensors.clone())
    }

    fn submit(&mut self, window: &Window, learning_rate: f32) -> Result<()> {
        let mut state = self.tensors[STATE].clone();
        let (loss, tokens, gradient) = self.loss(window, &mut state);
        let gradient_norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        let mut moment = std::mem::take(self.tensors.get_mut(MOMENT).expect("filled"));
        let bias = self.tensors.get_mut(BIAS).expect("filled");
        for ((m, g), b) in moment.iter_mut().zip(gradient).zip(bias) {
            *m = 0.9 * *m + g;
            *b -= learning_rate * *m;
        }
        self.tensors.extend([(MOMENT.to_string(), moment), (STATE.to_string(), state)]);
        self.step += 1;
        self.outcomes.push(Outcome { step: self.step, loss, gradient_norm, tokens });
        Ok(())
    }

    fn take(&mut self) -> Result<Vec<Outcome>> {
        Ok(std::mem::take(&mut self.outcomes))
    }

    fn evaluate(&mut self, windows: &mut dyn Iterator<Item = Result<Window>>) -> Result<(f64, u64)> {
        let (mut nats, mut tokens, mut state) = (0.0, 0, vec![0.0; self.tensors[STATE].len()]);
        for window in windows {
            let (loss, count, _) = self.loss(&window?, &mut state);
            nats += f64::from(loss) * f64::from(count);
            tokens += u64::from(count);
        }
        Ok((nats, tokens))
    }
}
