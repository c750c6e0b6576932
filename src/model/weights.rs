//! Weights by name, read from safetensors.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::executor::{Executor, Values};
use crate::plan::Role;

/// Weights under PyTorch's names, as f32, row major.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    tensors: BTreeMap<String, Vec<f32>>,
}

impl Weights {
    /// Reads tensors of the expected names and shapes; `tied` takes the output weight from the embedding.
    ///
    /// # Errors
    /// A file that is not safetensors, a missing tensor, another shape or type, a number that is not finite.
    pub fn read(file: &str, bytes: &[u8], expected: &[(String, Vec<usize>)], tied: bool) -> Result<Weights> {
        let wrong = |what: String| Error::Model(format!("{file}: {what}"));
        let parsed = SafeTensors::deserialize(bytes).map_err(|e| wrong(format!("not a safetensors file: {e}")))?;
        let mut tensors = BTreeMap::new();
        for (name, shape) in expected {
            let source = if tied && name == "output.weight" { "embedding.weight" } else { name.as_str() };
            let view = parsed.tensor(source).map_err(|_| {
                let found: Vec<_> = parsed.names().into_iter().map(|n| n.to_string()).collect();
                wrong(format!("tensor `{source}` is missing; the file has {}", found.join(", ")))
            })?;
            if view.shape() != shape {
                return Err(wrong(format!("tensor `{source}` has shape {:?}; expected {shape:?}", view.shape())));
            }
            let values = to_f32(view.dtype(), view.data())
                .ok_or_else(|| wrong(format!("tensor `{source}` is {:?}; expected F32, F16 or BF16", view.dtype())))?;
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return Err(wrong(format!("tensor `{source}` has {} at element {at}", values[at])));
            }
            tensors.insert(name.clone(), values);
        }
        Ok(Weights { tensors })
    }

    /// Weights from memory, for tests and networks that are not language models.
    pub fn from_tensors(tensors: BTreeMap<String, Vec<f32>>) -> Weights {
        Weights { tensors }
    }

    /// A weight.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.tensors.get(name).map(Vec::as_slice)
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(Vec::len).sum()
    }

    /// Writes every weight of the executor's plan.
    ///
    /// # Errors
    /// A weight of the plan that is not here; what [`Executor::write`] says.
    pub fn load_into(&self, executor: &mut dyn Executor) -> Result<()> {
        let plan = executor.plan();
        let weights = plan.ids().filter(|id| plan.tensor(*id).role == Role::Weight);
        let named: Vec<_> = weights.map(|id| (id, plan.tensor(id).name.clone())).collect();
        for (id, name) in named {
            let values =
                self.get(&name).ok_or_else(|| Error::Model(format!("the plan's weight `{name}` is not there")))?;
            executor.write(id, 0, Values::F32(values))?;
        }
        Ok(())
    }
}

fn to_f32(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let pairs = || data.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        Dtype::F32 => Some(data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()),
        Dtype::F16 => Some(pairs().map(|b| f16::from_le_bytes(b).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|b| bf16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    }
}
