//! Gradients of recurrent stacks against those that PyTorch computed in float64: of inputs, initial states and every
//! weight. The vectors are those of `vectors.rs`: `gy`, `ghn`, `gcn` are the gradients that come in, `out.gx`,
//! `out.gh0`, `out.gc0` and `out.grad.NAME` those that go out.

use gatefold::unstable::executor::{Executor, Run, Values};
use gatefold::unstable::network::{Cell, TrainedStack, trained_stack};
use gatefold::unstable::plan::{Sizes, TensorId};
use libtest_mimic::{Failed, Trial};

use crate::context::{DONE, Outcome, skipped, trial};
use crate::ensure;
use crate::safetensor_file::{On, Recorded, trials_per_case};
use crate::vectors::{Case, FOLDER, folder, swap_axes, write_initial_states};

const GROUP: &str = "gradients of a PyTorch cell";

/// How far a gradient may be from PyTorch's, in units of the largest of its tensor.
const TOLERANCE: f64 = 1e-5;

pub fn trials() -> Vec<Trial> {
    match folder() {
        Some(folder) => trials_per_case(GROUP, &folder.join("cells"), Case::is_plain, check),
        None => vec![trial(format!("{GROUP}: cases"), || skipped(FOLDER))],
    }
}

fn check(recorded: &Recorded<Case>, on: On) -> Outcome {
    let Case { rows, time, n_in, hidden, layers, state, .. } = recorded.case;
    let cell = recorded.case.cell().expect("only plain cases are checked");
    let stack = trained_stack(cell, n_in, hidden, layers);
    let sizes = Sizes::of(rows, time);
    let mut executor = on.executor(&stack.plan, sizes, &[stack.forward, stack.backward]);
    let executor = &mut *executor;
    recorded.weights().load_into(executor)?;
    executor.write(stack.always, 0, Values::U32(&vec![1; 4 * rows]))?;
    executor.write(stack.x, 0, Values::F32(&swap_axes(recorded.tensor("x")?, [rows, time, n_in])))?;
    write_initial_states(recorded, &stack.layers, executor)?;
    write_gradients(recorded, &stack, executor)?;

    let read: Vec<(String, TensorId)> = wanted(&stack);
    let ids: Vec<TensorId> = read.iter().map(|(_, id)| *id).collect();
    let runs = [stack.forward, stack.backward].map(|section| Run::new(section, sizes, 0..1));
    let ticket = executor.submit(&runs, &ids)?;
    let results = executor.wait(ticket)?;
    let (mut dh0, mut dc0) = (Vec::new(), Vec::new());
    for ((name, _), found) in read.iter().zip(&results) {
        match name.as_str() {
            "gx" => {
                let expected = swap_axes(recorded.tensor("out.gx")?, [rows, time, n_in]);
                close("gx", found.real(), &expected)?;
            }
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

/// The gradients that come in: of the outputs, and of the final states.
fn write_gradients(recorded: &Recorded<Case>, stack: &TrainedStack, executor: &mut dyn Executor) -> Result<(), Failed> {
    let Case { rows, time, hidden, layers, .. } = recorded.case;
    let ghn = recorded.tensor("ghn")?;
    for (i, gradients) in stack.gradients.iter().enumerate() {
        let mut dy = if i + 1 == layers {
            swap_axes(recorded.tensor("gy")?, [rows, time, hidden])
        } else {
            vec![0.0; time * rows * hidden]
        };
        let of_layer = rows * hidden;
        let last = dy[(time - 1) * of_layer..].iter_mut();
        last.zip(&ghn[i * of_layer..]).for_each(|(dy, ghn)| *dy += ghn);
        executor.write(gradients.dy, 0, Values::F32(&dy))?;
        executor.write(gradients.dh, 0, Values::F32(&vec![0.0; of_layer]))?;
        if let Some(dc) = gradients.dc {
            executor.write(dc, 0, Values::F32(&recorded.tensor("gcn")?[i * of_layer..][..of_layer]))?;
        }
    }
    Ok(())
}

/// The gradients that are compared: of each weight, under its own name.
fn wanted(stack: &TrainedStack) -> Vec<(String, TensorId)> {
    let mut wanted = vec![("gx".to_string(), stack.dx)];
    for (i, gradients) in stack.gradients.iter().enumerate() {
        wanted.push(("gh0".into(), gradients.dh));
        wanted.extend(gradients.dc.map(|dc| ("gc0".into(), dc)));
        wanted.push((format!("weight_ih_l{i}"), gradients.w_ih));
        wanted.push((format!("weight_hh_l{i}"), gradients.w_hh));
        wanted.push((format!("bias_ih_l{i}"), gradients.b_ih));
        wanted.push((format!("bias_hh_l{i}"), gradients.b_hh));
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
