//! Weights by name: in memory, or in a file's bytes and converted when they are asked for.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::config::Config;
use super::fields::short;
use super::safetensors::{Bytes, Dtype, Precision, Stored, decode, encode, first_not_finite, header, read_header};
use crate::error::{Error, Fault, Result};
use crate::executor::{Executor, Values};
use crate::plan::Role;

/// Weights under PyTorch's names, row major.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Source>,
    /// Names that stand for another tensor, as a tied output layer's does for the embedding; it is here once.
    aliases: Vec<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
enum Source {
    Values(Vec<f32>),
    Stored { bytes: Bytes, tensor: Stored },
}

impl Source {
    fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Source::Values(values) => Cow::Borrowed(values),
            Source::Stored { bytes, tensor } => {
                let data = &bytes[tensor.range.clone()];
                // An aligned map of little-endian floats is read where it lies.
                match bytemuck::try_cast_slice(data) {
                    Ok(values) if tensor.dtype == Dtype::F32 && cfg!(target_endian = "little") => Cow::Borrowed(values),
                    _ => Cow::Owned(decode(&tensor.dtype, data).expect("checked when the file was read")),
                }
            }
        }
    }

    fn elements(&self) -> usize {
        match self {
            Source::Values(values) => values.len(),
            Source::Stored { tensor, .. } => tensor.elements() as usize,
        }
    }
}

impl Weights {
    /// Finds and checks a model's tensors in a safetensors file; `file` is its name in messages. Nothing is copied:
    /// [`Weights::get`] converts one tensor at a time.
    ///
    /// # Errors
    /// A file that is not safetensors or was cut off; a missing tensor, another shape or type than the config says,
    /// a number that is not finite; recurrent weights that the config does not explain.
    pub fn read(file: &str, bytes: &Bytes, config: &Config) -> Result<Weights> {
        let wrong = |fault: Fault| Error::model(file, fault);
        let stored: BTreeMap<String, Stored> =
            read_header(file, bytes)?.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let expected = config.weight_shapes();
        check_extras(file, &stored, &expected, config).map_err(wrong)?;
        let mut weights = Weights { tensors: BTreeMap::new(), aliases: config.aliases() };
        for (name, shape) in &expected {
            let Some(tensor) = stored.get(name) else {
                if weights.aliases.iter().any(|(alias, _)| alias == name) {
                    continue;
                }
                let found = format!("is missing; the file has {}", nearest(name, &stored));
                return Err(wrong(Fault::tensor(name.clone(), found)));
            };
            check_tensor(tensor, shape, bytes, config).map_err(wrong)?;
            let source = Source::Stored { bytes: bytes.clone(), tensor: tensor.clone() };
            weights.tensors.insert(name.clone(), source);
        }
        weights.check_aliases().map_err(wrong)?;
        Ok(weights)
    }

    /// A file may hold a tensor under both its names, if they are one. One of them is kept.
    fn check_aliases(&mut self) -> std::result::Result<(), Fault> {
        for (alias, name) in self.aliases.clone() {
            let Some(second) = self.tensors.remove(alias) else { continue };
            let (second, first) = (second.values(), self.tensors[name].values());
            if let Some(at) = second.iter().zip(&*first).position(|(a, b)| a != b) {
                let found = format!("is {} at element {at}, where `{name}` is {}", second[at], first[at]);
                let option = if alias == "output.weight" { "tie_word_embeddings" } else { "share_embeddings" };
                return Err(
                    Fault::tensor(alias, found).expected(format!("them to be one, as config.json says ({option})"))
                );
            }
        }
        Ok(())
    }

    /// Weights from memory.
    pub fn from_tensors(tensors: BTreeMap<String, Vec<f32>>) -> Weights {
        let tensors = tensors.into_iter().map(|(name, values)| (name, Source::Values(values))).collect();
        Weights { tensors, aliases: Vec::new() }
    }

    /// Weights from memory for a config: of a tensor with two names the first is kept.
    pub fn of(mut tensors: BTreeMap<String, Vec<f32>>, config: &Config) -> Weights {
        let aliases = config.aliases();
        aliases.iter().for_each(|(alias, _)| drop(tensors.remove(*alias)));
        Weights { aliases, ..Weights::from_tensors(tensors) }
    }

    /// The same ones in memory, without the file that they were read from.
    #[must_use]
    pub fn in_memory(self) -> Weights {
        let values = |source: Source| Source::Values(source.values().into_owned());
        let tensors = self.tensors.into_iter().map(|(name, source)| (name, values(source))).collect();
        Weights { tensors, ..self }
    }

    /// A weight, row major; converted each time it is asked for, unless the file holds it as f32.
    pub fn get(&self, name: &str) -> Option<Cow<'_, [f32]>> {
        let name = self.aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        self.tensors.get(name).map(Source::values)
    }

    /// Number of parameters; the weight of a tied model's output layer is none of its own.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(Source::elements).sum()
    }

    /// The types of the weights in their file, each once; none for weights from memory.
    pub fn dtypes(&self) -> Vec<Dtype> {
        let dtype = |source: &Source| match source {
            Source::Values(_) => None,
            Source::Stored { tensor, .. } => Some(tensor.dtype.clone()),
        };
        let mut dtypes: Vec<Dtype> = self.tensors.values().filter_map(dtype).collect();
        dtypes.sort();
        dtypes.dedup();
        dtypes
    }

    /// Size of the file that the weights are in; 0 for weights from memory.
    pub fn file_bytes(&self) -> usize {
        let size = |source: &Source| match source {
            Source::Values(_) => 0,
            Source::Stored { bytes, .. } => bytes.len(),
        };
        self.tensors.values().map(size).max().unwrap_or(0)
    }

    /// Writes every weight of the executor's plan, one tensor after the other.
    ///
    /// # Errors
    /// A weight of the plan that is not here; what [`Executor::write`] says.
    pub fn load_into(&self, executor: &mut dyn Executor) -> Result<()> {
        let plan = executor.plan();
        let weights = plan.ids().filter(|id| plan.tensor(*id).role == Role::Weight);
        let named: Vec<_> = weights.map(|id| (id, plan.tensor(id).name.clone())).collect();
        for (id, name) in named {
            let values =
                self.get(&name).ok_or_else(|| Error::model("", Fault::tensor(name, "is missing: the plan has it")))?;
            executor.write(id, 0, Values::F32(&values))?;
        }
        Ok(())
    }

    /// Writes a model.safetensors, one tensor after the other; a tied model's has no `output.weight`.
    ///
    /// # Errors
    /// A weight that the config asks for and that is not here or has another size; one that is not finite, as it is
    /// or in this precision, with its element; whatever `out` says.
    pub fn write(&self, out: &mut dyn Write, config: &Config, precision: Precision) -> Result<()> {
        let wrong = |name: &str, found: String| Error::model("model.safetensors", Fault::tensor(name, found));
        let io = |source| Error::Io { context: "model.safetensors".into(), source };
        let (mut shapes, aliases) = (config.weight_shapes(), config.aliases());
        shapes.retain(|(name, _)| !aliases.iter().any(|(alias, _)| alias == name));
        out.write_all(&header(&shapes, precision, BTreeMap::new())).map_err(io)?;
        for (name, shape) in &shapes {
            let values = self.get(name).ok_or_else(|| wrong(name, "is not there to be written".into()))?;
            if values.len() != shape.iter().product::<usize>() {
                return Err(wrong(name, format!("has {} elements; expected shape {shape:?}", values.len())));
            }
            let bytes = encode(&values, precision).map_err(|at| {
                let value = values[at];
                wrong(name, format!("is {value} at element {at}, which {precision:?} cannot hold"))
            })?;
            out.write_all(&bytes).map_err(io)?;
        }
        Ok(())
    }
}

/// A tensor against the shape that the config gives it; all its elements.
fn check_tensor(tensor: &Stored, expected: &[usize], bytes: &Bytes, config: &Config) -> std::result::Result<(), Fault> {
    let Stored { name, dtype, shape, range } = tensor;
    if !shape.iter().copied().eq(expected.iter().map(|n| *n as u64)) {
        let Config { vocab_size, embedding_size, hidden_size, .. } = config;
        let expected = format!(
            "{expected:?} (config.json: cell {}, vocab_size {vocab_size}, embedding_size {embedding_size}, hidden_size \
             {hidden_size})",
            config.cell.name()
        );
        return Err(Fault::tensor(name, format!("has shape {}", short(&format!("{shape:?}")))).expected(expected));
    }
    if matches!(dtype, Dtype::Other(_)) {
        return Err(Fault::tensor(name, format!("is {dtype}")).expected("F32, F16 or BF16"));
    }
    match first_not_finite(dtype, &bytes[range.clone()]) {
        None => Ok(()),
        Some(at) => Err(Fault::tensor(name, format!("is NaN or infinite at element {at}"))),
    }
}

/// Tensors that the config does not ask for: recurrent weights among them contradict it, others do no harm.
fn check_extras(
    file: &str,
    stored: &BTreeMap<String, Stored>,
    expected: &[(String, Vec<usize>)],
    config: &Config,
) -> std::result::Result<(), Fault> {
    let expected: BTreeSet<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    let mut unused = Vec::new();
    for (name, tensor) in stored.iter().filter(|(name, _)| !expected.contains(name.as_str())) {
        if config.coupling.is_none() && name.starts_with("rnn.")
            || name.contains("coder.rnn.") && config.coupling.is_some()
        {
            let (shown, shape) = (short(name), short(&format!("{:?}", tensor.shape)));
            let (layers, cell) = (config.num_layers, config.cell.name());
            let found = format!(
                "of shape {shape} is none of the weights of {layers} {cell} layers, which is what config.json says \
                 (layers count from l0)"
            );
            return Err(Fault::tensor(shown, found));
        }
        unused.push(short(name));
    }
    if !unused.is_empty() {
        log::warn!("{file}: not used: {}", listed(&unused));
    }
    Ok(())
}

/// Names of tensors for a message: the first few where there are many.
fn listed(names: &[String]) -> String {
    const ALL: usize = 12;
    const FIRST: usize = 4;
    match names.len() {
        0 => "no tensor".into(),
        count if count <= ALL => names.join(", "),
        count => format!("{} and {} more", names[..FIRST].join(", "), count - FIRST),
    }
}

/// The names that a file has, those most like the wanted one first.
fn nearest(wanted: &str, stored: &BTreeMap<String, Stored>) -> String {
    let mut names: Vec<String> = stored.keys().map(|name| short(name)).collect();
    names.sort_by_cached_key(|name| distance(wanted, name));
    listed(&names)
}

/// Bytes to be inserted, removed or replaced to make one text from the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
