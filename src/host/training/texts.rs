//! The texts of a run: in ids, parted into what is learnt from and what validation reads, cut into windows.

use std::ops::Range;
use std::path::Path;

use super::super::corpus::{Reading, Tokenised, tokenised};
use super::super::run_folder::RunFolder;
use crate::error::{Error, Result};
use crate::text::Lacking;
use crate::train::{CorpusOptions, End, Ends, Options, PairWindows, VALIDATIONS, Windows};

/// Tokens that a validation reads at most, where nobody says.
const MOST_VALID_TOKENS: usize = 1_000_000;

/// The texts of a run in ids.
pub(super) struct Texts {
    pub train: Text,
    valid: Option<Text>,
}

/// A text in ids: a language model's, or targets and their sources.
pub(super) struct Text {
    pub targets: Tokenised,
    sources: Option<Tokenised>,
}

impl Text {
    /// Its files of ids.
    fn both(&self) -> impl Iterator<Item = &Tokenised> {
        std::iter::once(&self.targets).chain(&self.sources)
    }

    /// What is learnt from, and what is held out where nothing else is there to validate on.
    fn hold_out(&self) -> (Range<usize>, Range<usize>) {
        match &self.sources {
            None => self.targets.corpus.hold_out(),
            Some(sources) => sources.corpus.hold_out_sources(),
        }
    }

    /// Windows of a part of it, to learn from where there is a seed.
    fn windows(&self, part: Range<usize>, options: &Options, seed: Option<u64>) -> Windows {
        let (rows, time) = (options.batch_size, options.sequence_length);
        match &self.sources {
            None => Windows::new(&self.targets.corpus, part, rows, time, seed),
            Some(sources) => {
                let (targets, sources) = (self.targets.corpus.clone(), sources.corpus.clone());
                Windows::Pairs(Box::new(PairWindows::new(targets, sources, part, rows, seed)))
            }
        }
    }
}

impl Texts {
    /// Reads both, or takes the ids that are there; `expected` are the checksums of a run that goes on.
    pub fn read(
        folder: &RunFolder,
        corpus: &CorpusOptions,
        seed: u64,
        reading: &Reading,
        of_sources: Option<&Reading>,
        expected: &[u32],
    ) -> Result<Texts> {
        let data = folder.data();
        let mut expected = expected.iter().copied();
        let mut read = |path: &str, name: &str| {
            let path = Path::new(path);
            let mut targets = tokenised(path, &data, name, reading, expected.next())?;
            let Some(of_sources) = of_sources else {
                targets.corpus = targets.corpus.shuffled(seed);
                return Ok::<_, Error>(Text { targets, sources: None });
            };
            let mut sources = tokenised(path, &data, &format!("{name}_sources"), of_sources, expected.next())?;
            (targets.corpus, sources.corpus) = targets.corpus.paired(sources.corpus, seed);
            Ok(Text { targets, sources: Some(sources) })
        };
        let train = read(&corpus.data, "train")?;
        let valid = corpus.valid.as_ref().map(|text| read(text, "valid")).transpose()?;
        Ok(Texts { train, valid })
    }

    fn all(&self) -> impl Iterator<Item = &Text> {
        std::iter::once(&self.train).chain(&self.valid)
    }

    /// Tokens of a validation that let all of them take a twentieth of the run: a token costs at most 0.55 of what
    /// it costs to learn from it (0.51 was measured on the CPU, the best weights' copies included).
    pub fn affordable_valid_tokens(&self, options: &Options) -> usize {
        let (train, corpus) = (self.parts().0, &self.train.targets.corpus);
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
        let texts = std::iter::once(&mut self.train).chain(&mut self.valid);
        texts.flat_map(|text| std::iter::once(&mut text.targets).chain(&mut text.sources)).try_for_each(Tokenised::keep)
    }

    /// Text that the vocabulary lacks.
    pub fn lacking(&self) -> Lacking {
        let mut lacking = Lacking::default();
        self.all().flat_map(Text::both).for_each(|text| lacking.extend(&text.lacking));
        lacking
    }

    /// Tokens of the data, and its lines.
    pub fn extent(&self) -> (usize, Option<usize>) {
        let corpus = &self.train.targets.corpus;
        (corpus.ids.len(), corpus.ends.as_ref().map(Ends::len))
    }

    pub fn checksums(&self) -> Vec<u32> {
        self.all().flat_map(Text::both).map(|text| text.checksum).collect()
    }

    /// The ranges of tokens for learning and for validation.
    pub fn parts(&self) -> (Range<usize>, &Text, Range<usize>) {
        match &self.valid {
            Some(valid) => (0..self.train.targets.corpus.len(), valid, 0..valid.targets.corpus.len()),
            None => {
                let (train, valid) = self.train.hold_out();
                (train, &self.train, valid)
            }
        }
    }

    /// Ids of the longest line.
    pub fn longest(&self) -> Option<usize> {
        longest(std::iter::once(&self.train.targets))
    }

    /// The windows of training and validation.
    pub fn windows(&self, options: &Options) -> Result<(Windows, Windows)> {
        let (train, valid, held_out) = self.parts();
        let (rows, lines) = (options.batch_size, options.corpus.lines);
        let enough = |most: usize, file: &str, found: usize, to_validate: bool| {
            if most >= rows || (lines && most > 0) {
                return Ok(());
            }
            Err(Error::TooFew { file: file.into(), found, lines, to_validate, rows })
        };
        let data = &options.corpus.data;
        enough(Windows::rows_at_most(&self.train.targets.corpus, &train), data, train.len(), false)?;
        let held_out = match options.corpus.valid_tokens {
            Some(most) => valid.targets.corpus.first(held_out, most.max(rows + 1)),
            None => held_out,
        };
        let file = options.corpus.valid.as_ref().unwrap_or(data);
        enough(Windows::rows_at_most(&valid.targets.corpus, &held_out), file, held_out.len(), true)?;
        Ok((self.train.windows(train, options, Some(options.seed)), valid.windows(held_out, options, None)))
    }

    /// Of pairs, the steps of the longest target and the tokens of the longest source.
    pub fn longest_pairs(&self) -> Option<(usize, usize)> {
        let targets = longest(self.all().map(|text| &text.targets))?;
        let sources = longest(self.all().filter_map(|text| text.sources.as_ref()))?;
        Some((targets - 1, sources - 1))
    }
}

/// Ids of the longest sequence, if there are sequences.
fn longest<'a>(texts: impl Iterator<Item = &'a Tokenised>) -> Option<usize> {
    let ends = texts.filter_map(|text| text.corpus.ends.as_ref());
    ends.flat_map(|ends| (0..ends.len()).map(|i| ends.range(i).len())).max()
}
