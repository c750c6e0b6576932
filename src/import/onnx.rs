//! ONNX: the messages of a model file, and of the files beside it that hold its large tensors.

use std::collections::BTreeMap;
use std::ops::Range;

pub use super::onnx_cell::recurrent;
use super::protobuf::{FieldValue, fields, varints};
use super::tensors::{Element, Tensor};
use super::{Beside, is_beside};
use crate::model::{Bytes, short};

/// Nodes at most.
const MAX_NODES: usize = 1 << 16;

/// An attribute of a node.
#[derive(Clone, Debug, Default)]
pub struct Attribute {
    /// A whole number.
    pub int: i64,
    /// A number.
    pub float: f32,
    /// A text.
    pub text: String,
    /// Numbers.
    pub floats: Vec<f32>,
    /// Whole numbers.
    pub ints: Vec<i64>,
    /// Texts.
    pub texts: Vec<String>,
    /// A tensor.
    pub tensor: Option<Tensor>,
}

/// An operation.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// LSTM, MatMul and so on.
    pub op: String,
    /// Its own name.
    pub name: String,
    /// Names of values; an empty one is absent.
    pub inputs: Vec<String>,
    /// Names of values.
    pub outputs: Vec<String>,
    /// By name.
    pub attributes: BTreeMap<String, Attribute>,
}

/// An input of the graph.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Whether it holds floats.
    pub float: bool,
    /// Its axes: their names and sizes, where they are said. `None` where nothing is said.
    pub dims: Option<Vec<(String, Option<usize>)>>,
}

/// The contents of a model file.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In an order in which they can run.
    pub nodes: Vec<Node>,
    /// Tensors by name.
    pub initializers: BTreeMap<String, Tensor>,
    /// The graph's inputs.
    pub inputs: Vec<Input>,
    /// Names of its outputs.
    pub outputs: Vec<String>,
    /// The version of ONNX's own operators.
    pub version: i64,
}

/// Where tensors are read from: the model file, and files beside it.
#[derive(Clone, Copy)]
struct Files<'a> {
    bytes: &'a Bytes,
    beside: Beside<'a>,
}

/// Reads a model file; `beside` opens the files beside it.
pub fn read(bytes: &Bytes, beside: Beside) -> Result<Graph, String> {
    let files = Files { bytes, beside };
    let (mut range, mut graph) = (None, Graph::default());
    for field in fields(bytes, 0..bytes.len()) {
        let field = field?;
        match field.number {
            7 => range = Some(field.value.range()?),
            8 => {
                let (domain, version) = operators(bytes, field.value.range()?)?;
                graph.version = if domain.is_empty() || domain == "ai.onnx" { version } else { graph.version };
            }
            _ => {}
        }
    }
    let range = range.ok_or("not an ONNX model: it has no graph")?;
    for field in fields(bytes, range) {
        let field = field?;
        match field.number {
            1 => {
                if graph.nodes.len() >= MAX_NODES {
                    return Err(format!("more than {MAX_NODES} nodes"));
                }
                graph.nodes.push(node(files, field.value.range()?)?);
            }
            5 => {
                let (name, tensor) = tensor(files, field.value.range()?)?;
                graph.initializers.insert(name, tensor);
            }
            11 => graph.inputs.push(input(bytes, field.value.range()?)?),
            12 => graph.outputs.push(input(bytes, field.value.range()?)?.name),
            15 => return Err("it has sparse weights; save it with dense ones".into()),
            _ => {}
        }
    }
    graph.inputs.retain(|input| !graph.initializers.contains_key(&input.name));
    Ok(graph)
}

/// A set of operators: its domain and version.
fn operators(bytes: &[u8], range: Range<usize>) -> Result<(String, i64), String> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in fields(bytes, range) {
        match field? {
            f if f.number == 1 => domain = text(bytes, f.value.range()?)?,
            f if f.number == 2 => version = f.value.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}

/// The message that fills field `number` of a message, the last one where there are several.
fn within(bytes: &[u8], range: Range<usize>, number: u64) -> Result<Option<Range<usize>>, String> {
    let mut found = None;
    for field in fields(bytes, range) {
        let field = field?;
        if field.number == number {
            found = Some(field.value.range()?);
        }
    }
    Ok(found)
}

/// An input or output: its name, and the type and axes of its tensor.
fn input(bytes: &[u8], range: Range<usize>) -> Result<Input, String> {
    let name = within(bytes, range.clone(), 1)?.map(|name| text(bytes, name)).transpose()?;
    let mut input = Input { name: name.unwrap_or_default(), ..Input::default() };
    let kind = within(bytes, range, 2)?.map(|range| within(bytes, range, 1)).transpose()?.flatten();
    let Some(tensor) = kind else { return Ok(input) };
    for field in fields(bytes, tensor) {
        let field = field?;
        match field.number {
            1 => input.float = matches!(field.value.int()?, 1 | 10 | 11 | 16),
            2 => {
                let mut dims = Vec::new();
                for dim in fields(bytes, field.value.range()?) {
                    let (mut named, mut size) = (String::new(), None);
                    for part in fields(bytes, dim?.value.range()?) {
                        match part? {
                            p if p.number == 1 => size = usize::try_from(p.value.int()?).ok().filter(|n| *n > 0),
                            p if p.number == 2 => named = text(bytes, p.value.range()?)?,
                            _ => {}
                        }
                    }
                    if dims.len() >= 8 {
                        return Err(format!("`{}` has more than 8 axes", short(&input.name)));
                    }
                    dims.push((named, size));
                }
                input.dims = Some(dims);
            }
            _ => {}
        }
    }
    Ok(input)
}

fn text(bytes: &[u8], range: Range<usize>) -> Result<String, String> {
    std::str::from_utf8(&bytes[range]).map(str::to_string).map_err(|_| "a name that is no text".into())
}

fn node(files: Files, range: Range<usize>) -> Result<Node, String> {
    let bytes = files.bytes;
    let mut node = Node::default();
    for field in fields(bytes, range) {
        let field = field?;
        match field.number {
            1 => node.inputs.push(text(bytes, field.value.range()?)?),
            2 => node.outputs.push(text(bytes, field.value.range()?)?),
            3 => node.name = text(bytes, field.value.range()?)?,
            4 => node.op = text(bytes, field.value.range()?)?,
            5 => {
                let (name, attribute) = attribute(files, field.value.range()?)?;
                node.attributes.insert(name, attribute);
            }
            7 => {
                let domain = text(bytes, field.value.range()?)?;
                if !matches!(domain.as_str(), "" | "ai.onnx") {
                    return Err(format!("a node of the domain `{}`; expected ONNX's own", short(&domain)));
                }
            }
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(files: Files, range: Range<usize>) -> Result<(String, Attribute), String> {
    let bytes = files.bytes;
    let (mut name, mut attribute) = (String::new(), Attribute::default());
    for field in fields(bytes, range) {
        let field = field?;
        match (field.number, &field.value) {
            (1, value) => name = text(bytes, value.range()?)?,
            (2, FieldValue::Fixed32(bits)) => attribute.float = f32::from_bits(*bits),
            (3, value) => attribute.int = value.int()?,
            (4, value) => attribute.text = text(bytes, value.range()?).unwrap_or_default(),
            (5, value) => attribute.tensor = Some(tensor(files, value.range()?)?.1),
            (7, FieldValue::Fixed32(bits)) => attribute.floats.push(f32::from_bits(*bits)),
            (7, FieldValue::Bytes(range)) => {
                let words = bytes[range.clone()].chunks_exact(4);
                attribute.floats.extend(words.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            (8, FieldValue::Varint(n)) => attribute.ints.push(*n as i64),
            (8, FieldValue::Bytes(range)) => attribute.ints.extend(varints(bytes, range.clone())?),
            (9, value) => attribute.texts.push(text(bytes, value.range()?)?),
            _ => {}
        }
    }
    Ok((name, attribute))
}

/// A tensor that is a file of its own: inputs and outputs of ONNX's tests.
pub fn tensor_file(bytes: &Bytes) -> Result<Tensor, String> {
    let beside = |_: &str| Err(crate::Error::model("", "no file stands beside it"));
    Ok(tensor(Files { bytes, beside: &beside }, 0..bytes.len())?.1)
}

fn tensor(files: Files, range: Range<usize>) -> Result<(String, Tensor), String> {
    let bytes = files.bytes;
    let (mut name, mut shape, mut kind) = (String::new(), Vec::new(), 0);
    let mut stored: Option<(Bytes, Range<usize>)> = None;
    // Numbers that stand each in a field of its own, or packed with a varying length.
    let (mut loose, mut loose_wide) = (Vec::<u8>::new(), Vec::<u8>::new());
    let mut external = Vec::new();
    for field in fields(bytes, range) {
        let field = field?;
        match (field.number, &field.value) {
            (1, FieldValue::Varint(n)) => shape.push(*n as i64),
            (1, value) => shape.extend(varints(bytes, value.range()?)?),
            (2, value) => kind = value.int()?,
            (8, value) => name = text(bytes, value.range()?)?,
            (4, FieldValue::Fixed32(bits)) => loose.extend(bits.to_le_bytes()),
            (10, FieldValue::Fixed64(bits)) => loose_wide.extend(bits.to_le_bytes()),
            (4 | 9 | 10, value) => stored = Some((bytes.clone(), value.range()?)),
            (5, FieldValue::Varint(n)) => loose.extend((*n as i32).to_le_bytes()),
            (5, value) => varints(bytes, value.range()?)?.iter().for_each(|n| loose.extend((*n as i32).to_le_bytes())),
            (7, FieldValue::Varint(n)) => loose_wide.extend(n.to_le_bytes()),
            (7, value) => varints(bytes, value.range()?)?.iter().for_each(|n| loose_wide.extend(n.to_le_bytes())),
            (13, value) => external.push(entry(bytes, value.range()?)?),
            _ => {}
        }
        if shape.len() > 8 {
            return Err(format!("tensor `{}` has more than 8 axes", short(&name)));
        }
    }
    let element = match kind {
        1 => Element::F32,
        6 => Element::I32,
        7 => Element::I64,
        10 => Element::F16,
        11 => Element::F64,
        16 => Element::Bf16,
        3 => Element::I8,
        2 | 9 => Element::U8,
        4 | 5 => Element::Other(2),
        12 => Element::Other(4),
        13 => Element::Other(8),
        _ => return Err(format!("tensor `{}` has the type {kind}; expected floats", short(&name))),
    };
    let shape: Vec<usize> = shape
        .iter()
        .map(|n| usize::try_from(*n))
        .collect::<Result<_, _>>()
        .map_err(|_| format!("tensor `{}` has a negative size", short(&name)))?;
    let (bytes, range) = match stored {
        _ if !external.is_empty() => {
            outside(&external, files.beside).map_err(|e| format!("tensor `{}`: {e}", short(&name)))?
        }
        Some(stored) => stored,
        None => {
            // Small types stand in words of 32 bits each.
            let data = match element.bytes() {
                8 => loose_wide,
                4 => loose,
                small => loose.chunks_exact(4).flat_map(|word| &word[..small]).copied().collect(),
            };
            let range = 0..data.len();
            (Bytes::new(data), range)
        }
    };
    let tensor = Tensor::new(shape, element, bytes, range).map_err(|e| format!("tensor `{}`: {e}", short(&name)))?;
    Ok((name, tensor))
}

/// A key and its value.
fn entry(bytes: &[u8], range: Range<usize>) -> Result<(String, String), String> {
    let part = |number| within(bytes, range.clone(), number)?.map_or(Ok(String::new()), |range| text(bytes, range));
    Ok((part(1)?, part(2)?))
}

/// The numbers of a tensor in a file beside the model: `location`, `offset`, `length`.
fn outside(entries: &[(String, String)], beside: Beside) -> Result<(Bytes, Range<usize>), String> {
    let get = |key: &str| entries.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let number = |key: &str| {
        let read = |text: &str| text.parse::<usize>().map_err(|_| format!("{key} is `{}`", short(text)));
        get(key).map(read).transpose()
    };
    let file = get("location").unwrap_or_default();
    if !is_beside(file) {
        return Err(format!("its numbers are said to be in `{}`, which is no file beside the model", short(file)));
    }
    let bytes = beside(file).map_err(|e| format!("its numbers are in a file beside the model: {e}"))?;
    let first = number("offset")?.unwrap_or(0);
    let last = match number("length")? {
        Some(length) => first.checked_add(length),
        None => Some(bytes.len()),
    };
    let last = last.filter(|last| first <= *last && *last <= bytes.len());
    let range = first..last.ok_or_else(|| format!("`{}` ends before its numbers do", short(file)))?;
    Ok((bytes, range))
}
