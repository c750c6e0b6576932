//! Lowers a plan's ops to dispatches and runs them. The only code that names wgpu.

mod adapter;
mod choices;
mod device;
mod executor;
mod kept;
mod lower;
mod memory;
mod readback;
mod self_test;
mod shader;
mod timer;

pub use adapter::{Adapter, AdapterInfo, Choice, Kind, adapters, choose};
pub use choices::Choices;
pub use device::{DeviceOptions, Gpu, POLL_PANIC, ParamsBy};
pub use executor::{GpuExecutor, GpuOptions, Place, RecordedDispatch, Recording};
pub use self_test::Passed;
pub use shader::assemble;
