//! `gatefold train`.

mod arguments;
mod chart;
mod display;
mod words;

use std::path::Path;
use std::process::ExitCode;

use super::{print, say};
use crate::error::{Error, Result};
use crate::host::{INTERRUPTED, Session};
use display::Display;

pub(super) use arguments::TrainArgs;

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode> {
    let mut display = Display::new(args);
    let session = match &args.resume {
        Some(folder) => resumed(args, folder, &mut display)?,
        None => new(args, &mut display)?,
    };
    display.catch_interrupts();
    lead(session, &mut display)
}

fn new(args: &TrainArgs, display: &mut Display) -> Result<Session> {
    let (Some(data), Some(output)) = (args.data.data.as_ref().or(args.data.pairs.as_ref()), &args.data.output) else {
        return Err(Error::Usage("expected --data or --pairs, and --output, or --resume".into()));
    };
    Session::new(data, output, args.data.overwrite, &args.asked()?, || args.device.open(), display)
}

fn resumed(args: &TrainArgs, folder: &Path, display: &mut Display) -> Result<Session> {
    Session::resume(folder, args.end.end(), args.end.patience, || args.device.open(), display)
}

/// Trains to the end, or until Ctrl-C.
fn lead(mut session: Session, display: &mut Display) -> Result<ExitCode> {
    let ended = session.run(display);
    display.end();
    let go_on = format!("gatefold train --resume {}", session.model().name);
    match (ended, session.checkpoint()) {
        (Ok(true), _) => {
            let report = words::report(&session);
            session.finish()?;
            print(&report)?;
            Ok(ExitCode::SUCCESS)
        }
        (Ok(false), step) => {
            let step = step.unwrap_or_default();
            say(&format!("stopped after step {step}, with a checkpoint; `{go_on}` goes on"));
            Ok(ExitCode::from(INTERRUPTED))
        }
        (Err(error), Some(step)) => {
            say(&format!("the checkpoint of step {step} is whole: `{go_on}` goes on from there"));
            Err(error)
        }
        (Err(error), None) => Err(error),
    }
}
