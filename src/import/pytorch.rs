//! PyTorch's .pt and .pth: a zip archive of a pickle and the storages of its tensors.
//!
//! The weights are a dict of tensors, a whole module, or one of these in a checkpoint, beside things of other kinds,
//! which are passed over. A module is read from its attributes; nothing of it is run.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

use super::archive::{Entry, entries};
use super::pickle::{self, Id, Pickle};
use super::pickle_values::{Object, Stored, Value};
use super::tensors::{Element, Tensor, Tensors};
use super::vocabulary;
use crate::model::{Bytes, short};
use crate::ops::activation::Activation;

/// Keys under which training scripts keep the state dict.
const HOLDERS: [&str; 10] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model_dict",
    "model",
    "net",
    "network",
    "weights",
    "generator",
    "state",
];
/// How deep dicts may stand in dicts.
const MAX_DEPTH: usize = 16;
/// Layers of PyTorch that a whole module may have: those that are read, and those that change no numbers.
const READ: [&str; 7] = ["sparse", "rnn", "linear", "dropout", "container", "loss", "module"];

/// The tensors of a state dict; those of dicts in it have names joined by dots.
pub fn read(bytes: &Bytes) -> Result<Tensors, String> {
    if bytes.starts_with(b"\x80") {
        return Err("saved in the form of PyTorch before 1.6, or as a plain pickle. In Python: \
                    `sd = torch.load(\"old.pt\", map_location=\"cpu\", weights_only=True)`, then \
                    `torch.save(sd, \"new.pt\")`"
            .into());
    }
    let entries = entries(bytes)?;
    let (prefix, program) = (entries.iter())
        .find_map(|entry| Some((entry.name.strip_suffix("data.pkl")?.to_string(), entry)))
        .ok_or("no `data.pkl` in the archive, so torch.save did not write it")?;
    let by_name: HashMap<&str, &Entry> = entries.iter().map(|entry| (entry.name.as_str(), entry)).collect();
    if by_name.contains_key(format!("{prefix}constants.pkl").as_str()) {
        return Err(
            "a TorchScript file. In Python: `sd = torch.jit.load(\"model.pt\", map_location=\"cpu\").state_dict()`, \
                    then `torch.save(sd, \"new.pt\")`"
                .into(),
        );
    }
    let order = by_name.get(format!("{prefix}byteorder").as_str()).map(|entry| entry.data());
    if order.is_some_and(|order| order != b"little") {
        return Err("its numbers are big-endian; save it again on a little-endian machine".into());
    }
    let pickle = pickle::run(program.data(), bytes.len())?;
    let reader = Reader {
        pickle: &pickle,
        prefix,
        by_name,
        room: Cell::new(8 * bytes.len() + (1 << 16)),
        steps: Cell::new((1 << 18) + 2 * bytes.len()),
        passed: RefCell::default(),
        activation: Cell::new(None),
    };
    let mut tensors = Tensors::default();
    let weights = reader.weights()?;
    reader.collect(weights, "", 0, &mut tensors)?;
    if tensors.tensors.is_empty() {
        let objects = reader.objects();
        let has = if objects.is_empty() { String::new() } else { format!(", but {objects}") };
        return Err(format!(
            "it holds no tensor{has}; expected what `torch.save(model.state_dict(), ...)` or `torch.save(model, ...)` writes"
        ));
    }
    let objects = reader.objects();
    if !objects.is_empty() {
        tensors.notes.push(format!("passed over, and nothing of it run: {objects}"));
    }
    tensors.activation = reader.activation.get();
    tensors.vocabulary = reader.vocabulary(weights);
    Ok(tensors)
}

struct Reader<'a> {
    pickle: &'a Pickle<'a>,
    prefix: String,
    by_name: HashMap<&'a str, &'a Entry>,
    /// Bytes that tensors may name in all.
    room: Cell<usize>,
    /// Entries that may be looked at in all.
    steps: Cell<usize>,
    /// Classes of what is passed over.
    passed: RefCell<BTreeSet<String>>,
    /// The activation that a module of plain RNN cells names.
    activation: Cell<Option<Activation>>,
}

impl<'a> Reader<'a> {
    fn value(&self, id: Id) -> &'a Value<'a> {
        &self.pickle.values[id]
    }

    fn text(&self, id: Id) -> Option<&'a str> {
        if let Value::Text(text) = self.value(id) { Some(text) } else { None }
    }

    fn look(&self) -> Result<(), String> {
        self.steps.set(self.steps.get().checked_sub(1).ok_or("its dicts share their entries too often")?);
        Ok(())
    }

    /// The entries of a dict, or the attributes of an object.
    fn entries(&self, id: Id) -> &'a [(Id, Id)] {
        match self.value(id) {
            Value::Dict(entries) => entries,
            Value::Object(object) => match object.state.map(|state| self.value(state)) {
                Some(Value::Dict(entries)) => entries,
                _ => &object.entries,
            },
            _ => &[],
        }
    }

    fn get(&self, id: Id, key: &str) -> Option<Id> {
        self.entries(id).iter().find(|(name, _)| self.text(*name) == Some(key)).map(|(_, value)| *value)
    }

    fn is_module(&self, id: Id) -> bool {
        matches!(self.value(id), Value::Object(_)) && self.get(id, "_modules").is_some()
    }

    /// The objects that were passed over, for messages.
    fn objects(&self) -> String {
        let passed = self.passed.borrow();
        let names: Vec<&str> = passed.iter().take(6).map(String::as_str).collect();
        let more = passed.len().saturating_sub(6);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        if names.is_empty() { String::new() } else { format!("objects of {}{more}", names.join(", ")) }
    }

    /// Whether recurrent weights stand in a dict or module.
    fn has_weights(&self, id: Id, depth: usize) -> Result<bool, String> {
        if depth > MAX_DEPTH {
            return Ok(false);
        }
        for (key, value) in self.entries(id) {
            // A long key takes as much time as many.
            self.steps.set(self.steps.get().saturating_sub(self.text(*key).map_or(0, |key| key.len() / 64)));
            self.look()?;
            let named = self.text(*key).is_some_and(|key| key.contains("weight_ih"));
            let holds = matches!(self.value(*value), Value::Dict(_) | Value::Object(_));
            if named && matches!(self.value(*value), Value::Tensor(_))
                || holds && self.has_weights(*value, depth + 1)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The weights: the whole, or what a checkpoint has under one of the usual keys, or the first of a list.
    fn weights(&self) -> Result<Id, String> {
        let top = self.pickle.top;
        if self.is_module(top) {
            return Ok(top);
        }
        for holder in HOLDERS {
            if let Some(value) = self.get(top, holder)
                && self.has_weights(value, 0)?
            {
                return Ok(value);
            }
        }
        let items: Vec<Id> = match self.value(top) {
            Value::List(items) => items.clone(),
            _ => self.entries(top).iter().map(|(_, value)| *value).collect(),
        };
        let mut holding = BTreeSet::new();
        for item in items {
            if self.has_weights(item, 0)? {
                holding.insert(item);
            }
        }
        // A part alone has an embedding or an output layer, too; parts that were saved one by one belong together.
        match holding.iter().collect::<Vec<_>>()[..] {
            [one] if self.matrices(*one, 0)? > 0 => Ok(*one),
            _ => Ok(top),
        }
    }

    /// Matrices besides recurrent ones.
    fn matrices(&self, id: Id, depth: usize) -> Result<usize, String> {
        let mut count = 0;
        for (key, value) in self.entries(id) {
            self.look()?;
            match self.value(*value) {
                Value::Tensor(tensor) => {
                    let recurrent =
                        self.text(*key).is_some_and(|key| key.contains("weight_ih") || key.contains("weight_hh"));
                    count += usize::from(tensor.shape.len() == 2 && !recurrent);
                }
                Value::Dict(_) | Value::Object(_) if depth < MAX_DEPTH => count += self.matrices(*value, depth + 1)?,
                _ => {}
            }
        }
        Ok(count)
    }

    fn collect(&self, id: Id, name: &str, depth: usize, into: &mut Tensors) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("dicts in dicts, more than {MAX_DEPTH} deep"));
        }
        match self.value(id) {
            Value::Tensor(stored) => self.put(stored, name, into),
            Value::Object(object) if self.is_module(id) => self.module(id, object, name, depth, into),
            Value::Object(object) => {
                self.passed.borrow_mut().insert(object.class.shown());
                Ok(())
            }
            Value::Dict(entries) => self.collect_all(entries, name, depth, into),
            _ => Ok(()),
        }
    }

    fn collect_all(&self, entries: &[(Id, Id)], name: &str, depth: usize, into: &mut Tensors) -> Result<(), String> {
        for (key, value) in entries {
            self.look()?;
            let Some(key) = self.text(*key) else { continue };
            let name = if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
            if name.len() > 1024 {
                return Err(format!("the name `{}` is longer than 1024 bytes", short(&name)));
            }
            self.collect(*value, &name, depth + 1, into)?;
        }
        Ok(())
    }

    /// A module's parameters and buffers, and those of the modules in it, under the names of its state dict.
    fn module(&self, id: Id, object: &Object, name: &str, depth: usize, into: &mut Tensors) -> Result<(), String> {
        let kind = object.class.module.strip_prefix("torch.nn.modules.").unwrap_or("module");
        let harmless = matches!(object.class.name, "Softmax" | "LogSoftmax" | "Identity");
        if !READ.contains(&kind) && !harmless {
            return Err(format!(
                "module `{}` is a {}; models here are an embedding, recurrent layers and an output layer",
                short(name),
                object.class.shown()
            ));
        }
        if self.get(id, "max_norm").is_some_and(|value| *self.value(value) != Value::None) {
            return Err(format!("module `{}` has max_norm, which shortens embeddings as it runs", short(name)));
        }
        let says = self.get(id, "mode").or(self.get(id, "nonlinearity")).and_then(|value| self.text(value));
        match says {
            Some("RNN_RELU" | "relu") => self.activation.set(Some(Activation::Relu)),
            Some("RNN_TANH" | "tanh") => self.activation.set(Some(Activation::Tanh)),
            _ => {}
        }
        let hidden = self.get(id, "_non_persistent_buffers_set").map(|set| self.value(set));
        let passing: BTreeSet<&str> = match hidden {
            Some(Value::List(names) | Value::Set(names)) => names.iter().filter_map(|id| self.text(*id)).collect(),
            _ => BTreeSet::new(),
        };
        for part in ["_parameters", "_buffers", "_modules"] {
            let Some(part) = self.get(id, part) else { continue };
            let keep = |key: Id| !self.text(key).is_some_and(|key| passing.contains(key));
            let entries: Vec<(Id, Id)> = self.entries(part).iter().filter(|(key, _)| keep(*key)).copied().collect();
            self.collect_all(&entries, name, depth, into)?;
        }
        Ok(())
    }

    fn put(&self, stored: &Stored, name: &str, into: &mut Tensors) -> Result<(), String> {
        let tensor = self.tensor(stored).map_err(|e| format!("tensor `{}`: {e}", short(name)))?;
        // Names are kept, too, and an empty tensor has one.
        let left = self.room.get().checked_sub(tensor.byte_len() + name.len() + 64);
        self.room.set(left.ok_or("its tensors share their numbers too often")?);
        let tensor = tensor.at(into.tensors.len());
        if into.tensors.insert(name.to_string(), tensor).is_some() {
            return Err(format!("tensor `{}` stands there twice", short(name)));
        }
        Ok(())
    }

    fn tensor(&self, stored: &Stored) -> Result<Tensor, String> {
        let element = match stored.class {
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
        let entry = self.by_name.get(format!("{}data/{}", self.prefix, stored.storage).as_str());
        let missing = || format!("its numbers, `data/{}`, are missing in the archive", short(stored.storage));
        let entry = entry.ok_or_else(missing)?;
        let sizes = |of: &[i64], what: &str| {
            let sizes = of.iter().map(|n| usize::try_from(*n).map_err(|_| format!("a negative {what}")));
            sizes.collect::<Result<Vec<usize>, String>>()
        };
        let (shape, strides) = (sizes(&stored.shape, "size")?, sizes(&stored.strides, "stride")?);
        let first = usize::try_from(stored.offset).ok().and_then(|n| n.checked_mul(element.bytes()));
        let first = first.and_then(|n| n.checked_add(entry.range.start)).filter(|n| *n <= entry.range.end);
        let first = first.ok_or("it begins past the end of its numbers")?;
        Tensor::strided(shape, strides, element, entry.bytes.clone(), first..entry.range.end)
    }

    /// The tokens that a checkpoint, or the module itself, keeps under one of the usual names.
    fn vocabulary(&self, weights: Id) -> Option<(String, Vec<(String, u64)>)> {
        let mut places = vec![self.pickle.top, weights];
        let inner = self.entries(self.pickle.top).iter().map(|(_, value)| *value);
        places.extend(inner.filter(|id| matches!(self.value(*id), Value::Dict(_) | Value::Object(_))).take(64));
        for name in vocabulary::NAMES {
            for place in &places {
                let found = self.get(*place, name).and_then(|value| self.tokens(value, 0));
                if let Some(tokens) = found.filter(|tokens| tokens.len() > 1) {
                    return Some((name.to_string(), tokens));
                }
            }
        }
        None
    }

    fn tokens(&self, id: Id, depth: usize) -> Option<Vec<(String, u64)>> {
        let number = |id: Id| if let Value::Int(n) = self.value(id) { u64::try_from(*n).ok() } else { None };
        match self.value(id) {
            Value::List(items) => {
                let token = |(i, id): (usize, &Id)| Some((self.text(*id)?.to_string(), i as u64));
                items.iter().enumerate().map(token).collect()
            }
            Value::Dict(entries) => {
                let forward = |(key, value): &(Id, Id)| Some((self.text(*key)?.to_string(), number(*value)?));
                let backward = |(key, value): &(Id, Id)| Some((self.text(*value)?.to_string(), number(*key)?));
                let found: Vec<_> = entries.iter().filter_map(forward).collect();
                Some(if found.is_empty() { entries.iter().filter_map(backward).collect() } else { found })
            }
            // A vocabulary of a class of its own.
            Value::Object(_) if depth == 0 => {
                let inner = |name: &&str| self.get(id, name).and_then(|value| self.tokens(value, 1));
                vocabulary::NAMES.iter().find_map(inner)
            }
            _ => None,
        }
    }
}
