//! Gradients of recurrent stacks, of one direction and two, of whole rows and packed ones, against those that PyTorch computed
//! in float64: of inputs, initial states and every weight. The vectors are those of `vectors.rs`: `gy`, `ghn`, `gcn` are the gradients that come in, `out.gx`,
//! `out.gh0`, `out.gc0` and `out.grad.NAME` those that go out.

use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::network::{Cell, TrainedStack, trained_stack};
use gatefold::unstable::plan::{Sizes, TensorId};
use libtest_mimic::{Failed, Trial};

use crate::context::{DONE, Outcome, skipped, trial};
use crate::ensure;
use crate::safetensor_file::{On, Recorded, trials_per_case};
use crate::vectors::{Case, FOLDER, folder, swap_axes};

const GROUP: &str = "gradients of a PyTorch cell";

/// How far a gradient may be from PyTorch's, in units of the largest of its tensor.
const TOLERANCE: f64 = 1e-5;

pub fn trials() -> Vec<Trial> {
    match folder() {
        Some(folder) => trials_per_case(GROUP, &folder.join("cells"), |case| case.trained_cell().is_some(), check),
        None => vec![trial(format!("{GROUP}: cases"), || skipped(FOLDER))],
    }
}

fn check(recorded: &Recorded<Case>, on: On) -> Outcome {
    let Case { rows, time, n_in, hidden, layers, state, .. } = recorded.case;
    let cell = recorded.case.trained_cell().expect("only such cases are checked");
    let width = recorded.case.directions() * hidden;
    let stack = trained_stack(cell, n_in, hidden, layers, recorded.case.directions() == 2);
    let sizes = Sizes::of(rows, time);
    let mut executor = on.executor(&stack.plan, sizes, &[stack.forward, stack.backward]);
    let executor = &mut *executor;
    recorded.weights().load_into(executor)?;
    executor.write(stack.always, 0, Values::U32(&vec![1; 4 * rows]))?;
    let lengths = recorded.case.lengths.clone().unwrap_or(vec![time; rows]);
    executor.write(stack.lengths, 0, Values::U32(&lengths.iter().map(|n| *n as u32).collect::<Vec<_>>()))?;
    executor.write(stack.x, 0, Values::F32(&swap_axes(recorded.tensor("x")?, [rows, time, n_in])))?;
    executor.write(stack.dy, 0, Values::F32(&swap_axes(recorded.tensor("gy")?, [rows, time, width])))?;
    write_states(recorded, &stack, executor)?;

    let read: Vec<(String, TensorId)> = wanted(&stack, recorded.case.directions());
    let ids: Vec<TensorId> = read.iter().map(|(_, id)| *id).collect();
    let runs = [stack.forward, stack.backward].map(|section| Run::new(section, sizes, 0..1));
    let ticket = executor.submit(&runs, &ids)?;
    let results = executor.wait(ticket)?;
    let (mut dh0, mut dc0) = (Vec::new(), Vec::new());
    for ((name, _), found) in read.iter().zip(&results) {
        match name.as_str() {
            "y" => close("y", found.real(), &swap_axes(recorded.tensor("out.y")?, [rows, time, width]))?,
            "gx" => close("gx", found.real(), &swap_axes(recorded.tensor("out.gx")?, [rows, time, n_in]))?,
            "gh0" => dh0.extend_from_slice(found.real()),
            "gc0" => dc0.extend_from_slice(found.real()),
            weight => close(weight, found.real(), recorded.tensor(&format!("out.grad.{weight}"))?)?,
        }
    }
    if state {
        close("gh0", &dh0, recorded.tensor("out.gh0")?)?;
        if cell == Cell::Lstm {
            close("gc0", &dc0, recorded.tensor("out.gc0")?)?;
        }
    }
    DONE
}

/// First states, and the gradients of final ones.
fn write_states(recorded: &Recorded<Case>, stack: &TrainedStack, executor: &mut dyn Executor) -> Result<(), Failed> {
    let Case { rows, hidden, state, .. } = recorded.case;
    let of_way = rows * hidden;
    let directions = recorded.case.directions();
    let mut write = |to: TensorId, values: &[f32]| executor.write(to, 0, Values::F32(values));
    // Directions stand side by side there.
    let side_by_side = |values: &[f32]| swap_axes(values, [directions, rows, hidden]);
    for (i, way) in stack.ways.iter().enumerate() {
        let (dh, dc, _) = way.final_gradients;
        let level = i / directions * directions * of_way..(i / directions + 1) * directions * of_way;
        write(dh, &side_by_side(&recorded.tensor("ghn")?[level.clone()]))?;
        if let Some(dc) = dc {
            write(dc, &side_by_side(&recorded.tensor("gcn")?[level]))?;
        }
        for (to, name) in [(Some(way.h), "h0"), (way.c, "c0")].into_iter().filter(|_| state) {
            if let Some(to) = to {
                write(to, &recorded.tensor(name)?[i * of_way..][..of_way])?;
            }
        }
    }
    Ok(())
}

/// What is compared: a weight under its own name.
fn wanted(stack: &TrainedStack, directions: usize) -> Vec<(String, TensorId)> {
    let mut wanted = vec![("y".to_string(), stack.y), ("gx".to_string(), stack.dx)];
    for (i, way) in stack.ways.iter().enumerate() {
        let gradients = &way.gradients;
        let suffix = format!("l{}{}", i / directions, if i % directions == 1 { "_reverse" } else { "" });
        wanted.push(("gh0".into(), gradients.dh));
        wanted.extend(gradients.dc.map(|dc| ("gc0".into(), dc)));
        wanted.push((format!("weight_ih_{suffix}"), gradients.w_ih));
        wanted.push((format!("weight_hh_{suffix}"), gradients.w_hh));
        wanted.push((format!("bias_ih_{suffix}"), gradients.b_ih));
        wanted.push((format!("bias_hh_{suffix}"), gradients.b_hh));
    }
    wanted
}

fn close(what: &str, found: &[f32], expected: &[f32]) -> Result<(), Failed> {
    ensure!(found.len() == expected.len(), "{what} has {} elements, expected {}", found.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |most, x| most.max(f64::from(x.abs())));
    let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    let worst =
        found.iter().zip(expected).map(apart).fold(0.0, |most: f64, x| if x.is_nan() { x } else { most.max(x) });
    ensure!(worst <= TOLERANCE * largest, "{what}: {:.2e} of its largest, over {TOLERANCE:e}", worst / largest);
    Ok(())
}
