//! Ops of training: gradients against finite differences, optimisers against PyTorch's steps.
//!
//! `assets/reference/optimisers.py` made the steps, and says what its files hold.

use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::ops::adam::{self, Adam};
use gatefold::unstable::ops::clip_scale::{self, ClipScale};
use gatefold::unstable::ops::cross_entropy::{self, CrossEntropy, IGNORED};
use gatefold::unstable::ops::dropout::{self, Dropout};
use gatefold::unstable::ops::embed::{self, Embed};
use gatefold::unstable::ops::embed_gradient::{self, EmbedGradient};
use gatefold::unstable::ops::logsumexp;
use gatefold::unstable::ops::mean_loss::{self, MeanLoss};
use gatefold::unstable::ops::schedule::{self, CLIP_COLUMNS, NORM, SCHEDULE_COLUMNS};
use gatefold::unstable::ops::sgd::{self, Sgd};
use gatefold::unstable::ops::square_sum::{self, SquareSum};
use gatefold::unstable::plan::{Affine, Buffer, Builder, Interpreter, Plan, Role, SectionId, Sizes, TensorId};
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, trial};
use crate::finite_differences::{Named, Problem, check, random};
use crate::safetensor_file::{On, Recorded, check_close, trials_per_case};

const SIZES: Sizes = Sizes::of(1, 1);

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("finite differences: logsumexp, cross_entropy and mean_loss", cross_entropy),
        trial("finite differences: embed_gradient", embedding),
        trial("finite differences: dropout", dropped),
    ];
    trials.extend(trials_per_case("PyTorch optimiser", &project("assets/reference/optimisers"), |_| true, optimiser));
    trials
}

/// The mean loss of some rows, one of them without a target, against the gradient that takes the logits' place.
fn cross_entropy() -> Outcome {
    let (rows, vocab) = (5, 7);
    let targets = vec![3, 0, IGNORED, 6, 3];
    let mut b = Builder::new();
    let logits = b.f32(Role::Scratch, "logits", &[rows.into(), 1.into(), vocab.into()]);
    let wanted = b.u32(Role::Io, "targets", &[rows.into()]);
    let schedule = b.f32(Role::Io, "schedule", &[1.into(), SCHEDULE_COLUMNS.into()]);
    let means = b.f32(Role::Io, "means", &[1.into()]);
    let [lse, losses] = ["lse", "losses"].map(|name| b.f32(Role::Scratch, name, &[rows.into()]));
    let op = CrossEntropy { logits, lse, targets: wanted, schedule, losses };
    let mut section = |name, gradient| {
        b.section(name, |b| {
            logsumexp::record(b, logits, lse, rows.into());
            let at = cross_entropy::CrossEntropyOffsets {
                target_row: 0.into(),
                loss_row: 0.into(),
                slot: 0.into(),
                gradient,
                smoothing: 0.0,
            };
            cross_entropy::record(b, op, rows.into(), at);
            mean_loss::record(b, MeanLoss { row_losses: losses, schedule, means }, rows.into(), 0);
        })
    };
    let (forward, backward) = (section("forward", false), section("backward", true));
    let plan = b.finish();
    let run = |section: SectionId, values: &[f64]| {
        let mut memory = Interpreter::<f64>::new(plan.clone(), SIZES, &[section]);
        *memory.tensor_mut(logits) = Buffer::Real(values.to_vec());
        *memory.tensor_mut(wanted) = Buffer::Word(targets.clone());
        let row = schedule::row(0.0, [0.9, 0.999], 1, 4).map(f64::from);
        *memory.tensor_mut(schedule) = Buffer::Real(row.to_vec());
        memory.run(section, SIZES, 0);
        memory
    };
    let inputs: Named = [("logits".into(), random(rows * vocab, 1).into_iter().map(|x| 4.0 * x).collect())].into();
    let after = run(backward, &inputs["logits"]);
    let gradients = [("logits".into(), after.tensor(logits).real().to_vec())].into();
    check(&inputs, |x| run(forward, &x["logits"]).tensor(means).real()[0], &gradients)?;
    DONE
}

/// A lookup with ids that occur several times, once and never.
fn embedding() -> Outcome {
    let (vocab, width) = (6, 5);
    let ids = vec![4, 0, 4, 5, 2, 4, 0];
    let rows = ids.len();
    let mut b = Builder::new();
    let [words, order] = ["ids", "order"].map(|name| b.u32(Role::Io, name, &[rows.into()]));
    let table = b.f32(Role::Weight, "table", &[vocab.into(), width.into()]);
    let dtable = b.f32(Role::Saved, "dtable", &[1.into(), vocab.into(), width.into()]);
    let [y, dx] = ["y", "dx"].map(|name| b.f32(Role::Scratch, name, &[rows.into(), width.into()]));
    let lookup = Embed { ids: words, table, y };
    let forward = b.section("forward", |b| {
        embed::record(b, lookup, rows.into(), embed::EmbedOffsets { ids: 0.into(), y: 0.into() });
    });
    let backward = b.section("backward", |b| {
        let at = embed_gradient::EmbedGradientOffsets { ids_row: 0.into(), order_row: 0.into(), accumulate: 0.into() };
        embed_gradient::record(b, EmbedGradient { ids: words, order, dx, dtable }, rows.into(), at);
    });
    let problem = Problem {
        plan: b.finish(),
        sizes: SIZES,
        forward,
        backward,
        words: vec![(order, embed_gradient::order(&ids)), (words, ids)],
        inputs: vec![(table, random(vocab * width, 2))],
        outputs: vec![(y, dx)],
        gradients: vec![(table, dtable)],
    };
    problem.check()?;
    DONE
}

/// The op on a gradient with the same key is its own gradient, wherever the rows stand.
fn dropped() -> Outcome {
    let (rows, width) = (4, 11);
    let mut b = Builder::new();
    let [x, dy] = ["x", "dy"].map(|name| b.f32(Role::Scratch, name, &[rows.into(), width.into()]));
    let [y, dx] = ["y", "dx"].map(|name| b.f32(Role::Scratch, name, &[rows.into(), width.into()]));
    let settings = dropout::Settings { probability: 0.5, seed: 7, site: 3, step: Affine::STEP };
    let forward = b.section("forward", |b| dropout::record(b, Dropout { x, y }, rows.into(), 0, 0, settings));
    let backward = b.section("backward", |b| dropout::record(b, Dropout { x: dy, y: dx }, rows.into(), 0, 0, settings));
    let problem = Problem {
        plan: b.finish(),
        sizes: SIZES,
        forward,
        backward,
        words: Vec::new(),
        inputs: vec![(x, random(rows * width, 3))],
        outputs: vec![(y, dy)],
        gradients: vec![(x, dx)],
    };
    problem.check()?;
    DONE
}

/// Options of a recorded run of an optimiser.
#[derive(Clone, Deserialize)]
struct Options {
    decay: f64,
    /// 0 does not clip.
    max_norm: f32,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Clone, Deserialize)]
#[serde(tag = "optimiser", rename_all = "lowercase")]
enum Kind {
    Adam { beta1: f64, beta2: f64, epsilon: f64 },
    AdamW { beta1: f64, beta2: f64, epsilon: f64 },
    Sgd { momentum: f64 },
}

/// Steps in flight.
const SLOTS: usize = 3;

/// Clipping and an optimiser's step, written down once for all steps.
struct Optimiser {
    plan: Plan,
    step: SectionId,
    parameters: TensorId,
    gradients: TensorId,
    schedule: TensorId,
    clips: TensorId,
}

impl Optimiser {
    fn new(options: &Options, n: usize) -> Optimiser {
        let mut b = Builder::new();
        let [parameters, gradients, first, second] =
            ["parameters", "gradients", "first", "second"].map(|name| b.f32(Role::State, name, &[n.into()]));
        let partials = b.f32(Role::Scratch, "partials", &[n.div_ceil(square_sum::BLOCK).into()]);
        let schedule = b.f32(Role::Io, "schedule", &[SLOTS.into(), SCHEDULE_COLUMNS.into()]);
        let clips = b.f32(Role::Io, "clips", &[SLOTS.into(), CLIP_COLUMNS.into()]);
        let slot = Affine::STEP.modulo(SLOTS);
        let decay = options.decay;
        let step = b.section("step", |b| {
            square_sum::record(b, SquareSum { x: gradients, partials });
            clip_scale::record(b, ClipScale { partials, clips }, slot, options.max_norm);
            let adam = Adam { parameters, gradients, first, second, schedule, clips };
            match options.kind {
                Kind::Adam { beta1, beta2, epsilon } => {
                    let settings = adam::Settings { beta1, beta2, epsilon, decay, decoupled: false };
                    adam::record(b, adam, slot, settings);
                }
                Kind::AdamW { beta1, beta2, epsilon } => {
                    let settings = adam::Settings { beta1, beta2, epsilon, decay, decoupled: true };
                    adam::record(b, adam, slot, settings);
                }
                Kind::Sgd { momentum } => {
                    let sgd = Sgd { parameters, gradients, momentum: first, schedule, clips };
                    sgd::record(b, sgd, slot, sgd::Settings { momentum, decay });
                }
            }
        });
        Optimiser { plan: b.finish(), step, parameters, gradients, schedule, clips }
    }

    /// One step; gives the parameters after it and the norm of the gradients.
    fn step(
        &self,
        executor: &mut dyn Executor,
        step: u32,
        gradients: &[f32],
        row: [f32; SCHEDULE_COLUMNS],
    ) -> gatefold::Result<(Vec<f32>, f32)> {
        let slot = step as usize % SLOTS;
        executor.write(self.gradients, 0, Values::F32(gradients))?;
        executor.write(self.schedule, slot, Values::F32(&row))?;
        let ticket = executor.submit(&[Run::new(self.step, SIZES, step..step + 1)], &[self.parameters, self.clips])?;
        let results = executor.wait(ticket)?;
        Ok((results[0].real().to_vec(), results[1].real()[slot * CLIP_COLUMNS + NORM]))
    }
}

/// Parameters after each step, and the norms on the way.
fn optimiser(recorded: &Recorded<Options>, on: On) -> Outcome {
    let parameters = recorded.tensor("parameters")?;
    let n = parameters.len();
    let optimiser = Optimiser::new(&recorded.case, n);
    let betas = match recorded.case.kind {
        Kind::Adam { beta1, beta2, .. } | Kind::AdamW { beta1, beta2, .. } => [beta1, beta2],
        Kind::Sgd { .. } => [0.0; 2],
    };
    let mut executor = on.executor(&optimiser.plan, SIZES, &[optimiser.step]);
    executor.write(optimiser.parameters, 0, Values::F32(parameters))?;
    let gradients = recorded.tensor("gradients")?.chunks(n);
    let expected = recorded.tensor("out.parameters")?.chunks(n).zip(recorded.tensor("out.norms")?);
    let learning_rates = recorded.tensor("learning_rates")?;
    for (step, ((gradients, (after, norm)), rate)) in (0..).zip(gradients.zip(expected).zip(learning_rates)) {
        let row = schedule::row((*rate).into(), betas, step + 1, 1);
        let (found, found_norm) = optimiser.step(&mut *executor, step, gradients, row)?;
        check_close(&format!("parameters after step {step}"), &found, after, 1e-6)?;
        check_close(&format!("norm of step {step}"), &[found_norm], &[*norm], 1e-6 * f64::from(*norm))?;
    }
    DONE
}
