//! From what was typed, or from a checkpoint, to a run that can begin.

use std::ops::Range;
use std::path::Path;

use super::arguments::TrainArgs;
use super::session::Session;
use crate::cli::model::Unknown as UnknownArg;
use crate::cli::numbers::{count, grouped};
use crate::cli::{say, train::display::Display};
use crate::error::{Error, Result};
use crate::host::{self, Device, Reading, RunFolder, Tokenised, open_model, tokenised};
use crate::model::{Config, Model, Weights};
use crate::network::Cell;
use crate::text::{OnUnknown, Tokenizer, unmarked};
use crate::train::{
    Checkpoint, Choice, CorpusOptions, End, Ends, Engine, Extent, Kernels, Marks, Options, Progress, Trainer, Unknown,
    VALIDATIONS, Windows, first_weights, generation_config, with_marks,
};

/// Tokens that a validation reads at most, where nobody says.
const MOST_VALID_TOKENS: usize = 1_000_000;

/// A run that begins.
pub(super) fn new(args: &TrainArgs) -> Result<Session> {
    let (Some(data), Some(output)) = (&args.data.data, &args.data.output) else {
        return Err(Error::Usage("expected --data and --output, or --resume".into()));
    };
    let (tokenizer, marks) = tokenizer(args, data)?;
    // Sizes that a model cannot have are known before the data is read.
    let mut extent = Extent { tokens: 0, lines: None, vocab: tokenizer.len() };
    args.model.config(extent.vocab, &Choice::of(extent))?.to_json()?;
    let corpus = asked(args, data, &tokenizer)?;
    let device = args.device.open()?;
    let mut folder = RunFolder::create(output, args.data.overwrite)?;
    let reading = Reading { tokenizer: tokenizer.clone(), unknown: corpus.unknown.into(), marks };
    let mut texts = Texts::read(&folder, &corpus, args.steps.seed, &reading, &[])?;
    (extent.tokens, extent.lines) = texts.extent();
    let choice = Choice::of(extent);
    let mut config = args.model.config(extent.vocab, &choice)?;
    if let Some(Marks { bos, eos }) = marks {
        (config.bos_token_id, config.eos_token_id) = (Some(bos), vec![eos]);
    }
    config.unk_token_id = tokenizer.unknown_id();
    texts.say_lacking(corpus.unknown.into());
    config.start_text = start_text(&tokenizer, marks, &texts);
    let mut options = args.options(corpus, &choice);
    if args.valid.valid_tokens.is_none() {
        options.corpus.valid_tokens = Some(texts.affordable_valid_tokens(&options));
    }
    let engine = engine(&device, &options, &config)?;
    let windows = texts.windows(&options)?;
    let generation = generation_config(texts.longest(), choice.temperature);

    let first = first_weights(&config, options.seed, args.model.forget_bias);
    let model = Model {
        name: output.display().to_string(),
        shape: config.shape(),
        config,
        generation_config: Some(generation),
        weights: Weights::default(),
        tokenizer,
    };
    announce(&model, &device, &texts, &options, &windows.0);
    let chosen = args.chosen(&choice);
    if !chosen.is_empty() {
        let (tokens, temperature) = (grouped(extent.tokens as u64), choice.temperature);
        say(&format!("chosen for {tokens} tokens: {chosen}; its texts are drawn at temperature {temperature}"));
    }
    let kernels = Kernels::of(&engine);
    let trainer = Trainer::new(engine, options, windows, Progress::default(), &first)?;
    // From here on the new run is there, and what was there before it goes.
    folder.begin()?;
    texts.keep()?;
    let mut session = Session::new(trainer, folder, model, texts.checksums(), kernels, Display::new());
    session.save_best(first)?;
    session.save_checkpoint()?;
    Ok(session)
}

/// What is read, as it was typed.
fn asked(args: &TrainArgs, data: &Path, tokenizer: &Tokenizer) -> Result<CorpusOptions> {
    let unknown = match (args.data.on_unknown, tokenizer.unknown_id()) {
        (UnknownArg::Error, _) => Unknown::Error,
        (UnknownArg::Skip, _) => Unknown::Skip,
        (UnknownArg::Unk, Some(id)) => Unknown::Unk(id),
        (UnknownArg::Unk, None) => {
            return Err(Error::Usage("--on-unknown unk: the tokenizer has no unknown token".into()));
        }
    };
    let name = |path: &Path| path.display().to_string();
    Ok(CorpusOptions {
        data: name(data),
        valid: args.data.valid.as_deref().map(name),
        lines: args.data.lines,
        unknown,
        valid_tokens: args.valid.valid_tokens.filter(|tokens| *tokens > 0),
    })
}

/// A run that goes on.
pub(super) fn resumed(args: &TrainArgs, path: &Path) -> Result<Session> {
    let (mut folder, Checkpoint { manifest, snapshot }) = RunFolder::open(path)?;
    let model = open_model(path)?;
    if let Unknown::Unk(id) = manifest.options.corpus.unknown
        && id as usize >= model.config.vocab_size
    {
        return Err(Error::Record {
            file: path.display().to_string(),
            field: "options.corpus.unknown".into(),
            found: id.to_string(),
            expected: format!("an id below {}", model.config.vocab_size),
        });
    }
    let mut options = manifest.options;
    if let Some(end) = args.end.end() {
        options.end = end;
    }
    options.patience = args.end.patience.or(options.patience);
    let device = args.device.open()?;
    let engine = engine(&device, &options, &model.config)?;
    let kernels = Kernels::of(&engine);
    if kernels.order != manifest.kernels.order || kernels.device != manifest.kernels.device {
        say(&format!(
            "this run was on {}; on {} its numbers will differ in their last digits",
            manifest.kernels.device, kernels.device
        ));
    }
    let marks = match (options.corpus.lines, model.config.bos_token_id, model.config.eos_token_id.first()) {
        (true, Some(bos), Some(eos)) => Some(Marks { bos, eos: *eos }),
        (true, ..) => {
            return Err(Error::model(&path.join("config.json").display().to_string(), "it lost its bos or eos token"));
        }
        (false, ..) => None,
    };
    let reading = Reading { tokenizer: model.tokenizer.clone(), unknown: options.corpus.unknown.into(), marks };
    let texts = Texts::read(&folder, &options.corpus, options.seed, &reading, &manifest.corpus)?;
    let windows = texts.windows(&options)?;
    announce(&model, &device, &texts, &options, &windows.0);
    say(&format!("goes on after step {}", grouped(manifest.progress.step)));
    let trainer = Trainer::new(engine, options, windows, manifest.progress, &snapshot)
        .map_err(|e| e.within(&path.display().to_string()))?;
    folder.go_on(manifest.log_bytes)?;
    Ok(Session::new(trainer, folder, model, texts.checksums(), kernels, Display::new()))
}

/// The engine, if its memory is there.
fn engine(device: &Device, options: &Options, config: &Config) -> Result<Engine> {
    if let Cell::Other(form) = config.cell {
        let what = "with fields of another cell than PyTorch's; only plain lstm, gru and rnn cells are trained";
        return Err(Error::model("config.json", format!("an {} {what}", form.kind.name())));
    }
    let recipe = options.recipe(config);
    let need = Engine::memory_need(&recipe);
    let advice = "A smaller --batch-size, --sequence-length or --hidden needs less";
    match device.available_memory() {
        Some(available) if need.total() > available => Err(Error::Memory { rows: None, need, available }),
        _ => {
            say(&format!("memory: {need}"));
            device.engine(&recipe).map_err(|e| match e {
                Error::Binding { .. } => Error::Limit(format!("{e}. Training needs {need}. {advice}")),
                other => other,
            })
        }
    }
}

/// The vocabulary, with marks where lines are sequences.
fn tokenizer(args: &TrainArgs, data: &Path) -> Result<(Tokenizer, Option<Marks>)> {
    let of_data: Vec<&Path> = std::iter::once(data).chain(args.data.valid.as_deref()).collect();
    let tokenizer = match args.data.tokenizer.as_str() {
        "char" => host::characters(&of_data, args.data.lines)?,
        "byte" => Tokenizer::bytes(),
        path => {
            let path = Path::new(path);
            let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
            let name = file.display().to_string();
            let bytes = host::map(&file).map_err(|e| match e {
                Error::Io { context, source } => Error::Io { context: format!("--tokenizer {context}"), source },
                other => other,
            })?;
            let begins = unmarked(&bytes).map_err(|what| Error::model(&name, what))?;
            match begins.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(b'{') => Tokenizer::from_json(&bytes, &name)?,
                _ => Tokenizer::from_vocabulary(&bytes, &name)?,
            }
        }
    };
    if !args.data.lines {
        return Ok((tokenizer, None));
    }
    let (tokenizer, marks) = with_marks(&tokenizer, args.data.bos.as_deref(), args.data.eos.as_deref())?;
    Ok((tokenizer, Some(marks)))
}

/// What a text without a prompt begins with where there is no bos: a line end, or what the data begins with.
fn start_text(tokenizer: &Tokenizer, marks: Option<Marks>, texts: &Texts) -> Option<String> {
    if marks.is_some() {
        return None;
    }
    let usable = |text: &String| tokenizer.encode(text, OnUnknown::Error).is_ok_and(|ids| !ids.is_empty());
    let ids = &texts.train.corpus.ids;
    let first = (0..ids.len().min(8)).filter_map(|at| tokenizer.decode(&[ids.get(at)]).ok());
    std::iter::once("\n".to_string()).chain(first).find(usable)
}

/// The texts of a run in ids.
struct Texts {
    train: Tokenised,
    valid: Option<Tokenised>,
}

impl Texts {
    /// Reads both, or takes the ids that are there; `expected` are the checksums of a run that goes on.
    fn read(
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

    /// Tokens of a validation that let all of them take a twentieth of the run: a token costs at most 0.4 of what it
    /// costs to learn from it, as there is no way back.
    fn affordable_valid_tokens(&self, options: &Options) -> usize {
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
        ((0.05 / 0.4 * of_run / times) as usize).clamp(1, MOST_VALID_TOKENS)
    }

    /// Gives the files of a new run their names.
    fn keep(&mut self) -> Result<()> {
        self.train.keep()?;
        self.valid.as_mut().map_or(Ok(()), Tokenised::keep)
    }

    /// Says what the vocabulary lacks.
    fn say_lacking(&self, unknown: OnUnknown) {
        let mut lacking = self.train.lacking.clone();
        self.valid.iter().for_each(|valid| lacking.extend(&valid.lacking));
        crate::cli::say_lacking(&lacking, unknown);
    }

    /// Tokens of the data, and its lines.
    fn extent(&self) -> (usize, Option<usize>) {
        let corpus = &self.train.corpus;
        (corpus.ids.len(), corpus.ends.as_ref().map(Ends::len))
    }

    fn checksums(&self) -> Vec<u32> {
        std::iter::once(&self.train).chain(&self.valid).map(|text| text.checksum).collect()
    }

    /// What is learnt from and what validation reads.
    fn parts(&self) -> (Range<usize>, &Tokenised, Range<usize>) {
        match &self.valid {
            Some(valid) => (0..self.train.corpus.len(), valid, 0..valid.corpus.len()),
            None => {
                let (train, valid) = self.train.corpus.hold_out();
                (train, &self.train, valid)
            }
        }
    }

    /// Ids of the longest line.
    fn longest(&self) -> Option<usize> {
        let ends = self.train.corpus.ends.as_ref()?;
        (0..ends.len()).map(|i| ends.range(i).len()).max()
    }

    /// The windows of training and validation.
    fn windows(&self, options: &Options) -> Result<(Windows, Windows)> {
        let (train, valid, held_out) = self.parts();
        let (rows, time) = (options.batch_size, options.sequence_length);
        let lines = options.corpus.lines;
        let most = Windows::rows_at_most(&self.train.corpus, &train);
        if most < rows && !(options.corpus.lines && most > 0) {
            let file = options.corpus.data.clone();
            return Err(Error::TooFew { file, found: train.len(), lines, to_validate: false, rows });
        }
        let held_out = match options.corpus.valid_tokens {
            Some(most) => valid.corpus.first(held_out, most.max(rows + 1)),
            None => held_out,
        };
        let valid_rows = Windows::rows_at_most(&valid.corpus, &held_out);
        if valid_rows < rows && !(options.corpus.lines && valid_rows > 0) {
            let file = options.corpus.valid.as_ref().unwrap_or(&options.corpus.data).clone();
            return Err(Error::TooFew { file, found: held_out.len(), lines, to_validate: true, rows });
        }
        let seed = Some(options.seed);
        let train = Windows::new(&self.train.corpus, train, rows, time, seed);
        Ok((train, Windows::new(&valid.corpus, held_out, rows, time, None)))
    }
}

/// Says what is trained, where, on what and for how long.
fn announce(model: &Model, device: &Device, texts: &Texts, options: &Options, windows: &Windows) {
    let c = &model.config;
    let parameters: usize = crate::model::weight_shapes(&c.shape())
        .iter()
        .filter(|(name, _)| !(c.tie_word_embeddings && name == "output.weight"))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    let (name, cell, tokens) = (&model.name, c.cell.name(), grouped(c.vocab_size));
    let (layers, hidden, parameters) = (c.num_layers, c.hidden_size, grouped(parameters));
    say(&format!("{name}: {cell} {layers} x {hidden}, {tokens} tokens, {parameters} parameters"));
    say(&format!("on {}", device.name()));
    let (train, _, held_out) = texts.parts();
    let what = if options.corpus.lines { "lines" } else { "tokens" };
    let (learnt, held_out) = (grouped(train.len()), grouped(held_out.len()));
    let valid = options.corpus.valid.as_ref().map_or("held out".to_string(), |valid| format!("of {valid} to validate"));
    say(&format!("{}: {learnt} {what} to learn from, {held_out} {valid}", options.corpus.data));
    let end = match (options.end, windows) {
        (End::Steps(steps), _) => count(steps.into(), "step"),
        (End::Epochs(epochs), Windows::Streams(streams)) => {
            let steps = epochs as u128 * streams.windows() as u128;
            format!("{}, {} steps", count(epochs, "epoch"), grouped(steps))
        }
        (End::Epochs(epochs), _) => count(epochs, "epoch"),
    };
    let (rows, time) = (options.batch_size, options.sequence_length);
    say(&format!("{end} of {} of up to {}", count(rows as u64, "row"), count(time as u64, "token")));
}
