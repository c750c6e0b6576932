//! The front door: a model on a device, and the jobs that it does, in the caller's words. Each is a thin layer over the
//! modules that do the work; a text from here has the bits of the command line's.

mod device;
mod generate;
mod model;
mod options;
mod score;
mod training;

pub use device::Device;
pub use generate::{Completion, Completions, Stream};
pub use model::{Model, Server};
pub use options::Options;
#[cfg(feature = "cli")]
pub(crate) use options::Resolved;
pub use score::Score;
pub use training::Training;
