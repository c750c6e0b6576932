//! Encoder-decoders as PyTorch computed them in float64: memory, first states, attention, readout, logits, and the gradient
//! of every parameter, of ragged sources and targets.
//!
//! The vectors are cells.json and cells.safetensors in `../shared/vectors/seq2seq`; without it the trials are skipped. A
//! bridge there has one set of weights for all layers, and general attention puts its weights to the query.

use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::generate::{Options as Sampling, Translation, Translator, translation_plan};
use gatefold::unstable::network::{
    Attention, Bridge, Cell, CellState, Coupling, Encoder, EncoderDecoder, Feed, Optimizer, Pairs, Pool, Query,
    Readout, ReadoutInput, Recipe, Score, Shape, Training, training,
};
use gatefold::unstable::ops::activation::Activation;
use gatefold::unstable::ops::cross_entropy::IGNORED;
use gatefold::unstable::ops::embed_gradient;
use gatefold::unstable::ops::rows::Finish;
use gatefold::unstable::plan::{Role, Sizes, TensorId};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;

use crate::context::{DONE, Outcome, project, skipped, trial};
use crate::ensure;
use crate::safetensor_file::{On, Recorded, check_close, note_error, trials_per_case};
use crate::vectors::swap_axes;

const GROUP: &str = "encoder-decoder of PyTorch";
const FOLDER: &str = "../shared/vectors/seq2seq";

/// How far a gradient may be from PyTorch's, in units of the largest of its tensor.
const GRADIENT_TOLERANCE: f64 = 1e-4;

#[derive(Clone, Deserialize)]
pub struct Case {
    options: Options,
}

#[derive(Clone, Deserialize)]
struct Options {
    cell: String,
    bi: bool,
    #[serde(rename = "He")]
    encoder_hidden: usize,
    #[serde(rename = "H")]
    hidden: usize,
    #[serde(rename = "E")]
    embedding: usize,
    #[serde(rename = "L")]
    layers: usize,
    #[serde(rename = "Vs")]
    source_vocab: usize,
    #[serde(rename = "V")]
    vocab: usize,
    #[serde(rename = "A")]
    size: usize,
    #[serde(rename = "F")]
    readout: usize,
    attention: String,
    query: String,
    feed: String,
    bridge: String,
    smoothing: f32,
}

/// Rows, steps of targets and of sources of every case.
const SIZES: Sizes = Sizes { rows: 4, time: 6, source: 7 };

impl Options {
    pub fn model(&self) -> EncoderDecoder {
        let cell = if self.cell == "lstm" { Cell::Lstm } else { Cell::Gru };
        let shape = |vocab, hidden| Shape { cell, vocab, embedding: self.embedding, hidden, layers: self.layers };
        let encoder =
            Encoder { shape: shape(self.source_vocab, self.encoder_hidden), bidirectional: self.bi, reverse: false };
        let score = match self.attention.as_str() {
            "dot" => Some(Score::Dot),
            "general" => Some(Score::General),
            "additive" => Some(Score::Additive),
            _ => None,
        };
        let query = if self.query == "state" { Query::State } else { Query::PreviousState };
        let attention = score.map(|score| {
            let size = if score == Score::Additive { self.size } else { self.hidden };
            Attention { score, query, size }
        });
        let cell_state = if cell == Cell::Lstm { CellState::Same } else { CellState::Zero };
        let bridge = match self.bridge.as_str() {
            "last" => Bridge { from: Pool::Last, activation: None, cell_state },
            _ => Bridge { from: Pool::Mean, activation: Some(Activation::Tanh), cell_state },
        };
        let feed = match self.feed.as_str() {
            "context" => Feed::Context,
            "readout" => Feed::Readout,
            _ => Feed::None,
        };
        let inputs = [ReadoutInput::State, ReadoutInput::Context];
        let inputs = if attention.is_some() { &inputs[..] } else { &inputs[..1] };
        let readout = Readout::of(inputs, (self.readout > 0).then_some((self.readout, Activation::Tanh)));
        let coupling = Coupling {
            encoder,
            bridge,
            attention,
            embedding_activation: Activation::Linear,
            feed,
            readout,
            share_embeddings: false,
        };
        EncoderDecoder { decoder: shape(self.vocab, self.hidden), tied: false, coupling }
    }
}

/// Plain gradient descent without dropout.
pub fn recipe(model: EncoderDecoder, sizes: Sizes, label_smoothing: f32) -> Recipe {
    Recipe {
        shape: model.decoder,
        tied: model.tied,
        rows: sizes.rows,
        time: sizes.time,
        dropout: 0.0,
        seed: 1,
        optimizer: Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 },
        clip: None,
        pairs: Some(Pairs { coupling: model.coupling, source: sizes.source, label_smoothing }),
    }
}

const TRANSLATIONS: &str = "translations of an encoder-decoder";

pub fn trials() -> Vec<Trial> {
    let folder = project(FOLDER);
    if !folder.exists() {
        return [GROUP, TRANSLATIONS].map(|group| trial(format!("{group}: cases"), || skipped(FOLDER))).into();
    }
    let cells = folder.join("cells");
    let trials = trials_per_case(GROUP, &cells, |_: &Case| true, check);
    trials.into_iter().chain(trials_per_case(TRANSLATIONS, &cells, |_: &Case| true, translations)).collect()
}

/// Tokens of a translation at most.
const MOST_TOKENS: usize = 20;

/// Greedy and sampled translations: alone, beside others and with more room behind a source they have the same bits, and their
/// log-probabilities and attention are those of the training plan on the same targets.
fn translations(recorded: &Recorded<Case>, on: On) -> Outcome {
    let model = recorded.case.options.model();
    let ids = words(recorded, "sources", 0)?;
    let lengths = words(recorded, "lengths", 0)?;
    let source = |i: usize| ids[i * SIZES.source..][..lengths[i] as usize].to_vec();
    // More sources than rows and places.
    let jobs: Vec<(Vec<u32>, f32)> = (0..14).map(|i| (source(i % 4), if i < 7 { 0.0 } else { 1.0 })).collect();
    let together = translate(recorded, on, (3, SIZES.source), &jobs)?;
    for (i, (source, temperature)) in jobs.iter().enumerate() {
        let alone = translate_from(recorded, on, (1, 20), &[(source.clone(), *temperature)], i as u64)?;
        let (found, expected) = (&alone[0], &together[i]);
        let same = (&found.tokens, &found.log_probs, &found.attention)
            == (&expected.tokens, &expected.log_probs, &expected.attention);
        ensure!(same, "{i} alone: {found:?}; beside others: {expected:?}");
    }
    ensure!(together.iter().any(|found| found.finish == Finish::Stop), "some targets end");
    check_forced(recorded, on, &model, &jobs, &together)
}

fn translate(
    recorded: &Recorded<Case>,
    on: On,
    room: (usize, usize),
    jobs: &[(Vec<u32>, f32)],
) -> Result<Vec<Translation>, Failed> {
    translate_from(recorded, on, room, jobs, 0)
}

/// Translates sources, each at a temperature, with rows and room for sources; the first has this number.
fn translate_from(
    recorded: &Recorded<Case>,
    on: On,
    (rows, source): (usize, usize),
    jobs: &[(Vec<u32>, f32)],
    first: u64,
) -> Result<Vec<Translation>, Failed> {
    let plan = translation_plan(recorded.case.options.model(), rows, source, true);
    let sizes = Sizes { source, ..Sizes::of(rows, 1) };
    let mut executor = on.executor(&plan.plan, sizes, &plan.decoding.sections());
    for id in plan.plan.ids().filter(|id| plan.plan.tensor(*id).role == Role::Weight) {
        write_weight(recorded, &plan.plan.tensor(id).name, id, &mut *executor)?;
    }
    let mut translator = Translator::new(&plan, executor, 1, vec![2]);
    for (i, (source, temperature)) in jobs.iter().enumerate() {
        let sequence = (7, first + i as u64);
        translator.submit(source.clone(), MOST_TOKENS, sequence, Sampling::at(*temperature))?;
    }
    let mut ended = Vec::new();
    while translator.live() > 0 {
        translator.wait(&|| 0, &mut ended)?;
    }
    ended.sort_by_key(|translation| translation.id);
    ensure!(ended.len() == jobs.len(), "{} of {} translations", ended.len(), jobs.len());
    Ok(ended)
}

/// What the training plan says of these translations as targets.
fn check_forced(
    recorded: &Recorded<Case>,
    on: On,
    model: &EncoderDecoder,
    jobs: &[(Vec<u32>, f32)],
    found: &[Translation],
) -> Outcome {
    let (rows, time, source) = (jobs.len(), MOST_TOKENS, SIZES.source);
    let sizes = Sizes { rows, time, source };
    let training = training(recipe(*model, sizes, 0.0));
    let mut executor = on.executor(&training.plan, sizes, &[training.evaluate]);
    for parameter in &training.parameters {
        write_weight(recorded, &parameter.name, parameter.weight, &mut *executor)?;
    }
    let mut input = vec![0; time * rows];
    let mut sources = vec![0; source * rows];
    for (m, (translation, (ids, _))) in found.iter().zip(jobs).enumerate() {
        let read = std::iter::once(&1).chain(&translation.tokens).take(time);
        read.enumerate().for_each(|(t, id)| input[t * rows + m] = *id);
        ids.iter().enumerate().for_each(|(s, id)| sources[s * rows + m] = *id);
    }
    let io = training.io;
    let of_sources = io.sources.expect("pairs have sources");
    let lengths: Vec<u32> = jobs.iter().map(|(ids, _)| ids.len() as u32).collect();
    let words =
        [(io.input, input), (of_sources.ids, sources), (of_sources.lengths, lengths), (io.always, vec![1; 4 * rows])];
    words.iter().try_for_each(|(to, values)| executor.write(*to, 0, Values::U32(values)))?;
    let find = |name: &str| training.plan.find(name).ok_or_else(|| format!("no tensor `{name}`"));
    let attends = model.coupling.attention.is_some();
    let read = if attends { vec![find("logits")?, find("attention.weights")?] } else { vec![find("logits")?] };
    let ticket = executor.submit(&[Run::new(training.evaluate, sizes, 0..1)], &read)?;
    let results = executor.wait(ticket)?;
    let vocab = model.decoder.vocab;
    for (m, (translation, (ids, temperature))) in found.iter().zip(jobs).enumerate() {
        for (t, log_prob) in translation.log_probs.iter().enumerate() {
            let logits = &results[0].real()[(t * rows + m) * vocab..][..vocab];
            let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
            let token = translation.tokens.get(t).map_or(2, |id| *id as usize);
            let best = logits.iter().fold(f32::MIN, |best, x| best.max(*x));
            ensure!(*temperature > 0.0 || logits[token] > best - 1e-4, "{m}, {t}: {token} is not the best");
            check_close("log-probability", &[*log_prob], &[f64::from(logits[token]) - sum.ln()], 1e-4)?;
            if attends {
                let expected = &results[1].real()[(t * rows + m) * source..][..ids.len()];
                check_close("attention", &translation.attention[t * ids.len()..][..ids.len()], expected, 1e-5)?;
            }
        }
    }
    DONE
}

fn check(recorded: &Recorded<Case>, on: On) -> Outcome {
    let options = &recorded.case.options;
    let model = options.model();
    ensure!(model.check().is_ok(), "{:?}", model.check());
    let training = training(recipe(model, SIZES, options.smoothing));
    let sections = [training.forward, training.backward, training.evaluate];
    let mut executor = on.executor(&training.plan, SIZES, &sections);
    write_weights(recorded, &training, &mut *executor)?;
    write_window(recorded, &training, &mut *executor)?;
    let mut run = |sections: &[_], tensors: &[String]| -> Result<Vec<Vec<f32>>, Failed> {
        let find = |name: &String| training.plan.find(name).ok_or_else(|| format!("no tensor `{name}`"));
        let ids = tensors.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let runs: Vec<Run> = sections.iter().map(|section| Run::new(*section, SIZES, 0..1)).collect();
        let ticket = executor.submit(&runs, &ids)?;
        Ok(executor.wait(ticket)?.iter().map(|buffer| buffer.real().to_vec()).collect())
    };
    let worst = check_outputs(recorded, &model, on, |names| run(&[training.evaluate], names))?;
    note_error(GROUP, &recorded.name, on, worst);
    let names: Vec<String> = training.parameters.iter().map(|p| format!("gradient.{}", p.name)).collect();
    let gradients = run(&[training.forward, training.backward], &names)?;
    check_gradients(recorded, &training, &gradients)
}

/// The case's weights under the plan's names.
fn write_weights(recorded: &Recorded<Case>, training: &Training, executor: &mut dyn Executor) -> Result<(), Failed> {
    training.parameters.iter().try_for_each(|of| write_weight(recorded, &of.name, of.weight, executor))
}

fn write_weight(
    recorded: &Recorded<Case>,
    name: &str,
    to: TensorId,
    executor: &mut dyn Executor,
) -> Result<(), Failed> {
    let values = match theirs(&recorded.case.options, name) {
        (name, Some([a, b])) => swap_axes(recorded.tensor(&format!("param/{name}"))?, [a, b, 1]),
        (name, None) => recorded.tensor(&format!("param/{name}"))?.to_vec(),
    };
    Ok(executor.write(to, 0, Values::F32(&values))?)
}

/// The name that a parameter has there, and its shape there if it is turned round here.
fn theirs(options: &Options, name: &str) -> (String, Option<[usize; 2]>) {
    if options.attention == "general" && name == "attention.memory.weight" {
        let outputs = options.encoder_hidden * if options.bi { 2 } else { 1 };
        return ("attention.query.weight".into(), Some([outputs, options.hidden]));
    }
    match name.strip_prefix("bridge.").and_then(|name| name.split_once('.')) {
        Some((state, rest)) => (format!("bridge.{}.{rest}", &state[..1]), None),
        None => (name.to_string(), None),
    }
}

fn words(recorded: &Recorded<Case>, name: &str, ignored: u32) -> Result<Vec<u32>, String> {
    let word = |x: &f32| if *x < 0.0 { ignored } else { *x as u32 };
    Ok(recorded.tensor(&format!("in/{name}"))?.iter().map(word).collect())
}

fn write_window(recorded: &Recorded<Case>, training: &Training, executor: &mut dyn Executor) -> Result<(), Failed> {
    let Sizes { rows, time, source } = SIZES;
    let turned = |ids: Vec<u32>, time: usize| -> Vec<u32> {
        (0..rows * time).map(|i| ids[i % rows * time + i / rows]).collect()
    };
    let io = training.io;
    let of_sources = io.sources.expect("pairs have sources");
    let input = turned(words(recorded, "inputs", 0)?, time);
    let targets = turned(words(recorded, "targets", IGNORED)?, time);
    let sources = turned(words(recorded, "sources", 0)?, source);
    let count = targets.iter().filter(|id| **id != IGNORED).count();
    for (to, values) in [
        (io.order, embed_gradient::order(&input)),
        (io.input, input),
        (io.targets, targets),
        (of_sources.order, embed_gradient::order(&sources)),
        (of_sources.ids, sources),
        (of_sources.lengths, words(recorded, "lengths", 0)?),
        (io.always, vec![1; 4 * rows]),
    ] {
        executor.write(to, 0, Values::U32(&values))?;
    }
    executor.write(io.schedule, 0, Values::F32(&[0.0, 0.0, 0.0, 1.0 / count as f32]))?;
    Ok(())
}

/// What the network gives, in the order of time; theirs is in the order of rows.
fn check_outputs(
    recorded: &Recorded<Case>,
    model: &EncoderDecoder,
    on: On,
    run: impl FnOnce(&[String]) -> Result<Vec<Vec<f32>>, Failed>,
) -> Result<f64, Failed> {
    let Sizes { rows, time, source } = SIZES;
    let (hidden, outputs, readout) = (model.decoder.hidden, model.coupling.encoder.outputs(), model.readout());
    let layers = model.decoder.layers;
    let mut wanted = vec![
        (format!("encoder.outputs_l{}", layers - 1), "memory", [source, outputs], 0),
        ("logits".to_string(), "logits", [time, model.decoder.vocab], 0),
    ];
    let read = if model.coupling.readout.layer.is_some() { "readout" } else { "readout_inputs" };
    wanted.push((read.to_string(), "readout", [time, readout], 1));
    if model.coupling.attention.is_some() {
        wanted.push(("attention.weights".to_string(), "attention", [time, source], 0));
    }
    let mut names: Vec<String> = wanted.iter().map(|(name, ..)| name.clone()).collect();
    let states = if model.decoder.cell == Cell::Lstm { &["states", "cells"][..] } else { &["states"] };
    names.extend(states.iter().flat_map(|state| (0..layers).map(move |i| format!("{state}_l{i}"))));
    let found = run(&names)?;
    let (over_time, first) = found.split_at(wanted.len());
    let mut worst = 0.0f64;
    for ((_, name, [steps, width], before), found) in wanted.iter().zip(over_time) {
        let found = &found[before * rows * width..][..steps * rows * width];
        let found = swap_axes(found, [*steps, rows, *width]);
        worst = worst.max(check_close(name, &found, recorded.tensor(&format!("out/{name}"))?, 1e-5)?);
    }
    for (name, found) in ["h0", "c0"].into_iter().zip(first.chunks(layers)) {
        let found: Vec<f32> = found.iter().flat_map(|states| states[..rows * hidden].to_vec()).collect();
        worst =
            worst.max(check_close(name, &found, recorded.tensor(&format!("out/{name}"))?, on.tolerance().max(1e-5))?);
    }
    Ok(worst)
}

/// Gradients, those of weights that are one there added up.
fn check_gradients(recorded: &Recorded<Case>, training: &Training, gradients: &[Vec<f32>]) -> Outcome {
    let mut sums: Vec<(String, Vec<f32>)> = Vec::new();
    for (parameter, gradient) in training.parameters.iter().zip(gradients) {
        let (name, turned) = theirs(&recorded.case.options, &parameter.name);
        let gradient = turned.map_or(gradient.clone(), |[a, b]| swap_axes(gradient, [b, a, 1]));
        match sums.iter_mut().find(|(other, _)| *other == name) {
            Some((_, sum)) => sum.iter_mut().zip(gradient).for_each(|(sum, x)| *sum += x),
            None => sums.push((name, gradient)),
        }
    }
    for (name, found) in sums {
        let expected = recorded.tensor(&format!("grad/{name}"))?;
        let largest = expected.iter().fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
        check_close(&format!("gradient of {name}"), &found, expected, GRADIENT_TOLERANCE * largest)?;
    }
    DONE
}
