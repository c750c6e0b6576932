//! An executor that counts what goes through it, shared between a job and the one who measures it.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::Result;
use crate::executor::{Executor, Kernel, Run, Ticket, Values};
use crate::plan::{Buffer, Plan, SectionId, Sizes, TensorId};

/// Counts what this thread computes, not what it sleeps: a driver may hold a submission back until the one before it is
/// done (llvmpipe does), and that is no work of the host.
pub struct HostClock(Started);

// Windows counts a thread's time in steps of 15 ms only.
#[cfg(unix)]
type Started = cpu_time::ThreadTime;
#[cfg(not(unix))]
type Started = std::time::Instant;

impl HostClock {
    /// Counts from here, on this thread.
    pub fn start() -> HostClock {
        HostClock(Started::now())
    }

    /// Microseconds since the start.
    pub fn elapsed_us(&self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e6
    }
}

/// Counts of what went through an executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Host time inside `submit` and `write`: encoding, and on the CPU the work itself.
    pub submit_us: f64,
    /// Host time inside `wait`.
    pub wait_us: f64,
    /// Submissions.
    pub submissions: usize,
    /// Microseconds that the device worked, where it measures them.
    pub device_us: Option<f64>,
}

/// Passes everything on to one executor, and counts it; clones are the same executor.
#[derive(Clone)]
pub struct Metered {
    plan: Rc<Plan>,
    shared: Rc<RefCell<(Box<dyn Executor>, Count)>>,
}

impl Metered {
    /// Counts what goes through an executor.
    pub fn new(executor: Box<dyn Executor>) -> Metered {
        let plan = Rc::new(executor.plan().clone());
        Metered { plan, shared: Rc::new(RefCell::new((executor, Count::default()))) }
    }

    /// Takes the counts since the last call.
    pub fn take_count(&self) -> Count {
        std::mem::take(&mut self.shared.borrow_mut().1)
    }

    /// Calls the executor, and counts its time.
    fn timed<R>(&self, call: impl FnOnce(&mut dyn Executor) -> R) -> R {
        let (executor, count) = &mut *self.shared.borrow_mut();
        let began = HostClock::start();
        let result = call(&mut **executor);
        count.submit_us += began.elapsed_us();
        result
    }

    /// Calls the executor for results, and counts the device's time of what came.
    fn taking<R>(&self, call: impl FnOnce(&mut dyn Executor) -> R) -> R {
        let (executor, count) = &mut *self.shared.borrow_mut();
        let result = call(&mut **executor);
        if let Some(us) = executor.device_time_us() {
            *count.device_us.get_or_insert(0.0) += us;
        }
        result
    }
}

impl Executor for Metered {
    fn device(&self) -> String {
        self.shared.borrow().0.device()
    }

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn capacity(&self) -> Sizes {
        self.shared.borrow().0.capacity()
    }

    fn write(&mut self, tensor: TensorId, first_row: usize, values: Values<'_>) -> Result<()> {
        self.timed(|executor| executor.write(tensor, first_row, values))
    }

    fn submit(&mut self, runs: &[Run], read: &[TensorId]) -> Result<Ticket> {
        self.shared.borrow_mut().1.submissions += 1;
        self.timed(|executor| executor.submit(runs, read))
    }

    fn try_take(&mut self, ticket: Ticket) -> Result<Option<Vec<Buffer<f32>>>> {
        self.taking(|executor| executor.try_take(ticket))
    }

    fn on_ready(&mut self, ticket: Ticket, then: Box<dyn FnOnce() + Send>) {
        self.shared.borrow_mut().0.on_ready(ticket, then);
    }

    fn wait(&mut self, ticket: Ticket) -> Result<Vec<Buffer<f32>>> {
        let began = HostClock::start();
        let result = self.taking(|executor| executor.wait(ticket));
        self.shared.borrow_mut().1.wait_us += began.elapsed_us();
        result
    }

    fn device_time_us(&mut self) -> Option<f64> {
        // Counts that `taking` made meanwhile belong to the caller, too.
        let (executor, count) = &mut *self.shared.borrow_mut();
        let rest = executor.device_time_us();
        let counted = count.device_us.take();
        rest.map(|us| us + counted.unwrap_or(0.0))
    }

    fn kernels(&self, section: SectionId) -> Vec<Kernel> {
        self.shared.borrow().0.kernels(section)
    }

    fn dispatches(&self, section: SectionId, sizes: Sizes) -> usize {
        self.shared.borrow().0.dispatches(section, sizes)
    }
}
