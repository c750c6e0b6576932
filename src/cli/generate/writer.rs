//! From completions to lines, and what stays of them where something goes wrong.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::OnError;
use super::formats::Format;
use super::jobs::Tag;
use super::progress::Bar;
use super::unique::Unique;
use crate::cli::explain;
use crate::cli::numbers::{count, grouped};
use crate::error::{Error, Result};
use crate::generate::{Completions, Job, Sequence};
use crate::host::{INTERRUPTED, Output, Progress};

/// Writes sequences as they are completed.
pub(super) struct Writer {
    pub format: Format,
    pub log_probs: bool,
    pub on_error: OnError,
    pub output: Output,
    pub unique: Option<Unique>,
    pub bar: Bar,
    /// Whether the first sequence of the whole run is in this part: then a header stands before it.
    pub is_first: bool,
    /// Ctrl-C, where the output so far stays.
    pub interrupted: Option<&'static AtomicBool>,
}

/// Why no more is written, where nothing went wrong.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// All of it is there.
    Finished,
    /// Nobody reads it any more.
    Unread,
    /// Ctrl-C.
    Interrupted,
}

impl Writer {
    /// Writes all of them. Where that breaks off, what was written stays, and is noted to be resumed.
    pub fn run<J>(mut self, mut texts: Completions<Tag, J>, seed: u64) -> Result<ExitCode>
    where
        J: Iterator<Item = (Tag, Result<Job>)>,
    {
        let end = match self.write_all(&mut texts) {
            Ok(end) => end,
            Err(error) => {
                // The first error matters; that it could not be noted either does not.
                let noted = self.output.note();
                self.bar.clear();
                if let (Ok(_), Error::Device { .. }) = (noted, &error) {
                    self.say_what_stays();
                }
                return Err(error);
            }
        };
        self.output.progress.finished = end == End::Finished;
        self.output.note()?;
        self.bar.clear();
        match end {
            End::Finished => self.summary(texts.tokens(), seed),
            End::Unread => {}
            End::Interrupted => {
                self.say_what_stays();
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Says where `--resume` goes on.
    fn say_what_stays(&self) {
        if let Some(file) = self.output.file() {
            let sequences = self.output.progress.sequences;
            let there = count(sequences, "sequence");
            crate::cli::say(&format!("{file}: {there} so far; --resume goes on from there"));
        }
    }

    fn write_all<J>(&mut self, texts: &mut Completions<Tag, J>) -> Result<End>
    where
        J: Iterator<Item = (Tag, Result<Job>)>,
    {
        let mut open = true;
        if self.is_first && self.output.progress.bytes == 0 {
            open = self.output.write(self.format.header())?;
        }
        while open {
            if self.interrupted.is_some_and(|flag| flag.load(SeqCst)) {
                return Ok(End::Interrupted);
            }
            if !texts.is_ready() {
                self.bar.show(self.output.progress.sequences, texts.tokens());
                open = self.output.pause()?;
                texts.advance()?;
                continue;
            }
            let Some(item) = texts.next() else { return Ok(End::Finished) };
            let (tag, sequence) = item?;
            open = match sequence {
                Ok(sequence) => self.take(&tag, &sequence)?,
                Err(error) => self.fail(&tag, error)?,
            };
            self.output.progress.sequences += 1;
        }
        Ok(End::Unread)
    }

    fn take(&mut self, tag: &Tag, sequence: &Sequence) -> Result<bool> {
        let mut line = String::new();
        self.format.write(tag, sequence, self.log_probs, &mut line);
        if let Some(unique) = &mut self.unique {
            let is_new = self.format.content(&line).is_none_or(|text| unique.insert(&text));
            self.output.progress.dropped = unique.dropped;
            if !is_new {
                return Ok(true);
            }
        }
        self.output.write(&line)
    }

    /// A prompt that cannot be used.
    fn fail(&mut self, tag: &Tag, error: Error) -> Result<bool> {
        if self.on_error == OnError::Stop {
            return Err(error);
        }
        self.output.progress.skipped += 1;
        if tag.sample == 0 {
            self.bar.say(&format!("skipped: {}", explain(&error)));
        }
        Ok(true)
    }

    fn summary(&self, tokens: u64, seed: u64) {
        let Progress { sequences, dropped, skipped, .. } = self.output.progress;
        let mut text = count(sequences - dropped - skipped, "sequence");
        if dropped > 0 || self.unique.is_some() {
            // --count is what is drawn, and fewer are written.
            let (all, dropped) = (grouped(sequences), grouped(dropped));
            text += &format!(" of {all}, {dropped} dropped that were there before");
        }
        if skipped > 0 {
            text += &format!(", {} skipped", grouped(skipped));
        }
        let speed = grouped(self.bar.rate(tokens));
        crate::cli::say(&format!("{text}; {}, {speed} tokens/s, seed {seed}", count(tokens, "token")));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::executor::failing::Failing;
    use crate::generate::{Generator, Options, Request, plan, sections, sizes};
    use crate::gpu::DeviceChoice;
    use crate::host::{Device, Lock, Manifest, open_model};
    use crate::model::Model;
    use crate::text::StopTexts;

    const SEQUENCES: u64 = 40;

    /// Goes on with a run after `progress`, on a device that lasts for so many submissions.
    fn write(model: &Model, path: &Path, progress: Progress, submissions: usize) -> Result<ExitCode> {
        let device = Device::choose(&DeviceChoice::Cpu, Some(1))?;
        let planned = plan(model.shape, 3);
        let mut executor = device.executor(&planned.plan, sizes(3), &sections(&planned))?;
        model.weights.load_into(&mut *executor)?;
        let generator = Generator::new(planned, Box::new(Failing::after(submissions, executor)))?;
        let jobs = (progress.sequences..SEQUENCES).map(|index| {
            let options = Options::at(0.8);
            let max_tokens = 30 + index as usize;
            let request = Request {
                prompt: [5].into(),
                sequence: index,
                seed: 1,
                options,
                max_tokens,
                stop: Vec::new(),
                source: [].into(),
            };
            let sequence = Sequence::new(&model.tokenizer, StopTexts::new::<&str>(&[]).unwrap(), Vec::new());
            (Tag { index, sample: 0, id: None, prompt: "".into(), seed: 1 }, Ok(Job { request, sequence }))
        });
        let manifest = Manifest { program: "p".into(), run: Default::default(), with: Default::default(), progress };
        let writer = Writer {
            format: Format::Jsonl,
            log_probs: false,
            on_error: OnError::Stop,
            output: Output::open(path, manifest, Lock::of_output(path)?)?,
            unique: None,
            bar: Bar::new(Some(SEQUENCES), progress.sequences),
            is_first: true,
            interrupted: None,
        };
        writer.run(Completions::new(generator, jobs, super::super::clock()), 1)
    }

    #[test]
    fn what_was_written_before_a_device_is_lost_stays_and_is_gone_on_with() {
        let model = open_model("builtin:shakespeare").unwrap();
        let folder = std::env::temp_dir().join(format!("gatefold-writer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (whole, path) = (folder.join("whole.jsonl"), folder.join("lost.jsonl"));
        write(&model, &whole, Progress::default(), usize::MAX).unwrap();
        let whole = std::fs::read(&whole).unwrap();
        let mut progress = Progress::default();
        let mut losses = 0;
        while !progress.finished {
            let ended = write(&model, &path, progress, 9);
            let (before, found) = (progress, std::fs::read(&path).unwrap());
            progress = Manifest::read(&path).unwrap().expect("it was noted").progress;
            assert!(whole.starts_with(&found), "other lines");
            assert_eq!(progress.bytes, found.len() as u64, "lines that are not noted");
            assert_eq!(progress.sequences, found.iter().filter(|byte| **byte == b'\n').count() as u64);
            if let Err(error) = ended {
                assert!(error.to_string().contains(Failing::WHY), "{error}");
                assert!(progress.sequences > before.sequences, "no line in 9 submissions");
                losses += 1;
            }
        }
        assert!(losses > 1, "the device was never lost");
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
