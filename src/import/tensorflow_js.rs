//! TensorFlow.js layers models: a model.json that describes Keras's layers, and shards of weights beside it.

use serde_json::{Value, json};

use super::tensors::{Element, Tensor, Tensors, elements};
use super::{Beside, is_beside};
use crate::model::{Bytes, short};

/// Bytes that a model may have for each of its files.
const MAX_SHARDS: usize = 4096;

/// The tensors under the names that keras_export.py gives them, and the description of the layers.
pub fn read(model: &Value, open: Beside) -> Result<Tensors, String> {
    if model["format"] == "graph-model" {
        return Err("a graph model of TensorFlow.js; convert it as a layers model, or save the model from Keras".into());
    }
    let topology = &model["modelTopology"];
    let described = if topology["model_config"].is_object() { &topology["model_config"] } else { topology };
    let config = &described["config"];
    let layers = if config["layers"].is_array() { &config["layers"] } else { config };
    let layers = layers.as_array().ok_or("its modelTopology describes no layers")?;
    let mut layers = layers.clone();
    for layer in &mut layers {
        let name = layer["name"].clone();
        if let Some(config) = layer.get_mut("config").and_then(Value::as_object_mut) {
            config.entry("name").or_insert(name);
        }
    }
    let version = topology["keras_version"].as_str().unwrap_or_default();
    let names: Vec<&str> = layers.iter().filter_map(|layer| layer["config"]["name"].as_str()).collect();
    let mut tensors = Tensors::default();
    for group in model["weightsManifest"].as_array().ok_or("its weightsManifest is no list")? {
        let bytes = shards(&group["paths"], open)?;
        let mut place = 0;
        for weight in group["weights"].as_array().ok_or("a group without a list of weights")? {
            let name = weight["name"].as_str().ok_or("a weight without a name")?;
            let read = tensor(weight, &bytes, &mut place).map_err(|e| format!("weight `{}`: {e}", short(name)))?;
            let name = keras_name(name, &names);
            if tensors.tensors.insert(name.clone(), read).is_some() {
                return Err(format!("weight `{}` stands there twice", short(&name)));
            }
        }
    }
    let outputs = &config["output_layers"];
    let description = json!({"keras_version": version, "layers": layers, "output_layers": outputs});
    tensors.keras = Some(description.to_string());
    Ok(tensors)
}

/// The bytes of a group: its files one after another.
fn shards(paths: &Value, open: Beside) -> Result<Bytes, String> {
    let paths = paths.as_array().filter(|paths| paths.len() <= MAX_SHARDS).ok_or("a group without a list of paths")?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_str().unwrap_or_default();
        if !is_beside(path) || files.iter().any(|(name, _)| *name == path) {
            return Err(format!("the file `{}` is not beside model.json, or is named twice", short(path)));
        }
        files.push((path, open(path).map_err(|e| e.to_string())?));
    }
    match &files[..] {
        [(_, one)] => Ok(one.clone()),
        files => Ok(Bytes::new(files.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect::<Vec<u8>>())),
    }
}

fn tensor(weight: &Value, bytes: &Bytes, place: &mut usize) -> Result<Tensor, String> {
    let shape = weight["shape"].as_array().ok_or("no shape")?;
    let sizes = shape.iter().take(9).map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()));
    let shape: Vec<usize> = sizes.collect::<Option<_>>().ok_or("a shape of no sizes")?;
    let count = elements(&shape).ok_or("a shape that is too large")?;
    let quantization = &weight["quantization"];
    let stored = quantization["dtype"].as_str().or(weight["dtype"].as_str()).unwrap_or("float32");
    let size = match stored {
        "float32" | "int32" => 4,
        "float16" | "uint16" => 2,
        "uint8" | "bool" => 1,
        other => return Err(format!("numbers of type {}", short(other))),
    };
    let end = count.checked_mul(size).and_then(|len| place.checked_add(len)).filter(|end| *end <= bytes.len());
    let range = *place..end.ok_or("its file ends before its numbers do")?;
    *place = range.end;
    let (scale, least) = (quantization["scale"].as_f64(), quantization["min"].as_f64());
    if let (Some(scale), Some(least)) = (scale, least) {
        let number = |b: &[u8]| b.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b));
        let values = bytes[range].chunks_exact(size).map(|b| (f64::from(number(b)) * scale + least) as f32);
        return Ok(Tensor::of_values(shape, values.collect()));
    }
    let element = match stored {
        "float32" => Element::F32,
        "float16" => Element::F16,
        "int32" => Element::I32,
        _ => Element::U8,
    };
    Tensor::new(shape, element, bytes.clone(), range)
}

/// `lstm_1/lstm_cell/kernel` of the layer lstm_1 is `lstm_1/kernel`; directions keep a place of their own.
fn keras_name(name: &str, layers: &[&str]) -> String {
    let of = |layer: &&&str| name.strip_prefix(**layer).is_some_and(|rest| rest.starts_with('/'));
    let Some(layer) = layers.iter().filter(of).max_by_key(|layer| layer.len()) else { return name.to_string() };
    let rest = &name[layer.len()..];
    let last = rest.rsplit('/').next().unwrap_or_default();
    let direction = if rest.starts_with("/forward") {
        "forward/"
    } else if rest.starts_with("/backward") {
        "backward/"
    } else {
        ""
    };
    format!("{layer}/{direction}{last}")
}
