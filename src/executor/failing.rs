//! A device that is lost, for tests.

use super::{Executor, Kernel, Run, Ticket, Values};
use crate::error::{DeviceFault, Error, Result};
use crate::plan::{Buffer, Plan, SectionId, Sizes, TensorId};

/// An executor whose device goes after some submissions.
pub(crate) struct Failing {
    inner: Box<dyn Executor>,
    left: usize,
}

impl Failing {
    pub const WHY: &str = "it took too long";

    /// Fails from this submission on.
    pub fn after(left: usize, inner: Box<dyn Executor>) -> Failing {
        Failing { inner, left }
    }
}

impl Executor for Failing {
    fn device(&self) -> String {
        self.inner.device()
    }

    fn plan(&self) -> &Plan {
        self.inner.plan()
    }

    fn capacity(&self) -> Sizes {
        self.inner.capacity()
    }

    fn write(&mut self, tensor: TensorId, first_row: usize, values: Values<'_>) -> Result<()> {
        self.inner.write(tensor, first_row, values)
    }

    fn submit(&mut self, runs: &[Run], read: &[TensorId]) -> Result<Ticket> {
        let lost =
            || Error::Device { device: self.inner.device(), fault: DeviceFault::Lost { reason: Failing::WHY.into() } };
        self.left = self.left.checked_sub(1).ok_or_else(lost)?;
        self.inner.submit(runs, read)
    }

    fn try_take(&mut self, ticket: Ticket) -> Result<Option<Vec<Buffer<f32>>>> {
        self.inner.try_take(ticket)
    }

    fn on_ready(&mut self, ticket: Ticket, then: Box<dyn FnOnce() + Send>) {
        self.inner.on_ready(ticket, then);
    }

    fn wait(&mut self, ticket: Ticket) -> Result<Vec<Buffer<f32>>> {
        self.inner.wait(ticket)
    }

    fn dispatches(&self, section: SectionId, sizes: Sizes) -> usize {
        self.inner.dispatches(section, sizes)
    }

    fn kernels(&self, section: SectionId) -> Vec<Kernel> {
        self.inner.kernels(section)
    }
}
