//! `gatefold man`: hidden, for those who package the program.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};

use crate::error::{Error, Result};

/// Arguments of `man`.
#[derive(Args)]
pub(super) struct ManArgs {
    /// The folder that is written: gatefold.1, and gatefold-COMMAND.1 for each command
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &ManArgs) -> Result<ExitCode> {
    let io = |source| Error::Io { context: args.folder.display().to_string(), source };
    std::fs::create_dir_all(&args.folder).map_err(io)?;
    clap_mangen::generate_to(super::Cli::command(), &args.folder).map_err(io)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_that_names_its_options() {
        let folder = std::env::temp_dir().join(format!("gatefold-man-{}", std::process::id()));
        run(&ManArgs { folder: folder.clone() }).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.join(format!("{name}.1"))).unwrap();
        assert!(page("gatefold").contains("gatefold\\-train(1)"));
        for command in super::super::Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = page(&format!("gatefold-{}", command.get_name()));
            let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
            for option in shown.filter_map(|argument| argument.get_long()).filter(|long| *long != "help") {
                assert!(page.contains(&option.replace('-', "\\-")), "{}: --{option}", command.get_name());
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
