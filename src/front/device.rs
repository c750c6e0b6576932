//! Where a model runs.

use crate::error::Result;
use crate::gpu::DeviceChoice;
use crate::host;

/// A GPU, a software adapter or the CPU. Clones share it.
#[derive(Clone)]
pub struct Device(pub(super) host::Device);

impl Device {
    /// The best GPU of this machine, a discrete one before an integrated one, or the CPU where there is none.
    ///
    /// # Errors
    /// A GPU that is there and cannot be opened.
    pub fn auto() -> Result<Device> {
        host::Device::choose(&DeviceChoice::Auto, None).map(Device)
    }

    /// The CPU with so many threads; `None` takes one for each core.
    ///
    /// # Errors
    /// Threads that the system refuses.
    pub fn cpu(threads: Option<usize>) -> Result<Device> {
        host::Device::choose(&DeviceChoice::Cpu, threads).map(Device)
    }

    /// The device that `name` means, as on the command line: `auto`, `cpu`, `gpu`, an index of [`Device::names`], or
    /// part of an adapter's name.
    ///
    /// # Errors
    /// No such device, or one that cannot be opened.
    pub fn find(name: &str) -> Result<Device> {
        host::Device::choose(&name.parse().unwrap_or(DeviceChoice::Auto), None).map(Device)
    }

    /// The adapters of this machine in words, in the order of their indices; the CPU needs none.
    pub fn names() -> Vec<String> {
        host::adapters().iter().map(|adapter| adapter.info.in_words()).collect()
    }

    /// The device in words.
    pub fn name(&self) -> String {
        self.0.name()
    }
}
