//! Weights that a training script keeps in parts: folded into the one matrix that the network uses.
//!
//! Weight norm is g v / |v|, spectral norm W / (u W v), pruning W m; fastai's and AWD-LSTM's `_raw` is the weight itself,
//! and what stands under its plain name is the last step's dropout.

use super::tensors::{Tensor, Tensors};
use crate::model::short;

/// Folds all that it knows; what it does not know stays in the file.
///
/// # Errors
/// Parts whose shapes do not fit, and a parametrisation of another kind.
pub fn fold(file: &mut Tensors, notes: &mut Vec<String>) -> Result<(), String> {
    let names: Vec<String> = file.tensors.keys().cloned().collect();
    for name in &names {
        let Some((part, target)) = part_of(name) else { continue };
        let sibling = |suffix: &str| format!("{}{suffix}", &name[..name.len() - part.len()]);
        let has = |name: &str| file.tensors.contains_key(name);
        let within = |e: String| format!("tensor `{}`: {e}", short(name));
        match part {
            "_raw" => {
                raw(file, name, &target);
                notes.push(format!("`{}` is the weight; the one that dropout left is not used", short(name)));
            }
            ".original0" if has(&sibling(".original1")) => {
                let values = weight_norm(file, name, &sibling(".original1")).map_err(within)?;
                put(file, &target, values, "weight norm", notes)?;
            }
            "_g" if has(&sibling("_v")) => {
                let values = weight_norm(file, name, &sibling("_v")).map_err(within)?;
                put(file, &target, values, "weight norm", notes)?;
            }
            ".original" if has(&sibling(".0._u")) && has(&sibling(".0._v")) => {
                let values = spectral_norm(file, name, &sibling(".0._u"), &sibling(".0._v")).map_err(within)?;
                put(file, &target, values, "spectral norm", notes)?;
            }
            "_orig" if has(&sibling("_u")) && has(&sibling("_v")) => {
                let values = spectral_norm(file, name, &sibling("_u"), &sibling("_v")).map_err(within)?;
                put(file, &target, values, "spectral norm", notes)?;
            }
            "_orig" if has(&sibling("_mask")) => {
                let values = pruned(file, name, &sibling("_mask")).map_err(within)?;
                put(file, &target, values, "pruning", notes)?;
            }
            ".original" | ".original0" => {
                return Err(format!(
                    "`{}` is a part of a parametrised weight that is neither weight norm nor spectral norm; fold it in \
                     PyTorch: torch.nn.utils.parametrize.remove_parametrizations(module, name)",
                    short(name)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The part of a weight that a name stands for, and the weight's own name.
fn part_of(name: &str) -> Option<(&'static str, String)> {
    for part in [".original0", ".original"] {
        if let Some(stem) = name.strip_suffix(part)
            && let Some(at) = stem.find("parametrizations.")
            && (at == 0 || stem[..at].ends_with('.'))
        {
            return Some((part, stem.replacen("parametrizations.", "", 1)));
        }
    }
    let part = ["_raw", "_g", "_orig"].into_iter().find(|part| name.ends_with(part))?;
    let target = name[..name.len() - part.len()].to_string();
    let last = target.rsplit('.').next().unwrap_or_default();
    last.starts_with("weight").then_some((part, target))
}

fn put(
    file: &mut Tensors,
    target: &str,
    (shape, values): (Vec<usize>, Vec<f32>),
    what: &str,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    notes.push(format!("`{}` is folded from its parts ({what})", short(target)));
    match file.tensors.insert(target.to_string(), Tensor::of_values(shape, values)) {
        None => Ok(()),
        Some(_) => Err(format!("`{}` stands beside its own parts of {what}", short(target))),
    }
}

/// The raw weight takes the plain name, beside the other weights of its module.
fn raw(file: &mut Tensors, name: &str, target: &str) {
    let inner = match target.rsplit_once('.') {
        Some((module, weight)) => format!("{module}.module.{weight}"),
        None => format!("module.{target}"),
    };
    let tensor = file.tensors.remove(name).expect("it was found there");
    let beside = |weight: &str| file.tensors.contains_key(&weight.replacen("weight_hh", "weight_ih", 1));
    let name = if file.tensors.contains_key(&inner) || beside(&inner) { inner } else { target.to_string() };
    file.tensors.insert(name, tensor);
}

/// A tensor that leaves the file.
fn take(file: &mut Tensors, name: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let tensor = file.tensors.remove(name).expect("it was found there");
    Ok((tensor.shape.clone(), tensor.values().map_err(|e| format!("`{}`: {e}", short(name)))?))
}

/// g v / |v|, where |v| goes over all axes but those along which g has a size.
fn weight_norm(file: &mut Tensors, g: &str, v: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let ((g_shape, g), (shape, mut v)) = (take(file, g)?, take(file, v)?);
    let groups = g.len();
    let rest: usize = shape.iter().product::<usize>().checked_div(groups).unwrap_or(0);
    // One norm for all, one a row, or one a column.
    let group: Box<dyn Fn(usize) -> usize> = match (&shape[..], &g_shape[..]) {
        (_, shape) if groups == 1 && shape.iter().all(|n| *n == 1) => Box::new(|_| 0),
        ([rows, ..], [n, ones @ ..]) if n == rows && ones.iter().all(|n| *n == 1) => Box::new(move |i| i / rest),
        (&[_, columns], &[1, n]) if n == columns => Box::new(move |i| i % columns),
        _ => return Err(format!("lengths of shape {g_shape:?} for directions of shape {shape:?}")),
    };
    let mut squares = vec![0f64; groups];
    v.iter().enumerate().for_each(|(i, x)| squares[group(i)] += f64::from(*x) * f64::from(*x));
    for (i, x) in v.iter_mut().enumerate() {
        *x = (f64::from(*x) * f64::from(g[group(i)]) / squares[group(i)].sqrt()) as f32;
    }
    Ok((shape, v))
}

/// W / (u W v), u and v as the last training step left them.
fn spectral_norm(file: &mut Tensors, w: &str, u: &str, v: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let ((shape, mut w), (_, u), (_, v)) = (take(file, w)?, take(file, u)?, take(file, v)?);
    if v.is_empty() || u.len() * v.len() != w.len() || shape.first() != Some(&u.len()) {
        return Err(format!("{} and {} numbers beside a weight of shape {shape:?}", u.len(), v.len()));
    }
    let dot = |row: &[f32]| row.iter().zip(&v).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let sigma: f64 = w.chunks(v.len()).zip(&u).map(|(row, u)| f64::from(*u) * dot(row)).sum();
    w.iter_mut().for_each(|x| *x = (f64::from(*x) / sigma) as f32);
    Ok((shape, w))
}

fn pruned(file: &mut Tensors, w: &str, mask: &str) -> Result<(Vec<usize>, Vec<f32>), String> {
    let ((shape, mut w), (_, mask)) = (take(file, w)?, take(file, mask)?);
    if mask.len() != w.len() {
        return Err(format!("a mask of {} numbers beside a weight of shape {shape:?}", mask.len()));
    }
    w.iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
    Ok((shape, w))
}
