//! From what was asked, or from a checkpoint, to a run that can begin.

use std::path::Path;

use super::session::Session;
use super::texts::Texts;
use super::{Note, Observer, TrainingOptions, Vocabulary};
use crate::error::{Error, Result};
use crate::host::{Column, Device, Reading, RunFolder, characters, open_model, words};
use crate::model::{Config, Model, Weights};
use crate::network::Cell;
use crate::text::{OnUnknown, Tokenizer};
use crate::train::{
    Checkpoint, Defaults, End, Engine, Extent, Kernels, Options, Progress, SpecialTokens, Trainer, Unknown, Windows,
    first_weights, generation_config, with_special_tokens,
};

impl Session {
    /// A run that begins: it learns from the text in the file `data` and writes `folder`. The device is opened once
    /// what was asked for is known to be right.
    ///
    /// # Errors
    /// Options that do not fit, a folder with a model or run unless it may `overwrite` them, texts that cannot be read or
    /// are too short, more than the device can hold. What was in the folder then is still there.
    pub fn new(
        data: &Path,
        folder: &Path,
        overwrite: bool,
        asked: &TrainingOptions,
        open: impl FnOnce() -> Result<Device>,
        observer: &mut dyn Observer,
    ) -> Result<Session> {
        let Tokens { tokenizer, special, source } = tokens(asked, data)?;
        let source_vocab = source.as_ref().unwrap_or(&tokenizer).len();
        // Sizes that a model cannot have are known before the data is read.
        asked.check()?;
        let mut extent = Extent { tokens: 0, lines: None, vocab: tokenizer.len() };
        asked.config(extent.vocab, source_vocab, &Defaults::of(extent))?.to_json()?;
        let mut corpus = asked.corpus(data);
        if let (Vocabulary::Words(_), Some(id)) = (&asked.vocabulary, tokenizer.unknown_id()) {
            corpus.unknown = Unknown::Unk(id);
        }
        check_unknown(corpus.unknown, extent.vocab, "unknown")?;
        let device = open()?;
        let mut folder = RunFolder::create(folder, overwrite)?;
        let unknown = corpus.unknown.into();
        let (reading, of_sources) = readings(&tokenizer, source.as_ref(), corpus.unknown, special, corpus.pairs);
        let mut texts = Texts::read(&folder, &corpus, asked.seed, &reading, of_sources.as_ref(), &[])?;
        (extent.tokens, extent.lines) = texts.extent();
        let choice = Defaults::of(extent);
        let mut config = asked.config(extent.vocab, source_vocab, &choice)?;
        if let Some(SpecialTokens { bos, eos }) = special {
            (config.bos_token_id, config.eos_token_id) = (Some(bos), vec![eos]);
            config.source_eos_token_id = of_sources.and_then(|reading| reading.special).map(|special| special.eos);
        }
        config.unk_token_id = tokenizer.unknown_id();
        observer.note(&Note::Lacking(&texts.lacking(), unknown));
        config.start_text = start_text(&tokenizer, special, &texts);
        let mut options = asked.options(corpus, &choice);
        if let Some((steps, source)) = texts.longest_pairs() {
            (options.sequence_length, options.source_length) = (steps, source);
        }
        if asked.valid_tokens.is_none() {
            options.corpus.valid_tokens = Some(texts.affordable_valid_tokens(&options));
        }
        let engine = engine(&device, &options, &config, observer)?;
        let windows = texts.windows(&options)?;
        let first = first_weights(&config, options.seed, asked.forget_bias);
        let model = Model {
            name: folder.path().display().to_string(),
            shape: config.shape(),
            config,
            generation_config: Some(generation_config(texts.longest(), choice.temperature)),
            weights: Weights::default(),
            tokenizer,
            source_tokenizer: source,
        };
        tell(observer, &model, &device, &texts, &options, &windows.0);
        observer.note(&Note::Chosen(&choice, extent.tokens));
        let kernels = Kernels::of(&engine);
        let trainer = Trainer::new(engine, options, windows, Progress::default(), &first)?;
        // From here on the new run is there, and what was there before it goes.
        folder.begin()?;
        texts.keep()?;
        Ok(Session::of(trainer, folder, model, texts.checksums(), kernels, Some(first)))
    }

    /// A run that goes on from the last checkpoint of its folder, perhaps to another end and with other patience.
    ///
    /// # Errors
    /// No checkpoint, or one that cannot be read; a text that has changed; more than the device can hold.
    pub fn resume(
        path: &Path,
        end: Option<End>,
        patience: Option<u32>,
        open: impl FnOnce() -> Result<Device>,
        observer: &mut dyn Observer,
    ) -> Result<Session> {
        let (mut folder, Checkpoint { manifest, snapshot }) = RunFolder::open(path)?;
        let model = open_model(path)?;
        check_unknown(manifest.options.corpus.unknown, model.config.vocab_size, &path.display().to_string())?;
        let mut options = manifest.options;
        options.end = end.unwrap_or(options.end);
        options.patience = patience.or(options.patience);
        let device = open()?;
        let engine = engine(&device, &options, &model.config, observer)?;
        let kernels = Kernels::of(&engine);
        if kernels.order != manifest.kernels.order || kernels.device != manifest.kernels.device {
            observer.note(&Note::OtherDevice { before: &manifest.kernels.device, now: &kernels.device });
        }
        let special = match (options.corpus.lines, model.config.bos_token_id, model.config.eos_token_id.first()) {
            (true, Some(bos), Some(eos)) => Some(SpecialTokens { bos, eos: *eos }),
            (true, ..) => {
                let config = path.join("config.json").display().to_string();
                return Err(Error::model(&config, "it lost its bos or eos token"));
            }
            (false, ..) => None,
        };
        let (unknown, source) = (options.corpus.unknown, model.source_tokenizer.as_ref());
        let (reading, of_sources) = readings(&model.tokenizer, source, unknown, special, options.corpus.pairs);
        let texts =
            Texts::read(&folder, &options.corpus, options.seed, &reading, of_sources.as_ref(), &manifest.corpus)?;
        let windows = texts.windows(&options)?;
        tell(observer, &model, &device, &texts, &options, &windows.0);
        observer.note(&Note::GoesOn(manifest.progress.step));
        let trainer = Trainer::new(engine, options, windows, manifest.progress, &snapshot)
            .map_err(|e| e.within(&path.display().to_string()))?;
        folder.go_on(manifest.log_bytes)?;
        Ok(Session::of(trainer, folder, model, texts.checksums(), kernels, None))
    }
}

/// Whether the vocabulary has the token that stands for what it lacks.
fn check_unknown(unknown: Unknown, vocab: usize, file: &str) -> Result<()> {
    match unknown {
        Unknown::Unk(id) if id as usize >= vocab => Err(Error::Record {
            file: file.into(),
            field: "options.corpus.unknown".into(),
            found: id.to_string(),
            expected: format!("an id below {vocab}"),
        }),
        _ => Ok(()),
    }
}

/// The engine, if its memory is there.
fn engine(device: &Device, options: &Options, config: &Config, observer: &mut dyn Observer) -> Result<Engine> {
    if let Cell::General(form) = config.cell {
        let what = "with fields of another cell than PyTorch's; only plain lstm, gru and rnn cells are trained";
        return Err(Error::model("config.json", format!("an {} {what}", form.kind.name())));
    }
    let recipe = options.recipe(config);
    let need = Engine::memory_need(&recipe);
    match device.available_memory() {
        Some(available) if need.total() > available => Err(Error::Memory { rows: None, need, available }),
        _ => {
            observer.note(&Note::Memory(need));
            device.engine(&recipe)
        }
    }
}

/// The tokens of a run.
struct Tokens {
    tokenizer: Tokenizer,
    /// Where lines are sequences.
    special: Option<SpecialTokens>,
    /// Of sources, where they have tokens of their own.
    source: Option<Tokenizer>,
}

fn tokens(asked: &TrainingOptions, data: &Path) -> Result<Tokens> {
    let of_data: Vec<&Path> = std::iter::once(data).chain(asked.valid.as_deref()).collect();
    let parting: &[char] = match (&asked.pairs, asked.lines) {
        (Some(_), _) => &['\n', '\t'],
        (None, true) => &['\n'],
        (None, false) => &[],
    };
    let made = |vocabulary: &Vocabulary, column: Column| match vocabulary {
        Vocabulary::Characters => characters(&of_data, parting),
        Vocabulary::Bytes => Ok(Tokenizer::bytes()),
        Vocabulary::Words(most) => words(data, column, *most),
        Vocabulary::Tokenizer(tokenizer) => Ok(Tokenizer::clone(tokenizer)),
    };
    let source = asked.pairs.as_ref().and_then(|pairs| pairs.source_vocabulary.as_ref());
    let column = match (&asked.pairs, source) {
        (Some(_), Some(_)) => Column::Target,
        _ => Column::Whole,
    };
    let tokenizer = made(&asked.vocabulary, column)?;
    if parting.is_empty() {
        return Ok(Tokens { tokenizer, special: None, source: None });
    }
    let (tokenizer, special) = with_special_tokens(&tokenizer, asked.bos.as_deref(), asked.eos.as_deref())?;
    let source = source.map(|vocabulary| made(vocabulary, Column::Source)).transpose()?;
    let source = source.map(|source| with_special_tokens(&source, None, None)).transpose()?;
    Ok(Tokens { tokenizer, special: Some(special), source: source.map(|(source, _)| source) })
}

/// How the texts become ids: of pairs the targets, and the sources, whose tokenizer's unknown token stands for what it
/// lacks, where it has one.
fn readings(
    tokenizer: &Tokenizer,
    source: Option<&Tokenizer>,
    unknown: Unknown,
    special: Option<SpecialTokens>,
    pairs: bool,
) -> (Reading, Option<Reading>) {
    let column = if pairs { Column::Target } else { Column::Whole };
    let reading = Reading { tokenizer: tokenizer.clone(), unknown: unknown.into(), special, column };
    let of_sources = pairs.then(|| {
        let tokenizer = source.unwrap_or(tokenizer).clone();
        let eos = with_special_tokens(&tokenizer, None, None).ok().map(|(_, special)| special.eos);
        let unknown = match (unknown, tokenizer.unknown_id()) {
            (Unknown::Skip, _) | (_, None) => unknown,
            (_, Some(id)) => Unknown::Unk(id),
        };
        let special = special.map(|special| SpecialTokens { eos: eos.unwrap_or(special.eos), ..special });
        Reading { tokenizer, unknown: unknown.into(), special, column: Column::Source }
    });
    (reading, of_sources)
}

/// The beginning of a text without a prompt where there is no bos: a line end, or whatever the data begins with.
fn start_text(tokenizer: &Tokenizer, special: Option<SpecialTokens>, texts: &Texts) -> Option<String> {
    if special.is_some() {
        return None;
    }
    let usable = |text: &String| tokenizer.encode(text, OnUnknown::Error).is_ok_and(|ids| !ids.is_empty());
    let ids = &texts.train.targets.corpus.ids;
    let first = (0..ids.len().min(8)).filter_map(|at| tokenizer.decode(&[ids.get(at)]).ok());
    std::iter::once("\n".to_string()).chain(first).find(usable)
}

/// Tells what is trained, where, on what and for how long.
fn tell(
    observer: &mut dyn Observer,
    model: &Model,
    device: &Device,
    texts: &Texts,
    options: &Options,
    windows: &Windows,
) {
    let (train, _, held_out) = texts.parts();
    let (learnt, held_out) = (train.len(), held_out.len());
    observer.note(&Note::Prepared { model, device, options, learnt, held_out, windows });
}
