//! Chains of recurrent steps forwards and backwards, against finite differences: gradients of the input products and of
//! the states before the first step.

use gatefold::unstable::ops::CELLS;
use gatefold::unstable::ops::activation::Activation;
use gatefold::unstable::ops::recurrent::{Extra, Recurrent};
use gatefold::unstable::ops::step::{self, Step};
use gatefold::unstable::ops::step_backward::{self, StepBackward};
use gatefold::unstable::plan::{Affine, Builder, Dim, Direction, Loop, Role, Sizes, TensorId};
use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, trial};
use crate::finite_differences::{Problem, random};

const ROWS: usize = 2;
const TIME: usize = 3;
const HIDDEN: usize = 5;

pub fn trials() -> Vec<Trial> {
    let name = |cell: &Recurrent| format!("finite differences: {} {}", cell.step.name, cell.activation.name());
    CELLS.iter().map(|cell| trial(name(cell), move || steps(cell))).collect()
}

/// Row block t + `later` of a tensor.
fn block(t: Loop, later: usize) -> Affine {
    Affine::from(t).plus(later).times(Dim::ROWS)
}

/// Row block `t` of a tensor.
fn fixed(t: usize) -> Affine {
    (Dim::ROWS * Dim::fixed(t)).into()
}

/// The loss is a sum over the states after all steps. After the row blocks of the steps and the zeros that the last step
/// reads, gates have a block of a step that lets all pass: it adds to h0's gradient what the first step asks of it.
fn steps(cell: &'static Recurrent) -> Outcome {
    let mut b = Builder::new();
    let hidden: Dim = HIDDEN.into();
    let is_state = cell.extra == Extra::State;
    let declare = |b: &mut Builder, name: &str, blocks: usize, gates: usize| {
        b.f32(Role::Saved, name, &[blocks.into(), Dim::ROWS, gates.into(), hidden])
    };
    let over_time = |b: &mut Builder, name: &str| b.f32(Role::Saved, name, &[(TIME + 1).into(), Dim::ROWS, hidden]);
    let gates = declare(&mut b, "gates", TIME + 2, cell.gates);
    let kept = declare(&mut b, "kept", TIME + 2, 1);
    let w_hh = b.f32(Role::Weight, "w_hh", &[cell.gates.into(), hidden, hidden]);
    let b_hh = b.f32(Role::Weight, "b_hh", &[cell.gates.into(), hidden]);
    let [h, c, dy, dc, dh] = ["h", "c", "dy", "dc", "dh"].map(|name| over_time(&mut b, name));
    let forward = b.section("forward", |b| {
        b.repeat("t", TIME.into(), Direction::Forward, |b, t| {
            let block = |later| block(t, later);
            let (extra, extra_write) = if is_state { (c, block(1)) } else { (kept, block(0)) };
            let (h_read, h_write, extra_read) = (block(0), block(1), block(0));
            let at = step::StepOffsets { gx: block(0), h_read, h_write, extra_read, extra_write, keep_gates: true };
            step::record(b, cell, Step { gates, w_hh, b_hh, h, extra }, Dim::ROWS, at);
        });
    });
    let step = |b: &mut Builder, gates_at: Affine, next: Affine, before: Affine, dy_at: Affine| {
        let (states, extra) = if is_state { (c, dc) } else { (h, kept) };
        let op = StepBackward { gates, w_hh, states, dy, extra, dh };
        let at = step_backward::StepBackwardOffsets { gates: gates_at, next, before, after: dy_at, dy: dy_at };
        step_backward::record(b, cell, op, Dim::ROWS, at);
    };
    let backward = b.section("backward", |b| {
        b.repeat("t", TIME.into(), Direction::Backward, |b, t| {
            let [now, next] = [block(t, 0), block(t, 1)];
            step(b, now, next, now, next);
        });
        step(b, fixed(TIME + 1), fixed(0), fixed(0), fixed(0));
    });
    let state = ROWS * HIDDEN;
    let of = |id: TensorId, len: usize, scale: f64, seed: u32| {
        (id, random(len, seed).into_iter().map(|x| scale * x).collect::<Vec<f64>>())
    };
    let initial = |id: TensorId, seed: u32| {
        let (id, mut values) = of(id, (TIME + 1) * state, 0.8, seed);
        values[state..].fill(0.0);
        (id, values)
    };
    let (_, mut products) = of(gates, (TIME + 2) * cell.gates * state, 1.5, 1);
    products[TIME * cell.gates * state..].fill(0.0);
    // The forget gate of an LSTM, the update gate of a GRU; tanh where it is flat. Of a relu, 0 is flat.
    let passing = if cell.gates > 1 { 1 } else { 0 };
    for row in (0..ROWS).filter(|_| cell.activation == Activation::Tanh) {
        let at = (((TIME + 1) * ROWS + row) * cell.gates + passing) * HIDDEN;
        products[at..at + HIDDEN].fill(1.0);
    }
    let weights = [of(w_hh, cell.gates * HIDDEN * HIDDEN, 0.8, 2), of(b_hh, cell.gates * HIDDEN, 0.5, 3)];
    let mut inputs = vec![(gates, products), initial(h, 4)];
    inputs.extend(weights);
    let mut gradients = vec![(gates, gates), (h, dh)];
    if is_state {
        inputs.push(initial(c, 5));
        gradients.push((c, dc));
    }
    let plan = b.finish();
    let sizes = Sizes::of(ROWS, TIME);
    Problem { plan, sizes, forward, backward, words: Vec::new(), inputs, outputs: vec![(h, dy)], gradients }.check()?;
    DONE
}
