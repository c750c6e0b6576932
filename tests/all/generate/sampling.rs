//! Draws follow the exact probabilities, whatever the filters; top-p keeps the mass that it promises.

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::generate::Options;
use gatefold::unstable::ops::filters::{BANNED, TOP_K, key};
use gatefold::unstable::ops::rows::{ROW_WORDS, Row, halves};
use gatefold::unstable::ops::{filter, sample};
use gatefold::unstable::plan::{Builder, Plan, Role, SectionId, Sizes, TensorId, philox};
use libtest_mimic::Trial;

use crate::context::{DONE, Opened, Outcome, cpu_executor, gpu, gpu_executor, trial, trials_per_adapter};
use crate::ensure;

pub fn trials() -> Vec<Trial> {
    let on_cpu =
        |run: Kind| move || run(&|bench, sections| cpu_executor(&bench.plan, ONE, sections, Functions::Fast, 2));
    let on_gpu = |run: Kind| {
        move |adapter| run(&|bench, sections| gpu_executor(&gpu(adapter, Opened::Fully), &bench.plan, ONE, sections))
    };
    let kinds: [(&str, Kind); 2] =
        [("sampling: draws have the exact probabilities", draws), ("sampling: top-p keeps its mass", masses)];
    let mut trials = Vec::new();
    for (name, run) in kinds {
        trials.push(trial(format!("{name} on the CPU"), on_cpu(run)));
        trials.extend(trials_per_adapter(name, on_gpu(run)));
    }
    trials
}

type Kind = fn(Make<'_>) -> Outcome;

type Make<'a> = &'a dyn Fn(&Bench, &[SectionId]) -> Box<dyn Executor>;

const ONE: Sizes = Sizes::of(1, 1);

/// The sampler alone, on logits that a trial writes.
struct Bench {
    plan: Plan,
    filter: SectionId,
    draw: SectionId,
    logits: TensorId,
    table: TensorId,
    token_flags: TensorId,
    ids: TensorId,
}

fn bench(rows: usize, vocab: usize, steps: usize) -> Bench {
    let b = &mut Builder::new();
    let logits = b.f32(Role::Io, "logits", &[rows.into(), 1.into(), vocab.into()]);
    let table = b.u32(Role::State, "table", &[rows.into(), ROW_WORDS.into()]);
    let tokens = b.u32(Role::State, "tokens", &[rows.into()]);
    let forced = b.u32(Role::Io, "forced", &[1.into()]);
    let token_flags = b.u32(Role::State, "token_flags", &[rows.into(), vocab.into()]);
    let ids = b.u32(Role::Io, "ids", &[steps.into(), rows.into()]);
    let log_probs = b.f32(Role::Io, "log_probs", &[steps.into(), rows.into()]);
    let filter = b.section("filter", |b| filter::record(b, logits, table, token_flags, rows.into()));
    let draw = b.section("draw", |b| {
        let token_flags = sample::TokenFlags::Filtered(token_flags);
        let op = sample::Sample { logits, table, tokens, forced, ids, log_probs, token_flags };
        sample::record(b, op, rows.into(), gatefold::unstable::plan::Affine::STEP);
    });
    Bench { plan: std::mem::take(b).finish(), filter, draw, logits, table, token_flags, ids }
}

const VOCAB: usize = 20;
const ROWS: usize = 1000;
const STEPS: usize = 100;

/// 100,000 draws a kind of filter, against the probabilities in f64.
fn draws(make: Make<'_>) -> Outcome {
    // Ordered by nothing, no two equal, and none so small that a test could not see it.
    let logits: Vec<f32> = (0..VOCAB).map(|n| ((n * 7 + 3) % VOCAB) as f32 * 0.17 - 1.5).collect();
    let mut token_flags = vec![0; VOCAB];
    (token_flags[2], token_flags[5], token_flags[16], token_flags[19]) = (1, 3, 6, 2);
    let all = Options::default;
    let kinds = [
        ("temperature 1", all()),
        ("temperature 0.6", Options::at(0.6)),
        ("top-k", Options { top_k: 7, ..Options::at(1.4) }),
        ("top-p", Options { top_p: 0.74, ..Options::at(0.8) }),
        ("min-p", Options { min_p: 0.2, ..Options::at(0.9) }),
        ("penalties", Options { repetition_penalty: 1.4, presence_penalty: 0.3, frequency_penalty: 0.15, ..all() }),
        ("bans", Options { banned: [0, 5, 17].into(), ..all() }),
        ("all", Options { top_k: 12, top_p: 0.8, min_p: 0.3, presence_penalty: 0.6, banned: [1].into(), ..all() }),
    ];
    for (name, options) in kinds {
        let mut token_flags = token_flags.clone();
        options.banned.iter().for_each(|id| token_flags[*id as usize] |= BANNED);
        let ids = drawn(make, &logits, &token_flags, &options)?;
        let expected = probabilities(&logits, &token_flags, &options);
        let mut counts = vec![0u32; VOCAB];
        ids.iter().for_each(|id| counts[*id as usize] += 1);
        chi_square(name, &counts, &expected)?;
        if name == "temperature 1" {
            independent(&ids, &expected)?;
        }
    }
    DONE
}

/// Token after token of all rows: row m has seed m / 500 and sequence number m % 500.
fn drawn(make: Make<'_>, logits: &[f32], token_flags: &[u32], options: &Options) -> Result<Vec<u32>, String> {
    let bench = bench(ROWS, VOCAB, STEPS);
    let row = |m: usize| Row {
        running: 1,
        seed: halves(41 + (m / (ROWS / 2)) as u64),
        sequence: halves(7_000_000_000 + (m % (ROWS / 2)) as u64),
        end_position: u32::MAX,
        ..options.row(VOCAB)
    };
    let run = || {
        let mut executor = make(&bench, &[bench.filter, bench.draw]);
        executor.write(bench.logits, 0, Values::F32(&logits.repeat(ROWS)))?;
        executor.write(bench.token_flags, 0, Values::U32(&token_flags.repeat(ROWS)))?;
        let table: Vec<u32> = (0..ROWS).flat_map(|m| row(m).to_words()).collect();
        executor.write(bench.table, 0, Values::U32(&table))?;
        // The logits stay, so the limits do.
        let runs = [Run::new(bench.filter, ONE, 0..1), Run::new(bench.draw, ONE, 0..STEPS as u32)];
        let ticket = executor.submit(&runs, &[bench.ids])?;
        executor.wait(ticket)
    };
    let results = run().map_err(|e: gatefold::Error| e.to_string())?;
    Ok(results[0].word().to_vec())
}

/// The probability that each token should have: the definitions, one after the other, in f64.
fn probabilities(logits: &[f32], token_flags: &[u32], options: &Options) -> Vec<f64> {
    let adjusted = |(logit, mark): (&f32, &u32)| {
        let (l, count) = (f64::from(*logit), mark & !BANNED);
        if mark & BANNED != 0 {
            return f64::NEG_INFINITY;
        }
        if count == 0 {
            return l;
        }
        let r = f64::from(options.repetition_penalty);
        let repeated = if l > 0.0 { l / r } else { l * r };
        repeated - f64::from(options.presence_penalty) - f64::from(options.frequency_penalty) * f64::from(count)
    };
    let temperature = f64::from(options.temperature);
    let mut weights: Vec<f64> =
        logits.iter().zip(token_flags).map(|pair| (adjusted(pair) / temperature).exp()).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    if options.top_k > 0 {
        order.drain(options.top_k.min(order.len())..).for_each(|n| weights[n] = 0.0);
    }
    if options.top_p < 1.0 {
        let wanted = f64::from(options.top_p) * order.iter().map(|n| weights[*n]).sum::<f64>();
        let mut reached = 0.0;
        let needed = order.iter().take_while(|n| {
            let needed = reached < wanted;
            reached += weights[**n];
            needed
        });
        let needed = needed.count();
        order.drain(needed..).for_each(|n| weights[n] = 0.0);
    }
    let least = f64::from(options.min_p) * weights[order[0]];
    weights.iter_mut().for_each(|w| *w = if *w < least { 0.0 } else { *w });
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / total).collect()
}

/// Pairs of draws that have nothing in common but the logits: neighbouring sequence numbers, two seeds, two positions.
/// Tokens are put into five classes, so that each pair of classes has many draws.
fn independent(ids: &[u32], probabilities: &[f64]) -> Result<(), String> {
    const CLASSES: usize = 5;
    let mut of_class = [0.0; CLASSES];
    probabilities.iter().enumerate().for_each(|(n, p)| of_class[n % CLASSES] += p);
    let expected: Vec<f64> = of_class.iter().flat_map(|p| of_class.map(|q| p * q)).collect();
    let id = |step: usize, m: usize| ids[step * ROWS + m] as usize % CLASSES;
    let half = ROWS / 2;
    type Pair = fn(usize, usize) -> [(usize, usize); 2];
    let kinds: [(&str, usize, usize, Pair); 3] = [
        ("neighbouring sequences", STEPS, half, |step, m| [(step, 2 * m), (step, 2 * m + 1)]),
        ("two seeds", STEPS, half, |step, m| [(step, m), (step, m + ROWS / 2)]),
        ("two positions", STEPS / 2, ROWS, |step, m| [(2 * step, m), (2 * step + 1, m)]),
    ];
    for (name, steps, rows, pair) in kinds {
        let mut counts = vec![0; CLASSES * CLASSES];
        for (step, m) in (0..steps).flat_map(|step| (0..rows).map(move |m| (step, m))) {
            let [a, b] = pair(step, m);
            counts[id(a.0, a.1) * CLASSES + id(b.0, b.1)] += 1;
        }
        chi_square(name, &counts, &expected)?;
    }
    Ok(())
}

/// Pearson's test with a false alarm in a million: the quantile by Wilson and Hilferty. What has no probability must
/// not occur at all.
fn chi_square(name: &str, counts: &[u32], probabilities: &[f64]) -> Result<(), String> {
    const NORMAL_QUANTILE: f64 = 4.7534;
    let draws: f64 = counts.iter().map(|n| f64::from(*n)).sum();
    let (mut statistic, mut cells) = (0.0, 0);
    for (n, (count, p)) in counts.iter().zip(probabilities).enumerate() {
        if *p == 0.0 && *count > 0 {
            return Err(format!("{name}: cell {n} was drawn {count} times and has no probability"));
        }
        if *p > 0.0 {
            let expected = p * draws;
            assert!(expected > 20.0, "{name}: too few draws for a test of cell {n}");
            statistic += (f64::from(*count) - expected).powi(2) / expected;
            cells += 1;
        }
    }
    let freedom = f64::from(cells - 1);
    let spread = 2.0 / (9.0 * freedom);
    let most = freedom * (1.0 - spread + NORMAL_QUANTILE * spread.sqrt()).powi(3);
    println!("{name}: chi-square {statistic:.1} with {freedom} degrees of freedom, at most {most:.1}");
    if statistic < most { Ok(()) } else { Err(format!("{name}: chi-square {statistic:.1} exceeds {most:.1}")) }
}

/// Rows of 50,257 tokens on which rounding decides what top-p keeps: what is kept is within 1e-5 of what should be.
fn masses(make: Make<'_>) -> Outcome {
    const VOCAB: usize = 50_257;
    let unit = |row: u32, n: usize| philox([n as u32, row, 0, 0], [5, 6])[0] as f32 / 4_294_967_296.0;
    // (what is special, the logit of a token)
    type Logit = fn(usize, f32) -> f32;
    let kinds: [(&str, Logit); 7] = [
        ("uniform numbers", |_, u| 12.0 * u),
        ("nearly equal", |_, u| 3.0 + 1e-4 * u),
        ("one, and a tail near the smallest mass there is", |n, u| if n == 777 { 0.0 } else { -24.0 - 3.7 * u }),
        ("one, and as much again in all others", |n, u| if n == 50_000 { 10.8 } else { 0.01 * u }),
        ("geometric", |n, _| -0.001 * n as f32),
        ("large", |n, u| 9000.0 + 5.0 * u - n as f32 * 1e-3),
        ("steps", |n, _| (n % 9) as f32 * -0.7),
    ];
    let shares = [1e-6, 0.1, 0.5, 0.9, 0.99, 0.9999, 0.99999];
    let rows = kinds.len() * shares.len();
    let bench = bench(rows, VOCAB, 1);
    let (mut logits, mut table) = (Vec::new(), Vec::new());
    for (i, (_, logit)) in kinds.iter().enumerate() {
        for (j, top_p) in shares.iter().enumerate() {
            let top_k = if j % 3 == 1 { 20_000 } else { 0 };
            let options = Options { top_p: *top_p, top_k, ..Options::at(0.9) };
            table.push(Row { running: 1, end_position: 9, ..options.row(VOCAB) });
            logits.extend((0..VOCAB).map(|n| logit(n, unit(i as u32, n))));
        }
    }
    let mut executor = make(&bench, &[bench.filter]);
    executor.write(bench.logits, 0, Values::F32(&logits))?;
    executor.write(bench.table, 0, Values::U32(&table.iter().flat_map(|row| row.to_words()).collect::<Vec<_>>()))?;
    let ticket = executor.submit(&[Run::new(bench.filter, ONE, 0..1)], &[bench.table])?;
    let results = executor.wait(ticket)?;
    let mut worst = [0.0f64; 2];
    for (m, record) in results[0].word().chunks(ROW_WORDS).enumerate() {
        let (kind, top_p) = (kinds[m / shares.len()].0, f64::from(shares[m % shares.len()]));
        let [kept, without_last] = kept_mass(&Row::from_words(record), &logits[m * VOCAB..][..VOCAB]);
        worst = [worst[0].max(top_p - kept), worst[1].max(without_last - top_p)];
        ensure!(kept >= top_p - 1e-5, "{kind}, top-p {top_p}: kept {kept}");
        ensure!(without_last < top_p + 1e-5, "{kind}, top-p {top_p}: kept {without_last} without the last");
    }
    println!("largest lack of mass {:.1e}, largest mass too much {:.1e}", worst[0], worst[1]);
    DONE
}

/// The share of what top-k leaves that a row's limit keeps; the same without the last token kept.
fn kept_mass(row: &Row, logits: &[f32]) -> [f64; 2] {
    let mut tokens: Vec<(u64, f64)> = (logits.iter().zip(0..))
        .map(|(logit, id)| (key(row.scaled(*logit), id), f64::from(row.scaled(*logit))))
        .collect();
    tokens.sort_by_key(|token| std::cmp::Reverse(token.0));
    if row.filters & TOP_K != 0 {
        tokens.truncate(row.top_k as usize);
    }
    let most = tokens[0].1;
    let mass = |tokens: &[(u64, f64)]| tokens.iter().map(|t| (t.1 - most).exp()).sum::<f64>();
    let kept = tokens.iter().filter(|t| t.0 >= row.limit_key()).count();
    let total = mass(&tokens);
    [mass(&tokens[..kept]) / total, mass(&tokens[..kept.saturating_sub(1)]) / total]
}
