//! Other people's models: their names, gate orders and files. Nothing else knows them.
//!
//! A file becomes tensors by name ([`Tensors`]), these become the parts of a language model ([`ImportedParts`]) in PyTorch's
//! form, and the parts a model. What PyTorch's cells have no form for is an option of the cell; what gatefold has no
//! option for is an error that says so.

mod archive;
pub mod cell;
mod fold;
pub mod keras;
mod keras_cell;
mod keras_graph;
mod modules;
mod names;
mod npz;
pub mod onnx;
mod onnx_axes;
mod onnx_cell;
mod onnx_fold;
mod onnx_graph;
mod onnx_states;
mod onnx_way;
mod parts;
mod pickle;
mod pickle_calls;
mod pickle_values;
mod protobuf;
mod pytorch;
mod sizes;
mod tensorflow;
mod tensorflow_js;
mod tensors;
mod verify;
mod vocabulary;

pub use parts::{Imported, ImportedParts, Matrix};
pub use tensors::{Element, Tensor, Tensors};
pub use verify::{Agreement, Recorded, verify};
pub use vocabulary::{Vocabulary, looks_like_words};

use crate::error::{Error, Fault, Result};
use crate::model::{Bytes, Dtype, metadata_entry, read_header, short};
use crate::ops::activation::Activation;

/// Opens a file beside the one that is read.
pub type Beside<'a> = &'a dyn Fn(&str) -> Result<Bytes>;

/// Whether a name that a file gives is that of a file beside it.
fn is_beside(file: &str) -> bool {
    !file.is_empty() && !file.starts_with('.') && !file.contains(['/', '\\', ':', '\0'])
}

/// A file to be imported, and the ones beside it.
pub struct Source<'a> {
    /// Its name in messages; the extension counts for nothing.
    pub name: String,
    /// Its contents.
    pub bytes: Bytes,
    /// Opens a file beside it.
    pub open: Beside<'a>,
}

/// Facts about a file that only its owner knows.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names that are replaced before anything is guessed; an empty new name leaves the tensor out.
    pub map: Vec<(String, String)>,
    /// The number that TensorFlow adds to the forget gates of its BasicLSTMCell.
    pub forget_bias: f32,
    /// The function of plain RNN cells under PyTorch's names, which do not say it.
    pub activation: Option<Activation>,
    /// The recurrent modules in the order of data, where their names do not say it.
    pub layers: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { map: Vec::new(), forget_bias: 1.0, activation: None, layers: Vec::new() }
    }
}

/// The formats that are known by how they begin.
#[derive(PartialEq, Eq)]
enum Format {
    Safetensors,
    Torch,
    Npz,
    Manifest,
    Onnx,
}

/// Reads a model from a file of another program.
///
/// # Errors
/// A file that cannot be read, and what it says that a model here cannot be: with the file, the tensor, layer or node,
/// what was found and what was expected.
pub fn import(source: &Source, options: &Options) -> Result<Imported> {
    let name = &source.name;
    let wrong = |what: String| Error::model(name, what);
    if format(&source.bytes).map_err(wrong)? == Format::Onnx {
        if !options.map.is_empty() {
            let what = "a map is for files of named tensors; an ONNX graph says what its tensors are";
            return Err(wrong(what.into()));
        }
        let graph = onnx::read(&source.bytes, &remembered(source.open)).map_err(wrong)?;
        return onnx_graph::parts(&graph).map_err(wrong)?.into_model(name);
    }
    let mut tensors = tensors(source)?;
    rename(&mut tensors, &options.map).map_err(|fault| Error::model(name, fault))?;
    let vocabulary = tensors.vocabulary.take();
    let mut imported = parts(tensors, options).map_err(|fault| Error::model(name, fault))?.into_model(name)?;
    if let Some((called, tokens)) = vocabulary {
        match vocabulary::in_order(tokens, imported.config.vocab_size) {
            Some(tokens) => imported.vocabulary = Some((called, tokens)),
            None => imported.notes.push(format!("the file's own `{called}` is not one token for each row: not taken")),
        }
    }
    Ok(imported)
}

/// The tensors of a file that has them by name.
///
/// # Errors
/// A file that cannot be read, or an ONNX graph.
pub fn tensors(source: &Source) -> Result<Tensors> {
    let bytes = &source.bytes;
    let read = match format(bytes) {
        Ok(Format::Onnx) => onnx::read(bytes, &remembered(source.open))
            .map(|graph| Tensors { tensors: graph.initializers, ..Tensors::default() }),
        Ok(Format::Safetensors) => safetensors(&source.name, bytes),
        Ok(Format::Torch) => pytorch::read(bytes),
        Ok(Format::Npz) => npz::read(bytes),
        Ok(Format::Manifest) => tensorflow::read_json(bytes, source.open),
        Err(e) => Err(e),
    };
    read.map_err(|what| Error::model(&source.name, what))
}

fn parts(tensors: Tensors, options: &Options) -> std::result::Result<ImportedParts, Fault> {
    let any = |what: &str| tensors.tensors.keys().any(|name| name.ends_with(what));
    if tensors.keras.is_some() || any("/recurrent_kernel") {
        keras::parts(tensors)
    } else if any("lstm_cell/kernel") || any("lstm_cell/weights") {
        Ok(tensorflow::parts(tensors, options)?)
    } else {
        names::parts(tensors, options)
    }
}

/// Opens each file once.
fn remembered<'a>(open: Beside<'a>) -> impl Fn(&str) -> Result<Bytes> + 'a {
    let files = std::cell::RefCell::new(std::collections::BTreeMap::<String, Bytes>::new());
    move |name: &str| {
        if let Some(bytes) = files.borrow().get(name) {
            return Ok(bytes.clone());
        }
        let bytes = open(name)?;
        files.borrow_mut().insert(name.to_string(), bytes.clone());
        Ok(bytes)
    }
}

/// The format of a file, by its first bytes.
fn format(bytes: &[u8]) -> std::result::Result<Format, String> {
    let is_zip = bytes.starts_with(b"PK\x03\x04");
    let has = |what: &[u8]| bytes.windows(what.len()).rev().take(1 << 20).any(|window| window == what);
    let begins = bytes.iter().find(|b| !b.is_ascii_whitespace());
    match bytes {
        [] => Err("an empty file".into()),
        _ if is_zip && has(b"data.pkl") => Ok(Format::Torch),
        _ if is_zip && has(b".npy") => Ok(Format::Npz),
        _ if is_zip => {
            Err("a zip archive of neither PyTorch nor NumPy; a .keras file goes through keras_export.py".into())
        }
        // A header of less than 2^40 bytes: no text and no protocol buffer has such zeros.
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => Ok(Format::Safetensors),
        [0x80, version, ..] if (2..=5).contains(version) => Ok(Format::Torch),
        [0x89, b'H', b'D', b'F', ..] => {
            Err("an HDF5 file, as Keras saves; make a .safetensors of it with keras_export.py".into())
        }
        _ if begins == Some(&b'{') => Ok(Format::Manifest),
        // A model begins with its version of the format, field 1, or with its producer's name.
        [0x08 | 0x12 | 0x3a | 0x42, ..] => Ok(Format::Onnx),
        _ => Err("not a file that is known here: expected safetensors, a .pt or .pth of PyTorch, .npz, ONNX or the \
                  manifest of TensorFlow.js weights"
            .into()),
    }
}

fn safetensors(name: &str, bytes: &Bytes) -> std::result::Result<Tensors, String> {
    let strip = |e: Error| {
        let text = e.to_string();
        text.strip_prefix(&format!("{name}: ")).map_or(text.clone(), str::to_string)
    };
    let mut tensors = Tensors::default();
    for stored in read_header(name, bytes).map_err(strip)? {
        let element = match &stored.dtype {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::Bf16 => Element::Bf16,
            Dtype::Other(name) => match name.as_str() {
                "F64" => Element::F64,
                "I64" => Element::I64,
                "I32" => Element::I32,
                "U64" => Element::Other(8),
                "U32" => Element::Other(4),
                "I16" | "U16" => Element::Other(2),
                "I8" => Element::I8,
                "U8" | "BOOL" => Element::U8,
                _ => return Err(format!("tensor `{}` is {}; expected floats", short(&stored.name), stored.dtype)),
            },
        };
        let sizes = stored.shape.iter().map(|n| usize::try_from(*n)).collect::<std::result::Result<Vec<_>, _>>();
        let within = |what: String| format!("tensor `{}`: {what}", short(&stored.name));
        let shape = sizes.map_err(|_| within("a size that is too large".into()))?;
        let tensor = Tensor::new(shape, element, bytes.clone(), stored.place()).map_err(within)?;
        tensors.tensors.insert(stored.name.clone(), tensor);
    }
    tensors.keras = metadata_entry(bytes, "keras");
    Ok(tensors)
}

fn rename(tensors: &mut Tensors, map: &[(String, String)]) -> std::result::Result<(), Fault> {
    for (old, new) in map {
        let Some(tensor) = tensors.tensors.remove(old) else {
            let found = format!("is to be mapped, and is not there; the file has {}", tensors.listed());
            return Err(Fault::tensor(short(old), found));
        };
        if new.is_empty() {
            continue;
        }
        if tensors.tensors.insert(new.clone(), tensor).is_some() {
            return Err(Fault::tensor(
                short(new),
                format!("is there already; `{}` cannot be mapped to it", short(old)),
            ));
        }
    }
    Ok(())
}
