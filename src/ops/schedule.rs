//! The host's settings for each training step: a row of the tensor `schedule` for each step in flight.
//!
//! ```text
//! schedule [S, 4]; step i has row i mod S, its slot: [learning_rate, 1 / (1 - beta1^i'), 1 / sqrt(1 - beta2^i'), 1 / n]
//! i' = 1, 2, ... counts updates; n is the number of targets of the window that count
//! ```
//! The powers are computed by the host in f64: a kernel would lose the first steps' digits.

use crate::plan::Real;

/// Numbers of a row.
pub const SCHEDULE_COLUMNS: usize = 4;
/// Column of the learning rate.
pub const LEARNING_RATE: usize = 0;
/// Column of what undoes the bias of Adam's first moment towards its start at zero.
pub const INVERSE_BIAS1: usize = 1;
/// Column of the same for the root of the second moment.
pub const INVERSE_SQRT_BIAS2: usize = 2;
/// Column of the weight of one target in the mean: 1 over their number.
pub const TOKEN_WEIGHT: usize = 3;

/// Numbers of a row of the tensor `clips`, `[S, 2]`: see [`super::clip_scale`].
pub const CLIP_COLUMNS: usize = 2;
/// Column of the gradients' norm before clipping.
pub const NORM: usize = 0;
/// Column of what gradients are multiplied with.
pub const CLIP_SCALE: usize = 1;

/// The row of an update: `update` counts from 1, `targets` is the number of those that are not ignored. A window
/// without any has weight 0.
pub fn row(learning_rate: f64, [beta1, beta2]: [f64; 2], update: u32, targets: usize) -> [f32; SCHEDULE_COLUMNS] {
    let bias = |beta: f64| 1.0 - beta.powf(f64::from(update));
    let weight = if targets == 0 { 0.0 } else { 1.0 / targets as f64 };
    [learning_rate, 1.0 / bias(beta1), 1.0 / bias(beta2).sqrt(), weight].map(|x| x as f32)
}

/// The row of a slot.
pub(crate) fn at<F: Real>(schedule: &[F], slot: usize) -> [F; SCHEDULE_COLUMNS] {
    std::array::from_fn(|i| schedule[slot * SCHEDULE_COLUMNS + i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_the_first_and_of_a_late_update() {
        assert_eq!(row(0.5, [0.75, 0.9375], 1, 4), [0.5, 4.0, 4.0, 0.25]);
        assert_eq!(row(0.5, [0.9, 0.999], 1_000_000, 0), [0.5, 1.0, 1.0, 0.0]);
    }
}
