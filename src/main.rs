//! Parses, runs, prints the error.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: the first thing that the process does, while it has one thread. We choose among adapters ourselves;
    // Mesa's layer that reorders them would print that a headless machine has no display.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,gatefold=warn,wgpu_hal=off"))
        .init();
    match gatefold::cli::run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("gatefold: {error}");
            ExitCode::from(gatefold::cli::exit_status(&error))
        }
    }
}
