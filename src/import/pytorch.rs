//! PyTorch's .pt and .pth: a zip archive of a pickle and the storages of its tensors.

use std::collections::HashMap;

use super::archive::{Entry, entries};
use super::pickle::{self, Id, Pickle, Value};
use super::tensors::{Element, Tensor, Tensors};
use crate::model::{Bytes, short};

/// Keys under which training scripts keep the state dict.
const HOLDERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "weights"];
/// How deep dicts may stand in dicts.
const MAX_DEPTH: usize = 8;

/// The tensors of a state dict; those of dicts in it have names joined by dots.
pub fn read(bytes: &Bytes) -> Result<Tensors, String> {
    if bytes.starts_with(b"\x80") {
        return Err("saved by PyTorch before version 1.6 or as a plain pickle; load it there and save it again".into());
    }
    let entries = entries(bytes)?;
    let (prefix, program) = (entries.iter())
        .find_map(|entry| Some((entry.name.strip_suffix("data.pkl")?.to_string(), entry)))
        .ok_or("no `data.pkl` in the archive, so torch.save did not write it")?;
    let by_name: HashMap<&str, &Entry> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    let order = by_name.get(format!("{prefix}byteorder").as_str()).map(|entry| entry.data());
    if order.is_some_and(|order| order != b"little") {
        return Err("its numbers are big-endian; save it again on a little-endian machine".into());
    }
    let pickle = pickle::run(program.data())?;
    let reader = Reader { pickle: &pickle, prefix, by_name };
    let mut tensors = Tensors::default();
    let mut room = 2 * bytes.len();
    let top = reader.state_dict();
    reader.collect(top, "", 0, &mut room, &mut tensors)?;
    if tensors.tensors.is_empty() {
        return Err("it holds no tensor; expected what `torch.save(model.state_dict(), ...)` writes".into());
    }
    Ok(tensors)
}

struct Reader<'a> {
    pickle: &'a Pickle,
    prefix: String,
    by_name: HashMap<&'a str, &'a Entry>,
}

impl Reader<'_> {
    /// The state dict: the whole, or what a checkpoint keeps under one of the usual keys.
    fn state_dict(&self) -> Id {
        let Value::Dict(entries) = &self.pickle.values[self.pickle.top] else { return self.pickle.top };
        let under = |holder: &&str| {
            let entry =
                entries.iter().find(|(key, _)| self.pickle.values[*key] == Value::Text((*holder).to_string()))?;
            matches!(self.pickle.values[entry.1], Value::Dict(_)).then_some(entry.1)
        };
        HOLDERS.iter().find_map(under).unwrap_or(self.pickle.top)
    }

    fn collect(&self, id: Id, name: &str, depth: usize, room: &mut usize, into: &mut Tensors) -> Result<(), String> {
        match &self.pickle.values[id] {
            Value::Tensor(storage, offset, shape, strides) => {
                let tensor = self.tensor(*storage, *offset, shape, strides);
                let tensor = tensor.map_err(|e| format!("tensor `{}`: {e}", short(name)))?;
                *room = room.checked_sub(tensor.byte_len()).ok_or("its tensors share their numbers too often")?;
                let tensor = tensor.at(into.tensors.len());
                if into.tensors.insert(name.to_string(), tensor).is_some() {
                    return Err(format!("tensor `{}` stands there twice", short(name)));
                }
            }
            Value::Dict(entries) => {
                if depth > MAX_DEPTH {
                    return Err(format!("dicts in dicts, more than {MAX_DEPTH} deep"));
                }
                for (key, value) in entries {
                    let Value::Text(key) = &self.pickle.values[*key] else { continue };
                    *room = room.checked_sub(1).ok_or("its dicts share their entries too often")?;
                    let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                    if name.len() > 1024 {
                        return Err(format!("the name `{}` is longer than 1024 bytes", short(&name)));
                    }
                    self.collect(*value, &name, depth + 1, room, into)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tensor(&self, storage: Id, offset: i64, shape: &[i64], strides: &[i64]) -> Result<Tensor, String> {
        let Value::Storage(class, name, _) = &self.pickle.values[storage] else { return Err("no storage".into()) };
        let element = match *class {
            "FloatStorage" => Element::F32,
            "HalfStorage" => Element::F16,
            "BFloat16Storage" => Element::Bf16,
            "DoubleStorage" => Element::F64,
            "LongStorage" => Element::I64,
            "IntStorage" => Element::I32,
            "ShortStorage" => Element::Other(2),
            "CharStorage" => Element::I8,
            _ => Element::U8,
        };
        let entry = self.by_name.get(format!("{}data/{name}", self.prefix).as_str());
        let entry = entry.ok_or_else(|| format!("its numbers, `data/{}`, are missing in the archive", short(name)))?;
        let sizes = |of: &[i64], what: &str| {
            let sizes = of.iter().map(|n| usize::try_from(*n).map_err(|_| format!("a negative {what}")));
            sizes.collect::<Result<Vec<usize>, String>>()
        };
        let (shape, strides) = (sizes(shape, "size")?, sizes(strides, "stride")?);
        let first = usize::try_from(offset).ok().and_then(|n| n.checked_mul(element.bytes()));
        let first = first.and_then(|n| n.checked_add(entry.range.start)).filter(|n| *n <= entry.range.end);
        let first = first.ok_or("it begins behind its numbers")?;
        Tensor::strided(shape, strides, element, entry.bytes.clone(), first..entry.range.end)
    }
}
