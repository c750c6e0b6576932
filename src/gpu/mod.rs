//! Lowers a plan's ops to dispatches and runs them. The only code that names wgpu.

mod adapter;
mod device;
mod device_cache;
mod executor;
mod findings;
mod info;
mod lower;
mod memory;
mod readback;
mod self_test;
mod shader;
mod timer;
mod tuned;

pub use adapter::{Adapter, DeviceChoice, adapters, choose};
pub use device::{DeviceOptions, Gpu, POLL_PANIC};
pub use executor::{BufferRange, GpuExecutor, GpuOptions, RecordedDispatch, Recording};
pub use findings::PassedTests;
pub use info::{AdapterInfo, Kind, ParamsBy};
pub use shader::assemble;
pub use tuned::TunedVariants;
