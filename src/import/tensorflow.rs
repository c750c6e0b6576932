//! TensorFlow's BasicLSTMCell: one kernel for x and h, gates i j f o, and a forget bias that the file does not hold.
//! The raw weights that TensorFlow.js reads have a manifest of their names, files and shapes.

use serde_json::Value;

use super::cell::{CellWeights, Recurrent, reordered, transposed};
use super::parts::{ImportedParts, Matrix};
use super::tensors::{Element, Tensor, Tensors, elements};
use super::{Beside, Options, is_beside, tensorflow_js};
use crate::model::{Bytes, short};
use crate::network::{GeneralCell, Kind};

/// Bytes of a manifest at most.
const MAX_MANIFEST: usize = 1 << 20;
/// Tensors of a manifest at most.
const MAX_TENSORS: usize = 4096;

/// The tensors of a manifest `{NAME: {"filename": FILE, "shape": [...]}}`; `open` gives the bytes of the files beside it.
/// Or those of a model.json of TensorFlow.js's layers.
pub fn read_json(manifest: &Bytes, open: Beside) -> Result<Tensors, String> {
    if manifest.len() > MAX_MANIFEST {
        return Err(format!("{} bytes; expected at most {MAX_MANIFEST}", manifest.len()));
    }
    let manifest: Value = serde_json::from_slice(crate::text::unmarked(manifest)?).map_err(|e| e.to_string())?;
    let entries = manifest.as_object().ok_or("not a manifest: expected an object of tensors")?;
    if entries.contains_key("weightsManifest") {
        return tensorflow_js::read(&manifest, open);
    }
    if entries.len() > MAX_TENSORS {
        return Err(format!("{} tensors; expected at most {MAX_TENSORS}", entries.len()));
    }
    let mut tensors = Tensors::default();
    let mut files = std::collections::BTreeSet::new();
    for (name, entry) in entries {
        let within = |what: String| format!("tensor `{}`: {what}", short(name));
        let file = entry["filename"].as_str().ok_or_else(|| within("no `filename`".into()))?;
        if !is_beside(file) {
            return Err(within(format!("the file `{}` is not beside the manifest", short(file))));
        }
        if !files.insert(file) {
            return Err(within(format!("another tensor has the file `{}` already", short(file))));
        }
        let shape = entry["shape"].as_array().ok_or_else(|| within("no `shape`".into()))?;
        let sizes = shape.iter().take(9).map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()));
        let shape: Vec<usize> = sizes.collect::<Option<_>>().ok_or_else(|| within("a shape of no sizes".into()))?;
        elements(&shape).ok_or_else(|| within("a shape that is too large".into()))?;
        let bytes = open(file).map_err(|e| within(e.to_string()))?;
        let range = 0..bytes.len();
        let tensor =
            Tensor::new(shape, Element::F32, bytes, range).map_err(|e| within(format!("file `{file}`: {e}")))?;
        tensors.tensors.insert(name.clone(), tensor);
    }
    Ok(tensors)
}

/// The parts of a model of BasicLSTMCells.
pub fn parts(file: Tensors, options: &Options) -> Result<ImportedParts, String> {
    let mut cells: Vec<(u64, &String)> = Vec::new();
    for name in file.tensors.keys() {
        let Some(cell) = name.strip_suffix("/kernel").or_else(|| name.strip_suffix("/weights")) else { continue };
        if !cell.ends_with("lstm_cell") {
            return Err(format!("`{}`: of TensorFlow's cells only LSTM cells are read", short(cell)));
        }
        let number = cell.split("cell_").filter_map(|rest| rest.split('/').next()?.parse().ok()).last();
        cells.push((number.unwrap_or(0), name));
    }
    cells.sort();
    if cells.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("two cells of one number: `{}` is one of them", short(cells[0].1)));
    }
    let mut layers = Vec::new();
    let mut used: Vec<String> = Vec::new();
    for (_, name) in &cells {
        let (layer, names) = cell(&file, name, options.forget_bias)?;
        layers.push(layer);
        used.extend(names);
    }
    let rest: Vec<(&String, &Tensor)> =
        file.tensors.iter().filter(|(name, t)| !used.contains(name) && t.elements() > 1).collect();
    let of_rank = |rank: usize| rest.iter().filter(move |(_, t)| t.shape.len() == rank);
    let read = |name: &String, t: &Tensor| t.values().map_err(|e| format!("tensor `{}`: {e}", short(name)));
    let embedding = of_rank(2).find(|(name, _)| name.to_lowercase().contains("embed"));
    let &(embedding_name, embedding) = embedding.ok_or("no embedding: expected a matrix with `embed` in its name")?;
    let vocab = embedding.shape[0];
    let mut heads = of_rank(2).filter(|(name, t)| *name != embedding_name && t.shape[1] == vocab);
    let (Some(&(head_name, head)), None) = (heads.next(), heads.next()) else {
        return Err(format!("no output layer: expected one matrix of shape [units, {vocab}]"));
    };
    let bias = of_rank(1).find(|(_, t)| t.shape == [vocab]);
    let known = 2 + usize::from(bias.is_some());
    if rest.len() > known {
        let names: Vec<String> =
            rest.iter().map(|(name, t)| format!("{} {:?}", short(name), t.shape)).take(12).collect();
        return Err(format!(
            "{} tensors besides the cells, of which an embedding, an output layer and its bias are known: {}",
            rest.len(),
            names.join(", ")
        ));
    }
    let matrix = Matrix {
        values: read(embedding_name, embedding)?,
        rows: vocab,
        columns: embedding.shape[1],
        from: embedding_name.clone(),
    };
    let (inputs, outputs) = (head.shape[0], head.shape[1]);
    let head_values = transposed(&read(head_name, head)?, inputs, outputs);
    let head_bias = bias.map(|(name, t)| Ok::<_, String>((read(name, t)?, (*name).clone()))).transpose()?;
    Ok(ImportedParts {
        embedding: matrix,
        layers,
        head: Some(Matrix { values: head_values, rows: outputs, columns: inputs, from: head_name.clone() }),
        head_bias,
        notes: vec![format!(
            "{} is added to the forget gates' bias, which TensorFlow adds when it runs (`options.forget_bias` says otherwise)",
            options.forget_bias
        )],
    })
}

/// A cell in PyTorch's form, and the names of its tensors.
fn cell(file: &Tensors, kernel_name: &str, forget_bias: f32) -> Result<(Recurrent, [String; 2]), String> {
    let within = |e: String| format!("tensor `{}`: {e}", short(kernel_name));
    let kernel = &file.tensors[kernel_name];
    let &[rows, columns] = &kernel.shape[..] else { return Err(within(format!("shape {:?}", kernel.shape))) };
    let hidden = columns / 4;
    if hidden == 0 || columns % 4 != 0 || rows <= hidden {
        return Err(within(format!("shape [{rows}, {columns}]; expected [inputs + units, 4 units]")));
    }
    let inputs = rows - hidden;
    let (stem, name) = match kernel_name.strip_suffix("/kernel") {
        Some(stem) => (stem, "bias"),
        None => (kernel_name.trim_end_matches("/weights"), "biases"),
    };
    let bias_name = format!("{stem}/{name}");
    let bias = file.tensors.get(&bias_name).ok_or_else(|| format!("no tensor `{}`", short(&bias_name)))?;
    if bias.shape != [columns] {
        return Err(format!("tensor `{}` has shape {:?}; expected [{columns}]", short(&bias_name), bias.shape));
    }
    for extra in ["w_f_diag", "w_i_diag", "w_o_diag", "projection/kernel"] {
        if file.tensors.contains_key(&format!("{stem}/{extra}")) {
            return Err(format!("`{}/{extra}`: peepholes and projections of TensorFlow are not read", short(stem)));
        }
    }
    // i j f o, where j is PyTorch's g.
    const ORDER: [usize; 4] = [0, 2, 1, 3];
    let turned = transposed(&kernel.values().map_err(within)?, rows, columns);
    let part = |from: usize, len: usize| -> Vec<f32> {
        let rows = turned.chunks_exact(rows).flat_map(|row| &row[from..from + len]);
        reordered(&rows.copied().collect::<Vec<f32>>(), &ORDER)
    };
    let mut b_ih = reordered(&bias.values().map_err(within)?, &ORDER);
    b_ih[hidden..2 * hidden].iter_mut().for_each(|b| *b += forget_bias);
    let weights = CellWeights {
        w_ih: part(0, inputs),
        w_hh: part(inputs, hidden),
        b_hh: vec![0.0; columns],
        b_ih,
        w_hr: None,
        peephole: None,
    };
    let form = GeneralCell::plain(Kind::Lstm);
    let layer = Recurrent { form, inputs, hidden, directions: vec![weights], from: stem.into() };
    Ok((layer, [kernel_name.into(), bias_name]))
}
