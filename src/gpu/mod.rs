//! Lowers a plan's ops to dispatches and runs them. The only code that names wgpu.

mod adapter;
mod choices;
mod device;
mod executor;
mod findings;
mod info;
mod kept;
mod lower;
mod memory;
mod readback;
mod self_test;
mod shader;
mod timer;

pub use adapter::{Adapter, Choice, adapters, choose};
pub use choices::Choices;
pub use device::{DeviceOptions, Gpu, POLL_PANIC};
pub use executor::{GpuExecutor, GpuOptions, Place, RecordedDispatch, Recording};
pub use findings::Passed;
pub use info::{AdapterInfo, Kind, ParamsBy};
pub use shader::assemble;
