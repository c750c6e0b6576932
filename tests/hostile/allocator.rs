//! An allocator that counts, so that a case can be held to a cap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The size of a request that no reader of a small file has any business making: refused, so that the machine stays
/// usable.
const ABSURD: usize = 1 << 30;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CASE: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

impl Counting {
    fn add(bytes: usize) {
        let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
        PEAK.fetch_max(live, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator or returns null, which means that there is no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if refuse(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            Counting::add(layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if refuse(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            Counting::add(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the memory came from `System` with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if refuse(size) {
            return std::ptr::null_mut();
        }
        // SAFETY: the memory came from `System` with this layout.
        let moved = unsafe { System.realloc(memory, layout, size) };
        if !moved.is_null() {
            // Both may exist for a moment, so both count.
            Counting::add(size);
            LIVE.fetch_sub(layout.size(), Relaxed);
        }
        moved
    }
}

/// Whether a request is absurd. Null usually ends the process, so the case is named here, without allocating.
fn refuse(bytes: usize) -> bool {
    if bytes < ABSURD {
        return false;
    }
    let mut line = [0; 96];
    let mut rest = &mut line[..];
    let _ = writeln!(rest, "hostile: case {:#x} asked for {bytes} bytes at once", CASE.load(Relaxed));
    let unused = rest.len();
    let _ = std::io::stderr().write_all(&line[..line.len() - unused]);
    true
}

/// Runs a case and says how many bytes more than at its start were in use at its worst moment.
pub fn peak_of<R>(case: u64, run: impl FnOnce() -> R) -> (R, usize) {
    CASE.store(case, Relaxed);
    let start = LIVE.load(Relaxed);
    PEAK.store(start, Relaxed);
    let result = run();
    (result, PEAK.load(Relaxed).saturating_sub(start))
}
