//! `gatefold score --lines`: many texts side by side.

use serde::Serialize;

use super::{Pace, Total};
use crate::cli::input::{self, Input};
use crate::cli::print;
use crate::error::{Error, Result};
use crate::host::{self, Device};
use crate::model::Model;
use crate::text::{Encoder, Lacking, OnUnknown, Tally};

/// Lines that are read before they are scored: enough that lines of one length meet.
const LINES: usize = 2048;

/// The record that `--each` prints for a line.
#[derive(Serialize)]
struct Scored<'a> {
    line: u64,
    text: &'a str,
    tokens: usize,
    log_probability: f64,
}

/// A line that has a token.
struct Line {
    number: u64,
    /// Without its end.
    bytes: Vec<u8>,
    /// From bos to eos.
    ids: Vec<u32>,
    tally: Tally,
}

/// Scores each line; with `each`, prints them.
pub(super) fn score(
    model: &Model,
    device: &Device,
    encoder: Encoder,
    input: Input,
    each: bool,
    unknown: OnUnknown,
) -> Result<Total> {
    let mut scorer = host::line_scorer(model, device)?;
    let eos = model.eos_ids().first().copied();
    let mut lines = Lines { input, encoder, bos: model.config.bos_token_id, eos, left_out: Lacking::default() };
    let (mut total, pace) = (Total::default(), Pace::new());
    loop {
        let some = lines.take(LINES)?;
        if some.is_empty() {
            break;
        }
        let ids: Vec<_> = some.iter().map(|line| &line.ids[..]).collect();
        let log_probs = scorer.score(&ids).map_err(|e| e.within(&lines.input.name))?;
        let is_read = !each || print(&text(&some, &log_probs))?;
        for (line, log_probs) in some.iter().zip(log_probs) {
            *total.lines.get_or_insert(0) += 1;
            total.count(&line.tally, lines.bos.is_some(), unknown);
            total.add(log_probs.into_iter());
        }
        if !is_read {
            return Ok(total);
        }
        // Lines that are printed show by themselves how far it is.
        if !each {
            pace.show(&lines.input, total.tokens);
        }
    }
    pace.clear();
    total.lacking.extend(&lines.left_out);
    if total.tokens == 0 {
        let why = "expected lines of two tokens, or of one where the model has bos or eos";
        return Err(Error::text(&lines.input.name, format!("no token to score; {why}")));
    }
    Ok(total)
}

/// Lines as JSON objects.
fn text(lines: &[Line], log_probs: &[Vec<f32>]) -> String {
    let of = |(line, log_probs): (&Line, &Vec<f32>)| {
        let log_probability = log_probs.iter().copied().map(f64::from).sum();
        let text = &String::from_utf8_lossy(&line.bytes);
        let scored = Scored { line: line.number, text, tokens: log_probs.len(), log_probability };
        serde_json::to_string(&scored).expect("a line is JSON") + "\n"
    };
    lines.iter().zip(log_probs).map(of).collect()
}

/// The lines of a text as tokens.
struct Lines {
    input: Input,
    encoder: Encoder,
    bos: Option<u32>,
    eos: Option<u32>,
    /// Text that the vocabulary lacks, in lines without a token.
    left_out: Lacking,
}

impl Lines {
    /// The next lines that have a token; none at the end.
    fn take(&mut self, most: usize) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        while lines.len() < most {
            let Some(input::Line { bytes, end }) = self.input.next_line()? else { break };
            let mut ids = Vec::from_iter(self.bos);
            let marks = ids.len();
            let encoded = self.encoder.push_bytes(&bytes, &mut ids);
            encoded.and_then(|()| self.encoder.finish_line(end, &mut ids)).map_err(|e| e.within(&self.input.name))?;
            let tally = self.encoder.take_tally();
            if ids.len() > marks {
                ids.extend(self.eos);
                lines.push(Line { number: self.input.line, bytes, ids, tally });
            } else {
                self.left_out.extend(&tally.lacking);
            }
        }
        Ok(lines)
    }
}
