//! Fast functions of the ops that take the time: SIMD and threads, for people without a GPU.
//!
//! ```text
//! op function ── parts: rows x panels or units, one task each ── pool
//!                 └─ a task: start values ── gemm: + products in blocks of 64 ── gates, on vectors, while it is hot
//! ```
//! Weights stay packed ([`crate::plan::Layout::Panel16`]): sixteen outputs side by side, one vector of `simd`.
//!
//! **Bits.** A result depends on its own row and on the op's shapes: not on the number of rows, on where a row
//! stands, on how the work was split into tasks, on the number of threads, nor on the instruction set. So every sum
//! runs in the order of its [`crate::plan::OrderClass`], every multiply-add is fused, no estimate instruction is
//! used, and the end of a row that does not fill a vector goes through the same vector code, padded.

mod attend;
mod backward;
mod cross_entropy;
mod dropout;
mod filter;
mod gemm;
mod gru;
mod lstm;
mod math;
mod matmul;
mod matmul_gradient;
mod noise;
mod optimisers;
mod pack;
mod parts;
mod probe;
mod recurrent;
mod rnn;
mod sample;
mod simd;
mod softmax;
mod step;
mod sum_rows;
mod sums;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use attend::{attend, attend_keys_backward, attend_memory_backward, attend_query_backward, attend_scores_backward};
pub use backward::step_backward;
pub use cross_entropy::cross_entropy;
pub use dropout::dropout;
pub use filter::filter;
pub use matmul::matmul;
pub use matmul_gradient::{matmul_input_gradient, matmul_weight_gradient};
pub use optimisers::{adam, sgd};
pub use pack::pack_into;
pub use probe::{copy, multiply_add};
pub use recurrent::{FastCell, decode, step};
pub use sample::sample;
pub use softmax::{logsumexp, softmax};
pub use sum_rows::sum_rows;
pub use sums::{clip_scale, mean_loss, square_sum};
