//! `gatefold inspect`: what a model or a safetensors file holds, and what a run of the model needs.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::input::is_stdin;
use super::numbers::{count, grouped};
use crate::error::Result;
use crate::generate;
use crate::host;
use crate::import::{self, Source, Tensor, Tensors};
use crate::model::{Config, GenerationConfig, Model, Stored, read_header, short};
use crate::network::{Encoder, GeneralCell, Score};
use crate::plan::{MemoryNeed, Sizes, bytes_in_words};
use crate::score;

/// Arguments of `inspect`.
#[derive(Args)]
pub(super) struct InspectArgs {
    /// A model's folder, `builtin:shakespeare`, `builtin:molecules`, or any file that convert reads, whose tensors are
    /// listed
    #[arg(value_name = "MODEL")]
    model: String,

    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
}

/// Tokens at most that are listed.
const MOST_TOKENS: usize = 256;
/// Tokens of the score window, or of a source, whose memory is shown.
const SCORE_WINDOW: usize = 256;

/// The facts about a model.
#[derive(Serialize)]
struct ModelReport {
    name: String,
    config: Config,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<GenerationConfig>,
    parameters: usize,
    dtypes: Vec<String>,
    /// Size of model.safetensors.
    file_bytes: usize,
    tokenizer: &'static str,
    tokens: usize,
    /// The first of them, by id.
    first_tokens: Vec<String>,
    memory: Vec<RunMemory>,
}

/// Bytes that one kind of run needs.
#[derive(Serialize)]
struct RunMemory {
    run: String,
    #[serde(flatten)]
    need: MemoryNeed,
    total: u64,
}

/// The facts about a safetensors file.
#[derive(Serialize)]
struct FileReport {
    name: String,
    file_bytes: usize,
    parameters: u128,
    tensors: Vec<TensorLine>,
}

#[derive(Serialize)]
struct TensorLine {
    name: String,
    dtype: String,
    shape: Vec<u64>,
}

pub(super) fn run(args: &InspectArgs) -> Result<ExitCode> {
    let path = Path::new(&args.model);
    let (text, json) = if path.is_file() || is_stdin(path) {
        let bytes = host::map(path)?;
        let report = match read_header(&args.model, &bytes) {
            Ok(tensors) => FileReport::new(&args.model, bytes.len(), tensors),
            Err(error) if is_safetensors(&bytes) => return Err(error),
            Err(_) => {
                let open = |file: &str| host::map(&path.with_file_name(file));
                let source = Source { name: args.model.clone(), bytes: bytes.clone(), open: &open };
                FileReport::foreign(&args.model, bytes.len(), &import::tensors(&source)?)
            }
        };
        (report.text(), serde_json::to_string_pretty(&report))
    } else {
        let report = ModelReport::new(&host::open_model(path)?);
        (report.text(), serde_json::to_string_pretty(&report))
    };
    super::print(&if args.json { json.expect("a report is JSON") + "\n" } else { host::readable(&text) })?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a file begins as a safetensors file does.
fn is_safetensors(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, _, _, 0, 0, 0, b'{', ..])
}

impl ModelReport {
    fn new(model: &Model) -> ModelReport {
        ModelReport {
            name: model.name.clone(),
            config: model.config.clone(),
            generation_config: model.generation_config.clone(),
            parameters: model.weights.parameters(),
            dtypes: model.weights.dtypes().iter().map(ToString::to_string).collect(),
            file_bytes: model.weights.file_bytes(),
            tokenizer: model.tokenizer.kind(),
            tokens: model.tokenizer.len(),
            first_tokens: (0..model.tokenizer.len().min(MOST_TOKENS) as u32)
                .map(|id| model.tokenizer.token_text(id).unwrap_or_default())
                .collect(),
            memory: memory(model),
        }
    }

    fn text(&self) -> String {
        let c = &self.config;
        let yes_no = |yes| if yes { "yes" } else { "no" };
        let mut lines = vec![
            ("cell", short(&cell(c))),
            ("layers", c.num_layers.to_string()),
            ("vocabulary", grouped(c.vocab_size)),
            ("embedding", grouped(c.embedding_size)),
            ("hidden", grouped(c.hidden_size)),
            ("tied output", yes_no(c.tie_word_embeddings).into()),
            ("dropout", c.dropout.to_string()),
            ("parameters", grouped(self.parameters)),
            ("weights", format!("{}, {} on disk", self.dtypes.join(" and "), bytes_in_words(self.file_bytes as u64))),
            ("tokenizer", format!("{}, {}", self.tokenizer, count(self.tokens as u64, "token"))),
            ("", short(&self.first_tokens.join(" "))),
            ("name", c.name.as_deref().map_or("none".into(), short)),
            ("special ids", special_ids(c)),
            ("start text", c.start_text.as_ref().map_or("none".into(), |text| format!("\"{}\"", short(text)))),
        ];
        if let Some(generation) = &self.generation_config {
            let json = serde_json::to_string(generation).expect("it came from JSON");
            lines.push(("generation", short(&json)));
        }
        if let Some(coupling) = c.coupling {
            let Encoder { shape, bidirectional, .. } = coupling.encoder;
            let (cell, layers, hidden, tokens) = (shape.cell.name(), shape.layers, shape.hidden, grouped(shape.vocab));
            let both = if bidirectional { ", two directions" } else { "" };
            lines.push(("encoder", format!("{cell} {layers} x {hidden}{both}, {tokens} tokens")));
            let score = coupling.attention.map_or("none", |attention| match attention.score {
                Score::Dot => "dot",
                Score::General => "general",
                Score::Additive => "additive",
            });
            lines.push(("attention", score.into()));
        }
        let mut text = format!("{}\n\n", short(&self.name));
        for (label, value) in lines {
            text += &format!("  {label:<12}  {value}\n");
        }
        text + &memory_table(&self.memory)
    }
}

/// The cell, and what it has otherwise than PyTorch's.
fn cell(config: &Config) -> String {
    let form = config.cell.form();
    let plain = GeneralCell::plain(form.kind);
    let mut text = form.kind.name().to_string();
    let functions =
        [("gates", form.gate, plain.gate), ("", form.cell, plain.cell), ("output", form.output, plain.output)];
    for (name, f, _) in functions.into_iter().filter(|(_, f, plain)| f != plain) {
        text += &format!(", {name} {}", f.name()).replace("  ", " ");
    }
    let flags =
        [("bidirectional", form.bidirectional), ("peepholes", form.peepholes), ("reset before", form.reset_before)];
    flags.into_iter().filter(|(_, has)| *has).for_each(|(name, _)| text += &format!(", {name}"));
    form.projection.iter().for_each(|p| text += &format!(", projection {p}"));
    text
}

/// The memory that generating and scoring, or translating, need.
fn memory(model: &Model) -> Vec<RunMemory> {
    let run = |run: String, need: MemoryNeed| RunMemory { run, need, total: need.total() };
    if let Ok(shape) = model.encoder_decoder() {
        let translating = |rows: usize| {
            let plan = generate::translation_plan(shape, rows, SCORE_WINDOW, false);
            let sizes = Sizes { source: SCORE_WINDOW, ..Sizes::of(rows, 1) };
            run(format!("translate {rows}"), plan.plan.memory(&plan.decoding.sections(), sizes))
        };
        return vec![translating(1), translating(64)];
    }
    let generating = |rows: usize| {
        let plan = generate::plan(model.shape, rows);
        run(format!("generate {rows}"), plan.plan.memory(&generate::sections(&plan), generate::sizes(rows)))
    };
    let plan = score::plan(model.shape);
    let scoring = plan.plan.memory(&score::sections(&plan), Sizes::of(1, SCORE_WINDOW));
    vec![generating(1), generating(256), run(format!("score 1 x {SCORE_WINDOW}"), scoring)]
}

/// Runs side by side, a line for each role.
fn memory_table(runs: &[RunMemory]) -> String {
    let row = |label: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>15}")).collect();
        format!("  {label:<12}{cells}\n")
    };
    let bytes =
        |of: &dyn Fn(&RunMemory) -> u64| runs.iter().map(|run| bytes_in_words(of(run))).collect::<Vec<String>>();
    let mut text = "\n".to_string();
    text += &row("memory for", runs.iter().map(|run| run.run.clone()).collect());
    text += &row("  weights", bytes(&|run| run.need.weights));
    text += &row("  states", bytes(&|run| run.need.states));
    if runs.iter().any(|run| run.need.saved > 0) {
        text += &row("  saved", bytes(&|run| run.need.saved));
    }
    text += &row("  scratch", bytes(&|run| run.need.scratch));
    text += &row("  io", bytes(&|run| run.need.io));
    text + &row("  in all", bytes(&|run| run.total))
}

fn special_ids(config: &Config) -> String {
    let one = |name: &str, id: Option<u32>| id.map(|id| format!("{name} {id}"));
    let eos: Vec<String> = config.eos_token_id.iter().map(u32::to_string).collect();
    let eos = (!eos.is_empty()).then(|| format!("eos {}", eos.join(" or ")));
    let (bos, pad) = (one("bos", config.bos_token_id), one("pad", config.pad_token_id));
    let ids: Vec<String> = [bos, eos, pad, one("unk", config.unk_token_id)].into_iter().flatten().collect();
    if ids.is_empty() { "none".into() } else { short(&ids.join(", ")) }
}

impl FileReport {
    fn new(name: &str, file_bytes: usize, tensors: Vec<Stored>) -> FileReport {
        FileReport {
            name: name.into(),
            file_bytes,
            parameters: tensors.iter().map(Stored::elements).fold(0, u128::saturating_add),
            tensors: (tensors.into_iter())
                .map(|tensor| TensorLine { dtype: tensor.dtype.to_string(), name: tensor.name, shape: tensor.shape })
                .collect(),
        }
    }

    /// Of a file that convert reads.
    fn foreign(name: &str, file_bytes: usize, tensors: &Tensors) -> FileReport {
        let line = |(name, tensor): (&String, &Tensor)| TensorLine {
            name: name.clone(),
            dtype: tensor.element.name().into(),
            shape: tensor.shape.iter().map(|n| *n as u64).collect(),
        };
        FileReport {
            name: name.into(),
            file_bytes,
            parameters: tensors.tensors.values().map(|tensor| tensor.elements() as u128).sum(),
            tensors: tensors.tensors.iter().map(line).collect(),
        }
    }

    fn text(&self) -> String {
        let size = bytes_in_words(self.file_bytes as u64);
        let mut text = format!("{}\n\n", short(&self.name));
        let names: Vec<String> = self.tensors.iter().map(|tensor| short(&tensor.name)).collect();
        // A column as wide as the names, but for the few that leave no room for a shape on their line.
        let width = names.iter().map(|name| name.chars().count()).filter(|n| *n <= 48).max().unwrap_or(0);
        for (name, tensor) in names.iter().zip(&self.tensors) {
            let shape = short(&format!("{:?}", tensor.shape));
            let fits = name.chars().count() <= width && width + shape.len() <= 69;
            let gap = if fits { " ".repeat(width + 2 - name.chars().count()) } else { format!("\n{:9}", "") };
            text += &format!("  {:<5}  {name}{gap}{shape}\n", tensor.dtype.chars().take(5).collect::<String>());
        }
        let (tensors, parameters) = (count(self.tensors.len() as u64, "tensor"), grouped(self.parameters));
        text + &format!("\n  {tensors}, {parameters} parameters, {size}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_a_terminal() {
        let mut model = Model::shakespeare().unwrap();
        model.name = "x".repeat(200);
        model.config.start_text = Some("\n\u{202e}".repeat(50));
        model.config.eos_token_id = (0..40).collect();
        model.config.pad_token_id = Some(3);
        model.generation_config = Some(GenerationConfig {
            stop_strings: Some(vec!["\u{7}".repeat(90)]),
            temperature: Some(0.8),
            ..Default::default()
        });
        let text = ModelReport::new(&model).text();
        let wide = |line: &&str| line.chars().count() > 80 || line.chars().any(char::is_control);
        assert_eq!(text.lines().find(wide), None, "{text}");
        let tensor = |name: &str, rank: usize| TensorLine {
            name: name.into(),
            dtype: "BF16".into(),
            shape: vec![1_000_000; rank],
        };
        let tensors = vec![tensor("a", 2), tensor(&"b".repeat(48), 2), tensor(&"c".repeat(90), 1), tensor("d", 20)];
        let text = FileReport { name: "f".into(), file_bytes: 1, parameters: 5, tensors }.text();
        assert_eq!(text.lines().find(wide), None, "{text}");
    }
}
