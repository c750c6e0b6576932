//! The texts of a run: in ids, parted into what is learnt from and what validation reads, cut into windows.

use std::ops::Range;
use std::path::Path;

use super::super::corpus::{Reading, Tokenised, tokenised};
use super::super::run_folder::RunFolder;
use crate::error::{Error, Result};
use crate::text::Lacking;
use crate::train::{CorpusOptions, End, Ends, Options, VALIDATIONS, Windows};

/// Tokens that a validation reads at most, where nobody says.
const MOST_VALID_TOKENS: usize = 1_000_000;

/// The texts of a run in ids.
pub(super) struct Texts {
    pub train: Tokenised,
    valid: Option<Tokenised>,
}

impl Texts {
    /// Reads both, or takes the ids that are there; `expected` are the checksums of a run that goes on.
    pub fn read(
        folder: &RunFolder,
        corpus: &CorpusOptions,
        seed: u64,
        reading: &Reading,
        expected: &[u32],
    ) -> Result<Texts> {
        let data = folder.data();
        let read = |text: &str, name: &str, place: usize| {
            let mut read = tokenised(Path::new(text), &data, name, reading, expected.get(place).copied())?;
            read.corpus = read.corpus.shuffled(seed);
            Ok::<_, Error>(read)
        };
        let train = read(&corpus.data, "train", 0)?;
        let valid = corpus.valid.as_ref().map(|text| read(text, "valid", 1)).transpose()?;
        Ok(Texts { train, valid })
    }

    /// Tokens of a validation that let all of them take a twentieth of the run: a token costs at most 0.55 of what
    /// it costs to learn from it (0.51 was measured on the CPU, the best weights' copies included).
    pub fn affordable_valid_tokens(&self, options: &Options) -> usize {
        let (train, corpus) = (self.parts().0, &self.train.corpus);
        let share = train.len() as f64 / corpus.len().max(1) as f64;
        let tokens = share * corpus.ids.len() as f64;
        let (steps, of_run) = match options.end {
            End::Epochs(epochs) => (f64::INFINITY, epochs as f64 * tokens),
            End::Steps(steps) => (f64::from(steps), f64::INFINITY),
        };
        let line =
            corpus.ends.as_ref().map_or(f64::INFINITY, |ends| corpus.ids.len() as f64 / ends.len().max(1) as f64);
        let of_step = options.batch_size as f64 * line.min(options.sequence_length as f64);
        let of_run = of_run.min(steps * of_step);
        let times = options.valid_every.map_or(0.0, |every| of_run / of_step / f64::from(every)).max(VALIDATIONS);
        ((0.05 / 0.55 * of_run / times) as usize).clamp(1, MOST_VALID_TOKENS)
    }

    /// Gives the files of a new run their names.
    pub fn keep(&mut self) -> Result<()> {
        self.train.keep()?;
        self.valid.as_mut().map_or(Ok(()), Tokenised::keep)
    }

    /// Text that the vocabulary lacks.
    pub fn lacking(&self) -> Lacking {
        let mut lacking = self.train.lacking.clone();
        self.valid.iter().for_each(|valid| lacking.extend(&valid.lacking));
        lacking
    }

    /// Tokens of the data, and its lines.
    pub fn extent(&self) -> (usize, Option<usize>) {
        let corpus = &self.train.corpus;
        (corpus.ids.len(), corpus.ends.as_ref().map(Ends::len))
    }

    pub fn checksums(&self) -> Vec<u32> {
        std::iter::once(&self.train).chain(&self.valid).map(|text| text.checksum).collect()
    }

    /// The ranges of tokens for learning and for validation.
    pub fn parts(&self) -> (Range<usize>, &Tokenised, Range<usize>) {
        match &self.valid {
            Some(valid) => (0..self.train.corpus.len(), valid, 0..valid.corpus.len()),
            None => {
                let (train, valid) = self.train.corpus.hold_out();
                (train, &self.train, valid)
            }
        }
    }

    /// Ids of the longest line.
    pub fn longest(&self) -> Option<usize> {
        let ends = self.train.corpus.ends.as_ref()?;
        (0..ends.len()).map(|i| ends.range(i).len()).max()
    }

    /// The windows of training and validation.
    pub fn windows(&self, options: &Options) -> Result<(Windows, Windows)> {
        let (train, valid, held_out) = self.parts();
        let (rows, time, lines) = (options.batch_size, options.sequence_length, options.corpus.lines);
        let enough = |most: usize, file: &str, found: usize, to_validate: bool| {
            if most >= rows || (lines && most > 0) {
                return Ok(());
            }
            Err(Error::TooFew { file: file.into(), found, lines, to_validate, rows })
        };
        let data = &options.corpus.data;
        enough(Windows::rows_at_most(&self.train.corpus, &train), data, train.len(), false)?;
        let held_out = match options.corpus.valid_tokens {
            Some(most) => valid.corpus.first(held_out, most.max(rows + 1)),
            None => held_out,
        };
        let file = options.corpus.valid.as_ref().unwrap_or(data);
        enough(Windows::rows_at_most(&valid.corpus, &held_out), file, held_out.len(), true)?;
        let seed = Some(options.seed);
        let train = Windows::new(&self.train.corpus, train, rows, time, seed);
        Ok((train, Windows::new(&valid.corpus, held_out, rows, time, None)))
    }
}
