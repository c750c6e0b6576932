//! Parses, runs, prints the error.

use std::io::Write;
use std::process::ExitCode;

use gatefold::unstable::host::{message, readable};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("error,gatefold=warn,wgpu_hal=off"))
        .format(|to, record| {
            let (level, text) = (record.level().as_str().to_lowercase(), readable(&record.args().to_string()));
            writeln!(to, "gatefold: {level}: {text}")
        })
        .init();
    // A device that is lost is an error, which is printed below; wgpu's panic on the way to it is not news.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if !text.is_some_and(|text| text.starts_with(gatefold::unstable::gpu::POLL_PANIC)) {
            hook(info);
        }
    }));
    match gatefold::unstable::cli::run() {
        Ok(status) => status,
        Err(error) => {
            message(&format!("gatefold: {}", gatefold::unstable::cli::explain(&error)));
            ExitCode::from(gatefold::unstable::cli::exit_status(&error))
        }
    }
}
