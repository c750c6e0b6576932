//! gatefold: recurrent language models (LSTM, GRU) on any GPU through WGSL and wgpu, and on the CPU.
//!
//! The way of the data: [`text`] makes ids, [`model`] holds weights, [`plan`] writes the network as [`ops`] over
//! tensors, [`gpu`] and [`cpu`] run the same plan behind [`executor::Executor`], [`generate`] schedules steps.
//! The core uses no clock and starts no thread; [`host`] brings both.

pub mod bench;
pub mod check;
pub mod cli;
pub mod cpu;
mod error;
pub mod executor;
pub mod generate;
pub mod gpu;
mod hash;
pub mod host;
pub mod import;
pub mod model;
pub mod network;
pub mod ops;
pub mod plan;
pub mod score;
pub mod text;
pub mod train;

pub use error::{Error, OutputFault, Result};
