//! Text that is read from a file or from standard input, as a whole or line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::error::{Error, Fault, Result};
use crate::text::unmarked;

/// Bytes of a line at most.
const LONGEST_LINE: usize = 64 << 20;

/// Whether a path means standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Where text comes from.
pub(super) struct Input {
    /// For messages.
    pub name: String,
    pub text: Box<dyn BufRead>,
    /// The number of the line that was read last.
    pub line: u64,
    /// Bytes that were read.
    pub read: u64,
    /// Bytes of all, where a file says it.
    size: Option<u64>,
}

/// A line of a text.
pub(super) struct Line {
    /// Without its end.
    pub bytes: Vec<u8>,
    /// Bytes of the end: LF, CR and LF, or nothing.
    pub end: u64,
}

impl Input {
    /// Opens a file, or standard input.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn open(path: &Path) -> Result<Input> {
        if is_stdin(path) {
            return Ok(Input {
                name: "standard input".into(),
                text: Box::new(BufReader::new(std::io::stdin())),
                line: 0,
                read: 0,
                size: None,
            });
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| Error::Io { context: name.clone(), source })?;
        let size = file.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
        let text = Box::new(BufReader::with_capacity(1 << 16, file));
        Ok(Input { name, text, line: 0, read: 0, size })
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// An error of reading; a line that is too long, which is then passed over.
    pub fn next_line(&mut self) -> Result<Option<Line>> {
        let mut bytes = Vec::new();
        let read = self.text.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut bytes);
        if read.map_err(|source| self.failed(source))? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let all = bytes.len();
        self.read += all as u64;
        if bytes.pop_if(|byte| *byte == b'\n').is_some() {
            bytes.pop_if(|byte| *byte == b'\r');
        } else if all == LONGEST_LINE {
            self.text.skip_until(b'\n').map_err(|source| self.failed(source))?;
            return Err(self.wrong(&format!("a line of more than {LONGEST_LINE} bytes")));
        }
        let end = (all - bytes.len()) as u64;
        if self.line == 1 {
            bytes = unmarked(&bytes).map_err(|what| self.wrong(&what))?.to_vec();
        }
        Ok(Some(Line { end, bytes }))
    }

    /// The share that was read, if it is known.
    pub fn share(&self) -> Option<f64> {
        self.size.map(|size| self.read as f64 / size.max(1) as f64)
    }

    /// Passes over a line; `false` at the end.
    ///
    /// # Errors
    /// An error of reading.
    pub fn skip_line(&mut self) -> Result<bool> {
        let skipped = self.text.skip_until(b'\n').map_err(|source| self.failed(source))?;
        self.line += u64::from(skipped > 0);
        Ok(skipped > 0)
    }

    /// The line that was read last, for messages.
    pub fn place(&self) -> String {
        format!("{}, line {}", self.name, self.line)
    }

    /// An error about the line that was read last.
    pub fn wrong(&self, what: &str) -> Error {
        Error::text(&self.name, Fault::from(what).on_line(self.line))
    }

    /// An error of the system, for this input.
    pub fn failed(&self, source: std::io::Error) -> Error {
        Error::Io { context: self.name.clone(), source }
    }
}
