//! Parses, runs, prints the error.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,gatefold=warn,wgpu_hal=off"))
        .format(|to, record| writeln!(to, "gatefold: {}: {}", record.level().as_str().to_lowercase(), record.args()))
        .init();
    // A device that is lost is an error, which is printed below; wgpu's panic on the way to it is not news.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if !text.is_some_and(|text| text.starts_with(gatefold::gpu::POLL_PANIC)) {
            hook(info);
        }
    }));
    match gatefold::cli::run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("gatefold: {error}");
            ExitCode::from(gatefold::cli::exit_status(&error))
        }
    }
}
