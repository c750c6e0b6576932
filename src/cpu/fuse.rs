//! Layers over time whose steps take their input products along.
//!
//! A plan has the input products of a window computed at once, and then goes through the window step by step. With few
//! rows that reads w_ih once instead of once a step. With many rows the products are what costs: a hundred megabytes a
//! layer that are written and read again. There each step computes its own with the decode op, which has the same bits.

use crate::ops::recurrent::Extra;
use crate::ops::{CELLS, matmul};
use crate::plan::{Affine, Dim, Element, Loop, Node, OpNode, OpRow, Plan, Role, SectionId, TensorId};

/// The role of a node where steps compute their own input products.
#[derive(Clone, Debug)]
pub enum Fused {
    /// The product of a window: its steps compute it.
    LeftOut,
    /// A step with its product.
    Step(OpNode),
}

/// Rows from which on it is faster.
const ROWS: usize = 24;

/// Whether steps of so many rows should take their products along.
pub fn is_worth_it(rows: usize) -> bool {
    rows >= ROWS
}

/// For each node of a section what becomes of it, if anything does.
pub fn fused(plan: &Plan, section: SectionId) -> Vec<Option<Fused>> {
    let ops = plan.ops(section);
    let mut fused = vec![None; ops.len()];
    let words = ops.iter().flat_map(|node| &node.operands).find(|id| plan.tensor(**id).element == Element::U32);
    let Some(&ids) = words else { return fused };
    // A product whose input nothing has changed since.
    let mut product: Option<(usize, &OpNode)> = None;
    let mut at = 0;
    for item in &plan.sections[section.0].nodes {
        match item {
            Node::Op(node) if is(node, &matmul::ROW) => product = Some((at, node)),
            Node::Op(node) => {
                product = product.filter(|(_, p)| !p.operands.iter().any(|id| node.operands.contains(id)))
            }
            Node::Repeat { index, body, .. } => {
                if let (Some((first, product)), [Node::Op(step)]) = (product, &body[..])
                    && let Some(step) = with_product(plan, product, step, *index, ids)
                {
                    fused[first] = Some(Fused::LeftOut);
                    fused[at] = Some(Fused::Step(step));
                }
                product = None;
            }
        }
        at += item.ops();
    }
    // The products of a window must have no other reader.
    let window = |i: usize| if is(ops[i], &matmul::ROW) { ops[i].operands[3] } else { ops[i].operands[0] };
    let products: Vec<TensorId> = (0..ops.len()).filter(|i| fused[*i].is_some()).map(window).collect();
    let other = |(node, fused): (&&OpNode, &Option<Fused>)| {
        fused.is_none() && node.operands.iter().any(|id| products.contains(id))
    };
    if ops.iter().zip(&fused).any(other) { vec![None; ops.len()] } else { fused }
}

fn is(node: &OpNode, row: &'static OpRow) -> bool {
    std::ptr::eq(node.op, row)
}

/// The decode op that does what a step does after a product, with the rows of the product that it reads.
fn with_product(plan: &Plan, product: &OpNode, step: &OpNode, t: Loop, ids: TensorId) -> Option<OpNode> {
    let cell = CELLS.iter().find(|cell| is(step, cell.step))?;
    let op = cell.decode;
    let [x, w_ih, b_ih, y] = product.operands[..].try_into().ok()?;
    let (x_row, zero) = (product.param("x_row")?, Affine::constant(0));
    // An operand of the product, else the step's of that name.
    let operand = |name| match name {
        "source" => Some(x),
        "ids" => Some(ids),
        "w_ih" => Some(w_ih),
        "b_ih" => Some(b_ih),
        name => step.operand(name),
    };
    let param = |name| match name {
        "inputs" => product.param(name),
        "x_row" => Some(x_row.plus_each(t, Dim::ROWS)),
        "gather" => Some(zero),
        "extra_row" => step.param("extra_read_row"),
        name => step.param(name),
    };
    let operands: Vec<TensorId> = op.operands.iter().map(|o| operand(o.name)).collect::<Option<_>>()?;
    let params: Vec<Affine> = op.params.iter().map(|p| param(p.name)).collect::<Option<_>>()?;
    let one_place = cell.extra != Extra::State || step.param("extra_read_row") == step.param("extra_write_row");
    let in_place = one_place && step.param("keep_gates") == Some(zero);
    // The rows of x must not depend on a loop, and those of the products must follow it.
    let follows = step.param("gx_row") == Some(Affine::from(t).times(Dim::ROWS));
    let same_rows = product.param("y_row") == Some(zero) && follows && x_row.loops().next().is_none();
    let own_window = Some(y) == step.operand("gates") && plan.tensor(y).role == Role::Scratch;
    let w_hh = step.operand("w_hh")?;
    let apart = !step.operands.contains(&x) && plan.tensor(w_ih).shape[..2] == plan.tensor(w_hh).shape[..2];
    (in_place && own_window && same_rows && apart).then_some(OpNode { op, operands, params })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{CpuExecutor, Functions, Serial};
    use crate::executor::{Executor, Run, Values};
    use crate::network::{
        Capacity, Cell, Nonlinearity, Optimizer, Recipe, Shape, Stack, language_model, stack, training,
    };
    use crate::plan::{Sizes, philox};

    const SHAPE: Shape = Shape { cell: Cell::Lstm, vocab: 9, embedding: 5, hidden: 17, layers: 2 };

    fn steps(plan: &Plan, section: SectionId) -> usize {
        fused(plan, section).iter().filter(|node| matches!(node, Some(Fused::Step(_)))).count()
    }

    #[test]
    fn windows_are_fused_where_nothing_else_reads_the_products() {
        for cell in [Cell::Lstm, Cell::Gru, Cell::Rnn(Nonlinearity::Tanh)] {
            let shape = Shape { cell, ..SHAPE };
            let lm = language_model(shape, Capacity { ring: 2, queue: 2, forced: 1, filters: false });
            assert_eq!([lm.score, lm.logits, lm.decoding.admission.prefill].map(|s| steps(&lm.plan, s)), [2; 3]);
            assert_eq!(steps(&lm.plan, lm.decoding.step), 0);
            let optimizer = Optimizer::Sgd { momentum: 0.0, weight_decay: 0.0 };
            let recipe = Recipe {
                shape,
                tied: false,
                rows: 30,
                time: 4,
                dropout: 0.0,
                seed: 1,
                optimizer,
                clip: None,
                pairs: None,
            };
            let run = training(recipe);
            assert_eq!(steps(&run.plan, run.forward), 0, "its steps keep their gates");
        }
    }

    /// All bits that a stack leaves after two windows; without fusing, its nodes run as the plan has them.
    fn bits(cell: Cell, in_pieces: bool) -> Vec<u32> {
        let Stack { plan, forward, x, y, layers } = stack(cell, 5, 17, 2);
        let sizes = Sizes::of(ROWS, 3);
        let ops = plan.instances(forward, sizes, 0).len();
        assert_eq!(steps(&plan, forward), 2);
        let weights: Vec<_> = plan.ids().filter(|id| plan.tensor(*id).role == Role::Weight).chain([x]).collect();
        let mut run = CpuExecutor::new(plan, sizes, &[forward], Functions::Fast, std::sync::Arc::new(Serial));
        for id in weights {
            let number = |i| philox([i, id.index() as u32, 0, 0], [1, 2])[0] as i32 as f32 / 2_147_483_648.0;
            let values: Vec<f32> = (0..run.plan().tensor(id).len(sizes) as u32).map(number).collect();
            run.write(id, 0, Values::F32(&values)).unwrap();
        }
        let order: Vec<u32> = (0..ROWS as u32).collect();
        let ids = run.plan().ids().find(|id| run.plan().tensor(*id).name == "row_order").unwrap();
        run.write(ids, 0, Values::U32(&order)).unwrap();
        let read: Vec<_> = layers.iter().flat_map(|layer| [Some(layer.h), layer.c]).flatten().chain([y]).collect();
        let shards = if in_pieces { [0..ops / 2, ops / 2..ops] } else { [0..ops, ops..ops] };
        let runs = (0..2).flat_map(|step| shards.iter().map(move |ops| (step..step + 1, ops.clone())));
        let runs: Vec<_> = runs.map(|(steps, ops)| Run { ops, ..Run::new(forward, sizes, steps) }).collect();
        let ticket = run.submit(&runs, &read).unwrap();
        let results = run.wait(ticket).unwrap();
        results.iter().flat_map(|buffer| buffer.real()).map(|x| x.to_bits()).collect()
    }

    #[test]
    fn the_bits_are_those_of_products_and_steps() {
        for cell in [Cell::Lstm, Cell::Gru, Cell::Rnn(Nonlinearity::Tanh)] {
            let whole = bits(cell, false);
            assert!(whole.iter().any(|x| *x != 0));
            assert!(whole == bits(cell, true), "{cell:?}");
        }
    }
}
