//! `cargo bench`: the kernels and jobs of `gatefold bench`, with its options: `cargo bench -- kernels --filter lstm`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let status = Command::new(env!("CARGO_BIN_EXE_gatefold")).arg("bench").args(arguments).status();
    match status.expect("the program was built").code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}
