//! Bits: of all functions, on all instruction sets, for any split into rows and tasks.

use super::backward::step_backward_at;
use super::recurrent::{self, FastCell};
use super::simd::Level;
use super::{cross_entropy, dropout, filter, matmul, matmul_gradient, optimisers, sample, softmax, sum_rows, sums};
use crate::cpu::{FastArgs, Lines, Pool, Serial};
use crate::ops;
use crate::ops::activation::Activation;
use crate::ops::gru::Gru;
use crate::ops::lstm::Lstm;
use crate::ops::recurrent::Extra;
use crate::ops::rnn::Rnn;
use crate::ops::rows::{Row, halves};
use crate::plan::{Buffer, Layout, OpRow, PARAM_WORDS, ParamWords, philox};

/// Claims threads, so that work is split, and runs the tasks backwards.
struct Backwards(usize);

impl Pool for Backwards {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).rev().for_each(task);
    }
}

type Function = fn(Level, &mut FastArgs<'_>);

/// An op with its operands.
#[derive(Clone)]
struct Problem {
    op: &'static OpRow,
    run: Function,
    operands: Vec<Buffer<f32>>,
    packed: Vec<Option<Vec<f32>>>,
    words: Vec<usize>,
    /// Parameters that move by one from row to row.
    moving: &'static [usize],
}

impl Problem {
    fn new(op: &'static OpRow, run: Function, words: &[usize], moving: &'static [usize]) -> Problem {
        Problem { op, run, operands: Vec::new(), packed: Vec::new(), words: words.to_vec(), moving }
    }

    /// Numbers between -scale and scale.
    fn random(&self, len: usize, scale: f32) -> Vec<f32> {
        let seed = self.operands.len() as u32;
        let number = |i| philox([i, seed, 0, 0], [1, 2])[0] as i32 as f32 * (scale / 2_147_483_648.0);
        (0..len as u32).map(number).collect()
    }

    fn real(mut self, len: usize, scale: f32) -> Problem {
        let values = self.random(len, scale);
        self.operands.push(Buffer::Real(values));
        self.packed.push(None);
        self
    }

    fn word(mut self, words: Vec<u32>) -> Problem {
        self.operands.push(Buffer::Word(words));
        self.packed.push(None);
        self
    }

    fn weight(self, shape: [usize; 3]) -> Problem {
        self.weight_in(Layout::Panel16, shape)
    }

    fn weight_in(mut self, layout: Layout, shape: [usize; 3]) -> Problem {
        let values = self.random(shape.iter().product(), 0.3);
        self.operands.push(Buffer::Real(Vec::new()));
        self.packed.push(Some(layout.pack(&values, shape, 0.0)));
        self
    }

    /// Runs it, on the rows one by one where `one_by_one`, with dirty scratch memory.
    fn solve(&self, level: Level, pool: &dyn Pool, one_by_one: bool) -> Vec<Vec<u32>> {
        let mut operands = self.operands.clone();
        let packed: Vec<Option<&[f32]>> = self.packed.iter().map(|p| p.as_deref()).collect();
        let mut scratch = Lines::default();
        scratch.resize(100);
        scratch.fill(f32::NAN);
        let mut run = |row: usize, rows: usize| {
            let mut words = [0; PARAM_WORDS];
            for (i, word) in self.words.iter().enumerate() {
                words[i] = (word + if self.moving.contains(&i) { row } else { 0 }) as u32;
            }
            words[0] = rows as u32;
            let (operands, words) = (&mut operands, ParamWords::new(self.op, words));
            (self.run)(level, &mut FastArgs { operands, packed: &packed, words, pool, scratch: &mut scratch });
        };
        let rows = self.words[0];
        if one_by_one {
            (0..rows).for_each(|row| run(row, 1))
        } else {
            run(0, rows)
        }
        let bits = |operand: &Buffer<f32>| match operand {
            Buffer::Real(v) => v.iter().map(|x| x.to_bits()).collect(),
            Buffer::Word(v) => v.clone(),
        };
        operands.iter().map(bits).collect()
    }

    fn check(&self, name: &str) {
        let expected = self.solve(Level::best(), &Serial, false);
        for level in Level::all() {
            for pool in [&Serial as &dyn Pool, &Backwards(2), &Backwards(7)] {
                let threads = pool.threads();
                assert!(self.solve(level, pool, false) == expected, "{name} {level:?} threads {threads}");
            }
            if !self.moving.is_empty() {
                assert!(self.solve(level, &Backwards(2), true) == expected, "{name} {level:?} row by row");
            }
        }
    }
}

fn matmul_of(rows: usize, inputs: usize, groups: usize, outputs: usize) -> Problem {
    let columns = groups * outputs;
    Problem::new(&ops::matmul::ROW, matmul::matmul_at, &[rows, inputs, groups, outputs, 1, 2], &[4, 5])
        .real((rows + 1) * inputs, 1.0)
        .weight([groups, outputs, inputs])
        .real(columns, 1.0)
        .real((rows + 2) * columns, 1.0)
}

/// Gradients of groups 1 .. groups + 1 of one more.
fn input_gradient_of([rows, groups, outputs, inputs]: [usize; 4], accumulate: usize) -> Problem {
    let words = [rows, inputs, outputs, groups, 1, 2, groups + 1, 1, 1, accumulate];
    Problem::new(&ops::matmul_input_gradient::ROW, matmul_gradient::matmul_input_gradient_at, &words, &[4, 5])
        .real((rows + 1) * (groups + 1) * outputs, 1.0)
        .real((groups + 1) * outputs * inputs, 0.3)
        .real((rows + 2) * inputs, 1.0)
}

fn weight_gradient_of([rows, groups, outputs, inputs]: [usize; 4], accumulate: usize) -> Problem {
    let words = [rows, inputs, outputs, groups, 1, 2, groups + 1, 1, 1, accumulate];
    Problem::new(&ops::matmul_weight_gradient::ROW, matmul_gradient::matmul_weight_gradient_at, &words, &[])
        .real((rows + 1) * (groups + 1) * outputs, 1.0)
        .real((rows + 2) * inputs, 1.0)
        .real((groups + 1) * outputs * inputs, 1.0)
}

fn sum_rows_of([rows, groups, outputs]: [usize; 3], accumulate: usize) -> Problem {
    Problem::new(
        &ops::sum_rows::ROW,
        sum_rows::sum_rows_at,
        &[rows, outputs, groups, 1, groups + 1, 1, 1, accumulate],
        &[],
    )
    .real((rows + 1) * (groups + 1) * outputs, 1.0)
    .real((groups + 1) * outputs, 1.0)
}

/// A cell of a kind, by the word of its function.
struct Kind {
    name: &'static str,
    gates: usize,
    extra: Extra,
    step: Function,
    decode: Function,
    step_backward: Function,
    activation: usize,
    /// Step, decode, step backward.
    rows: [&'static OpRow; 3],
}

fn kind<C: FastCell>(name: &'static str, f: Activation) -> Kind {
    let (step, decode, step_backward) = (recurrent::step_at::<C>, recurrent::decode_at::<C>, step_backward_at::<C>);
    let cell = C::kinds()[0];
    let rows = [cell.step, cell.decode, cell.step_backward];
    Kind { name, gates: C::GATES, extra: C::EXTRA, step, decode, step_backward, activation: f.word(), rows }
}

fn kinds() -> [Kind; 4] {
    [
        kind::<Lstm>("lstm", Activation::Tanh),
        kind::<Gru>("gru", Activation::Tanh),
        kind::<Rnn>("rnn", Activation::Tanh),
        kind::<Rnn>("rnn relu", Activation::Relu),
    ]
}

fn step_of(cell: &Kind, rows: usize, hidden: usize, keep: bool) -> Problem {
    let extra_row = usize::from(cell.extra == Extra::Kept);
    let words = [rows, hidden, 1, rows, 0, extra_row, extra_row, keep.into(), cell.activation];
    Problem::new(cell.rows[0], cell.step, &words, &[2, 3, 4, 5, 6])
        .real((rows + 1) * cell.gates * hidden, 3.0)
        .weight([cell.gates, hidden, hidden])
        .real(cell.gates * hidden, 1.0)
        .real(2 * rows * hidden, 1.0)
        .real((rows + 1) * hidden, 2.0)
}

fn step_backward_of(cell: &Kind, rows: usize, hidden: usize) -> Problem {
    // dh has no offset, and that of a state's gradient is 0: their rows do not move.
    let extra_row = usize::from(cell.extra == Extra::Kept);
    let words = [rows, hidden, 1, rows + 1, 0, rows, extra_row, 1, cell.activation];
    Problem::new(cell.rows[2], cell.step_backward, &words, &[])
        .real((2 * rows + 1) * cell.gates * hidden, 1.0)
        .weight_in(Layout::Panel16T, [cell.gates, hidden, hidden])
        .real(2 * rows * hidden, 2.0)
        .real((rows + 1) * hidden, 1.0)
        .real((2 * rows + 1) * hidden, 1.0)
        .real(rows * hidden, 1.0)
}

/// A decode step: its input rows in order, or looked up in an order of their own.
fn decode_of(cell: &Kind, [rows, inputs, hidden]: [usize; 3], gather: bool) -> Problem {
    let ids = (0..rows as u32).map(|m| (7 * m + 3) % (rows as u32 + 1)).collect();
    // Looked-up rows are those of `ids`, from the first on: they do not move.
    let moving: &'static [usize] = if gather { &[] } else { &[3, 5, 6, 7] };
    Problem::new(
        cell.rows[1],
        cell.decode,
        &[rows, inputs, hidden, 1, gather.into(), rows, 0, 0, cell.activation],
        moving,
    )
    .real((rows + 1) * inputs, 1.0)
    .word(ids)
    .weight([cell.gates, hidden, inputs])
    .weight([cell.gates, hidden, hidden])
    .real(cell.gates * hidden, 1.0)
    .real(cell.gates * hidden, 1.0)
    .real(2 * rows * hidden, 1.0)
    .real(rows * hidden, 2.0)
}

fn sample_of(rows: usize, vocab: usize, temperature: f32) -> Problem {
    let row = |m: u64| Row {
        running: u32::from(m != 2),
        position: 5,
        sequence: halves(m << 31),
        seed: [3, 4],
        inverse_temperature: temperature.recip(),
        end_position: 9,
        forced_end: u32::from(m == 1),
        ..Row::IDLE
    };
    Problem::new(&ops::sample::ROW, sample::sample_at, &[rows, vocab, 1, 0], &[])
        .real(rows * vocab, 6.0)
        .word((0..rows as u64).flat_map(|m| row(m).to_words()).collect())
        .word(vec![0; rows])
        .word(vec![0])
        .word(vec![0; 2 * rows])
        .real(2 * rows, 1.0)
        .word(vec![0])
}

/// The same rows with filters, their limits found in advance or not.
fn filtered_of(run: Function, rows: usize, vocab: usize) -> Problem {
    let row = |m: u32| Row {
        running: 1,
        end_position: 9,
        inverse_temperature: 1.3,
        filters: m * 5 % 16,
        top_k: vocab as u32 / 2 + 1,
        top_p: 0xa000_0000,
        ln_min_p: -2.5,
        presence: 0.7,
        frequency: 0.2,
        limit: [0, 0x9000_0000],
        ..Row::IDLE
    };
    let table = (0..rows as u32).flat_map(|m| row(m).to_words()).collect();
    let token_flags: Vec<u32> = (0..(rows * vocab) as u32).map(|i| i % 3).collect();
    if run as usize == filter::filter_at as *const () as usize {
        return Problem::new(&ops::filter::ROW, run, &[rows, vocab, 0], &[])
            .real(rows * vocab, 6.0)
            .word(table)
            .word(token_flags);
    }
    let mut problem = sample_of(rows, vocab, 1.0);
    problem.words[3] = 1;
    problem.operands[1] = Buffer::Word(table);
    problem.operands[6] = Buffer::Word(token_flags);
    problem
}

#[test]
fn matmul_bits() {
    for (rows, inputs, groups, outputs) in
        [(1, 1, 1, 1), (1, 520, 1, 1100), (3, 65, 4, 33), (67, 130, 1, 300), (13, 128, 1, 1000), (500, 64, 3, 17)]
    {
        matmul_of(rows, inputs, groups, outputs).check(&format!("matmul {rows} {inputs} {groups} {outputs}"));
    }
}

#[test]
fn gradient_bits() {
    for accumulate in [0, 3] {
        for shape in [[1, 1, 1, 1], [3, 2, 65, 33], [300, 1, 300, 17], [70, 3, 130, 300], [600, 1, 65, 64]] {
            input_gradient_of(shape, accumulate).check(&format!("input gradient {shape:?}"));
            weight_gradient_of(shape, accumulate).check(&format!("weight gradient {shape:?}"));
        }
        for shape in [[1, 1, 1], [3, 2, 65], [700, 1, 7000], [130, 3, 300]] {
            sum_rows_of(shape, accumulate).check(&format!("sum of rows {shape:?}"));
        }
    }
}

#[test]
fn step_bits() {
    for (rows, hidden) in [(1, 1), (1, 70), (1, 410), (2, 384), (5, 17), (31, 128), (67, 81)] {
        for cell in &kinds() {
            let name = cell.name;
            for keep in [false, true] {
                step_of(cell, rows, hidden, keep).check(&format!("{name} step {rows} {hidden} {keep}"));
            }
            step_backward_of(cell, rows, hidden).check(&format!("{name} step backward {rows} {hidden}"));
            for gather in [false, true] {
                decode_of(cell, [rows, 50, hidden], gather).check(&format!("{name} decode {rows} {hidden} {gather}"));
            }
        }
    }
}

#[test]
fn softmax_and_sample_bits() {
    for (rows, vocab) in [(1, 1), (3, 17), (5, 1000), (3, 20_001)] {
        let x = |op, run, log| Problem::new(op, run, &[rows, vocab, log], &[]).real(rows * vocab, 9.0).real(rows, 1.0);
        x(&ops::logsumexp::ROW, softmax::logsumexp_at, 0).check("logsumexp");
        for log in [0, 1] {
            x(&ops::softmax::ROW, softmax::softmax_at, log).real(rows * vocab, 0.0).check("softmax");
        }
        for temperature in [f32::INFINITY, 1.0, 0.1] {
            sample_of(rows, vocab, temperature).check("sample");
        }
        for run in [filter::filter_at, sample::sample_at] {
            filtered_of(run, rows, vocab).check("filter and sample");
        }
    }
}

#[test]
fn training_bits() {
    let float = |x: f32| x.to_bits() as usize;
    for (rows, vocab) in [(1, 1), (3, 17), (5, 1000), (3, 20_001)] {
        for gradient in [0, 1] {
            Problem::new(
                &ops::cross_entropy::ROW,
                cross_entropy::cross_entropy_at,
                &[rows, vocab, 1, 2, 0, gradient, float(0.1)],
                &[],
            )
            .real(rows * vocab, 9.0)
            .real(rows, 1.0)
            .word((0..=rows as u32).map(|m| if m == 2 { u32::MAX } else { m % vocab as u32 }).collect())
            .real(4, 1.0)
            .real(rows + 2, 1.0)
            .check("cross_entropy");
        }
        let words = [rows, vocab, 1, 2, 0x8000_0000, float(2.0), 5, 6, 7, 8];
        Problem::new(&ops::dropout::ROW, dropout::dropout_at, &words, &[])
            .real((rows + 1) * vocab, 1.0)
            .real((rows + 2) * vocab, 1.0)
            .check("dropout");
    }
    for n in [1, 31, 5000, 70_003] {
        Problem::new(&ops::mean_loss::ROW, sums::mean_loss_at, &[n, 0], &[])
            .real(n, 1.0)
            .real(4, 1.0)
            .real(1, 0.0)
            .check("mean_loss");
        Problem::new(&ops::square_sum::ROW, sums::square_sum_at, &[0, n], &[])
            .real(n, 1.0)
            .real(n.div_ceil(1024), 0.0)
            .check("square_sum");
        let words = [n, 0, float(0.5)];
        Problem::new(&ops::clip_scale::ROW, sums::clip_scale_at, &words, &[])
            .real(n, 1.0)
            .real(2, 0.0)
            .check("clip_scale");
        let flat = |op, run, words: &[usize], tensors: usize| {
            (0..tensors)
                .fold(Problem::new(op, run, words, &[]), |problem, _| problem.real(n, 1.0))
                .real(4, 0.1)
                .real(2, 1.0)
        };
        let [beta, share, decay] = [0.9, 0.1, 0.01].map(float);
        for decoupled in [0, 1] {
            let words = [0, beta, beta, share, share, float(1e-8), decay, decoupled];
            // The second moment is not negative.
            let mut problem = flat(&ops::adam::ROW, optimisers::adam_at, &words, 4);
            problem.operands[3] = Buffer::Real(problem.operands[3].real().iter().map(|x| x.abs()).collect());
            problem.check("adam");
        }
        flat(&ops::sgd::ROW, optimisers::sgd_at, &[0, beta, decay], 3).check("sgd");
    }
}
