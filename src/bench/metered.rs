//! An executor that counts what goes through it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use crate::error::Result;
use crate::executor::{Executor, Run, Ticket, Values};
use crate::ops::Buffer;
use crate::plan::{Plan, SectionId, Sizes, TensorId};

/// What went through an executor since the meter was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Microseconds inside `submit` and `write`: encoding, and on the CPU the work itself.
    pub host_us: f64,
    /// Submissions.
    pub submissions: usize,
    /// Microseconds that the device worked, where it measures them.
    pub device_us: Option<f64>,
}

/// Reads what a [`Metered`] executor counts; it stays with the measurer while the executor is given away.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<Cell<Count>>);

impl Meter {
    /// What was counted since the last call.
    pub fn take(&self) -> Count {
        self.0.take()
    }

    fn add(&self, change: impl FnOnce(&mut Count)) {
        let mut count = self.0.get();
        change(&mut count);
        self.0.set(count);
    }
}

/// Passes everything on to another executor, and counts it.
pub struct Metered {
    inner: Box<dyn Executor>,
    meter: Meter,
}

impl Metered {
    /// Counts what goes through `inner`.
    pub fn new(inner: Box<dyn Executor>) -> (Metered, Meter) {
        let meter = Meter::default();
        (Metered { inner, meter: meter.clone() }, meter)
    }

    fn count_device(&mut self) {
        if let Some(us) = self.inner.device_time_us() {
            self.meter.add(|count| *count.device_us.get_or_insert(0.0) += us);
        }
    }
}

fn elapsed_us(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

impl Executor for Metered {
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
        let began = Instant::now();
        let written = self.inner.write(tensor, first_row, values);
        self.meter.add(|count| count.host_us += elapsed_us(began));
        written
    }

    fn submit(&mut self, runs: &[Run], read: &[TensorId]) -> Result<Ticket> {
        let began = Instant::now();
        let ticket = self.inner.submit(runs, read);
        self.meter.add(|count| {
            count.host_us += elapsed_us(began);
            count.submissions += 1;
        });
        ticket
    }

    fn try_take(&mut self, ticket: Ticket) -> Result<Option<Vec<Buffer<f32>>>> {
        let taken = self.inner.try_take(ticket);
        self.count_device();
        taken
    }

    fn on_ready(&mut self, ticket: Ticket, then: Box<dyn FnOnce() + Send>) {
        self.inner.on_ready(ticket, then);
    }

    fn wait(&mut self, ticket: Ticket) -> Result<Vec<Buffer<f32>>> {
        let results = self.inner.wait(ticket);
        self.count_device();
        results
    }

    fn dispatches(&self, section: SectionId, sizes: Sizes) -> usize {
        self.inner.dispatches(section, sizes)
    }
}
