//! Tickets, several sections on shared states, bad calls, the sampler's noise on devices.

use std::sync::mpsc;
use std::time::Duration;

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::generate::{Generator, Options, Request};
use gatefold::unstable::gpu::{DeviceOptions, GpuExecutor, GpuOptions};
use gatefold::unstable::host;
use gatefold::unstable::model::Model;
use gatefold::unstable::ops::rows::Finish;
use gatefold::unstable::plan::Sizes;
use gatefold::unstable::text::OnUnknown;
use libtest_mimic::{Completion, Failed, Trial};

use crate::context::{DONE, Opened, Outcome, adapters, cpu_executor, gpu, gpu_executor, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("execution: permute moves states on the CPU", || {
            permute(&|lm, sizes, sections| cpu_executor(&lm.plan, sizes, sections, Functions::Fast, 2))
        }),
        trial("execution: prompts of different lengths on the CPU", || {
            prompts_of_different_lengths(&|lm, sizes, sections| {
                cpu_executor(&lm.plan, sizes, sections, Functions::Fast, 2)
            })
        }),
        trial("execution: a generator refuses bad requests", bad_requests),
    ];
    trials.extend(trials_per_adapter("execution: tickets never block and arrive in any order of taking", tickets));
    trials.extend(trials_per_adapter("execution: permute moves states", |adapter| {
        permute(&|lm, sizes, sections| gpu_executor(&gpu(adapter, Opened::Fully), &lm.plan, sizes, sections))
    }));
    trials.extend(trials_per_adapter("execution: prompts of different lengths", |adapter| {
        prompts_of_different_lengths(&|lm, sizes, sections| {
            gpu_executor(&gpu(adapter, Opened::Fully), &lm.plan, sizes, sections)
        })
    }));
    trials.extend(trials_per_adapter("execution: errors name the tensor and its room", bad_calls));
    trials.extend(trials_per_adapter("execution: a lost device is an error of every call", lost_device));
    trials.extend(trials_per_adapter("execution: a token takes layers + 2 dispatches", dispatches));
    trials
}

type Lm = gatefold::unstable::network::LanguageModel;
type Make<'a> = &'a dyn Fn(&Lm, Sizes, &[gatefold::unstable::plan::SectionId]) -> Box<dyn Executor>;

/// A submission returns before its results are there; the callback comes once they are.
fn tickets(adapter: usize) -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 0);
    let sizes = Sizes::of(8, 16);
    let mut executor = gpu_executor(&gpu(adapter, Opened::Fully), &lm.plan, sizes, &[lm.logits]);
    model.weights.load_into(&mut *executor)?;
    let run = Run::new(lm.logits, sizes, 0..1);
    let input: Vec<u32> = (0..sizes.rows * sizes.time).map(|i| (i * 7 % model.shape.vocab) as u32).collect();
    executor.write(lm.input, 0, Values::U32(&input))?;
    let first = executor.submit(std::slice::from_ref(&run), &[lm.all_log_probs])?;
    // Long enough to be under way still when it is asked for. On a busy machine this thread may sleep through it: then a
    // longer one is tried. If `submit` or `try_take` waited, none would ever be under way.
    let mut under_way = |windows: &usize| -> Result<_, Failed> {
        let second = executor.submit(&vec![run.clone(); *windows], &[lm.input, lm.all_log_probs])?;
        let (sender, receiver) = mpsc::channel();
        executor.on_ready(
            second,
            Box::new(move || {
                let _ = sender.send(());
            }),
        );
        // It is waited for without blocking, by polling.
        let mut polls = 1;
        let results = loop {
            if let Some(results) = executor.try_take(second)? {
                break results;
            }
            polls += 1;
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok((polls > 1).then_some((results, receiver)))
    };
    let second = [40, 80, 160, 320].iter().map(&mut under_way).find_map(Result::transpose).transpose()?;
    let (later, receiver) = second.ok_or("each submission was there at once: `try_take` or `submit` waited")?;
    receiver.recv_timeout(Duration::from_secs(1)).map_err(|e| format!("the callback did not come: {e}"))?;
    ensure!(later[0].word() == input, "the input came back changed");
    let earlier = executor.wait(first)?;
    ensure!(earlier[0].real().len() == later[1].real().len(), "both are whole");
    ensure!(executor.wait(first).is_err(), "a ticket was taken twice");
    DONE
}

/// Rows swap their states by `permute`; what they then generate swaps too.
fn permute(make: Make<'_>) -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 0);
    let sizes = Sizes::of(3, 8);
    let mut executor = make(&lm, sizes, &[lm.permute, lm.logits]);
    model.weights.load_into(&mut *executor)?;
    let input: Vec<u32> = (0..24).map(|i| (i * i % 60) as u32).collect();
    let width = model.shape.vocab;
    let mut last_rows = Vec::new();
    for source in [[0, 1, 2], [2, 0, 0]] {
        executor.write(lm.input, 0, Values::U32(&input))?;
        let run = |section, step| Run::new(section, sizes, step..step + 1);
        let (h0, zeros) = (lm.layers[0].h, vec![0.0; 2 * 3 * model.shape.hidden]);
        for layer in &lm.layers {
            executor.write(layer.h, 0, Values::F32(&zeros))?;
            executor.write(layer.c.expect("an LSTM"), 0, Values::F32(&zeros[..zeros.len() / 2]))?;
        }
        executor.write(lm.row_source, 0, Values::U32(&source))?;
        let ticket = executor.submit(&[run(lm.logits, 0), run(lm.permute, 1)], &[h0])?;
        executor.wait(ticket)?;
        // The same tokens for all rows now: only the states differ.
        executor.write(lm.input, 0, Values::U32(&[5; 24]))?;
        let ticket = executor.submit(&[run(lm.logits, 1)], &[lm.all_log_probs])?;
        let results = executor.wait(ticket)?;
        last_rows.push(results[0].real()[7 * 3 * width..].to_vec());
    }
    let row = |run: usize, m: usize| &last_rows[run][m * width..(m + 1) * width];
    ensure!(row(0, 0) != row(0, 1) && row(0, 1) != row(0, 2), "rows with other states say the same");
    for (m, source) in [2, 0, 0].into_iter().enumerate() {
        ensure!(row(1, m) == row(0, source), "row {m} does not go on as row {source} did");
    }
    DONE
}

/// Prompts are read in common as matrix products and then forced: each row must go on as it does alone.
fn prompts_of_different_lengths(make: Make<'_>) -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 5);
    let prompts = ["A", "ROMEO:\nWhat", &"to be or not to be, ".repeat(10), "KING"];
    let requests: Vec<Request> = (prompts.iter().enumerate())
        .map(|(i, prompt)| Request {
            prompt: model.tokenizer.encode(prompt, OnUnknown::Error).expect("known characters").into(),
            sequence: i as u64,
            seed: 9,
            options: Options::at(if i == 1 { 0.0 } else { 0.9 }),
            max_tokens: 12 + i,
            stop: Vec::new(),
            source: [].into(),
        })
        .collect();
    let run = |requests: &[Request], rows: usize| -> Result<Vec<Vec<(u32, u32)>>, String> {
        let sizes = Sizes::of(rows, 16);
        let mut executor = make(&lm, sizes, &gatefold::unstable::generate::sections(&lm));
        model.weights.load_into(&mut *executor).map_err(|e| e.to_string())?;
        let mut generator = Generator::new(lm.clone(), executor).map_err(|e| e.to_string())?;
        for request in requests {
            generator.submit(request.clone()).map_err(|e| e.to_string())?;
        }
        let mut tokens = vec![Vec::new(); requests.len()];
        let mut events = Vec::new();
        while !generator.is_idle() {
            generator.wait(&|| 0, &mut events).map_err(|e| e.to_string())?;
        }
        for event in events {
            let id = event.id as usize;
            tokens[id].push((event.token, event.log_prob.to_bits()));
            let last = tokens[id].len() == requests[id].max_tokens;
            if (event.finish == Some(Finish::Length)) != last {
                return Err(format!("request {id} finished at {}", tokens[id].len()));
            }
        }
        Ok(tokens)
    };
    let together = run(&requests, 5)?;
    for (i, request) in requests.iter().enumerate() {
        let alone = run(std::slice::from_ref(request), 1)?;
        ensure!(alone[0] == together[i], "prompt {i} alone and in company:\n{:?}\n{:?}", alone[0], together[i]);
    }
    DONE
}

fn bad_requests() -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 2);
    let sizes = Sizes::of(2, 4);
    let executor = cpu_executor(&lm.plan, sizes, &gatefold::unstable::generate::sections(&lm), Functions::Fast, 1);
    let mut generator = Generator::new(lm, executor)?;
    let options = Options::default();
    let good = Request {
        prompt: [1].into(),
        sequence: 0,
        seed: 0,
        options,
        max_tokens: 1,
        stop: Vec::new(),
        source: [].into(),
    };
    let mut refused = |request: Request, what: &str| -> Result<(), String> {
        match generator.submit(request) {
            Ok(_) => Err(format!("accepted: {what}")),
            Err(e) if e.to_string().contains(what) => Ok(()),
            Err(e) => Err(format!("expected `{what}`, found `{e}`")),
        }
    };
    refused(Request { prompt: [].into(), ..good.clone() }, "the prompt has no token")?;
    refused(Request { prompt: [65].into(), ..good.clone() }, "token id 65 in a vocabulary of 65")?;
    refused(Request { stop: vec![0; 5], ..good.clone() }, "5 stop ids")?;
    refused(Request { max_tokens: 0, ..good.clone() }, "a sequence of 0 tokens")?;
    refused(Request { options: Options { top_k: 3, ..Options::default() }, ..good.clone() }, "no room for filters")?;
    DONE
}

fn bad_calls(adapter: usize) -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 0);
    let sizes = Sizes::of(2, 4);
    let device = gpu(adapter, Opened::Fully);
    let mut executor = gpu_executor(&device, &lm.plan, sizes, &[lm.decoding.step]);
    let error = executor.write(lm.decoding.rows.tokens, 1, Values::U32(&[1, 2])).err().ok_or("accepted")?.to_string();
    ensure!(error.contains("tensor `tokens` has 1 rows of 2"), "{error}");
    let run = Run::new(lm.decoding.step, Sizes::of(3, 1), 0..1);
    let error = executor.submit(&[run], &[]).err().ok_or("accepted")?.to_string();
    ensure!(error.contains("3 rows"), "{error}");
    let error = executor.submit(&[], &[lm.input]).err().ok_or("accepted")?.to_string();
    ensure!(error.contains("tensor `input` cannot be read"), "{error}");
    let options = GpuOptions { forced: [("matmul".into(), "matmul_9x9".into())].into(), ..Default::default() };
    let made = GpuExecutor::new(device, lm.plan.clone(), sizes, &[lm.decoding.step], &options);
    let error = made.err().ok_or("accepted")?.to_string();
    ensure!(error.contains("kernel matmul=matmul_9x9: expected one of matmul_1x8"), "{error}");
    DONE
}

/// Work is under way when the device goes; then nothing blocks or panics, and every call says what happened.
fn lost_device(adapter: usize) -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 0);
    let sizes = Sizes::of(2, 4);
    let device = host::open(&adapters()[adapter], DeviceOptions::default())?;
    let mut executor = gpu_executor(&device, &lm.plan, sizes, &[lm.logits]);
    model.weights.load_into(&mut *executor)?;
    executor.write(lm.input, 0, Values::U32(&[1; 8]))?;
    let run = Run::new(lm.logits, sizes, 0..1);
    let ticket = executor.submit(std::slice::from_ref(&run), &[lm.all_log_probs])?;
    device.destroy();
    let errors = [
        executor.try_take(ticket).err(),
        executor.wait(ticket).err(),
        executor.write(lm.input, 0, Values::U32(&[1; 8])).err(),
        executor.submit(&[run], &[lm.all_log_probs]).err(),
        GpuExecutor::new(device.clone(), lm.plan.clone(), sizes, &[lm.logits], &GpuOptions::default()).err(),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        let message = error.ok_or(format!("call {i} on a lost device went well"))?.to_string();
        let says = message.contains(&device.info.name) && message.contains("the device was lost");
        ensure!(says, "call {i}: {message}");
    }
    DONE
}

fn dispatches(adapter: usize) -> Outcome {
    let model = Model::shakespeare()?;
    let lm = gatefold::unstable::generate::plan(model.shape, 0);
    let sizes = Sizes::of(1, 1);
    let device = gpu(adapter, Opened::Fully);
    if device.max_binding_bytes < 128 << 20 {
        return Ok(Completion::ignored_with("this adapter binds less than the floor"));
    }
    let executor = gpu_executor(&device, &lm.plan, sizes, &[lm.decoding.step]);
    let count = executor.dispatches(lm.decoding.step, sizes);
    ensure!(count == model.shape.layers + 2, "{count} dispatches for {} layers", model.shape.layers);
    DONE
}
