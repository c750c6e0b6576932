//! Gradients against finite differences of the loss, in f64: [`check`] for any function, [`Problem`] for plans.

use std::collections::BTreeMap;

use gatefold::unstable::ops::matmul::{self, Matmul};
use gatefold::unstable::plan::{Buffer, Builder, Interpreter, Plan, Role, SectionId, Sizes, TensorId, philox};
use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, trial};
use crate::ensure;

/// Numbers by name.
pub type Named = BTreeMap<String, Vec<f64>>;

/// Distance of the points at which a loss is evaluated, for numbers of size 1: the formula's error is its fourth power.
const STEP: f64 = 1e-3;
/// How far a gradient may be from the differences', relative to the largest of its tensor and to the loss.
const TOLERANCE: f64 = 1e-8;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("finite differences: right gradients of a formula pass, wrong ones do not", formula),
        trial("finite differences: right gradients of a plan pass, wrong ones do not", plan),
    ]
}

/// Fails unless `gradients`, by the names of `inputs`, are the derivatives of `loss` at `inputs`.
///
/// Inputs without a gradient are left as they are. The loss should be about 1 to 100.
pub fn check(inputs: &Named, loss: impl Fn(&Named) -> f64, gradients: &Named) -> Result<(), String> {
    let mut inputs = inputs.clone();
    let size = loss(&inputs).abs().max(1.0);
    for (name, gradient) in gradients {
        let len = inputs.get(name).ok_or_else(|| format!("no input `{name}`"))?.len();
        if len != gradient.len() {
            return Err(format!("`{name}` has {len} numbers, its gradient {}", gradient.len()));
        }
        let largest = gradient.iter().fold(size, |most, g| most.max(g.abs()));
        for (i, &found) in gradient.iter().enumerate() {
            let expected = derivative(&mut inputs, name, i, &loss);
            let off = (found - expected).abs() / largest;
            // A NaN is no number below the tolerance.
            if off.is_nan() || off > TOLERANCE {
                return Err(format!("d loss / d {name}[{i}] is {found}, by differences {expected}: off by {off:.1e}"));
            }
        }
    }
    Ok(())
}

/// The derivative by four points.
fn derivative(inputs: &mut Named, name: &str, i: usize, loss: impl Fn(&Named) -> f64) -> f64 {
    let x = inputs[name][i];
    let step = STEP * x.abs().max(1.0);
    let mut at = |steps: f64| {
        inputs.get_mut(name).expect("named")[i] = x + steps * step;
        loss(inputs)
    };
    let slope = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step);
    inputs.get_mut(name).expect("named")[i] = x;
    slope
}

/// `len` standard numbers between -1 and 1; another seed gives others.
pub fn random(len: usize, seed: u32) -> Vec<f64> {
    (0..len as u32).map(|i| f64::from(philox([i, seed, 0, 0], [7, 8])[0] as i32) / 2_147_483_648.0).collect()
}

/// A section that computes something and one that computes its gradients, with the references in f64.
///
/// The loss is the sum of all outputs, each number times a random one; these are the outputs' gradients.
pub struct Problem {
    /// Declares all tensors.
    pub plan: Plan,
    /// B and T.
    pub sizes: Sizes,
    /// From inputs to outputs.
    pub forward: SectionId,
    /// From outputs' gradients to inputs' gradients; runs in the memory that `forward` leaves.
    pub backward: SectionId,
    /// Integer tensors.
    pub words: Vec<(TensorId, Vec<u32>)>,
    /// Float tensors that are set before `forward`; the others are zero.
    pub inputs: Vec<(TensorId, Vec<f64>)>,
    /// Outputs of `forward`, each with the tensor that `backward` reads its gradient from.
    pub outputs: Vec<(TensorId, TensorId)>,
    /// Inputs, each with the tensor that `backward` leaves its gradient in.
    pub gradients: Vec<(TensorId, TensorId)>,
}

impl Problem {
    /// Fails unless the gradients are the differences'.
    pub fn check(&self) -> Result<(), String> {
        let name = |id: &TensorId| self.plan.tensor(*id).name.clone();
        let inputs: Named = self.inputs.iter().map(|(id, values)| (name(id), values.clone())).collect();
        let mut memory = self.forward(&inputs);
        for (i, (output, gradient)) in self.outputs.iter().enumerate() {
            let factors = random(memory.tensor(*output).real().len(), i as u32 + 1000);
            *memory.tensor_mut(*gradient) = Buffer::Real(factors);
        }
        memory.run(self.backward, self.sizes, 0);
        let gradients = self.gradients.iter().map(|(id, of)| (name(id), memory.tensor(*of).real().to_vec()));
        check(&inputs, |inputs| self.loss(inputs), &gradients.collect())
    }

    fn forward(&self, inputs: &Named) -> Interpreter<f64> {
        let mut memory = Interpreter::new(self.plan.clone(), self.sizes, &[self.forward, self.backward]);
        for (id, words) in &self.words {
            *memory.tensor_mut(*id) = Buffer::Word(words.clone());
        }
        for (id, values) in &self.inputs {
            let tensor = self.plan.tensor(*id);
            assert_eq!(values.len(), tensor.len(self.sizes), "`{}`", tensor.name);
            *memory.tensor_mut(*id) = Buffer::Real(inputs[&tensor.name].clone());
        }
        memory.run(self.forward, self.sizes, 0);
        memory
    }

    fn loss(&self, inputs: &Named) -> f64 {
        let memory = self.forward(inputs);
        let of_output = |(i, (id, _)): (usize, &(TensorId, TensorId))| -> f64 {
            let values = memory.tensor(*id).real();
            let factors = random(values.len(), i as u32 + 1000);
            values.iter().zip(factors).map(|(x, factor)| x * factor).sum()
        };
        self.outputs.iter().enumerate().map(of_output).sum()
    }
}

fn formula() -> Outcome {
    let inputs: Named = [("a".into(), vec![0.3, -2.0]), ("b".into(), vec![1.5])].into();
    let loss = |x: &Named| (x["a"][0] * x["b"][0]).exp() + x["a"][1].tanh();
    let slopes = |x: f64| vec![1.5 * (0.45f64).exp() + x, 1.0 - (2.0f64).tanh().powi(2)];
    check(&inputs, loss, &[("a".into(), slopes(0.0)), ("b".into(), vec![0.3 * (0.45f64).exp()])].into())?;
    for wrong in [1e-6, f64::NAN] {
        let found = check(&inputs, loss, &[("a".into(), slopes(wrong))].into());
        ensure!(found.as_ref().is_err_and(|e| e.contains("a[0]")), "{wrong}: {found:?}");
    }
    DONE
}

/// y = x w^T, whose gradient is the product with w turned round.
fn plan() -> Outcome {
    let mut b = Builder::new();
    let [x, dy] = ["x", "dy"].map(|name| b.f32(Role::Scratch, name, &[2.into(), 3.into()]));
    let [y, dx] = ["y", "dx"].map(|name| b.f32(Role::Scratch, name, &[2.into(), 1.into(), 3.into()]));
    let [w, turned] = ["w", "turned"].map(|name| b.f32(Role::Weight, name, &[1.into(), 3.into(), 3.into()]));
    let bias = b.f32(Role::Weight, "bias", &[1.into(), 3.into()]);
    let forward = b.section("forward", |b| matmul::record(b, Matmul { x, w, bias, y }, 2.into(), 0, 0));
    let backward =
        b.section("backward", |b| matmul::record(b, Matmul { x: dy, w: turned, bias, y: dx }, 2.into(), 0, 0));
    let weight = random(9, 1);
    let mut problem = Problem {
        plan: b.finish(),
        sizes: Sizes::of(1, 1),
        forward,
        backward,
        words: Vec::new(),
        inputs: vec![
            (x, random(6, 2)),
            (w, weight.clone()),
            (turned, (0..9).map(|i| weight[i % 3 * 3 + i / 3]).collect()),
        ],
        outputs: vec![(y, dy)],
        gradients: vec![(x, dx)],
    };
    problem.check()?;
    problem.inputs[2].1 = weight;
    ensure!(problem.check().is_err(), "a gradient with the weight not turned passes");
    DONE
}
