//! The same bits for any batch, slot and thread count: a hash of ids and log-probabilities of each sequence.

use gatefold::cpu::Functions;
use gatefold::executor::Executor;
use gatefold::generate::{Batch, Request};
use gatefold::model::Model;
use gatefold::plan::{SectionId, Sizes};
use gatefold::text::OnUnknown;
use libtest_mimic::Trial;

use crate::context::{DONE, Opened, Outcome, cpu_executor, gpu, gpu_executor, trial, trials_per_adapter};
use crate::ensure;

/// Sequences that are compared.
const SEQUENCES: usize = 7;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("bits: batch, slot and threads on the CPU", || {
        let make = |threads: usize| {
            move |lm: &Lm, sizes: Sizes, sections: &[SectionId]| {
                cpu_executor(&lm.plan, sizes, sections, Functions::Fast, threads)
            }
        };
        same_bits(&[&make(1), &make(2)])
    })];
    trials.extend(trials_per_adapter("bits: batch and slot", |adapter| {
        let make = |opened: Opened| {
            move |lm: &Lm, sizes: Sizes, sections: &[SectionId]| {
                gpu_executor(&gpu(adapter, opened), &lm.plan, sizes, sections)
            }
        };
        // Parameters by uniform and bindings of 1 MiB must not change a bit either.
        same_bits(&[&make(Opened::Fully), &make(Opened::Uniform), &make(Opened::OneMiB)])
    }));
    trials
}

type Lm = gatefold::plan::network::LanguageModel;
type Make<'a> = &'a dyn Fn(&Lm, Sizes, &[SectionId]) -> Box<dyn Executor>;

fn request(model: &Model, sequence: usize) -> Request {
    Request {
        prompt: model
            .tokenizer
            .encode(&"ROMEO:\nBut soft"[..3 + sequence], OnUnknown::Error)
            .expect("known characters"),
        sequence: 1 << 33 | sequence as u64,
        seed: 0x5eed_0123_4567,
        temperature: if sequence == 3 { 0.0 } else { 0.8 },
        max_tokens: 40,
        stop: Vec::new(),
    }
}

fn same_bits(makers: &[Make<'_>]) -> Outcome {
    let model = Model::shakespeare()?;
    let requests: Vec<Request> = (0..SEQUENCES).map(|i| request(&model, i)).collect();
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
    let lm = gatefold::generate::plan(model.shape, 64 * SEQUENCES);
    let sizes = Sizes { rows: requests.len(), time: 2 };
    let mut executor = make(&lm, sizes, &gatefold::generate::sections(&lm));
    model.weights.load_into(&mut *executor).map_err(|e| e.to_string())?;
    let mut batch = Batch::new(lm, executor);
    batch.start(requests).map_err(|e| e.to_string())?;
    let mut hashes = vec![0xcbf2_9ce4_8422_2325_u64; requests.len()];
    while !batch.is_done() {
        for event in batch.wait(&|| 0).map_err(|e| e.to_string())? {
            for byte in [event.token, event.log_prob.to_bits()].iter().flat_map(|w| w.to_le_bytes()) {
                hashes[event.row] = (hashes[event.row] ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    Ok(hashes)
}
