//! Adapters as they are listed, and how parameters reach kernels on them.

/// The kind of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU lent to a virtual machine, or one that does not say what it is.
    Other,
    /// A driver that runs shaders on the CPU, such as llvmpipe.
    Software,
}

/// An adapter as it is listed.
#[derive(Clone, Debug)]
pub struct AdapterInfo {
    /// The adapter's name.
    pub name: String,
    /// The driver's name and version.
    pub driver: String,
    /// `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// Its kind.
    pub kind: Kind,
    /// Largest storage binding in bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer in bytes.
    pub max_buffer_bytes: u64,
    /// Invocations in a workgroup.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Optional features that gatefold knows and the adapter has.
    pub features: Vec<&'static str>,
}

impl AdapterInfo {
    /// Name, backend and driver.
    pub fn in_words(&self) -> String {
        format!("{} ({}, {})", self.name, self.backend, self.driver)
    }
}

/// How step parameters reach a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamsBy {
    /// Written into the command stream.
    Immediates,
    /// A uniform buffer with a dynamic offset, for adapters (and browsers) without immediates.
    Uniform,
}

/// A device for tests.
#[cfg(test)]
pub(super) fn device(driver: &str) -> AdapterInfo {
    AdapterInfo {
        name: "a".into(),
        driver: driver.into(),
        backend: "vulkan".into(),
        kind: Kind::Discrete,
        max_binding_bytes: 0,
        max_buffer_bytes: 0,
        max_invocations: 0,
        max_workgroup_bytes: 0,
        features: Vec::new(),
    }
}
