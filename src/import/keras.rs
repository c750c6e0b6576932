//! Keras's layers: gates i f c o and z r h, inputs before outputs, one bias or two.
//!
//! A file is what `assets/keras_export.py` writes: tensors `LAYER/kernel` and so on, and Keras's own description of the
//! layers in the header.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

use super::cell::{Recurrent, transposed};
use super::keras_cell::{Function, Owned, function};
pub use super::keras_cell::{KerasCell, Sized, activation};
use super::keras_graph::{Step, class, name, ways};
use super::parts::{ImportedParts, Matrix, Vector, identity};
use super::tensors::Tensors;
use crate::error::Fault;
use crate::model::short;

/// Bytes of the description of layers at most.
const MAX_DESCRIPTION: usize = 1 << 20;

/// The parts of a model.
pub fn parts(mut file: Tensors) -> Result<ImportedParts, Fault> {
    let description = file.keras.take().ok_or(
        "its names are Keras's, but the header does not describe the layers; write the file with keras_export.py",
    )?;
    if description.len() > MAX_DESCRIPTION {
        return Err(
            format!("{} bytes describe the layers; expected at most {MAX_DESCRIPTION}", description.len()).into()
        );
    }
    let description: Value =
        serde_json::from_str(&description).map_err(|e| format!("the description of the layers: {e}"))?;
    let version = description["keras_version"].as_str().unwrap_or_default();
    let sixth = version.starts_with(|c: char| c.is_ascii_digit() && c > '2');
    let mut notes = Vec::new();
    let mut first_error = None;
    let ways = ways(&description, &mut notes)?;
    let several = ways.len() > 1;
    for way in ways {
        match way.map_err(Fault::from).and_then(|way| Ok((Reader::new(&file, sixth).run(&way)?, way))) {
            Ok((mut parts, way)) => {
                if several {
                    let last = way.last().map_or("", |step| name(step.layer));
                    notes.push(format!("of several outputs `{}` is the one that has logits", short(last)));
                }
                notes.append(&mut parts.notes);
                return Ok(ImportedParts { notes, ..parts });
            }
            Err(e) => drop(first_error.get_or_insert(e)),
        }
    }
    Err(first_error.unwrap_or_else(|| "no layers".into()))
}

struct Reader<'a> {
    file: &'a Tensors,
    sixth: bool,
    embedding: Option<Matrix>,
    layers: Vec<Recurrent>,
    head: Option<Matrix>,
    bias: Option<Vector>,
    /// A softmax was met.
    normalised: bool,
    /// A layer gave its last step alone.
    last_step: bool,
    /// Time steps, where the model says how many.
    window: Option<u64>,
    notes: Vec<String>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    fn new(file: &'a Tensors, sixth: bool) -> Reader<'a> {
        Reader {
            file,
            sixth,
            embedding: None,
            layers: Vec::new(),
            head: None,
            bias: None,
            normalised: false,
            last_step: false,
            window: None,
            notes: Vec::new(),
            read: RefCell::default(),
        }
    }

    /// Goes the way from ids to logits; what nobody read on it is an error.
    fn run(mut self, way: &[Step]) -> Result<ImportedParts, Fault> {
        way.iter().try_for_each(|step| self.layer(step))?;
        let missing = |what: &str| format!("no {what} among the layers");
        let head = self.head.ok_or_else(|| missing("Dense"))?;
        let first = self.layers.first().ok_or_else(|| missing("recurrent layer"))?;
        let mut notes = self.notes;
        let embedding = match self.embedding {
            Some(embedding) => embedding,
            None if first.inputs == head.rows => identity(head.rows, &mut notes)?,
            None => return Err(missing("Embedding").into()),
        };
        let read = self.read.into_inner();
        let rest: Vec<String> = (self.file.tensors.iter().filter(|(name, _)| !read.contains(*name)))
            .map(|(name, t)| format!("{} {:?}", short(name), t.shape))
            .collect();
        if !rest.is_empty() {
            let some = rest[..rest.len().min(12)].join(", ");
            let what = format!("left over, {} tensors that no layer on the way from ids to logits reads", rest.len());
            return Err(Fault::from(format!("{what}: {some}; a map leaves them out")).helped_by("map"));
        }
        if self.bias.is_none() {
            notes.push("the output layer has no bias in the file: zeros".into());
        }
        if self.last_step {
            notes.push("it was trained on the last step of its windows alone".into());
        }
        if let Some(window) = self.window.filter(|_| self.last_step) {
            notes.push(format!(
                "its windows have {window} ids. Where they were padded in front with id 0 and no mask (pad_sequences), \
                 its numbers hold for such windows; texts here are not padded, and begin with states of zeros"
            ));
        }
        Ok(ImportedParts { embedding, layers: self.layers, head: Some(head), head_bias: self.bias, notes })
    }

    fn layer(&mut self, step: &Step) -> Result<(), String> {
        let Step { layer, output } = step;
        let (class, name, config) = (class(layer), name(layer), &layer["config"]);
        let within = |e: String| format!("layer `{}` ({}): {e}", short(name), short(class));
        if config["dtype"].to_string().contains("int8") || config["quantization_config"].is_object() {
            return Err(within("it is quantised; save the model as it was before".into()));
        }
        let recurrent = matches!(class, "LSTM" | "GRU" | "SimpleRNN" | "CuDNNLSTM" | "CuDNNGRU");
        if *output > 1 || *output == 1 && !recurrent {
            return Err(within("its cell state is used, not its outputs".into()));
        }
        if self.head.is_some() && !matches!(class, "Activation" | "Softmax" | "Dropout") {
            return Err(within("it stands after the output layer".into()));
        }
        let shape = [&config["batch_shape"], &config["batch_input_shape"]].into_iter().find(|shape| shape.is_array());
        if let Some(shape) = shape {
            self.window = self.window.or(shape[1].as_u64());
        }
        match class {
            "InputLayer" if self.layers.is_empty() && self.embedding.is_none() => Ok(()),
            "Dropout"
            | "SpatialDropout1D"
            | "GaussianDropout"
            | "GaussianNoise"
            | "AlphaDropout"
            | "ActivityRegularization" => Ok(()),
            "Softmax" | "Activation" => self.softmax(class, config).map_err(within),
            "Embedding" if self.embedding.is_none() && self.layers.is_empty() => {
                self.window = self.window.or(config["input_length"].as_u64());
                self.embedding(name, config).map_err(within)
            }
            _ if recurrent || class == "Bidirectional" => {
                if self.last_step {
                    return Err(within("the layer before it gives its last step alone".into()));
                }
                let inner = if recurrent { config } else { &config["layer"]["config"] };
                self.last_step = *output == 1 || inner["return_sequences"] != true;
                let layer = if recurrent {
                    self.recurrent(name, name, class, config).map_err(within)?
                } else {
                    self.bidirectional(name, config).map_err(within)?
                };
                if self.last_step && layer.form.bidirectional {
                    return Err(within(
                        "its last state is one of the end and one of the beginning, which is no step's output".into(),
                    ));
                }
                self.layers.push(layer);
                Ok(())
            }
            "TimeDistributed" if config["layer"]["class_name"] == "Dense" => {
                self.dense(name, &config["layer"]["config"]).map_err(within)
            }
            "Dense" => self.dense(name, config).map_err(within),
            _ => Err(within("models here are an Embedding, recurrent layers and a Dense".into())),
        }
    }

    /// A softmax after the output layer, over the tokens and once.
    fn softmax(&mut self, class: &str, config: &Value) -> Result<(), String> {
        let axis = config["axis"].as_i64().unwrap_or(-1);
        let is_softmax = class == "Softmax" || matches!(function(&config["activation"]), Function::Named("softmax"));
        let nothing = class == "Activation" && matches!(function(&config["activation"]), Function::Named("linear"));
        if nothing {
            return Ok(());
        }
        if !is_softmax || axis != -1 || self.head.is_none() {
            return Err("expected a softmax over the last axis, after the output layer".into());
        }
        if std::mem::replace(&mut self.normalised, true) {
            return Err("a second softmax, of what is probabilities already".into());
        }
        Ok(())
    }

    fn embedding(&mut self, name: &str, config: &Value) -> Result<(), String> {
        let (values, shape) = self.tensor(name, "embeddings")?.ok_or("no embeddings")?;
        let &[rows, columns] = &shape[..] else { return Err(format!("shape {shape:?}")) };
        self.embedding = Some(Matrix { values, rows, columns, from: name.into() });
        if config["mask_zero"] == true {
            self.notes.push("Keras passes id 0 over (mask_zero); here it is a token like others".into());
        }
        Ok(())
    }

    /// A tensor `LAYER/WEIGHT` with its shape, if it is there.
    fn tensor(&self, layer: &str, weight: &str) -> Result<Option<Owned>, String> {
        let name = format!("{layer}/{weight}");
        let Some(tensor) = self.file.tensors.get(&name) else { return Ok(None) };
        self.read.borrow_mut().insert(name);
        Ok(Some((tensor.values().map_err(|e| format!("{weight}: {e}"))?, tensor.shape.clone())))
    }

    fn recurrent(&self, name: &str, at: &str, class: &str, config: &Value) -> Result<Recurrent, String> {
        let cell = KerasCell::new(class, config, self.sixth)?;
        let needed = |weight: &str| self.tensor(at, weight)?.ok_or_else(|| format!("no tensor `{at}/{weight}`"));
        let (kernel, recurrent, bias) = (needed("kernel")?, needed("recurrent_kernel")?, self.tensor(at, "bias")?);
        if class.starts_with("CuDNN") {
            return Err("a CuDNN layer of Keras 2; load it as LSTM or GRU and save it again".into());
        }
        let bias = bias.as_ref().map(|b| (&b.0[..], &b.1[..]));
        cell.layer(name, (&kernel.0, &kernel.1), (&recurrent.0, &recurrent.1), bias)
    }

    fn bidirectional(&self, name: &str, config: &Value) -> Result<Recurrent, String> {
        let merge = config["merge_mode"].as_str().unwrap_or("concat");
        if merge != "concat" {
            return Err(format!("merge_mode is {}; expected concat", short(merge)));
        }
        let class = config["layer"]["class_name"].as_str().ok_or("no layer inside")?;
        let inner = &config["layer"]["config"];
        let back = &config["backward_layer"];
        let backward_config = if back.is_object() { &back["config"] } else { inner };
        if back.is_object() && back["class_name"] != class {
            return Err("its two directions are of different classes".into());
        }
        let mut forward = self.recurrent(name, &format!("{name}/forward"), class, inner)?;
        let backward = self.recurrent(name, &format!("{name}/backward"), class, &Self::forwards(backward_config))?;
        if backward.form != forward.form {
            return Err("its two directions have different cells".into());
        }
        if (backward.inputs, backward.hidden) != (forward.inputs, forward.hidden) {
            return Err("its two directions have different sizes".into());
        }
        forward.directions.extend(backward.directions);
        forward.form.bidirectional = true;
        Ok(forward)
    }

    /// The layer that reads from the end is described as such.
    fn forwards(config: &Value) -> Value {
        let mut config = config.clone();
        config.as_object_mut().map(|config| config.insert("go_backwards".into(), false.into()));
        config
    }

    fn dense(&mut self, name: &str, config: &Value) -> Result<(), String> {
        match function(&config["activation"]) {
            Function::Absent | Function::Named("linear") => {}
            Function::Named("softmax") => self.normalised = true,
            Function::Named(other) => return Err(format!("activation {}; expected softmax or linear", short(other))),
            Function::Other(what) => return Err(format!("activation is {what}; expected softmax or linear")),
        }
        let (values, shape) = self.tensor(name, "kernel")?.ok_or("no kernel")?;
        let &[inputs, outputs] = &shape[..] else { return Err(format!("its kernel has shape {shape:?}")) };
        let values = transposed(&values, inputs, outputs);
        self.head = Some(Matrix { values, rows: outputs, columns: inputs, from: name.into() });
        self.bias = self.tensor(name, "bias")?.map(|(bias, _)| (bias, format!("{name}/bias")));
        Ok(())
    }
}
