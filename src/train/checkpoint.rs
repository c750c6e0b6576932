//! A checkpoint in bytes: a safetensors file whose metadata says where the run stands.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::{Deserialize, Serialize};

use super::options::Options;
use super::trainer::Progress;
use super::{Engine, Snapshot};
use crate::error::{Error, Result};
use crate::model::{Bytes, Config, Numbers};

/// The checkpoints that this version reads and writes.
const FORMAT_VERSION: u32 = 2;
/// The names of the metadata's entries.
const MANIFEST: &str = "gatefold.checkpoint";
const CHECKSUM: &str = "gatefold.crc32";

/// The kernels that a run used: with others of the same order class its bits stay the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernels {
    /// The device in words.
    pub device: String,
    /// Order classes, by op.
    pub order: BTreeMap<String, BTreeSet<String>>,
    /// Variants or functions, by op.
    pub variants: BTreeMap<String, BTreeSet<String>>,
}

impl Kernels {
    /// The kernels of an engine.
    pub fn of(engine: &Engine) -> Kernels {
        let mut kernels = Kernels { device: engine.device(), ..Default::default() };
        let sections = Engine::sections(engine.training());
        for kernel in sections.into_iter().flat_map(|section| engine.executor().kernels(section)) {
            kernels.order.entry(kernel.op.into()).or_default().insert(kernel.class.to_string());
            kernels.variants.entry(kernel.op.into()).or_default().insert(kernel.name.into());
        }
        kernels
    }
}

/// Where a run stands, apart from its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format.
    pub format_version: u32,
    /// The program's version.
    pub gatefold: String,
    /// The options of the run.
    pub options: Options,
    /// Where it stands.
    pub progress: Progress,
    /// Bytes of the log up to here.
    pub log_bytes: u64,
    /// Checksums (CRC-32) of the corpus in ids: of what is learnt from, and of a validation file.
    pub corpus: Vec<u32>,
    /// The kernels that it ran on.
    pub kernels: Kernels,
}

impl Manifest {
    /// A manifest of this version.
    pub fn new(options: Options, progress: Progress, log_bytes: u64, corpus: Vec<u32>, kernels: Kernels) -> Manifest {
        let gatefold = env!("CARGO_PKG_VERSION").into();
        Manifest { format_version: FORMAT_VERSION, gatefold, options, progress, log_bytes, corpus, kernels }
    }

    /// Whether a run can have written it; `file` is its name in messages.
    ///
    /// # Errors
    /// The first entry that none can.
    fn check(&self, file: &str) -> Result<()> {
        self.options.check(file)?;
        self.progress.check(file)?;
        let corpus = &self.options.corpus;
        let columns = 1 + usize::from(corpus.pairs);
        let (found, expected) = (self.corpus.len(), columns * (1 + usize::from(corpus.valid.is_some())));
        if found != expected {
            let field = "corpus".to_string();
            let (found, expected) = (format!("{found} checksums"), format!("{expected}, one a text"));
            return Err(Error::Record { file: file.into(), field, found, expected });
        }
        Ok(())
    }
}

/// All that a run needs to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where it stands.
    pub manifest: Manifest,
    /// Weights, moments and states.
    pub snapshot: Snapshot,
}

impl Checkpoint {
    /// Writes the file.
    ///
    /// # Errors
    /// A number that is not finite, with its tensor; whatever `out` says.
    pub fn write(&self, config: &Config, out: &mut dyn Write) -> Result<()> {
        let shapes: BTreeMap<String, Vec<usize>> = config.weight_shapes().into_iter().collect();
        let shape = |name: &str, len: usize| {
            let weight = ["first_moment.", "second_moment."].iter().find_map(|prefix| name.strip_prefix(prefix));
            let shape = shapes.get(weight.unwrap_or(name)).filter(|shape| shape.iter().product::<usize>() == len);
            shape.cloned().unwrap_or_else(|| vec![len])
        };
        let tensors: Vec<_> =
            self.snapshot.iter().map(|(name, values)| (name.clone(), shape(name, values.len()), &values[..])).collect();
        let manifest = serde_json::to_string(&self.manifest).expect("a manifest is JSON");
        Numbers::write("checkpoint/last.safetensors", &tensors, out, |mut checksum| {
            checksum.update(manifest.as_bytes());
            let checksum = in_words(checksum);
            BTreeMap::from([(MANIFEST.to_string(), manifest), (CHECKSUM.to_string(), checksum)])
        })
    }

    /// Reads a file; `file` is its name in messages.
    ///
    /// # Errors
    /// No checkpoint, one of another version, one that was cut off or changed, one that no run can have written.
    pub fn read(file: &str, bytes: &Bytes) -> Result<Checkpoint> {
        let wrong = |what: String| Error::model(file, what);
        let mut numbers = Numbers::read(file, bytes)?;
        let mut entry = |name: &str| {
            let lacking = || wrong(format!("no checkpoint of gatefold: its metadata lacks `{name}`"));
            numbers.metadata.remove(name).ok_or_else(lacking)
        };
        let (manifest, expected) = (entry(MANIFEST)?, entry(CHECKSUM)?);
        numbers.checksum.update(manifest.as_bytes());
        let found = in_words(numbers.checksum);
        if found != expected {
            return Err(wrong(format!("was damaged: its checksum is {found}; expected {expected}")));
        }
        let version: Version =
            serde_json::from_str(&manifest).map_err(|e| wrong(format!("no checkpoint of gatefold: {e}")))?;
        if version.format_version != FORMAT_VERSION {
            return Err(wrong(format!(
                "a checkpoint of format {}, written by gatefold {}; this version reads format {FORMAT_VERSION}",
                version.format_version, version.gatefold
            )));
        }
        let manifest: Manifest = serde_json::from_str(&manifest).map_err(|e| wrong(format!("in its metadata, {e}")))?;
        manifest.check(file)?;
        for (name, values) in &numbers.tensors {
            let least = if name.starts_with("second_moment.") { 0.0 } else { f32::MIN };
            if let Some(at) = values.iter().position(|x| !x.is_finite() || *x < least) {
                return Err(wrong(format!("tensor `{name}` is {} at element {at}; no run has that", values[at])));
            }
        }
        Ok(Checkpoint { manifest, snapshot: numbers.tensors })
    }
}

/// The field that every version of a manifest has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
    gatefold: String,
}

fn in_words(checksum: crc32fast::Hasher) -> String {
    format!("{:08x}", checksum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Cell, Shape};
    use crate::train::{End, first_weights, trainer};

    fn checkpoint(config: &Config) -> Checkpoint {
        let mut snapshot = first_weights(config, 5, None);
        snapshot.insert("first_moment.output.weight".into(), vec![1.0 / 3.0; 35]);
        snapshot.insert("state.h_l0".into(), vec![-0.0, f32::MIN_POSITIVE / 4.0, 2.0]);
        let manifest =
            Manifest::new(trainer::tests::options(End::Steps(7)), Progress::default(), 99, vec![1], Kernels::default());
        Checkpoint { manifest, snapshot }
    }

    fn config() -> Config {
        Config::new(Shape { cell: Cell::Gru, vocab: 7, embedding: 3, hidden: 5, layers: 2 })
    }

    fn written(checkpoint: &Checkpoint) -> Vec<u8> {
        let mut bytes = Vec::new();
        checkpoint.write(&config(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn all_bits_come_back() {
        let checkpoint = checkpoint(&config());
        let bytes = written(&checkpoint);
        let read = Checkpoint::read("c", &Bytes::new(bytes)).unwrap();
        assert_eq!(read.manifest, checkpoint.manifest);
        let bits = |snapshot: &Snapshot| {
            let bits = |values: &Vec<f32>| values.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
            snapshot.iter().map(|(name, values)| (name.clone(), bits(values))).collect::<Vec<_>>()
        };
        assert_eq!(bits(&read.snapshot), bits(&checkpoint.snapshot));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let bytes = written(&checkpoint(&config()));
        let message = |bytes: Vec<u8>| match Checkpoint::read("m/last.safetensors", &Bytes::new(bytes)) {
            Ok(_) => "read".into(),
            Err(error) => error.to_string(),
        };
        for cut in [0, 7, 50, bytes.len() / 2, bytes.len() - 1] {
            let message = message(bytes[..cut].to_vec());
            assert!(message.starts_with("m/last.safetensors: "), "{cut}: {message}");
        }
        // The blanks before the data mean nothing.
        let blanks = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let meant = blanks - bytes[..blanks].iter().rev().take_while(|b| **b == b' ').count();
        for at in (0..meant).step_by(37).chain((blanks..bytes.len()).step_by(37)) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert!(message(bytes).starts_with("m/last.safetensors: "), "byte {at}");
        }
        let mut other = checkpoint(&config());
        other.manifest.format_version = 1;
        let said = message(written(&other));
        assert!(said.contains("a checkpoint of format 1, written by gatefold") && said.contains("format 2"), "{said}");
        let mut model = Vec::new();
        let weights = crate::model::Weights::from_tensors(first_weights(&config(), 5, None));
        weights.write(&mut model, &config(), crate::model::Precision::F32).unwrap();
        let said = message(model);
        assert!(said.contains("no checkpoint of gatefold: its metadata lacks `gatefold.checkpoint`"), "{said}");
    }

    /// Everything with a right checksum: what was damaged are single entries.
    #[test]
    fn entries_that_no_run_can_have_are_named() {
        let manifest = serde_json::to_value(checkpoint(&config()).manifest).unwrap();
        let read = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut changed = manifest.clone();
            change(&mut changed);
            let text = changed.to_string();
            let mut bytes = Vec::new();
            let tensor = [("second_moment.a".to_string(), vec![1], &[0.5f32][..])];
            Numbers::write("c", &tensor, &mut bytes, |mut checksum| {
                checksum.update(text.as_bytes());
                BTreeMap::from([(MANIFEST.to_string(), text.clone()), (CHECKSUM.to_string(), in_words(checksum))])
            })
            .unwrap();
            Checkpoint::read("c", &Bytes::new(bytes)).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(read(&|_| ()), Ok(()));
        use serde_json::json;
        for (place, value) in [
            ("/options/batch_size", json!(0)),
            ("/options/batch_size", json!(1u64 << 63)),
            ("/options/sequence_length", json!(0)),
            ("/options/sequence_length", json!(1u64 << 31)),
            ("/options/valid_every", json!(0)),
            ("/options/log_every", json!(0)),
            ("/options/clip", json!(-1.0)),
            ("/options/clip", json!(0.0)),
            ("/options/momentum", json!(5.0)),
            ("/options/weight_decay", json!(-0.1)),
            ("/options/rate/peak", json!(0.0)),
            ("/options/rate/peak", json!(1e39)),
            ("/options/rate/schedule/cosine/floor", json!(-1.0)),
            ("/options/rate/schedule", json!({"step": {"every": 0, "divisor": 2.0}})),
            ("/options/rate/schedule", json!({"plateau": {"patience": 1, "divisor": 0.0}})),
            ("/options/end", json!({"steps": 0})),
            ("/options/end", json!({"epochs": 0})),
            ("/options/end", json!({"epochs": 1u64 << 60})),
            ("/options/patience", json!(0)),
            ("/options/checkpoint_every", json!({"steps": 0})),
            ("/options/checkpoint_every", json!({"minutes": -1.0})),
            ("/options/corpus/valid_tokens", json!(0)),
            ("/options/corpus/valid", json!("v.txt")),
            ("/options/seed", json!(-1)),
            ("/options/f16", json!("yes")),
            ("/progress/step", json!(1u32 << 31)),
            ("/progress/position/epoch", json!(1)),
            ("/progress/position/group", json!(u64::MAX)),
            ("/progress/best", json!({"step": 3, "loss": 1.0})),
            ("/progress/validated", json!({"step": 0, "loss": 1.0})),
            ("/progress/since_line/steps", json!(9)),
            ("/progress/since_line/nats", json!(-1.0)),
            ("/progress/since_best", json!(1)),
            ("/progress/divisions", json!(1)),
            ("/progress/learning_rate", json!(-1.0)),
            ("/corpus", json!([])),
            ("/log_bytes", json!(-1)),
        ] {
            let damaged = read(&|manifest| *manifest.pointer_mut(place).expect(place) = value.clone());
            let message = damaged.expect_err(&format!("{place} {value} was read"));
            assert!(message.starts_with("c: "), "{place}: {message}");
        }
        let unknown = read(&|manifest| manifest["options"]["rows"] = json!(1)).unwrap_err();
        assert!(unknown.contains("unknown field `rows`"), "{unknown}");
    }

    #[test]
    fn what_is_not_finite_is_not_written() {
        let mut checkpoint = checkpoint(&config());
        checkpoint.snapshot.get_mut("state.h_l0").unwrap()[1] = f32::NAN;
        let message = checkpoint.write(&config(), &mut Vec::new()).unwrap_err().to_string();
        assert!(message.contains("`state.h_l0` is NaN at element 1"), "{message}");
    }
}
