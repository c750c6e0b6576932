//! Recurrent language models (LSTM, GRU) on any GPU through WGSL and wgpu, and on the CPU.
//!
//! A text from the model in the program; an equal seed gives an equal text:
//!
//! ```
//! use gatefold::{Device, Model, Options};
//!
//! let model = Model::open("builtin:shakespeare", &Device::auto()?)?;
//! let options = Options { seed: 42, max_tokens: Some(60), ..Options::default() };
//! println!("ROMEO:{}", model.generate("ROMEO:", &options)?);
//! # Ok::<(), gatefold::Error>(())
//! ```
//!
//! How likely a text is:
//!
//! ```
//! use gatefold::{Device, Model};
//!
//! let model = Model::open("builtin:shakespeare", &Device::cpu(None)?)?;
//! let score = model.score("To be, or not to be")?;
//! println!("{:.2} nats a character", score.nats_per_token());
//! # assert!(score.nats_per_token() < 2.0);
//! # Ok::<(), gatefold::Error>(())
//! ```
//!
//! Many texts side by side; none depends on the others:
//!
//! ```
//! use gatefold::{Device, Model, Options};
//!
//! let model = Model::open("builtin:molecules", &Device::cpu(None)?)?;
//! for molecule in model.sample(20, &Options { seed: 1, ..Options::default() })? {
//!     println!("{} {:.2}", molecule.text, molecule.log_probability());
//! }
//! # Ok::<(), gatefold::Error>(())
//! ```
//!
//! A service for many callers, who share a batch:
//!
//! ```
//! use gatefold::{Device, Model, Options};
//!
//! let server = Model::open("builtin:shakespeare", &Device::auto()?)?.serve(8)?;
//! std::thread::scope(|scope| {
//!     for prompt in ["ROMEO:", "JULIET:"] {
//!         let options = Options { seed: 7, max_tokens: Some(40), ..Options::default() };
//!         let server = &server;
//!         scope.spawn(move || match server.stream(prompt, &options).and_then(|text| text.finish()) {
//!             Ok(answer) => println!("{prompt}{}", answer.text),
//!             Err(error) => eprintln!("{prompt} {error}"),
//!         });
//!     }
//! });
//! # Ok::<(), gatefold::Error>(())
//! ```
//!
//! Training on a text; what is not said is chosen by its size:
//!
//! ```
//! use gatefold::training::{End, TrainingOptions};
//! use gatefold::{Device, Options, Training};
//!
//! let text = "the gate folds the state, and the state forgets what the gate read.\n".repeat(60);
//! let sizes = TrainingOptions { hidden: Some(32), layers: Some(1), end: Some(End::Steps(60)), ..Default::default() };
//! let training = Training::on_text(&text).with(TrainingOptions { learning_rate: Some(0.02), ..sizes });
//! let training = training.on_line(|line| println!("step {}: loss {:.3}", line.step, line.loss.unwrap_or(f64::NAN)));
//! let model = training.run(&Device::cpu(None)?)?;
//! println!("the gate {}", model.generate("the gate ", &Options { max_tokens: Some(40), ..Options::default() })?);
//! # assert!(model.score(&text)?.nats_per_token() < 1.5);
//! # Ok::<(), gatefold::Error>(())
//! ```
//!
//! The way of the data: `text` makes ids, `model` holds weights, `plan` writes the network as `ops` over tensors, `gpu` and
//! `cpu` run the same plan behind one `Executor`, `generate`, `score` and `train` are the jobs. The core uses no clock and
//! starts no thread; `host` brings both.

#![warn(missing_docs)]

#[cfg(feature = "cli")]
mod bench;
mod check;
#[cfg(feature = "cli")]
mod cli;
mod cpu;
mod error;
mod executor;
#[cfg(not(target_arch = "wasm32"))]
mod front;
mod generate;
mod gpu;
mod hash;
#[cfg(not(target_arch = "wasm32"))]
mod host;
mod import;
mod model;
mod network;
mod ops;
mod plan;
mod score;
mod text;
mod train;

pub mod unstable;

pub use error::{DeviceFault, Error, Fault, OutputFault, Result};
#[cfg(not(target_arch = "wasm32"))]
pub use front::{Completion, Completions, Device, Model, Options, Score, Server, Stream, Training};
pub use generate::FinishReason;

/// The options of a [`Training`], and the lines of its log.
#[cfg(not(target_arch = "wasm32"))]
pub mod training {
    pub use crate::host::{TrainingOptions, Vocabulary, read_tokenizer};
    pub use crate::network::{Cell, Nonlinearity};
    pub use crate::text::Tokenizer;
    pub use crate::train::{Cadence, End, Line, Method, Schedule, Unknown};
}
