//! The embedded model: its size, its loss on text that training never saw, and devices against the CPU on 500 tokens.

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::generate::{Generator, Options, Request};
use gatefold::unstable::model::Model;
use gatefold::unstable::network::LanguageModel;
use gatefold::unstable::plan::Sizes;
use gatefold::unstable::text::OnUnknown;
use libtest_mimic::Trial;

use crate::context::{
    DONE, Opened, Outcome, cpu_executor, gpu, gpu_executor, project, skipped, trial, trials_per_adapter,
};
use crate::ensure;
use crate::safetensor_file::check_close;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("default model: at most 4 MB", || {
            let bytes = std::fs::metadata(project("assets/shakespeare/model.safetensors"))?.len();
            ensure!(bytes <= 4_000_000, "{bytes} bytes");
            DONE
        }),
        trial("default model: at most 1.48 nats on the last tenth of the corpus", held_out_loss),
    ];
    trials.extend(trials_per_adapter("default model: 500 tokens against the CPU", five_hundred_tokens));
    trials
}

/// Tokens that one window of the comparison reads.
const WINDOW: usize = 64;

fn held_out_loss() -> Outcome {
    let Ok(text) = std::fs::read_to_string(project("../shared/corpora/tinyshakespeare.txt")) else {
        return skipped("../shared/corpora/tinyshakespeare.txt");
    };
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 0);
    let ids = model.tokenizer.encode(&text, OnUnknown::Error)?;
    let held_out = &ids[ids.len() * 9 / 10..];
    let sizes = Sizes::of(1, 512);
    let mut executor = cpu_executor(&lm.plan, sizes, &[lm.score], Functions::Fast, 2);
    model.weights.load_into(&mut *executor)?;
    let (mut nats, mut step) = (0.0, 0);
    for start in (0..held_out.len() - 1).step_by(sizes.time) {
        let time = sizes.time.min(held_out.len() - 1 - start);
        executor.write(lm.input, 0, Values::U32(&held_out[start..start + time]))?;
        executor.write(lm.targets, 0, Values::U32(&held_out[start + 1..start + 1 + time]))?;
        let run = Run::new(lm.score, Sizes::of(1, time), step..step + 1);
        let ticket = executor.submit(&[run], &[lm.target_log_probs])?;
        let results = executor.wait(ticket)?;
        nats -= results[0].real()[..time].iter().map(|p| f64::from(*p)).sum::<f64>();
        step += 1;
    }
    let nats = nats / (held_out.len() - 1) as f64;
    println!("default model: {nats:.4} nats a character on the last tenth");
    ensure!(nats <= 1.48, "{nats:.4} nats a character");
    DONE
}

/// Log-probabilities of the CPU's own text within 2e-5; greedy and seeded text equal, or the two best scores were
/// closer than 1e-4.
fn five_hundred_tokens(adapter: usize) -> Outcome {
    let model = Model::shakespeare()?;
    let prompt = model.tokenizer.encode("ROMEO:", OnUnknown::Error)?;
    for temperature in [0.0, 0.8] {
        let options = Options::at(temperature);
        let request = Request {
            prompt: prompt.as_slice().into(),
            sequence: 0,
            seed: 42,
            options,
            max_tokens: 500,
            stop: Vec::new(),
            source: [].into(),
        };
        let lm = gatefold::unstable::generate::plan(model.shape, 0);
        let sizes = Sizes::of(1, WINDOW);
        let mut sections = gatefold::unstable::generate::sections(&lm);
        sections.push(lm.logits);
        let cpu = || cpu_executor(&lm.plan, sizes, &sections, Functions::Fast, 2);
        let device = || gpu_executor(&gpu(adapter, Opened::Fully), &lm.plan, sizes, &sections);
        let expected = text(&model, &lm, cpu(), &request)?;
        let found = text(&model, &lm, device(), &request)?;

        let ids: Vec<u32> = prompt.iter().chain(&expected).copied().collect();
        let on_cpu = log_probs(&model, &lm, cpu(), &ids)?;
        let on_device = log_probs(&model, &lm, device(), &ids)?;
        check_close("log-probabilities of the CPU's text", &on_device, &on_cpu, 2e-5)?;

        if let Some(at) = (0..500).find(|i| found[*i] != expected[*i]) {
            let row = &on_cpu[(prompt.len() - 1 + at) * model.shape.vocab..][..model.shape.vocab];
            let margin = margin(row, &request, prompt.len() + at);
            println!("temperature {temperature}: texts part at token {at}, the two best scores {margin:e} apart");
            ensure!(margin < 1e-4, "temperature {temperature}: texts part at token {at}, with a margin of {margin:e}");
        }
    }
    DONE
}

/// How far the best score of a token is above the second best.
fn margin(log_probs: &[f32], request: &Request, position: usize) -> f32 {
    use gatefold::unstable::ops::{noise::token_noise, rows::halves};
    let score = |(n, p): (usize, &f32)| match request.options.temperature {
        0.0 => *p,
        t => p / t + token_noise(halves(request.seed), halves(request.sequence), position as u32, n as u32),
    };
    let mut scores: Vec<f32> = log_probs.iter().enumerate().map(score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores[0] - scores[1]
}

fn text(
    model: &Model,
    lm: &LanguageModel,
    mut executor: Box<dyn Executor>,
    request: &Request,
) -> Result<Vec<u32>, String> {
    let run = || {
        model.weights.load_into(&mut *executor)?;
        let mut generator = Generator::new(lm.clone(), executor)?;
        generator.submit(request.clone())?;
        let mut events = Vec::new();
        while !generator.is_idle() {
            generator.wait(&|| 0, &mut events)?;
        }
        Ok(events.iter().map(|event| event.token).collect())
    };
    run().map_err(|e: gatefold::Error| e.to_string())
}

/// All log-probabilities after each of the ids, window by window.
fn log_probs(
    model: &Model,
    lm: &LanguageModel,
    mut executor: Box<dyn Executor>,
    ids: &[u32],
) -> Result<Vec<f32>, String> {
    let mut run = || {
        model.weights.load_into(&mut *executor)?;
        let mut all = Vec::new();
        for (step, window) in ids.chunks(WINDOW).enumerate() {
            executor.write(lm.input, 0, Values::U32(window))?;
            let sizes = Sizes::of(1, window.len());
            let step = step as u32;
            let ticket = executor.submit(&[Run::new(lm.logits, sizes, step..step + 1)], &[lm.all_log_probs])?;
            all.extend_from_slice(&executor.wait(ticket)?[0].real()[..window.len() * model.shape.vocab]);
        }
        Ok(all)
    };
    run().map_err(|e: gatefold::Error| e.to_string())
}
