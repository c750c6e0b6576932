//! `gatefold convert`: a model folder from another program's weights.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::DeviceArgs;
use crate::error::{Error, Result};
use crate::host;
use crate::import::{self, Imported, Options, Source, Vocabulary};
use crate::model::{Bytes, Model, Precision, short};
use crate::ops::activation::Activation;

/// Arguments of `convert`.
#[derive(Args)]
pub(super) struct ConvertArgs {
    /// A .safetensors, .pt, .pth, .npz or .onnx file, a manifest.json of TensorFlow.js weights, or its folder
    #[arg(value_name = "SOURCE")]
    source: PathBuf,

    /// The model folder to write
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Call a tensor by another name before names are guessed; `OLD=` leaves it out
    #[arg(long, value_name = "OLD=NEW")]
    map: Vec<String>,

    /// The tokens: a tokenizer.json, a list (JSON, or one a line), or a JSON object of ids by token or tokens by id
    /// [default: vocab.json beside a manifest, else <0>, <1>, ...]
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,

    /// Compare with recorded logits before anything is written: a .safetensors of `ids` [B, T] and `logits` [B, T, V]
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,

    /// How far a logit may be from the recorded one
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = 1e-4)]
    tolerance: f64,

    /// What TensorFlow adds to its forget gates' bias when it runs
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = 1.0)]
    forget_bias: f32,

    /// The function of plain RNN cells in a state dict, which does not say it: tanh or relu [default: tanh]
    #[arg(long, value_name = "NAME")]
    activation: Option<String>,

    /// Write 16-bit floats
    #[arg(long)]
    f16: bool,

    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Write over a model that is there already
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    device: DeviceArgs,
}

pub(super) fn run(args: &ConvertArgs) -> Result<ExitCode> {
    let options = Options { map: args.map()?, forget_bias: args.forget_bias, activation: args.activation()? };
    let source = args.source_file()?;
    if args.folder.is_file() {
        return Err(Error::Usage(format!("{}: there is a file; expected a folder to write", args.folder.display())));
    }
    let folder = source.parent().unwrap_or(Path::new("")).to_path_buf();
    let name = source.display().to_string();
    let open = |file: &str| host::map(&folder.join(file));
    let file = Source { name, bytes: host::map(&source)?, open: &open };
    let imported = import::import(&file, &options)?;
    let (vocabulary, from) = args.vocabulary(&source, imported.config.vocab_size)?;
    super::print(&table(&imported, &vocabulary, &from))?;

    let model = model(args, imported, vocabulary)?;
    if let Some(reference) = &args.verify {
        verify(args, &model, reference)?;
    }
    if args.dry_run {
        super::say("nothing was written (--dry-run)");
        return Ok(ExitCode::SUCCESS);
    }
    let files = ["config.json", "model.safetensors"].map(|name| args.folder.join(name));
    if let Some(there) = files.iter().find(|file| !args.force && file.exists()) {
        return Err(Error::Usage(format!("{} is there already; --force writes over it", there.display())));
    }
    let precision = if args.f16 { Precision::F16 } else { Precision::F32 };
    host::replace_model(&args.folder, &model, precision)?;
    // What was written must open, with the numbers that were converted.
    let written = host::open_model(&args.folder)?;
    for (tensor, _) in crate::model::weight_shapes(&model.shape) {
        let same = precision == Precision::F16 || written.weights.get(&tensor) == model.weights.get(&tensor);
        assert!(same, "`{tensor}` is not what was written");
    }
    super::say(&format!("{} is written", args.folder.display()));
    Ok(ExitCode::SUCCESS)
}

impl ConvertArgs {
    fn map(&self) -> Result<Vec<(String, String)>> {
        let pair = |text: &String| match text.split_once('=') {
            Some((old, new)) if !old.is_empty() => Ok((old.to_string(), new.to_string())),
            _ => Err(Error::Usage(format!("--map {text:?}: expected OLD=NEW, or OLD= to leave a tensor out"))),
        };
        self.map.iter().map(pair).collect()
    }

    fn activation(&self) -> Result<Option<Activation>> {
        let named = |name: &String| {
            Activation::named(name).ok_or_else(|| Error::Usage(format!("--activation {name:?}: expected tanh or relu")))
        };
        self.activation.as_ref().map(named).transpose()
    }

    /// The file itself: a folder stands for the manifest in it.
    fn source_file(&self) -> Result<PathBuf> {
        if !self.source.is_dir() {
            return Ok(self.source.clone());
        }
        let manifest = self.source.join("manifest.json");
        if !manifest.exists() {
            return Err(Error::Usage(format!(
                "{}: a folder without a manifest.json; expected a file of weights, or a folder of TensorFlow.js",
                self.source.display()
            )));
        }
        Ok(manifest)
    }

    /// The tokens, and where they come from.
    fn vocabulary(&self, source: &Path, count: usize) -> Result<(Vocabulary, String)> {
        let beside = || {
            let path = source.with_file_name("vocab.json");
            (source.file_name()? == "manifest.json" && path.is_file()).then_some(path)
        };
        let Some(path) = self.vocab.clone().or_else(beside) else {
            let what = "nobody says what the tokens are (--vocab): they are called <0>, <1>, ...";
            return Ok((Vocabulary::of_numbers(count)?, what.into()));
        };
        let name = path.display().to_string();
        let bytes: Bytes = host::map(&path)?;
        let vocabulary = Vocabulary::read(&name, &bytes)?;
        let tokens = vocabulary.tokenizer.len();
        if tokens > count {
            return Err(Error::Text(format!("{name}: {tokens} tokens, but the model has {count}")));
        }
        Ok((vocabulary, name))
    }
}

/// The model, with a tokenizer.
fn model(args: &ConvertArgs, imported: Imported, vocabulary: Vocabulary) -> Result<Model> {
    let mut config = imported.config;
    config.bos_token_id = vocabulary.bos;
    config.eos_token_id = Vec::from_iter(vocabulary.eos);
    config.pad_token_id = vocabulary.pad;
    config.unk_token_id = vocabulary.unk;
    let shape = config.shape();
    let name = args.folder.display().to_string();
    let (weights, tokenizer) = (imported.weights, vocabulary.tokenizer);
    Ok(Model { name, config, shape, generation_config: None, weights, tokenizer })
}

/// What became what, for people to check.
fn table(imported: &Imported, vocabulary: &Vocabulary, from: &str) -> String {
    let rows: Vec<[String; 3]> =
        imported.names.iter().map(|(from, to, shape)| [to.clone(), format!("{shape:?}"), short(from)]).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name, shape) = (width(0), width(1));
    let mut text = String::new();
    for [to, size, from] in &rows {
        text += &format!("  {to:<name$}  {size:<shape$}  <- {from}\n");
    }
    let config = serde_json::to_string(&imported.config).expect("a config is JSON");
    text += &format!("\n  config      {config}\n");
    let special = [("bos", vocabulary.bos), ("eos", vocabulary.eos), ("pad", vocabulary.pad), ("unk", vocabulary.unk)];
    let special: Vec<String> = special.iter().filter_map(|(name, id)| Some(format!("{name} {}", (*id)?))).collect();
    let special = if special.is_empty() { String::new() } else { format!(", {}", special.join(", ")) };
    let (kind, count) = (vocabulary.tokenizer.kind(), vocabulary.tokenizer.len());
    text += &format!("  tokens      {kind}, {count}{special} ({from})\n");
    for note in &imported.notes {
        text += &format!("  note        {note}\n");
    }
    text
}

fn verify(args: &ConvertArgs, model: &Model, reference: &Path) -> Result<()> {
    let device = args.device.open()?;
    let name = reference.display().to_string();
    let open =
        |plan: &crate::network::LanguageModel, sizes, sections: &[_]| device.executor(&plan.plan, sizes, sections);
    let agreements = import::verify(model, &name, &host::map(reference)?, &open)?;
    for agreement in &agreements {
        let import::Agreement { name, sizes, largest, other_best } = agreement;
        super::print(&format!(
            "  verified    {name} ({} x {} tokens): logits within {largest:.1e}, {other_best} other best tokens\n",
            sizes.rows, sizes.time
        ))?;
    }
    match agreements.iter().find(|a| a.largest.partial_cmp(&args.tolerance).is_none_or(Ordering::is_gt)) {
        None => Ok(()),
        Some(worst) => Err(Error::Model(format!(
            "{name}: logits of `{}` are {:.1e} from the recorded ones; expected at most {:.1e} (--tolerance). Nothing was \
             written",
            worst.name, worst.largest, args.tolerance
        ))),
    }
}
