//! The part of config.json that encoder-decoders have: format version 2.

use serde::Serialize;

use super::config::{Config, MAX_LAYERS, MAX_VOCAB, MAX_WIDTH, read_activation, read_cell, write_cell};
use super::fields::{Fields, write_ids};
use crate::error::{Error, Fault, Result};
use crate::network::{
    Attention, Bridge, Cell, CellState, Coupling, Encoder, EncoderDecoder, Feed, GeneralCell, Pool, Query, Readout,
    ReadoutInput, Score, Shape,
};
use crate::ops::activation::Activation;

/// The format of a config.json with an `architecture`.
pub const PAIRS_FORMAT_VERSION: u64 = 2;
/// The architecture, in the file.
pub(super) const ARCHITECTURE: &str = "encoder-decoder";

const POOLS: [(&str, Pool); 4] =
    [("last", Pool::Last), ("first_backward", Pool::FirstBackward), ("mean", Pool::Mean), ("zero", Pool::Zero)];
const CELL_STATES: [(&str, CellState); 2] = [("zero", CellState::Zero), ("same", CellState::Same)];
const SCORES: [(&str, Option<Score>); 4] =
    [("none", None), ("dot", Some(Score::Dot)), ("general", Some(Score::General)), ("additive", Some(Score::Additive))];
const QUERIES: [(&str, Query); 3] =
    [("state", Query::State), ("previous_state", Query::PreviousState), ("embedding", Query::Embedding)];
const FEEDS: [(&str, Feed); 3] = [("none", Feed::None), ("context", Feed::Context), ("readout", Feed::Readout)];
const PARTS: [(&str, ReadoutInput); 3] =
    [("state", ReadoutInput::State), ("context", ReadoutInput::Context), ("embedding", ReadoutInput::Embedding)];

/// The name of a choice.
fn name_of<T: PartialEq>(choices: &[(&'static str, T)], of: &T) -> &'static str {
    choices.iter().find(|(_, choice)| choice == of).expect("every choice has a name").0
}

fn required<'a>(fields: &Fields<'a>, field: &str) -> Result<Fields<'a>> {
    fields.object(field)?.ok_or_else(|| fields.wrong(field, "an object"))
}

/// Sizes of a stack with its embedding; the cell as it stands in the file.
pub(super) fn read_shape(fields: &Fields) -> Result<Shape> {
    Ok(Shape {
        cell: read_cell(fields)?,
        vocab: fields.size("vocab_size", 1..=MAX_VOCAB)?,
        embedding: fields.size("embedding_size", 1..=MAX_WIDTH)?,
        hidden: fields.size("hidden_size", 1..=MAX_WIDTH)?,
        layers: fields.size("num_layers", 1..=MAX_LAYERS)?,
    })
}

fn read_encoder(fields: &Fields) -> Result<Encoder> {
    let shape = read_shape(fields)?;
    let general = shape.cell.form();
    let cell = GeneralCell { bidirectional: false, ..general }.into_cell();
    let reverse = fields.flag("reverse")?.unwrap_or(false);
    Ok(Encoder { shape: Shape { cell, ..shape }, bidirectional: general.bidirectional, reverse })
}

fn read_bridge(fields: &Fields) -> Result<Bridge> {
    let from = fields.choice("from", &POOLS)?.ok_or_else(|| fields.wrong("from", "what states begin with"))?;
    let activation = match fields.text("activation")? {
        None => None,
        Some(_) => Some(read_activation(fields, "activation", Activation::Linear)?),
    };
    Ok(Bridge { from, activation, cell_state: fields.choice("cell_state", &CELL_STATES)?.unwrap_or(CellState::Zero) })
}

/// The shape of a file's encoder-decoder, and the token that ends each source.
pub(super) fn read(fields: &Fields, file: &str) -> Result<(EncoderDecoder, Option<u32>)> {
    let encoder_fields = required(fields, "encoder")?;
    let encoder = read_encoder(&encoder_fields)?;
    let source_eos = encoder_fields.id("eos_token_id", encoder.shape.vocab)?;
    let bridge = read_bridge(&required(fields, "bridge")?)?;
    let decoder_fields = required(fields, "decoder")?;
    let decoder = read_shape(&decoder_fields)?;
    let attention = match fields.object("attention")? {
        None => None,
        Some(fields) => read_attention(&fields, encoder, decoder)?,
    };
    let readout = match fields.object("readout")? {
        Some(fields) => read_readout(&fields, attention)?,
        None => default_readout(attention),
    };
    let coupling = Coupling {
        encoder,
        bridge,
        attention,
        embedding_activation: read_activation(&decoder_fields, "embedding_activation", Activation::Linear)?,
        feed: decoder_fields.choice("feed", &FEEDS)?.unwrap_or(Feed::None),
        readout,
        share_embeddings: fields.flag("share_embeddings")?.unwrap_or(false),
    };
    let tied = fields.flag("tie_word_embeddings")?.unwrap_or(false);
    let shape = EncoderDecoder { decoder, tied, coupling };
    check(file, &shape)?;
    Ok((shape, source_eos))
}

/// Whether the options go together; `file` is for messages.
pub(super) fn check(file: &str, shape: &EncoderDecoder) -> Result<()> {
    shape
        .check()
        .map_err(|misfit| Error::model(file, Fault::field(misfit.field, misfit.found).expected(misfit.expected)))
}

fn read_attention(fields: &Fields, encoder: Encoder, decoder: Shape) -> Result<Option<Attention>> {
    if fields.flag("coverage")? == Some(true) {
        return Err(fields.wrong("coverage", "false: attention that remembers what it saw is not there"));
    }
    let score = fields.choice("score", &SCORES)?.ok_or_else(|| fields.wrong("score", "the score's name"))?;
    let Some(score) = score else { return Ok(None) };
    let query = fields.choice("query", &QUERIES)?.unwrap_or(Query::State);
    let usual = match (score, query) {
        (Score::Dot, _) => encoder.outputs(),
        (_, Query::Embedding) if score == Score::General => decoder.embedding,
        _ => decoder.hidden,
    };
    let size = fields.integer("size", 1..=MAX_WIDTH)?.map_or(usual, |size| size as usize);
    Ok(Some(Attention { score, query, size }))
}

fn default_readout(attention: Option<Attention>) -> Readout {
    let parts = [ReadoutInput::State, ReadoutInput::Context];
    Readout::of(&parts[..1 + usize::from(attention.is_some())], None)
}

fn read_readout(fields: &Fields, attention: Option<Attention>) -> Result<Readout> {
    let names = fields.texts("inputs")?;
    let part = |name: &String| PARTS.iter().find(|(of, _)| of == name).map(|(_, part)| *part);
    let parts: Option<Vec<ReadoutInput>> = names
        .as_ref()
        .map(|names| names.iter().map(part).collect())
        .unwrap_or_else(|| Some(default_readout(attention).parts().collect()));
    let expected = "up to three of \"state\", \"context\" and \"embedding\"";
    let parts = parts.filter(|parts| parts.len() <= 3).ok_or_else(|| fields.wrong("inputs", expected))?;
    let layer = match fields.integer("size", 1..=MAX_WIDTH)? {
        None => None,
        Some(size) => Some((size as usize, read_activation(fields, "activation", Activation::Tanh)?)),
    };
    Ok(Readout::of(&parts, layer))
}

#[derive(Serialize)]
struct StackFile {
    #[serde(flatten, serialize_with = "write_cell")]
    cell: Cell,
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_layers: usize,
}

impl StackFile {
    fn of(shape: Shape) -> StackFile {
        let Shape { cell, vocab, embedding, hidden, layers } = shape;
        StackFile { cell, vocab_size: vocab, embedding_size: embedding, hidden_size: hidden, num_layers: layers }
    }
}

#[derive(Serialize)]
struct EncoderFile {
    #[serde(flatten)]
    stack: StackFile,
    bidirectional: bool,
    reverse: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    eos_token_id: Option<u32>,
}

#[derive(Serialize)]
struct BridgeFile {
    from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<&'static str>,
    cell_state: &'static str,
}

#[derive(Serialize)]
struct AttentionFile {
    score: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
}

#[derive(Serialize)]
struct DecoderFile {
    #[serde(flatten)]
    stack: StackFile,
    embedding_activation: &'static str,
    feed: &'static str,
}

#[derive(Serialize)]
struct ReadoutFile {
    inputs: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<&'static str>,
}

/// config.json of an encoder-decoder.
#[derive(Serialize)]
pub(super) struct File<'a> {
    format_version: u64,
    architecture: &'static str,
    encoder: EncoderFile,
    bridge: BridgeFile,
    attention: AttentionFile,
    decoder: DecoderFile,
    readout: ReadoutFile,
    share_embeddings: bool,
    tie_word_embeddings: bool,
    dropout: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    bos_token_id: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_ids")]
    eos_token_id: &'a Vec<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pad_token_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unk_token_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: &'a Option<String>,
}

impl<'a> File<'a> {
    pub fn of(config: &'a Config, coupling: &Coupling) -> File<'a> {
        let Coupling { encoder, bridge, attention, readout, .. } = coupling;
        let two_ways = GeneralCell { bidirectional: false, ..encoder.shape.cell.form() }.into_cell();
        File {
            format_version: PAIRS_FORMAT_VERSION,
            architecture: ARCHITECTURE,
            encoder: EncoderFile {
                stack: StackFile::of(Shape { cell: two_ways, ..encoder.shape }),
                bidirectional: encoder.bidirectional,
                reverse: encoder.reverse,
                eos_token_id: config.source_eos_token_id,
            },
            bridge: BridgeFile {
                from: name_of(&POOLS, &bridge.from),
                activation: bridge.activation.map(Activation::name),
                cell_state: name_of(&CELL_STATES, &bridge.cell_state),
            },
            attention: AttentionFile {
                score: name_of(&SCORES, &attention.map(|a| a.score)),
                query: attention.map(|a| name_of(&QUERIES, &a.query)),
                size: attention.filter(|a| a.score == Score::Additive).map(|a| a.size),
            },
            decoder: DecoderFile {
                stack: StackFile::of(config.shape()),
                embedding_activation: coupling.embedding_activation.name(),
                feed: name_of(&FEEDS, &coupling.feed),
            },
            readout: ReadoutFile {
                inputs: readout.parts().map(|part| name_of(&PARTS, &part)).collect(),
                size: readout.layer.map(|(size, _)| size),
                activation: readout.layer.map(|(_, activation)| activation.name()),
            },
            share_embeddings: coupling.share_embeddings,
            tie_word_embeddings: config.tie_word_embeddings,
            dropout: config.dropout,
            bos_token_id: config.bos_token_id,
            eos_token_id: &config.eos_token_id,
            pad_token_id: config.pad_token_id,
            unk_token_id: config.unk_token_id,
            name: &config.name,
        }
    }
}
