//! The ops: one file each, and the table of them.
//!
//! An op is an equation, a reference in plain Rust, cases, and variants: WGSL kernels that compute the same
//! thing, plus at most one fast CPU function. Each file reads in this order: the equation with shapes and
//! units, bytes moved and flops; parameters; `record`; the table row; the reference; the cases.
//! An op does no input or output and knows no device.

pub mod activate;
pub mod activation;
pub mod adam;
pub mod admit;
pub mod attend;
pub mod attend_keys_backward;
pub mod attend_memory_backward;
pub mod attend_query_backward;
pub mod attend_scores_backward;
pub mod attention;
pub mod clip_scale;
pub mod count_token;
pub mod cross_entropy;
pub mod decode;
pub mod dropout;
pub mod embed;
pub mod embed_gradient;
pub mod filter;
pub mod filters;
pub mod gather_rows;
pub mod gru;
pub mod gru_gates;
pub mod gru_reset;
pub mod limits;
pub mod logsumexp;
pub mod lstm;
pub mod lstm_gates;
pub mod matmul;
pub mod matmul_input_gradient;
pub mod matmul_weight_gradient;
pub mod mean_loss;
pub mod mean_rows;
pub mod noise;
pub mod pack_weight;
pub mod place_rows;
pub mod probe;
pub mod recurrent;
pub mod reset_rows;
pub mod rnn;
pub mod rnn_gates;
pub mod rows;
pub mod sample;
pub mod schedule;
pub mod select_rows;
pub mod sgd;
pub mod softmax;
pub mod square_sum;
pub mod start_token_flags;
pub mod step;
pub mod step_backward;
pub mod sum_rows;
pub mod target_log_prob;
pub mod typical;

use crate::plan::OpRow;

/// All ops. Adding one here is all that the executors, `check`, the tests and the bench need.
pub static TABLE: &[&OpRow] = &[
    &embed::ROW,
    &matmul::ROW,
    &matmul_input_gradient::ROW,
    &matmul_weight_gradient::ROW,
    &sum_rows::ROW,
    &lstm::STEP,
    &lstm::STEP_BACKWARD,
    &lstm::DECODE,
    &gru::STEP,
    &gru::STEP_BACKWARD,
    &gru::DECODE,
    &rnn::STEP,
    &rnn::STEP_BACKWARD,
    &rnn::DECODE,
    &rnn_gates::ROW,
    &lstm_gates::ROW,
    &gru_reset::ROW,
    &gru_gates::ROW,
    &select_rows::ROW,
    &mean_rows::ROW,
    &activate::ROW,
    &attend::ROW,
    &attend_scores_backward::ROW,
    &attend_query_backward::ROW,
    &attend_memory_backward::ROW,
    &attend_keys_backward::ROW,
    &logsumexp::ROW,
    &softmax::ROW,
    &target_log_prob::ROW,
    &count_token::ROW,
    &filter::ROW,
    &sample::ROW,
    &admit::ROW,
    &start_token_flags::ROW,
    &place_rows::ROW,
    &gather_rows::ROW,
    &reset_rows::ROW,
    &pack_weight::ROW,
    &cross_entropy::ROW,
    &mean_loss::ROW,
    &embed_gradient::ROW,
    &dropout::ROW,
    &square_sum::ROW,
    &clip_scale::ROW,
    &adam::ROW,
    &sgd::ROW,
    &probe::ROW,
];

/// The cells of recurrent layers.
pub static CELLS: &[&recurrent::Recurrent] = &[&lstm::LSTM, &gru::GRU, &rnn::TANH, &rnn::RELU];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static OpRow> {
    TABLE.iter().copied().find(|row| row.name == name)
}
