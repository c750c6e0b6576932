//! How fast functions get threads: from outside, since the core starts none of its own.

/// Runs independent tasks, perhaps on several threads.
pub trait Pool: Send + Sync {
    /// How many tasks run at once at most.
    fn threads(&self) -> usize;

    /// Hears of memory that was allocated and not used yet, and may ask the system for large pages: windows of gate
    /// products are hundreds of megabytes, which are walked through row by row.
    fn allocated(&self, memory: &mut [f32]) {
        let _ = memory;
    }

    /// Calls `body` where [`Pool::run`] costs least: on one of the threads, which then need not be woken for each run.
    fn within(&self, body: &mut (dyn FnMut() + Send)) {
        body();
    }

    /// Calls `task` with 0, 1, ..., `count - 1`, in any order, and returns when all calls have.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync));
}

/// Everything on the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Pool for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(task);
    }
}
