//! Texts to files of ids: read in pieces, written under another name and renamed, then mapped. Nothing grows with the
//! text but the disk.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::files::{Staged, context, map};
use super::text_file::TextFile;
use crate::error::{Error, Result};
use crate::text::{Encoder, Lacking, OnUnknown, Tokenizer, Utf8Pieces};
use crate::train::{Corpus, Ends, Ids, SpecialTokens, Width};

/// The part of each line that is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// All of it.
    #[default]
    Whole,
    /// What stands before the first tab: a source.
    Source,
    /// What stands between the first tab and the second one, if there is any: a target.
    Target,
}

/// The characters of some files in the order of their code points, without those that only part the text: line ends
/// where each line is a text, tabs where it is a pair.
///
/// # Errors
/// Files that cannot be read, are not UTF-8, or have no character.
pub fn characters(paths: &[&Path], parting: &[char]) -> Result<Tokenizer> {
    let lines = parting.contains(&'\n');
    let mut seen = vec![false; 1 + char::MAX as usize];
    for path in paths {
        let mut utf8 = Utf8Pieces::default();
        let (mut text, mut before) = (String::new(), None);
        let hint = |e: Error| match e {
            Error::Text(fault) => Error::Text(Box::new(fault.helped_by("tokenizer"))),
            other => other,
        };
        TextFile::open(path)?.pieces(|piece| {
            text.clear();
            utf8.push(piece, &mut text).map_err(hint)?;
            for c in text.chars() {
                // A carriage return is a character unless it belongs to a line end.
                if before == Some('\r') && c != '\n' {
                    seen['\r' as usize] = true;
                }
                if c != '\r' {
                    seen[c as usize] = true;
                }
                before = Some(c);
            }
            Ok(())
        })?;
        utf8.finish().map_err(|e| hint(e).within(&path.display().to_string()))?;
        if before == Some('\r') && !lines {
            seen['\r' as usize] = true;
        }
    }
    parting.iter().for_each(|c| seen[*c as usize] = false);
    let found: Vec<char> = (0..).zip(&seen).filter(|(_, seen)| **seen).filter_map(|(c, _)| char::from_u32(c)).collect();
    if found.is_empty() {
        let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(Error::text(&names.join(", "), "there is no text in it"));
    }
    Tokenizer::characters(found)
}

/// A tokenizer of the most frequent words of a text, or of a column of its lines: what stands between blanks. `<unk>`
/// stands for all others; of equally frequent words the first in the order of code points counts more.
///
/// # Errors
/// A file that cannot be read or is not UTF-8.
pub fn words(path: &Path, column: Column, most: usize) -> Result<Tokenizer> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let (mut line, mut utf8) = (String::new(), Utf8Pieces::default());
    let mut count = |line: &str| {
        let mut columns = line.split('\t');
        let text = match column {
            Column::Whole => line,
            Column::Source => columns.next().unwrap_or_default(),
            Column::Target => columns.nth(1).unwrap_or_default(),
        };
        for word in text.split_whitespace() {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.into(), 1)),
            }
        }
    };
    TextFile::open(path)?.pieces(|piece| {
        utf8.push(piece, &mut line)?;
        let Some(end) = line.rfind('\n') else { return Ok(()) };
        line[..end].split('\n').for_each(&mut count);
        line.drain(..=end);
        Ok(())
    })?;
    utf8.finish().map_err(|e| e.within(&path.display().to_string()))?;
    count(&line);
    let special = ["<unk>", "<s>", "</s>"];
    let mut words: Vec<(String, u64)> =
        counts.into_iter().filter(|(word, _)| !special.contains(&word.as_str())).collect();
    words.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let words = words.iter().take(most).map(|(word, _)| word.as_str());
    let vocab: serde_json::Map<_, _> =
        special.into_iter().chain(words).zip(0u32..).map(|(word, id)| (word.into(), id.into())).collect();
    let json = serde_json::json!({
        "version": "1.0",
        "added_tokens": (0u32..).zip(special).map(|(id, content)| serde_json::json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        })).collect::<Vec<_>>(),
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    });
    Tokenizer::from_json(json.to_string().as_bytes(), "tokenizer.json")
}

/// How texts become ids.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The vocabulary.
    pub tokenizer: Tokenizer,
    /// The treatment of text that it lacks.
    pub unknown: OnUnknown,
    /// Where each line is a sequence: what begins and ends it.
    pub special: Option<SpecialTokens>,
    /// What of each line is read; of one that is not empty a part that is.
    pub column: Column,
}

/// A corpus in files of ids, mapped.
#[derive(Debug)]
pub struct Tokenised {
    /// The ids.
    pub corpus: Corpus,
    /// CRC-32 of the files.
    pub checksum: u32,
    /// Text that the vocabulary lacked, where the ids were made now and that was no error.
    pub lacking: Lacking,
    /// Its files, where they have not got their names yet.
    staged: Vec<Staged>,
}

impl Tokenised {
    /// Gives new files their names, in the place of older ones; without this they go.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn keep(&mut self) -> Result<()> {
        std::mem::take(&mut self.staged).into_iter().try_for_each(Staged::keep)
    }
}

/// The ids of a text: those in `folder` under `name` if they have the checksum that is `expected`, else they are made
/// from `text` and put there. Where nothing is expected of them they wait to be kept, see [`Tokenised::keep`].
///
/// # Errors
/// A text that cannot be read, that the vocabulary lacks, with file, line and column, or that has changed since it had
/// the expected checksum; what the file system says.
pub fn tokenised(
    text: &Path,
    folder: &Path,
    name: &str,
    reading: &Reading,
    expected: Option<u32>,
) -> Result<Tokenised> {
    let (ids, ends) = (folder.join(format!("{name}.ids")), folder.join(format!("{name}.ends")));
    let width = Width::of(reading.tokenizer.len());
    if let Some(expected) = expected
        && ids.exists()
    {
        match open(&ids, reading.special.is_some().then_some(&*ends), width) {
            Ok(tokenised) if tokenised.checksum == expected => return Ok(tokenised),
            _ => log::warn!("{} was changed: it is made anew", ids.display()),
        }
    }
    fs::create_dir_all(folder).map_err(context(folder))?;
    let (mut staged_ends, mut lacking) = (None, Lacking::default());
    let staged_ids = Staged::write(&ids, |out| match reading.special {
        None => encode_text(text, reading, out, &mut lacking),
        Some(special) => {
            let encode = |ends: &mut dyn Write| encode_lines(text, reading, special, out, ends, &mut lacking);
            staged_ends = Some(Staged::write(&ends, encode)?);
            Ok(())
        }
    })?;
    let mut made = open(staged_ids.partial(), staged_ends.as_ref().map(Staged::partial), width)?;
    made.lacking = lacking;
    // The ids appear last: where they are, the ends are whole.
    made.staged = staged_ends.into_iter().chain([staged_ids]).collect();
    match expected {
        Some(expected) if made.checksum != expected => Err(Error::OtherText { path: text.into() }),
        Some(_) => made.keep().map(|()| made),
        None => Ok(made),
    }
}

fn open(ids: &Path, ends: Option<&Path>, width: Width) -> Result<Tokenised> {
    let mut checksum = crc32fast::Hasher::new();
    let bytes = map(ids)?;
    checksum.update(&bytes);
    let ends = match ends {
        None => None,
        Some(path) => {
            let bytes = map(path)?;
            checksum.update(&bytes);
            Some(Ends::new(bytes))
        }
    };
    let corpus = Corpus::new(Ids::new(bytes, width), ends);
    Ok(Tokenised { corpus, checksum: checksum.finalize(), lacking: Lacking::default(), staged: Vec::new() })
}

/// Writes ids as they stand in their file.
struct Sink<'a> {
    out: &'a mut dyn Write,
    width: Width,
    bytes: Vec<u8>,
    place: PathBuf,
}

impl Sink<'_> {
    fn write(&mut self, ids: &[u32]) -> Result<()> {
        self.bytes.clear();
        self.width.write(ids, &mut self.bytes);
        self.out.write_all(&self.bytes).map_err(context(&self.place))
    }
}

fn encode_text(path: &Path, reading: &Reading, out: &mut dyn Write, lacking: &mut Lacking) -> Result<()> {
    let mut sink = Sink { out, width: Width::of(reading.tokenizer.len()), bytes: Vec::new(), place: path.into() };
    let mut encoder = Encoder::new(&reading.tokenizer, reading.unknown)?;
    let mut ids = Vec::new();
    TextFile::open(path)?.pieces(|piece| {
        encoder.push_bytes(piece, &mut ids)?;
        sink.write(&ids)?;
        ids.clear();
        Ok(())
    })?;
    encoder.finish(&mut ids).map_err(|e| e.within(&path.display().to_string()))?;
    *lacking = encoder.take_tally().lacking;
    sink.write(&ids)
}

/// Lines, each between bos and eos; those without a token are left out.
fn encode_lines(
    path: &Path,
    reading: &Reading,
    special: SpecialTokens,
    out: &mut dyn Write,
    ends: &mut dyn Write,
    lacking: &mut Lacking,
) -> Result<()> {
    let mut lines = LineEncoder {
        sink: Sink { out, width: Width::of(reading.tokenizer.len()), bytes: Vec::new(), place: path.into() },
        ends,
        end: 0,
        encoder: Encoder::new(&reading.tokenizer, reading.unknown)?,
        special,
        ids: vec![special.bos],
        carriage_return: false,
        column: reading.column,
        line: Line::default(),
    };
    TextFile::open(path)?.pieces(|piece| {
        let mut parts = piece.split(|byte| *byte == b'\n');
        lines.push_columns(parts.next().unwrap_or_default())?;
        parts.try_for_each(|part| {
            lines.finish_line()?;
            lines.push_columns(part)
        })
    })?;
    lines.finish_line().map_err(|e| e.within(&path.display().to_string()))?;
    *lacking = lines.encoder.take_tally().lacking;
    Ok(())
}

/// Turns the bytes of lines into sequences.
struct LineEncoder<'a> {
    sink: Sink<'a>,
    ends: &'a mut dyn Write,
    end: u64,
    encoder: Encoder,
    special: SpecialTokens,
    /// bos and the line so far.
    ids: Vec<u32>,
    /// Whether the line so far ends with one, which may belong to its end.
    carriage_return: bool,
    column: Column,
    line: Line,
}

/// The line that is read.
#[derive(Default)]
struct Line {
    /// How many came before it.
    before: u64,
    tabs: usize,
    /// Whether it has anything but its end.
    filled: bool,
}

impl LineEncoder<'_> {
    /// Takes of the bytes what stands in the column.
    fn push_columns(&mut self, bytes: &[u8]) -> Result<()> {
        self.line.filled |= !matches!(bytes, b"" | b"\r");
        let number = match self.column {
            Column::Whole => return self.push(bytes),
            Column::Source => 0,
            Column::Target => 1,
        };
        for (i, part) in bytes.split(|byte| *byte == b'\t').enumerate() {
            if i > 0 {
                // A carriage return before a tab belongs to no line end.
                if std::mem::take(&mut self.carriage_return) {
                    self.encoder.push_bytes(b"\r", &mut self.ids)?;
                }
                self.line.tabs += 1;
            }
            if self.line.tabs == number {
                self.push(part)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.carriage_return) {
            self.encoder.push_bytes(b"\r", &mut self.ids)?;
        }
        let line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        self.carriage_return = line.len() < bytes.len();
        self.encoder.push_bytes(line, &mut self.ids)
    }

    fn finish_line(&mut self) -> Result<()> {
        let line_end = 1 + u64::from(std::mem::take(&mut self.carriage_return));
        self.encoder.finish_line(line_end, &mut self.ids)?;
        let Line { before, tabs, filled } = std::mem::take(&mut self.line);
        self.line.before = before + 1;
        let paired = self.column != Column::Whole && filled;
        if paired && tabs == 0 {
            let file = self.sink.place.display().to_string();
            let line = before + 1;
            return Err(Error::text(&file, format!("line {line} has no tab; expected a source, a tab and a target")));
        }
        if self.ids.len() > 1 || paired {
            self.ids.push(self.special.eos);
            self.sink.write(&self.ids)?;
            self.end += self.ids.len() as u64;
            self.ends.write_all(&self.end.to_le_bytes()).map_err(context(&self.sink.place))?;
        }
        self.ids.clear();
        self.ids.push(self.special.bos);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Folder;
    use super::super::text_file::PIECE;
    use super::*;
    use crate::train::with_special_tokens;

    fn lines_of(corpus: &Corpus) -> Vec<Vec<u32>> {
        let ends = corpus.ends.as_ref().unwrap();
        (0..ends.len()).map(|i| ends.range(i).map(|at| corpus.ids.get(at)).collect()).collect()
    }

    #[test]
    fn a_text_becomes_ids_packed_or_not() {
        let folder = Folder::new("corpus-text");
        let (plain, packed) = (folder.0.join("a.txt"), folder.0.join("a.gz"));
        let text = "añb\r\n".repeat(100_000);
        fs::write(&plain, &text).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(fs::File::create(&packed).unwrap(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap();
        let tokenizer = characters(&[&plain, &packed], &[]).unwrap();
        let reading =
            Reading { tokenizer: tokenizer.clone(), unknown: OnUnknown::Error, special: None, column: Column::Whole };
        let of = |path, name| tokenised(path, &folder.0.join("data"), name, &reading, None).unwrap();
        let (a, b) = (of(&plain, "plain"), of(&packed, "packed"));
        let ids: Vec<u32> = (0..a.corpus.len()).map(|i| a.corpus.ids.get(i)).collect();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text.replace("\r\n", "\n"));
        assert_eq!(a.checksum, b.checksum);
    }

    #[test]
    fn lines_become_sequences_however_they_end() {
        let folder = Folder::new("corpus-lines");
        let path = folder.0.join("a.txt");
        // A line that is longer than a piece, and one whose line end is cut in two.
        let long = "ab".repeat(PIECE);
        fs::write(&path, format!("ab\r\n\nb\ra\n{long}\r\n{}\r\nb", &long[..PIECE - 10])).unwrap();
        let (tokenizer, special) = with_special_tokens(&characters(&[&path], &['\n']).unwrap(), None, None).unwrap();
        assert_eq!(tokenizer.token_text(0).as_deref(), Some("\\r"));
        let reading = Reading {
            tokenizer: tokenizer.clone(),
            unknown: OnUnknown::Error,
            special: Some(special),
            column: Column::Whole,
        };
        let made = tokenised(&path, &folder.0.join("data"), "train", &reading, None).unwrap();
        let lines = lines_of(&made.corpus);
        assert!(lines.iter().all(|line| line[0] == special.bos && line.last() == Some(&special.eos)));
        let texts: Vec<String> = lines.iter().map(|line| tokenizer.decode(line).unwrap()).collect();
        assert_eq!(texts, ["ab", "b\ra", &long, &long[..PIECE - 10], "b"]);
    }

    #[test]
    fn what_the_vocabulary_lacks_is_named_with_its_line() {
        let folder = Folder::new("corpus-lacking");
        let path = folder.0.join("a.txt");
        fs::write(&path, "ab\r\n\nabc\n").unwrap();
        for (lines, line) in [(false, 3), (true, 3)] {
            let (tokenizer, special) =
                with_special_tokens(&Tokenizer::characters("ab\r\n".chars()).unwrap(), None, None).unwrap();
            let reading = Reading {
                tokenizer,
                unknown: OnUnknown::Error,
                special: lines.then_some(special),
                column: Column::Whole,
            };
            let message = tokenised(&path, &folder.0, "train", &reading, None).unwrap_err().to_string();
            let expected = format!("a.txt: character 'c' (U+0063) at line {line}, column 3 is not in");
            assert!(message.contains(&expected), "{message}");
        }
        fs::write(&path, b"ab\nab\n\xff").unwrap();
        let message = characters(&[&path], &['\n']).unwrap_err().to_string();
        assert!(message.contains("byte 6 of the text (in line 3) is not UTF-8"), "{message}");
        let names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["a.txt"], "nothing partial is left");
    }

    #[test]
    fn ids_are_kept_and_made_again_from_the_same_text_alone() {
        let folder = Folder::new("corpus-kept");
        let (path, data) = (folder.0.join("a.txt"), folder.0.join("data"));
        fs::write(&path, "abba").unwrap();
        let tokenizer = characters(&[&path], &[]).unwrap();
        let reading = Reading { tokenizer, unknown: OnUnknown::Error, special: None, column: Column::Whole };
        let mut made = tokenised(&path, &data, "train", &reading, None).unwrap();
        assert!(!data.join("train.ids").exists(), "they wait to be kept");
        made.keep().unwrap();
        let again = || tokenised(&path, &data, "train", &reading, Some(made.checksum)).map(|t| t.checksum);
        fs::write(data.join("train.ids"), [0, 1, 1]).unwrap();
        assert_eq!(again().unwrap(), made.checksum, "made anew");
        fs::write(&path, "abab").unwrap();
        assert_eq!(again().unwrap(), made.checksum, "the text is not needed");
        fs::remove_dir_all(&data).unwrap();
        let message = again().unwrap_err().to_string();
        assert!(message.contains("a.txt has changed since this run began"), "{message}");
    }
}
