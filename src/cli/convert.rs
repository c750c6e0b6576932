//! `gatefold convert`: a model folder from another program's weights.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::{DeviceArgs, hints};
use crate::error::{Error, Fault, Result};
use crate::host;
use crate::import::{self, Imported, Options, Source, Vocabulary};
use crate::model::{Bytes, Model, Precision, short};
use crate::ops::activation::Activation;

/// Arguments of `convert`.
#[derive(Args)]
pub(super) struct ConvertArgs {
    /// A .safetensors, .pt, .pth, .npz or .onnx file, a manifest.json or model.json of TensorFlow.js, or its folder
    #[arg(value_name = "SOURCE")]
    source: PathBuf,

    /// The model folder to write
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,

    /// Call a tensor by another name before names are guessed; `OLD=` leaves it out
    #[arg(long, value_name = "OLD=NEW")]
    map: Vec<String>,

    /// The tokens: a tokenizer.json, a list (JSON, or one a line), or a JSON object of ids by token or tokens by id
    /// [default: what the file keeps, vocab.json beside a manifest, else <0>, <1>, ...]
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,

    /// Compare with a recording before anything is written: a .safetensors of `ids` [B, T] and `logits` [B, T, V], which
    /// may be log-probabilities or probabilities
    #[arg(long, value_name = "FILE")]
    verify: Option<PathBuf>,

    /// How far a logit may be from the recorded one
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = 1e-4)]
    tolerance: f64,

    /// Number that TensorFlow adds to its forget gates' bias when it runs
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = 1.0)]
    forget_bias: f32,

    /// The function of plain RNN cells in a state dict, which does not say it: tanh or relu [default: tanh]
    #[arg(long, value_name = "NAME")]
    activation: Option<String>,

    /// The order of several recurrent modules, where no numbers in their names say it
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',')]
    layers: Vec<String>,

    /// The token that begins a text, or its id (else found by names such as `<s>`)
    #[arg(long, value_name = "TOKEN")]
    bos: Option<String>,

    /// The token that ends a text, or its id; may be given several times
    #[arg(long, value_name = "TOKEN")]
    eos: Vec<String>,

    /// Beginning of a text that is given no prompt
    #[arg(long, value_name = "TEXT")]
    start_text: Option<String>,

    /// Name of the model in its config.json
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

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
    let options = Options {
        map: args.map()?,
        forget_bias: args.forget_bias,
        activation: args.activation()?,
        layers: args.layers.clone(),
    };
    let source = args.source_file()?;
    if args.folder.is_file() {
        return Err(Error::Usage(format!("{}: there is a file; expected a folder to write", args.folder.display())));
    }
    let folder = source.parent().unwrap_or(Path::new("")).to_path_buf();
    let name = source.display().to_string();
    let open = |file: &str| host::map(&folder.join(file));
    let file = Source { name, bytes: host::map(&source)?, open: &open };
    let imported = import::import(&file, &options)?;
    let (vocabulary, from) = args.vocabulary(&source, &imported)?;
    let vocabulary = args.marked(vocabulary)?;
    super::print(&host::readable(&table(&imported, &vocabulary, &from)))?;

    let model = model(args, imported, vocabulary)?;
    match &args.verify {
        Some(reference) => verify(args, &model, reference)?,
        None => super::say(&unverified(&file)),
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
    // The written folder must open, with the numbers that were converted.
    let written = host::open_model(&args.folder)?;
    for (tensor, _) in model.config.weight_shapes() {
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
        let files = ["manifest.json", "model.json"].map(|name| self.source.join(name));
        files.into_iter().find(|file| file.exists()).ok_or_else(|| {
            Error::Usage(format!(
                "{}: a folder without a manifest.json or model.json; expected a file of weights, or a folder of \
                 TensorFlow.js",
                self.source.display()
            ))
        })
    }

    /// The tokens, and where they come from.
    fn vocabulary(&self, source: &Path, imported: &Imported) -> Result<(Vocabulary, String)> {
        let count = imported.config.vocab_size;
        let beside = || {
            let path = source.with_file_name("vocab.json");
            (source.file_name()? == "manifest.json" && path.is_file()).then_some(path)
        };
        let Some(path) = self.vocab.clone().or_else(beside) else {
            if let Some((called, tokens)) = &imported.vocabulary {
                let from = format!("`{called}` in the file");
                return Ok((Vocabulary::of_tokens(tokens.clone(), &from)?, from));
            }
            let what = "nobody says what the tokens are (--vocab): they are called <0>, <1>, ...";
            return Ok((Vocabulary::of_numbers(count)?, what.into()));
        };
        let name = path.display().to_string();
        let bytes: Bytes = host::map(&path)?;
        let vocabulary = Vocabulary::read(&name, &bytes)?;
        let tokens = vocabulary.tokenizer.len();
        if tokens > count {
            return Err(Error::text(&name, format!("{tokens} tokens, but the model has {count}")));
        }
        Ok((vocabulary, name))
    }
}

impl ConvertArgs {
    /// The vocabulary with the marks that were said.
    fn marked(&self, mut vocabulary: Vocabulary) -> Result<Vocabulary> {
        let id = |option: &str, token: &String| {
            let number = || token.parse().ok().filter(|id: &u32| (*id as usize) < vocabulary.tokenizer.len());
            vocabulary.tokenizer.id_of(token).or_else(number).ok_or_else(|| {
                Error::Usage(format!(
                    "--{option} {token:?}: no token of the vocabulary, and no id below {}",
                    vocabulary.tokenizer.len()
                ))
            })
        };
        let bos = self.bos.as_ref().map(|token| id("bos", token)).transpose()?;
        let eos = self.eos.iter().map(|token| id("eos", token)).collect::<Result<Vec<u32>>>()?;
        if let Some(text) = &self.start_text {
            vocabulary.tokenizer.encode(text, crate::text::OnUnknown::Error).map_err(|e| e.within("--start-text"))?;
        }
        vocabulary.bos = bos.or(vocabulary.bos);
        if !eos.is_empty() {
            vocabulary.eos = eos;
        }
        Ok(vocabulary)
    }
}

/// The message where no recording was given: that nothing was compared, and how to make one.
fn unverified(file: &Source) -> String {
    let safetensors = file.bytes.len() > 9 && file.bytes[8] == b'{';
    let keras = file.bytes[..file.bytes.len().min(1 << 16)].windows(7).any(|w| w == b"\"keras\"")
        || file.bytes.starts_with(b"{")
        || safetensors && file.name.contains("keras");
    let ids = "ids = np.random.default_rng(0).integers(1, VOCAB, (2, 20))";
    let run = if keras {
        "logits = np.asarray(model(ids))                     # of Keras's model; probabilities will do"
    } else {
        "logits = model(torch.from_numpy(ids)).detach().numpy()    # after model.eval(); [2, 20, VOCAB]"
    };
    format!(
        "nothing was verified: whether these are the model's numbers, only a recording shows. In Python, where the model \
         runs:\n\n    import numpy as np\n    from safetensors.numpy import save_file\n    {ids}\n    {run}\n    \
         save_file({{\"ids\": ids, \"logits\": np.ascontiguousarray(logits, np.float32)}}, \"rec.safetensors\")\n\n\
         then: gatefold convert ... --verify rec.safetensors"
    )
}

/// The model, with a tokenizer.
fn model(args: &ConvertArgs, imported: Imported, vocabulary: Vocabulary) -> Result<Model> {
    let mut config = imported.config;
    config.bos_token_id = vocabulary.bos;
    config.eos_token_id = vocabulary.eos;
    config.start_text = args.start_text.clone();
    config.name = args.name.clone();
    config.pad_token_id = vocabulary.pad;
    config.unk_token_id = vocabulary.unk;
    let shape = config.shape();
    let name = args.folder.display().to_string();
    let (weights, tokenizer) = (imported.weights, vocabulary.tokenizer);
    Ok(Model { name, config, shape, generation_config: None, weights, tokenizer, source_tokenizer: None })
}

/// The table of old and new names, for people to check.
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
    let one = [("bos", vocabulary.bos), ("pad", vocabulary.pad), ("unk", vocabulary.unk)];
    let eos = vocabulary.eos.iter().map(|id| ("eos", Some(*id)));
    let special = one.into_iter().chain(eos).filter_map(|(name, id)| Some(format!("{name} {}", id?)));
    let special: Vec<String> = special.collect();
    let special = if special.is_empty() { String::new() } else { format!(", {}", special.join(", ")) };
    let (kind, count) = (vocabulary.tokenizer.kind(), vocabulary.tokenizer.len());
    text += &format!("  tokens      {kind}, {count}{special} ({from})\n");
    for note in &imported.notes {
        text += &format!("  note        {}\n", hints::note(note));
    }
    if kind == "list" && import::looks_like_words(&vocabulary.tokenizer.texts()) {
        text += "  note        the tokens look like words, and a list is joined without blanks: `the`, `end` is `theend`, and\n              \
                 no text with blanks can be read. For words write a tokenizer.json, and give it as --vocab:\n\n    \
                 from tokenizers import Tokenizer, models, pre_tokenizers\n    \
                 t = Tokenizer(models.WordLevel({word: id, ...}, unk_token=\"<unk>\"))\n    \
                 t.pre_tokenizer = pre_tokenizers.WhitespaceSplit(); t.save(\"tokenizer.json\")\n\n";
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
        let import::Agreement { name, sizes, of, largest, other_best } = agreement;
        super::print(&format!(
            "  verified    {name} ({} x {} tokens): {} within {largest:.1e}, {other_best} other best tokens\n",
            sizes.rows,
            sizes.time,
            of.name()
        ))?;
    }
    match agreements.iter().find(|a| a.largest.partial_cmp(&args.tolerance).is_none_or(Ordering::is_gt)) {
        None => Ok(()),
        Some(worst) => {
            let found =
                format!("{} of `{}` are {:.1e} from the recorded ones", worst.of.name(), worst.name, worst.largest);
            let most = format!("at most {:.1e} (--tolerance). Nothing was written", args.tolerance);
            Err(Error::model(&name, Fault::from(found).expected(most)))
        }
    }
}
