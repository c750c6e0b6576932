//! Ops that find gradients, against finite differences of the ops that they belong to.

use gatefold::unstable::ops::matmul::{self, Matmul};
use gatefold::unstable::ops::matmul_input_gradient::{self, MatmulInputGradient, MatmulInputGradientOffsets};
use gatefold::unstable::ops::matmul_weight_gradient::{self, MatmulWeightGradient};
use gatefold::unstable::ops::sum_rows::{self, SumRows};
use gatefold::unstable::plan::{Affine, Builder, Dim, Direction, Role, Sizes};
use libtest_mimic::Trial;

use crate::context::{DONE, Outcome, trial};
use crate::finite_differences::{Problem, random};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("gradients: matmul at once", || matmul_gradients(1)),
        trial("gradients: matmul, window by window", || matmul_gradients(3)),
    ]
}

/// y = x w^T + b in `windows` windows of 2 rows; the gradients of w and b add up over the windows.
fn matmul_gradients(windows: usize) -> Outcome {
    let (groups, outputs, inputs, rows) = (2, 3, 5, 2);
    let all = windows * rows;
    let mut b = Builder::new();
    let mut f32 = |name: &str, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&n| n.into()).collect();
        b.f32(Role::Scratch, name, &shape)
    };
    let (x, dx) = (f32("x", &[all, inputs]), f32("dx", &[all, inputs]));
    let (w, dw) = (f32("w", &[groups, outputs, inputs]), f32("dw", &[groups, outputs, inputs]));
    let (bias, db) = (f32("bias", &[groups, outputs]), f32("db", &[groups, outputs]));
    let (y, dy) = (f32("y", &[all, groups, outputs]), f32("dy", &[all, groups, outputs]));
    let forward = b.section("forward", |b| matmul::record(b, Matmul { x, w, bias, y }, all.into(), 0, 0));
    let backward = b.section("backward", |b| {
        b.repeat("window", windows.into(), Direction::Forward, |b, window| {
            let row = Affine::from(window).times(rows);
            // One group at a time: the second adds to dx.
            for g in 0..groups {
                let at = MatmulInputGradientOffsets {
                    y_row: row,
                    x_row: row,
                    dy_group: g,
                    w_group: g,
                    groups: 1,
                    accumulate: window.into(),
                };
                let of_x = MatmulInputGradientOffsets { accumulate: g.into(), ..at };
                matmul_input_gradient::record(b, MatmulInputGradient { dy, w, dx }, rows.into(), of_x);
                matmul_weight_gradient::record(b, MatmulWeightGradient { dy, x, dw }, rows.into(), at);
            }
            let at =
                sum_rows::SumRowsOffsets { y_row: row, dy_group: 0, b_group: 0, groups, accumulate: window.into() };
            sum_rows::record(b, SumRows { dy, db }, rows.into(), at);
        });
    });
    let problem = Problem {
        plan: b.finish(),
        sizes: Sizes::of(1, 1),
        forward,
        backward,
        words: Vec::new(),
        inputs: vec![
            (x, random(all * inputs, 1)),
            (w, random(groups * outputs * inputs, 2)),
            (bias, random(groups * outputs, 3)),
        ],
        outputs: vec![(y, dy)],
        gradients: vec![(x, dx), (w, dw), (bias, db)],
    };
    problem.check()?;
    DONE
}
