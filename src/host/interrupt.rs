//! Ctrl-C and requests to end, as a flag that long work looks at.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The exit status of a process that was interrupted, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// A flag that the first Ctrl-C (or SIGTERM, SIGHUP) sets. The second one ends the process at once.
pub fn interrupt_flag() -> &'static AtomicBool {
    static FLAG: AtomicBool = AtomicBool::new(false);
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let on_signal = || {
            if FLAG.swap(true, SeqCst) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        };
        if let Err(e) = ctrlc::set_handler(on_signal) {
            log::warn!("Ctrl-C will end the process at once: {e}");
        }
    });
    &FLAG
}
