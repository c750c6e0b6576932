//! The interface that the two executors share: memory for a plan's tensors, and runs of its sections.

#[cfg(test)]
pub(crate) mod failing;

use std::ops::Range;

use crate::error::Result;
use crate::plan::{Buffer, OrderClass, Plan, SectionId, Sizes, TensorId};

/// Numbers on their way into a tensor: row major, without padding.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// For a float tensor.
    F32(&'a [f32]),
    /// For an integer tensor.
    U32(&'a [u32]),
}

impl<'a> Values<'a> {
    /// The numbers of a buffer that was read.
    pub fn of(buffer: &'a Buffer<f32>) -> Values<'a> {
        match buffer {
            Buffer::Real(v) => Values::F32(v),
            Buffer::Word(v) => Values::U32(v),
        }
    }
}

/// Steps of a section to be run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The section.
    pub section: SectionId,
    /// The sizes of this run: rows, and their products with steps of time and source, are at most the capacity's. Rows of a tensor `[2, B, H]`
    /// lie where B says: a section whose states outlive its runs keeps one B.
    pub sizes: Sizes,
    /// The step counter's values: several steps go into one submission.
    pub steps: Range<u32>,
    /// The op runs of each step, loops unrolled: all of them, or some when searching for a wrong kernel.
    pub ops: Range<usize>,
}

impl Run {
    /// All ops of the steps.
    pub fn new(section: SectionId, sizes: Sizes, steps: Range<u32>) -> Run {
        Run { section, sizes, steps, ops: 0..usize::MAX }
    }
}

/// The kernel that runs an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The op's name.
    pub op: &'static str,
    /// The variant, or `fast` or `reference` on the CPU.
    pub name: &'static str,
    /// The order of its sums.
    pub class: OrderClass,
}

/// Names a submission until its results were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u64);

impl Ticket {
    /// A ticket of an executor of one's own, which sees to it that its numbers differ.
    pub fn numbered(number: u64) -> Ticket {
        Ticket(number)
    }
}

/// Runs the sections of one plan on one device.
///
/// `submit` and `try_take` never block; `wait` does, and is for programs that have nothing else to do.
pub trait Executor {
    /// The device in words.
    fn device(&self) -> String;

    /// The plan.
    fn plan(&self) -> &Plan;

    /// The sizes that memory was made for.
    fn capacity(&self) -> Sizes;

    /// Writes rows (of the last axis) of a tensor from `first_row` on; a weight is written whole.
    ///
    /// # Errors
    /// More rows than the tensor has, or another element type; a lost device.
    fn write(&mut self, tensor: TensorId, first_row: usize, values: Values<'_>) -> Result<()>;

    /// Queues runs, and the reading of whole tensors after them.
    ///
    /// # Errors
    /// Sizes beyond the capacity; a lost device.
    fn submit(&mut self, runs: &[Run], read: &[TensorId]) -> Result<Ticket>;

    /// The tensors that were read, if they have arrived.
    ///
    /// # Errors
    /// A device that was lost; a ticket that was taken already.
    fn try_take(&mut self, ticket: Ticket) -> Result<Option<Vec<Buffer<f32>>>>;

    /// Calls `then` once the submission's results can be taken, perhaps on another thread, perhaps at once.
    fn on_ready(&mut self, ticket: Ticket, then: Box<dyn FnOnce() + Send>);

    /// The tensors that were read, as soon as they arrive.
    ///
    /// # Errors
    /// As [`Executor::try_take`].
    fn wait(&mut self, ticket: Ticket) -> Result<Vec<Buffer<f32>>>;

    /// Device time of the submissions taken since the last call, in microseconds: of the kernels alone, without
    /// encoding, waiting or copying. `None` where the device does not measure it.
    fn device_time_us(&mut self) -> Option<f64> {
        None
    }

    /// Dependent dispatches or calls that one step of a section takes, the splits of this device included.
    fn dispatches(&self, section: SectionId, sizes: Sizes) -> usize;

    /// The kernels that run the ops of a section that it was made for, in their order.
    fn kernels(&self, section: SectionId) -> Vec<Kernel>;
}

/// Checks what is to be read: an executor has memory only for the tensors of its sections. A part of every `submit`.
pub(crate) fn check_reads(plan: &Plan, used: &[bool], read: &[TensorId]) -> Result<()> {
    match read.iter().find(|id| !used[id.index()]) {
        None => Ok(()),
        Some(id) => Err(crate::Error::Limit(format!(
            "tensor `{}` cannot be read: it belongs to no section that this executor was made for",
            plan.tensor(*id).name
        ))),
    }
}

/// Checks a run against a capacity: a part of every `submit`.
pub(crate) fn check_sizes(run: &Run, capacity: Sizes) -> Result<()> {
    // All that a plan may have as a tensor's size.
    let products = |Sizes { rows, time, source }: Sizes| [rows, rows * time, rows * source, rows * time * source];
    if products(run.sizes).into_iter().zip(products(capacity)).any(|(wanted, there)| wanted > there) {
        let words = |Sizes { rows, time, source }: Sizes| match source {
            1 => format!("{rows} rows and {time} time steps"),
            _ => format!("{rows} rows, {time} time steps and {source} of their sources"),
        };
        let (run, memory) = (words(run.sizes), words(capacity));
        return Err(crate::Error::Limit(format!("a run of {run} does not fit memory for {memory}")));
    }
    Ok(())
}
