//! The same bits for any batch, slot and thread count: a hash of ids and log-probabilities of each sequence.

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::Executor;
use gatefold::unstable::generate::{Generator, Options, Request};
use gatefold::unstable::model::Model;
use gatefold::unstable::plan::{SectionId, Sizes};
use gatefold::unstable::text::OnUnknown;
use libtest_mimic::Trial;

use crate::context::{DONE, Opened, Outcome, cpu_executor, gpu, gpu_executor, trial, trials_per_adapter};
use crate::ensure;

/// Sequences that are compared.
const SEQUENCES: usize = 7;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, options) in [("", plain as fn(usize) -> Options), (", with filters", filtered)] {
        trials.push(trial(format!("bits: batch, slot and threads{name} on the CPU"), move || {
            let make = |threads: usize| {
                move |lm: &Lm, sizes: Sizes, sections: &[SectionId]| {
                    cpu_executor(&lm.plan, sizes, sections, Functions::Fast, threads)
                }
            };
            same_bits(&[&make(1), &make(2)], options)
        }));
        trials.extend(trials_per_adapter(&format!("bits: batch and slot{name}"), move |adapter| {
            let make = |opened: Opened| {
                move |lm: &Lm, sizes: Sizes, sections: &[SectionId]| {
                    gpu_executor(&gpu(adapter, opened), &lm.plan, sizes, sections)
                }
            };
            // WebGPU's floor (parameters by uniform, default kernels) and bindings of 1 MiB must not change a bit either.
            same_bits(&[&make(Opened::Fully), &make(Opened::Floor), &make(Opened::OneMiB)], options)
        }));
    }
    trials
}

type Lm = gatefold::unstable::network::LanguageModel;
type Make<'a> = &'a dyn Fn(&Lm, Sizes, &[SectionId]) -> Box<dyn Executor>;

/// A temperature only.
fn plain(sequence: usize) -> Options {
    Options::at(if sequence == 3 { 0.0 } else { 0.8 })
}

/// Every filter. Sequence 2, which fills up the large batch, has none: alone it takes the step without filters.
fn filtered(sequence: usize) -> Options {
    let plain = plain(sequence);
    match sequence {
        0 => Options { top_k: 5, ..plain },
        1 => Options { top_p: 0.8, repetition_penalty: 1.3, ..plain },
        3 => Options { frequency_penalty: 0.4, banned: [0, 1, 7].into(), ..plain },
        4 => Options { min_p: 0.05, ..plain },
        5 => Options { top_k: 20, top_p: 0.9, min_p: 0.01, presence_penalty: 0.7, ..plain },
        6 => Options { banned: (10..30).collect(), ..plain },
        _ => plain,
    }
}

fn request(model: &Model, sequence: usize, options: Options) -> Request {
    Request {
        prompt: model
            .tokenizer
            .encode(&"ROMEO:\nBut soft"[..3 + sequence], OnUnknown::Error)
            .expect("known characters")
            .into(),
        sequence: 1 << 33 | sequence as u64,
        seed: 0x5eed_0123_4567,
        options,
        max_tokens: 40,
        stop: Vec::new(),
        source: [].into(),
    }
}

fn same_bits(makers: &[Make<'_>], options: fn(usize) -> Options) -> Outcome {
    let model = Model::shakespeare()?;
    let requests: Vec<Request> = (0..SEQUENCES).map(|i| request(&model, i, options(i))).collect();
    let mut expected: Option<Vec<u64>> = None;
    for (way, make) in makers.iter().enumerate() {
        // Alone; seven in order; sixty-four with the seven spread among fillers, last first.
        let alone: Result<Vec<u64>, String> =
            requests.iter().map(|r| hashes(&model, *make, std::slice::from_ref(r)).map(|h| h[0])).collect();
        let seven = hashes(&model, *make, &requests)?;
        let mut crowd: Vec<Request> = (0..64).map(|i| Request { sequence: 99 + i, ..requests[2].clone() }).collect();
        let place = |i: usize| 60 - 9 * i;
        for (i, request) in requests.iter().enumerate() {
            crowd[place(i)] = request.clone();
        }
        let crowd = hashes(&model, *make, &crowd)?;
        let spread: Vec<u64> = (0..SEQUENCES).map(|i| crowd[place(i)]).collect();
        for (name, found) in [("alone", alone?), ("in seven", seven), ("in sixty-four", spread)] {
            let expected = expected.get_or_insert_with(|| found.clone());
            ensure!(found == *expected, "way {way}, {name}: {found:x?}, expected {expected:x?}");
        }
    }
    DONE
}

/// FNV-1a over the ids and the bits of the log-probabilities of each sequence.
fn hashes(model: &Model, make: Make<'_>, requests: &[Request]) -> Result<Vec<u64>, String> {
    let any = requests.iter().any(|r| r.options.need_filters());
    let plan = if any { gatefold::unstable::generate::plan_with_filters } else { gatefold::unstable::generate::plan };
    let lm = plan(model.shape, requests.len());
    let sizes = Sizes::of(requests.len(), 2);
    let mut executor = make(&lm, sizes, &gatefold::unstable::generate::sections(&lm));
    model.weights.load_into(&mut *executor).map_err(|e| e.to_string())?;
    let mut generator = Generator::new(lm, executor).map_err(|e| e.to_string())?;
    for request in requests {
        generator.submit(request.clone()).map_err(|e| e.to_string())?;
    }
    let mut hashes = vec![0xcbf2_9ce4_8422_2325_u64; requests.len()];
    let mut events = Vec::new();
    while !generator.is_idle() {
        generator.wait(&|| 0, &mut events).map_err(|e| e.to_string())?;
    }
    for event in events {
        let hash = &mut hashes[event.id as usize];
        for byte in [event.token, event.log_prob.to_bits()].iter().flat_map(|w| w.to_le_bytes()) {
            *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    Ok(hashes)
}
