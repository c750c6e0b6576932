//! Ctrl-C and requests to end, as a flag that long work looks at.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// The exit status of a process that was interrupted, as shells have it.
pub const INTERRUPTED: u8 = 130;

static FLAG: AtomicBool = AtomicBool::new(false);

/// A flag that the first Ctrl-C (or SIGTERM, SIGHUP) sets. The second one ends the process at once. Signals that the
/// process was started to ignore, as `nohup` does, stay ignored.
pub fn interrupt_flag() -> &'static AtomicBool {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        if let Err(e) = system::install() {
            log::warn!("Ctrl-C will end the process at once: {e}");
        }
    });
    &FLAG
}

#[cfg(unix)]
mod system {
    use std::io;
    use std::sync::atomic::Ordering::SeqCst;

    use super::{FLAG, INTERRUPTED};

    extern "C" fn on_signal(_: libc::c_int) {
        if FLAG.swap(true, SeqCst) {
            // SAFETY: it may be called in a handler of signals.
            unsafe { libc::_exit(i32::from(INTERRUPTED)) };
        }
    }

    pub fn install() -> io::Result<()> {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            // SAFETY: both records are ours and filled before they are read; the handler only touches an atomic and
            // may end the process.
            unsafe {
                let mut before: libc::sigaction = std::mem::zeroed();
                if libc::sigaction(signal, std::ptr::null(), &mut before) != 0 {
                    return Err(io::Error::last_os_error());
                }
                if before.sa_sigaction == libc::SIG_IGN {
                    continue;
                }
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
                action.sa_flags = libc::SA_RESTART;
                libc::sigemptyset(&mut action.sa_mask);
                if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod system {
    use std::sync::atomic::Ordering::SeqCst;

    use super::{FLAG, INTERRUPTED};

    pub fn install() -> Result<(), ctrlc::Error> {
        ctrlc::set_handler(|| {
            if FLAG.swap(true, SeqCst) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        })
    }
}
