//! How trials are named and end.

use libtest_mimic::{Completion, Failed, Trial};

/// How a trial ends: completed, ignored with a reason, or failed.
pub type Outcome = Result<Completion, Failed>;

/// The outcome that most trials end with.
pub const DONE: Outcome = Ok(Completion::Completed);

/// A trial that may skip itself.
pub fn trial(name: impl Into<String>, run: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
    Trial::ignorable_test(name, run)
}

/// Writes a file for checks outside this program where `GATEFOLD_EXPORT` names a folder for them.
pub fn export(name: &str, bytes: &[u8]) -> Result<(), String> {
    let Some(folder) = std::env::var_os("GATEFOLD_EXPORT") else { return Ok(()) };
    let file = std::path::Path::new(&folder).join(name);
    std::fs::write(&file, bytes).map_err(|e| format!("{}: {e}", file.display()))
}
