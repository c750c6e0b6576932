//! Files of text, unpacked where they are packed, and standard input, which is read as often as a file.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::sync::Mutex;

use super::files::{STANDARD_INPUT, context};
use crate::error::{Error, Result};

/// Bytes that are read at a time.
pub(super) const PIECE: usize = 256 << 10;
/// Bytes by which a file's format and encoding are known.
const LOOKED_AT: usize = 64;
/// The first bytes of a file in gzip's format.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A text file, unpacked where it is gzip's.
pub struct TextFile {
    name: String,
    reader: Box<dyn Read>,
}

impl TextFile {
    /// Opens a file.
    ///
    /// # Errors
    /// None that is there, or none that can be read.
    pub fn open(path: &Path) -> Result<TextFile> {
        if path.as_os_str() == STANDARD_INPUT {
            return TextFile::of("standard input".into(), standard_input().map_err(context(path))?);
        }
        let name = path.display().to_string();
        let found = fs::metadata(path).map_err(context(path))?;
        if found.is_dir() {
            return Err(Error::text(&name, "a folder; expected a text file"));
        }
        if !found.is_file() {
            let what = "a pipe or device; a text is read several times, so write it to a file first";
            return Err(Error::text(&name, what));
        }
        TextFile::of(name, File::open(path).map_err(context(path))?)
    }

    fn of(name: String, mut file: File) -> Result<TextFile> {
        let mut magic = Vec::with_capacity(LOOKED_AT);
        let read = (&mut file).take(LOOKED_AT as u64).read_to_end(&mut magic);
        read.map_err(context(Path::new(&name)))?;
        let packed = magic.starts_with(&GZIP);
        let whole = std::io::Cursor::new(magic).chain(file);
        let reader: Box<dyn Read> =
            if packed { Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(whole))) } else { Box::new(whole) };
        Ok(TextFile { name, reader })
    }

    /// Gives each piece to `take`.
    pub(super) fn pieces(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut piece = vec![0; PIECE];
        loop {
            let read = match self.reader.read(&mut piece) {
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Io { context: self.name.clone(), source }),
            };
            if read == 0 {
                return Ok(());
            }
            take(&piece[..read]).map_err(|e| e.within(&self.name))?;
        }
    }
}

/// Standard input from its beginning, as often as it is asked for: a text is read more than once.
fn standard_input() -> std::io::Result<File> {
    static COPY: Mutex<Option<File>> = Mutex::new(None);
    let mut copy = COPY.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if copy.is_none() {
        let mut file = tempfile::tempfile()?;
        std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
        *copy = Some(file);
    }
    let mut file = copy.as_ref().expect("it was made").try_clone()?;
    file.rewind()?;
    Ok(file)
}
