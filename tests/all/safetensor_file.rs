//! Values that PyTorch computed, read from files, and the ways to compute them here.
//!
//! FILE.json is an object with a record for each case; FILE.safetensors has the case's tensors under `CASE/NAME`:
//! weights as `param.NAME`, final states [L, B, H] as `out.hn` and `out.cn`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use gatefold::unstable::cpu::Functions;
use gatefold::unstable::executor::{Executor, Run};
use gatefold::unstable::model::{Dtype, Stored, Weights, read_header};
use gatefold::unstable::network::{Kind, Layer};
use gatefold::unstable::plan::{Buffer, Plan, Role, SectionId, Sizes, TensorId};
use libtest_mimic::{Failed, Trial};
use serde::de::DeserializeOwned;

use crate::context::{Opened, Outcome, cpu_executor, gpu, gpu_executor, trial, trials_per_adapter};
use crate::ensure;

/// Tensors by name.
pub type Tensors = HashMap<String, Vec<f32>>;

/// A case: its record in the JSON file, and its tensors.
#[derive(Clone)]
pub struct Recorded<C> {
    pub name: String,
    pub case: C,
    tensors: Arc<Tensors>,
}

impl<C> Recorded<C> {
    /// A tensor of the case.
    pub fn tensor(&self, name: &str) -> Result<&[f32], String> {
        let name = format!("{}/{name}", self.name);
        self.tensors.get(&name).map(Vec::as_slice).ok_or_else(|| format!("tensor `{name}` is missing"))
    }

    /// The case's weights.
    pub fn weights(&self) -> Weights {
        let prefix = format!("{}/param.", self.name);
        let weights = self.tensors.iter().filter_map(|(name, w)| Some((name.strip_prefix(&prefix)?.into(), w.clone())));
        Weights::from_tensors(weights.collect::<BTreeMap<_, _>>())
    }

    /// The case's weights for a plan; zeros for biases that it has none for.
    pub fn weights_or_zeros(&self, plan: &Plan) -> Weights {
        let of_plan = plan.ids().map(|id| plan.tensor(id)).filter(|tensor| tensor.role == Role::Weight);
        let weights = of_plan.map(|tensor| {
            let values = self.tensor(&format!("param.{}", tensor.name)).map(<[f32]>::to_vec);
            let zeros = vec![0.0; if tensor.name.contains("bias") { tensor.len(Sizes::of(1, 1)) } else { 0 }];
            (tensor.name.clone(), values.unwrap_or(zeros))
        });
        Weights::from_tensors(weights.collect::<BTreeMap<_, _>>())
    }

    /// Compares the states after a window with `out.hn` and `out.cn`; gives the largest difference.
    pub fn check_states(&self, kind: Kind, states: &States, tolerance: f64) -> Result<f64, Failed> {
        let h = check_close("hn", &states.h, self.tensor("out.hn")?, tolerance)?;
        match kind {
            Kind::Lstm => Ok(h.max(check_close("cn", &states.c, self.tensor("out.cn")?, tolerance)?)),
            Kind::Gru | Kind::Rnn => Ok(h),
        }
    }
}

/// Trials for the wanted cases of a file, on everything that runs plans. A file that cannot be read, or has no such
/// case, gives one that fails.
pub fn trials_per_case<C>(
    group: &str,
    file: &Path,
    wanted: fn(&C) -> bool,
    check: fn(&Recorded<C>, On) -> Outcome,
) -> Vec<Trial>
where
    C: DeserializeOwned + Clone + Send + Sync + 'static,
{
    trials_of_files(group, &file.with_extension("json"), &file.with_extension("safetensors"), wanted, check)
}

/// The same for records and tensors in files of different names.
pub fn trials_of_files<C>(
    group: &str,
    records: &Path,
    tensors: &Path,
    wanted: fn(&C) -> bool,
    check: fn(&Recorded<C>, On) -> Outcome,
) -> Vec<Trial>
where
    C: DeserializeOwned + Clone + Send + Sync + 'static,
{
    let wanted_cases = read::<C>(records, tensors).and_then(|mut cases| {
        cases.retain(|recorded| wanted(&recorded.case));
        if cases.is_empty() { Err(format!("{}: no case that could be checked", records.display())) } else { Ok(cases) }
    });
    match wanted_cases {
        Ok(cases) => cases.into_iter().flat_map(|recorded| trials_of(group, recorded, check)).collect(),
        Err(why) => vec![trial(format!("{group}: cases"), || Err(why.into()))],
    }
}

fn trials_of<C>(group: &str, recorded: Recorded<C>, check: fn(&Recorded<C>, On) -> Outcome) -> Vec<Trial>
where
    C: Clone + Send + Sync + 'static,
{
    let name = format!("{group}: {}", recorded.name);
    trials_on_all(&name, move |on| check(&recorded, on))
}

fn read<C: DeserializeOwned>(records: &Path, tensors: &Path) -> Result<Vec<Recorded<C>>, String> {
    let bytes_of = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let wrong = |what: String| format!("{}: {what}", records.display());
    let cases: BTreeMap<String, C> = serde_json::from_slice(&bytes_of(records)?).map_err(|e| wrong(e.to_string()))?;
    let tensors = floats(tensors)?;
    let tensors = Arc::new(tensors);
    Ok(cases.into_iter().map(|(name, case)| Recorded { name, case, tensors: tensors.clone() }).collect())
}

/// The f32 and i32 tensors of a safetensors file.
pub fn floats(file: &Path) -> Result<Tensors, String> {
    let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let stored = read_header(&file.display().to_string(), &bytes).map_err(|e| e.to_string())?;
    let is_int = |tensor: &Stored| tensor.dtype == Dtype::Other("I32".into());
    let numbers = stored.into_iter().filter(|tensor| tensor.dtype == Dtype::F32 || is_int(tensor));
    let values = |tensor: &Stored| {
        let words = bytes[tensor.place()].chunks_exact(4).map(|b| b.try_into().expect("chunks of four"));
        match is_int(tensor) {
            true => words.map(|word| i32::from_le_bytes(word) as f32).collect(),
            false => words.map(f32::from_le_bytes).collect(),
        }
    };
    Ok(numbers.map(|tensor| (tensor.name.clone(), values(&tensor))).collect())
}

/// The executor that runs a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The CPU, with the ops' references.
    References,
    /// The CPU, with their fast functions.
    Fast,
    /// An adapter, by its place in the list.
    Adapter(usize),
    /// The same, as little as WebGPU allows.
    Floor(usize),
}

impl On {
    /// An executor of its kind.
    pub fn executor(self, plan: &Plan, sizes: Sizes, sections: &[SectionId]) -> Box<dyn Executor> {
        match self {
            On::References => cpu_executor(plan, sizes, sections, Functions::Reference, 1),
            On::Fast => cpu_executor(plan, sizes, sections, Functions::Fast, 2),
            On::Adapter(adapter) => gpu_executor(&gpu(adapter, Opened::Fully), plan, sizes, sections),
            On::Floor(adapter) => gpu_executor(&gpu(adapter, Opened::Floor), plan, sizes, sections),
        }
    }

    /// How far outputs and states may be from PyTorch's.
    pub fn tolerance(self) -> f64 {
        if self == On::References { 1e-6 } else { 1e-5 }
    }
}

/// On the CPU with references and with fast functions, and on each adapter: trials of one check.
pub fn trials_on_all<F>(name: &str, check: F) -> Vec<Trial>
where
    F: Fn(On) -> Outcome + Clone + Send + 'static,
{
    let on_cpu = [("references", On::References), ("fast functions", On::Fast)].map(|(functions, on)| {
        let check = check.clone();
        trial(format!("{name} on the CPU with {functions}"), move || check(on))
    });
    on_cpu.into_iter().chain(trials_per_adapter(name, move |adapter| check(On::Adapter(adapter)))).collect()
}

/// The states of all layers, [L, B, H]; c is empty for a cell without.
pub struct States {
    pub h: Vec<f32>,
    pub c: Vec<f32>,
}

/// Runs step 0 of a section over time; gives a tensor, and the states after it.
pub fn run_window(
    executor: &mut dyn Executor,
    section: SectionId,
    layers: &[Layer],
    output: TensorId,
) -> gatefold::Result<(Vec<f32>, States)> {
    let h = layers.iter().map(|layer| layer.h);
    let c = layers.iter().filter_map(|layer| layer.c);
    let read: Vec<TensorId> = std::iter::once(output).chain(h).chain(c).collect();
    let ticket = executor.submit(&[Run::new(section, executor.capacity(), 0..1)], &read)?;
    let results = executor.wait(ticket)?;
    let (h, c) = results[1..].split_at(layers.len());
    // Step 0 reads the first slot of h and writes the second.
    let second_slot = |h: &Buffer<f32>| h.real()[h.real().len() / 2..].to_vec();
    let h = h.iter().flat_map(second_slot).collect();
    let c = c.iter().flat_map(|c| c.real().to_vec()).collect();
    Ok((results[0].real().to_vec(), States { h, c }))
}

/// Writes a case's largest difference to the file that `GATEFOLD_ERRORS` names, if it does: a line of the table in
/// docs/FORMATS.md.
pub fn note_error(group: &str, name: &str, on: On, error: f64) {
    use std::io::Write;
    let Some(path) = std::env::var_os("GATEFOLD_ERRORS") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| writeln!(file, "{group}\t{name}\t{on:?}\t{error:.1e}"));
}

/// Fails where two tensors are further apart than `tolerance`, and says where most; gives the largest difference.
pub fn check_close<T>(what: &str, found: &[f32], expected: &[T], tolerance: f64) -> Result<f64, Failed>
where
    T: Into<f64> + Copy,
{
    let (left, right) = (found.len(), expected.len());
    ensure!(left == right, "{what} has {left} elements, expected {right}");
    let apart = |i: &usize| (f64::from(found[*i]) - expected[*i].into()).abs();
    // In the total order NaN is larger than any distance.
    let Some(worst) = (0..left).max_by(|i, j| apart(i).total_cmp(&apart(j))) else { return Ok(0.0) };
    let (found, expected, apart) = (found[worst], expected[worst].into(), apart(&worst));
    ensure!(apart <= tolerance, "{what}[{worst}] is {found}, expected {expected}: {apart:.2e} over {tolerance:e}");
    Ok(apart)
}
