//! config.json: the sizes of a model, its special tokens, and what it was trained with.

use serde::{Serialize, Serializer};

use super::coupling;
use super::fields::{Fields, write_ids};
use super::weight_shapes;
use crate::error::{Error, Fault, Result};
use crate::network::{Cell, Coupling, EncoderDecoder, GeneralCell, Kind, Shape};
use crate::ops::activation::Activation;

/// The format of language models; [`coupling::PAIRS_FORMAT_VERSION`] is that of encoder-decoders.
pub const FORMAT_VERSION: u64 = 1;
/// Tokens of a vocabulary at most.
pub(super) const MAX_VOCAB: u64 = 1 << 24;
/// Length of an embedding or a hidden state at most.
pub(super) const MAX_WIDTH: u64 = 1 << 16;
/// Layers at most; a recurrent model has a handful.
pub(super) const MAX_LAYERS: u64 = 256;

/// config.json. Unknown fields are allowed in a file, as Hugging Face's tools allow them; they are not kept.
///
/// An encoder-decoder has a `coupling`; cell, sizes and special tokens are then its decoder's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// The cell of every layer; in the file its name, and a field for each thing that PyTorch's cell has otherwise.
    #[serde(flatten, serialize_with = "write_cell")]
    pub cell: Cell,
    /// V: rows of the embedding and of the output layer. The tokenizer may have fewer tokens.
    pub vocab_size: usize,
    /// E: length of a token's embedding.
    pub embedding_size: usize,
    /// H: length of each layer's hidden state.
    pub hidden_size: usize,
    /// L: number of recurrent layers.
    pub num_layers: usize,
    /// Whether the output layer's weight is the embedding; then E = H.
    pub tie_word_embeddings: bool,
    /// The share of values that training zeroed between layers, in [0, 1); without effect when text is generated.
    pub dropout: f32,
    /// The token that begins a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; in the file one id or a list.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "write_ids")]
    pub eos_token_id: Vec<u32>,
    /// The token that fills rows of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_token_id: Option<u32>,
    /// The token of what the vocabulary lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unk_token_id: Option<u32>,
    /// The beginning of a text that is given no prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_text: Option<String>,
    /// The model's name, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What an encoder-decoder has besides its decoder; the file is then another one.
    #[serde(skip)]
    pub coupling: Option<Coupling>,
    /// The token that ends each source, an encoder-decoder's.
    #[serde(skip)]
    pub source_eos_token_id: Option<u32>,
}

impl Config {
    /// A config of these sizes without special tokens: untied, no dropout, no start text.
    pub fn new(shape: Shape) -> Config {
        Config {
            cell: shape.cell,
            vocab_size: shape.vocab,
            embedding_size: shape.embedding,
            hidden_size: shape.hidden,
            num_layers: shape.layers,
            tie_word_embeddings: false,
            dropout: 0.0,
            bos_token_id: None,
            eos_token_id: Vec::new(),
            pad_token_id: None,
            unk_token_id: None,
            start_text: None,
            name: None,
            coupling: None,
            source_eos_token_id: None,
        }
    }

    /// A config of an encoder-decoder without special tokens.
    pub fn of_encoder_decoder(shape: EncoderDecoder) -> Config {
        let (tie_word_embeddings, coupling) = (shape.tied, Some(shape.coupling));
        Config { tie_word_embeddings, coupling, ..Config::new(shape.decoder) }
    }

    /// Reads a file; `file` is its name in messages.
    ///
    /// # Errors
    /// Not a JSON object, a field that is missing, of another type or out of range, fields that contradict each
    /// other: with the file, the field, what was found and what was expected.
    pub fn from_json(file: &str, json: &[u8]) -> Result<Config> {
        let fields = Fields::parse(file, json)?;
        let of_pairs = fields.choice("architecture", &[(coupling::ARCHITECTURE, ())])?.is_some();
        let version = if of_pairs { coupling::PAIRS_FORMAT_VERSION } else { FORMAT_VERSION };
        fields.size("format_version", version..=version).map_err(|_| {
            let what = if of_pairs { " of encoder-decoders" } else { "" };
            fields.wrong("format_version", &format!("{version}, the format{what} that this version reads"))
        })?;
        let (coupled, source_eos_token_id) = match of_pairs {
            true => coupling::read(&fields, file).map(|(shape, eos)| (Some(shape), eos))?,
            false => (None, None),
        };
        let sized = match coupled {
            Some(shape) => Config::of_encoder_decoder(shape),
            None => Config::new(coupling::read_shape(&fields)?),
        };
        let vocab_size = sized.vocab_size;
        let config = Config {
            source_eos_token_id,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?.unwrap_or(false),
            dropout: fields
                .real("dropout", "a number from 0 to less than 1", |x| (0.0..1.0).contains(&x))?
                .unwrap_or(0.0),
            bos_token_id: fields.id("bos_token_id", vocab_size)?,
            eos_token_id: fields.ids("eos_token_id", vocab_size)?,
            pad_token_id: fields.id("pad_token_id", vocab_size)?,
            unk_token_id: fields.id("unk_token_id", vocab_size)?,
            start_text: fields.text("start_text")?,
            name: fields.text("name")?,
            ..sized
        };
        config.check(file)?;
        Ok(config)
    }

    /// Checks that fields agree with each other.
    fn check(&self, file: &str) -> Result<()> {
        let Config { embedding_size, hidden_size, .. } = *self;
        let outputs = self.cell.form().outputs(hidden_size);
        if let Some(shape) = self.encoder_decoder() {
            coupling::check(file, &shape)?;
        } else if self.tie_word_embeddings && embedding_size != outputs {
            let what = if outputs == hidden_size { "hidden_size is" } else { "a layer's outputs are" };
            let found = format!("is true, but embedding_size is {embedding_size} and {what} {outputs}");
            return Err(Error::model(file, Fault::field("tie_word_embeddings", found).expected("equal sizes")));
        }
        for (name, shape) in self.weight_shapes() {
            let elements: u128 = shape.iter().map(|n| *n as u128).product();
            if elements > u128::from(u32::MAX) {
                let found = format!("of shape {shape:?} would have {elements} elements");
                let most = format!("at most {}", u32::MAX);
                return Err(Error::model(file, Fault::tensor(name, found).expected(most)));
            }
        }
        Ok(())
    }

    /// The file's text.
    ///
    /// # Errors
    /// Values that [`Config::from_json`] would refuse.
    pub fn to_json(&self) -> Result<String> {
        #[derive(Serialize)]
        struct File<'a> {
            format_version: u64,
            #[serde(flatten)]
            config: &'a Config,
        }
        let reads_back = |json: &[u8]| Ok(Config::from_json("config.json", json)? == *self);
        match &self.coupling {
            Some(coupled) => super::checked_json(&coupling::File::of(self, coupled), reads_back),
            None => super::checked_json(&File { format_version: FORMAT_VERSION, config: self }, reads_back),
        }
    }

    /// The encoder-decoder that it describes, if it is one.
    pub fn encoder_decoder(&self) -> Option<EncoderDecoder> {
        let coupling = self.coupling?;
        Some(EncoderDecoder { decoder: self.shape(), tied: self.tie_word_embeddings, coupling })
    }

    /// Names and shapes of the model's weights, as on disk.
    pub fn weight_shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.encoder_decoder().map_or_else(|| weight_shapes(&self.shape()), |shape| shape.weight_shapes())
    }

    /// Weights that are another one under a second name: `(name, the other)`.
    pub fn aliases(&self) -> Vec<(&'static str, &'static str)> {
        let tied = || self.tie_word_embeddings.then_some(("output.weight", "embedding.weight"));
        self.encoder_decoder().map_or_else(|| tied().into_iter().collect(), |shape| shape.aliases())
    }

    /// The sizes that a plan is written for; an encoder-decoder's are its decoder's.
    pub fn shape(&self) -> Shape {
        Shape {
            cell: self.cell,
            vocab: self.vocab_size,
            embedding: self.embedding_size,
            hidden: self.hidden_size,
            layers: self.num_layers,
        }
    }
}

/// The cell from its name and the fields that say what it has otherwise than PyTorch's.
pub(super) fn read_cell(fields: &Fields) -> Result<Cell> {
    let name = fields.text("cell")?;
    let kind = Kind::ALL.into_iter().find(|kind| name.as_deref() == Some(kind.name()));
    let kind = kind.ok_or_else(|| fields.wrong("cell", "\"lstm\", \"gru\" or \"rnn\""))?;
    let plain = GeneralCell::plain(kind);
    let activation = |field: &str, default: Activation| read_activation(fields, field, default);
    let cell = activation("activation", plain.cell)?;
    let form = GeneralCell {
        kind,
        gate: activation("recurrent_activation", plain.gate)?,
        cell,
        output: activation("output_activation", plain.output)?,
        peepholes: fields.flag("peepholes")?.unwrap_or(false),
        reset_before: fields.flag("reset_before")?.unwrap_or(false),
        projection: fields.integer("projection_size", 1..=MAX_WIDTH)?.map(|p| p as usize),
        bidirectional: fields.flag("bidirectional")?.unwrap_or(false),
    };
    let only = |field: &str, whose: Kind, has: bool| match has && kind != whose {
        true => Err(fields.wrong(field, &format!("none, as the cell is {}", kind.name()))),
        false => Ok(()),
    };
    only("peepholes", Kind::Lstm, form.peepholes)?;
    only("projection_size", Kind::Lstm, form.projection.is_some())?;
    only("output_activation", Kind::Lstm, form.output != plain.output)?;
    only("reset_before", Kind::Gru, form.reset_before)?;
    if kind == Kind::Rnn && form.gate != plain.gate {
        return Err(fields.wrong("recurrent_activation", "none, as an rnn has no gates"));
    }
    Ok(form.into_cell())
}

/// The function of a field.
pub(super) fn read_activation(fields: &Fields, field: &str, default: Activation) -> Result<Activation> {
    let Some(name) = fields.text(field)? else { return Ok(default) };
    let names: Vec<&str> = Activation::ALL.iter().map(|f| f.name()).collect();
    Activation::named(&name).ok_or_else(|| fields.wrong(field, &format!("one of {}", names.join(", "))))
}

/// The fields of [`read_cell`]; what PyTorch's cell has is left out.
pub(super) fn write_cell<S: Serializer>(cell: &Cell, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        cell: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        activation: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recurrent_activation: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        output_activation: Option<&'static str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        peepholes: bool,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        reset_before: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        projection_size: Option<usize>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        bidirectional: bool,
    }
    let form = cell.form();
    let plain = GeneralCell::plain(form.kind);
    let other = |f: Activation, default: Activation| (f != default).then_some(f.name());
    let fields = Fields {
        cell: form.kind.name(),
        activation: other(form.cell, plain.cell),
        recurrent_activation: other(form.gate, plain.gate),
        output_activation: other(form.output, plain.output),
        peepholes: form.peepholes,
        reset_before: form.reset_before,
        projection_size: form.projection,
        bidirectional: form.bidirectional,
    };
    fields.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = r#"{"format_version": 1, "cell": "lstm", "vocab_size": 10, "embedding_size": 4,
        "hidden_size": 6, "num_layers": 2, "model_type": "unknown fields are allowed", "pad_token_id": null}"#;

    fn message(from: &str, to: &str) -> String {
        let json = VALID.replace(from, to);
        assert_ne!(json, VALID);
        Config::from_json("m/config.json", json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn absent_fields_have_defaults() {
        let config = Config::from_json("config.json", VALID.as_bytes()).unwrap();
        let shape = Shape { cell: Cell::Lstm, vocab: 10, embedding: 4, hidden: 6, layers: 2 };
        assert_eq!(config, Config::new(shape));
        assert_eq!(config.shape(), shape);
    }

    #[test]
    fn what_is_written_is_read() {
        let shape = Shape { cell: Cell::Gru, vocab: 10, embedding: 6, hidden: 6, layers: 1 };
        for eos_token_id in [vec![], vec![3], vec![9, 0]] {
            let config = Config {
                tie_word_embeddings: true,
                dropout: 0.1,
                bos_token_id: Some(1),
                eos_token_id,
                unk_token_id: Some(2),
                start_text: Some("\n\"诗".into()),
                ..Config::new(shape)
            };
            assert_eq!(Config::from_json("config.json", config.to_json().unwrap().as_bytes()).unwrap(), config);
        }
        assert!(Config { dropout: f32::NAN, ..Config::new(shape) }.to_json().is_err());
        assert!(Config { pad_token_id: Some(10), ..Config::new(shape) }.to_json().is_err());
    }

    #[test]
    fn cells_of_other_forms_are_written_and_read() {
        let plain = GeneralCell::plain;
        for form in [
            GeneralCell { bidirectional: true, ..plain(Kind::Gru) },
            GeneralCell { reset_before: true, gate: Activation::HardSigmoid, ..plain(Kind::Gru) },
            GeneralCell { projection: Some(3), ..plain(Kind::Lstm) },
            GeneralCell {
                peepholes: true,
                output: Activation::Relu,
                gate: Activation::HardSigmoid6,
                ..plain(Kind::Lstm)
            },
            plain(Kind::Rnn),
            GeneralCell { cell: Activation::Relu, ..plain(Kind::Rnn) },
            GeneralCell { cell: Activation::Sigmoid, ..plain(Kind::Rnn) },
            GeneralCell { cell: Activation::Relu, bidirectional: true, ..plain(Kind::Rnn) },
        ] {
            let cell = form.into_cell();
            let shape = Shape { cell, vocab: 10, embedding: 4, hidden: 6, layers: 2 };
            let config = Config::new(shape);
            let json = config.to_json().unwrap();
            assert_eq!(Config::from_json("config.json", json.as_bytes()).unwrap(), config, "{json}");
            let is_fused = form.kind == Kind::Rnn && !form.bidirectional && form.cell != Activation::Sigmoid;
            assert_eq!(cell.fused().is_some(), is_fused, "{form:?}");
        }
        assert_eq!(plain(Kind::Lstm).into_cell(), Cell::Lstm);
        let shape = Shape { cell: Cell::Gru, vocab: 10, embedding: 4, hidden: 6, layers: 2 };
        let json = Config::new(shape).to_json().unwrap();
        assert!(!json.contains("bidirectional") && !json.contains("activation"), "{json}");
    }

    #[test]
    fn errors_name_file_field_found_and_expected() {
        for (from, to, expected) in [
            ("\"lstm\"", "\"cnn\"", "m/config.json: field `cell` is \"cnn\"; expected \"lstm\", \"gru\" or \"rnn\""),
            ("\"num_layers\"", "\"reset_before\": true, \"num_layers\"", "field `reset_before` is true; expected none"),
            (
                "\"num_layers\"",
                "\"activation\": \"swish\", \"num_layers\"",
                "field `activation` is \"swish\"; expected one of",
            ),
            ("\"cell\"", "\"cello\"", "field `cell` is missing; expected \"lstm\", \"gru\" or \"rnn\""),
            ("1, \"cell\"", "2, \"cell\"", "field `format_version` is 2; expected 1"),
            ("\"format_version\": 1, ", "", "field `format_version` is missing; expected 1"),
            ("\"hidden_size\": 6", "\"hidden_size\": \"6\"", "field `hidden_size` is \"6\"; expected a whole number"),
            ("\"hidden_size\": 6", "\"hidden_size\": 6.5", "field `hidden_size` is 6.5; expected a whole number"),
            ("\"hidden_size\": 6", "\"hidden_size\": 0", "is 0; expected a whole number from 1 to 65536"),
            ("\"hidden_size\": 6", "\"hidden_size\": null", "field `hidden_size` is null; expected"),
            ("\"num_layers\": 2", "\"num_layers\": -2", "field `num_layers` is -2; expected"),
            ("\"num_layers\": 2", "\"num_layers\": 257", "from 1 to 256"),
            ("\"num_layers\"", "\"cell\"", "m/config.json: `cell` stands there twice at line 2"),
            ("null", "10", "field `pad_token_id` is 10; expected a token id below vocab_size 10"),
            ("\"pad_token_id\": null", "\"eos_token_id\": [9, 10]", "field `eos_token_id` is [9,10]; expected"),
            ("\"pad_token_id\": null", "\"dropout\": 1.0", "field `dropout` is 1.0; expected a number from 0 to"),
            ("\"pad_token_id\": null", "\"tie_word_embeddings\": 1", "field `tie_word_embeddings` is 1; expected true"),
            ("\"pad_token_id\": null", "\"start_text\": 5", "field `start_text` is 5; expected a text"),
            ("null}", "null", "m/config.json: not JSON: EOF"),
        ] {
            let message = message(from, to);
            assert!(message.contains(expected), "{message}\nlacks {expected}");
        }
        let message = Config::from_json("m/config.json", b"[1]").unwrap_err().to_string();
        assert!(message.contains("m/config.json: invalid type: sequence, expected a JSON object"), "{message}");
    }

    #[test]
    fn contradictions_carry_both_numbers() {
        let tied = message("null", "null, \"tie_word_embeddings\": true");
        assert!(tied.contains("embedding_size is 4 and hidden_size is 6"), "{tied}");
        let huge = message("\"hidden_size\": 6", "\"hidden_size\": 40000");
        assert!(huge.contains("tensor `rnn.weight_hh_l0` of shape [160000, 40000] would have 6400000000"), "{huge}");
    }
}
