//! A recurrent stack alone, with its backward pass: what gradients are checked on.

use super::backward::LayerGradients;
use super::level::{Ends, Finals, Level, LevelFlow};
use super::optimiser::like;
use super::{Cell, Rows};
use crate::plan::{Builder, Dim, Plan, Role, SectionId, TensorId};

/// Raw x and first states in, y out; and from the gradients of outputs and final states those of inputs, first states
/// and weights. Rows end at their lengths.
#[derive(Clone, Debug)]
pub struct TrainedStack {
    /// The plan.
    pub plan: Plan,
    /// Section `forward`.
    pub forward: SectionId,
    /// Section `backward`.
    pub backward: SectionId,
    /// `[B]` u32: steps of each row.
    pub lengths: TensorId,
    /// `[T, B, K]`.
    pub x: TensorId,
    /// `[T, B, K]`: its gradient.
    pub dx: TensorId,
    /// `[T, B, D]`: the last layer's outputs, its directions side by side; zero behind a row's end.
    pub y: TensorId,
    /// `[T, B, D]`: their gradient.
    pub dy: TensorId,
    /// Of each layer's directions, one after the other.
    pub ways: Vec<TrainedWay>,
    /// `[4 B]` u32: the host sets all to one.
    pub always: TensorId,
}

/// The states of one direction of a layer: `[B, H]`, but where that is said.
#[derive(Clone, Copy, Debug)]
pub struct TrainedWay {
    /// `[T + 1, B, H]`: h, the first rows the initial one.
    pub h: TensorId,
    /// Likewise c, an LSTM's.
    pub c: Option<TensorId>,
    /// The final states' gradients, side by side with those of the other direction: h and an LSTM's c, with their column.
    pub final_gradients: (TensorId, Option<TensorId>, usize),
    /// Its gradients; `dh` and `dc` become those of the initial states.
    pub gradients: LayerGradients,
}

/// Writes the plan of a stack that can be trained. Weights have PyTorch's names without a prefix, gradients the same
/// with `gradient.` before them.
pub fn trained_stack(cell: Cell, inputs: usize, hidden: usize, layers: usize, bidirectional: bool) -> TrainedStack {
    let b = &mut Builder::new();
    let lengths = b.u32(Role::Io, "lengths", &[Dim::ROWS]);
    let ends = Ends { lengths, first: 0.into(), time: Dim::TIME };
    let directions: &[bool] = if bidirectional { &[false, true] } else { &[false] };
    let width = directions.len() * hidden;
    let rows = |b: &mut Builder, name: &str, width: usize| b.f32(Role::Io, name, &[Dim::TIME, Dim::ROWS, width.into()]);
    let (x, dx, dy) = (rows(b, "x", inputs), rows(b, "dx", inputs), rows(b, "dy", width));
    let always = b.u32(Role::Io, "always", &[Dim::ROWS * 4.into()]);
    let levels: Vec<Level> = (0..layers)
        .map(|i| {
            let sizes = [if i == 0 { inputs } else { width }, hidden];
            Level::declare(b, cell, ["", ""], i, sizes, (directions, ends))
        })
        .collect();
    let gradient = |b: &mut Builder, weight: TensorId| {
        let name = format!("gradient.{}", b.tensor(weight).name);
        like(b, weight, Role::Saved, &name)
    };
    let flows: Vec<LevelFlow> = levels.iter().map(|level| level.flow(b, gradient)).collect();
    let finals: Vec<(TensorId, Option<TensorId>)> = (levels.iter().enumerate())
        .map(|(i, level)| {
            let state =
                |b: &mut Builder, name: &str| b.f32(Role::Io, format!("final_{name}_l{i}"), &[Dim::ROWS, width.into()]);
            (state(b, "dh"), level.ways[0].layer.c.map(|_| state(b, "dc")))
        })
        .collect();
    let d_outputs: Vec<TensorId> = (0..layers)
        .map(|i| {
            if i + 1 == layers {
                dy
            } else {
                b.f32(Role::Scratch, format!("d_outputs_l{i}"), &[Dim::TIME, Dim::ROWS, width.into()])
            }
        })
        .collect();
    let inputs_of = |i: usize| {
        let tensor = i.checked_sub(1).map_or(x, |below| levels[below].outputs);
        Rows { tensor, first: 0.into() }
    };
    let forward =
        b.section("forward", |b| levels.iter().enumerate().for_each(|(i, level)| level.forward(b, inputs_of(i))));
    let backward = b.section("backward", |b| {
        for (i, level) in levels.iter().enumerate().rev() {
            let (h, c) = finals[i];
            let of_way = |way: usize| Finals { h: Some((h, way * hidden)), c: c.map(|c| (c, way * hidden)) };
            let finals: Vec<Finals> = (0..directions.len()).map(of_way).collect();
            let to = i.checked_sub(1).map_or(dx, |below| d_outputs[below]);
            level.backward(b, &flows[i], (d_outputs[i], &finals), inputs_of(i), (to, false), always);
        }
    });
    let ways = levels.iter().zip(&flows).zip(&finals).flat_map(|((level, flow), (h, c))| {
        level.ways.iter().zip(&flow.gradients).enumerate().map(|(i, (way, gradients))| TrainedWay {
            h: way.over_time.states,
            c: way.over_time.cells(&way.layer),
            final_gradients: (*h, *c, i * hidden),
            gradients: *gradients,
        })
    });
    let ways = ways.collect();
    let y = levels.last().expect("a stack has a layer").outputs;
    TrainedStack { plan: std::mem::take(b).finish(), forward, backward, lengths, x, dx, y, dy, ways, always }
}
