//! PyTorch's names with any prefix: which tensor is the embedding, which are recurrent layers, which is the output.

use std::collections::BTreeMap;

use super::Options;
use super::fold::fold;
use super::modules::recurrent_layers;
use super::parts::{ImportedParts, Matrix, Vector, identity};
use super::tensors::{Tensor, Tensors};
use crate::error::Fault;
use crate::model::short;

/// Parts of names that embeddings have.
const EMBEDDING_WORDS: [&str; 5] = ["embed", "emb", "encoder", "wte", "lookup"];
/// Parts of names that output layers have.
const OUTPUT_WORDS: [&str; 9] = ["decoder", "linear", "fc", "output", "out", "head", "proj", "dense", "classifier"];

/// The parts of a model from a state dict.
pub fn parts(mut file: Tensors, options: &Options) -> Result<ImportedParts, Fault> {
    let mut notes = std::mem::take(&mut file.notes);
    let options = &Options { activation: options.activation.or(file.activation), ..options.clone() };
    fold(&mut file, &mut notes)?;
    leave_out_counters(&mut file, &mut notes);
    let layers = recurrent_layers(&mut file, options, &mut notes)?;
    keep_one_name(&mut file, &mut notes);
    let inputs = layers[0].inputs;
    let last = layers.last().expect("not empty");
    let outputs = last.form.outputs(last.hidden);
    let (embedding, head) = embedding_and_head(&file, inputs, outputs)?;
    let take = |file: &mut Tensors, name: &str| -> Result<Matrix, String> {
        let tensor = file.tensors.remove(name).expect("it was chosen from these");
        let values = tensor.values().map_err(|e| format!("tensor `{}`: {e}", short(name)))?;
        Ok(Matrix { values, rows: tensor.shape[0], columns: tensor.shape[1], from: name.into() })
    };
    let embedding = match embedding {
        Some(name) => take(&mut file, &name)?,
        None => identity(inputs, &mut notes)?,
    };
    let head = head.map(|name| take(&mut file, &name)).transpose()?;
    if let Some(head) = head.as_ref().filter(|head| head.rows != embedding.rows) {
        return Err(format!(
            "the output layer `{}` has {} rows, but the embedding `{}` has {}: a tagger or classifier, or a model of two \
             vocabularies; a model here is a language model of one",
            short(&head.from),
            head.rows,
            short(&embedding.from),
            embedding.rows
        ).into());
    }
    let head_bias = head_bias(&mut file, head.as_ref(), &embedding)?;
    if head.is_none() {
        notes.push(format!("no output weight in the file, so `{}` is the output layer too (tied)", embedding.from));
    }
    let same = |head: &Matrix| head.rows == embedding.rows && head.values == embedding.values;
    let tied = head.as_ref().is_some_and(same);
    if tied {
        notes.push("the output layer's weight equals the embedding, so it is kept once (tied)".into());
    }
    if head_bias.is_none() {
        notes.push("the output layer has no bias in the file: zeros".into());
    }
    if !file.tensors.is_empty() {
        let what = "Models here are an embedding, recurrent layers and an output layer; other tensors are left out, or \
                    get another name, by a map";
        return Err(Fault::from(format!("left over: {}. {what}", file.listed())).helped_by("map"));
    }
    Ok(ImportedParts { embedding, layers, head: head.filter(|_| !tied), head_bias, notes })
}

/// Counters of batches and steps, and tensors of no elements: no weights, and said to be left out.
fn leave_out_counters(file: &mut Tensors, notes: &mut Vec<String>) {
    let drop = |t: &Tensor| t.elements() == 0 || !t.element.is_float() && t.elements() == 1;
    let names: Vec<String> = file.tensors.iter().filter(|(_, t)| drop(t)).map(|(name, _)| name.clone()).collect();
    names.iter().for_each(|name| drop_tensor(file, name));
    if let Some(first) = names.first() {
        let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
        notes.push(format!("left out, as it is a counter or empty: `{}`{more}", short(first)));
    }
}

fn drop_tensor(file: &mut Tensors, name: &str) {
    file.tensors.remove(name);
}

/// The name of the bias beside a weight.
fn bias_beside(name: &str) -> Option<String> {
    let at = name.rfind('.').map_or(0, |at| at + 1);
    let (module, last) = name.split_at(at);
    last.contains("weight").then(|| module.to_string() + &last.replace("weight", "bias"))
}

fn has_bias(file: &Tensors, name: &str) -> bool {
    let rows = file.tensors[name].shape[0];
    bias_beside(name).and_then(|bias| file.tensors.get(&bias)).is_some_and(|bias| bias.shape == [rows])
}

/// How much a name looks like an embedding's, as against an output layer's.
fn embedding_like(name: &str) -> i64 {
    likeness(name, &EMBEDDING_WORDS) as i64 - likeness(name, &OUTPUT_WORDS) as i64
}

/// A matrix that stands there under several names is kept under one, or under two where the output layer is one of them.
fn keep_one_name(file: &mut Tensors, notes: &mut Vec<String>) {
    let mut alike: BTreeMap<(Vec<usize>, u32), Vec<String>> = BTreeMap::new();
    for (name, tensor) in file.tensors.iter().filter(|(_, t)| t.shape.len() == 2 && t.element.is_float()) {
        alike.entry((tensor.shape.clone(), tensor.checksum())).or_default().push(name.clone());
    }
    for names in alike.into_values().filter(|names| names.len() > 1) {
        let first = file.tensors[&names[0]].values().ok();
        let equal = |name: &String| file.tensors[name].values().ok() == first;
        let mut names: Vec<String> = names.into_iter().filter(equal).collect();
        names.sort_by_key(|name| (has_bias(file, name), std::cmp::Reverse(embedding_like(name))));
        let Some(embedding) = names.first().cloned() else { continue };
        let output = names.pop();
        for name in names.iter().filter(|name| **name != embedding) {
            if has_bias(file, name) {
                continue;
            }
            drop_tensor(file, name);
            notes.push(format!("`{}` is the same matrix as `{}`", short(name), short(&embedding)));
        }
        debug_assert!(output.is_some());
    }
}

/// How many of the words a name has.
fn likeness(name: &str, words: &[&str]) -> usize {
    let name = name.to_lowercase();
    words.iter().filter(|word| name.contains(**word)).count()
}

/// The names of the embedding [V, inputs], `None` for one-hot vectors, and of the output layer [V, outputs], `None` for a
/// tied one.
fn embedding_and_head(
    file: &Tensors,
    inputs: usize,
    outputs: usize,
) -> Result<(Option<String>, Option<String>), Fault> {
    let of_width = |width: usize| -> Vec<&String> {
        let fits = |t: &Tensor| t.shape.len() == 2 && t.shape[1] == width && t.shape[0] > 0 && t.element.is_float();
        file.tensors.iter().filter(|(_, t)| fits(t)).map(|(name, _)| name).collect()
    };
    // Names that are gatefold's own, perhaps by --map, are no guess.
    let named = |name: &str, width: usize| -> Result<Option<String>, String> {
        match file.tensors.get(name).map(|t| &t.shape[..]) {
            None => Ok(None),
            Some([rows, columns]) if *rows > 0 && *columns == width => Ok(Some(name.to_string())),
            Some(shape) => Err(format!("tensor `{name}` has shape {shape:?}; expected [tokens, {width}]")),
        }
    };
    let (own_embedding, own_head) = (named("embedding.weight", inputs)?, named("output.weight", outputs)?);
    if own_embedding.is_some() && own_head.is_some() {
        return Ok((own_embedding, own_head));
    }
    let (mut embeddings, mut heads) = (of_width(inputs), of_width(outputs));
    embeddings.retain(|name| own_embedding.as_ref().is_none_or(|own| own == *name) && own_head.as_ref() != Some(name));
    heads.retain(|name| own_head.as_ref().is_none_or(|own| own == *name) && own_embedding.as_ref() != Some(name));
    if embeddings.is_empty() || inputs != outputs && embeddings.iter().all(|name| has_bias(file, name)) {
        // As many outputs as inputs of the first layer: a network over one-hot vectors.
        return match heads[..] {
            [head] if file.tensors[head].shape[0] == inputs => Ok((None, Some(head.clone()))),
            _ => Err(format!(
                "no embedding: expected a tensor of shape [tokens, {inputs}], as the first recurrent layer takes {inputs} \
                 numbers; besides recurrent weights the file has {}",
                file.listed()
            ).into()),
        };
    }
    let mut pairs = Vec::new();
    for &embedding in &embeddings {
        // An embedding adds no bias; an output layer that is tied may.
        let others = heads.iter().copied().filter(|head| *head != embedding && !has_bias(file, embedding));
        pairs.extend(others.map(|head| (score(file, embedding, Some(head)), embedding, Some(head))));
        if inputs == outputs && own_head.is_none() {
            pairs.push((score(file, embedding, None), embedding, None));
        }
    }
    let best = pairs.iter().map(|pair| pair.0).max();
    let best: Vec<_> = pairs.iter().filter(|pair| Some(pair.0) == best).collect();
    match best[..] {
        [(_, embedding, None)] if file.tensors[*embedding].shape[0] == inputs && has_bias(file, embedding) => {
            Err(format!(
                "`{}` is square, so it cannot be told whether it is the output layer of a network over one-hot vectors or \
             the embedding too; add the other matrix to the file",
                short(embedding)
            ).into())
        }
        [(_, embedding, head)] => Ok((Some((*embedding).clone()), head.cloned())),
        [] => Err(format!(
            "no output layer: expected a tensor of shape [tokens, {outputs}]; besides recurrent weights the file has {}",
            file.listed()
        ).into()),
        _ => {
            let what = "it cannot be told which is the embedding and which the output layer";
            Err(Fault::from(format!("{what}: {}; a map says it", file.listed())).helped_by("map"))
        }
    }
}

/// How much a pair looks like an embedding and an output layer of one vocabulary.
fn score(file: &Tensors, embedding: &str, head: Option<&String>) -> i64 {
    let plus = embedding_like(embedding);
    let Some(head) = head else { return 2 * plus - 1 };
    let same = file.tensors[embedding].shape[0] == file.tensors[head].shape[0];
    2 * plus - 2 * embedding_like(head) + 4 + if same { 100 } else { 0 } + if has_bias(file, head) { 1 } else { 0 }
}

/// The output layer's bias: the one beside its weight. Where the embedding is the output layer, the weight that the bias
/// stood beside may have left the file, as safetensors keeps shared tensors once.
fn head_bias(file: &mut Tensors, head: Option<&Matrix>, embedding: &Matrix) -> Result<Option<Vector>, String> {
    let fits = |t: &Tensor| t.shape == [embedding.rows] && t.element.is_float();
    let beside = |matrix: &Matrix| bias_beside(&matrix.from).filter(|name| file.tensors.get(name).is_some_and(fits));
    let name = match head {
        Some(head) => beside(head),
        None => beside(embedding).or_else(|| {
            let is_bias =
                |name: &str| name.rsplit('.').next().is_some_and(|last| last.to_lowercase().ends_with("bias"));
            let alone = |name: &String| !file.tensors.contains_key(&name.replace("bias", "weight"));
            let mut vectors = file.tensors.iter().filter(|(name, t)| fits(t) && is_bias(name) && alone(name));
            let found = vectors.next().map(|(name, _)| name.clone());
            found.filter(|_| vectors.next().is_none())
        }),
    };
    let Some(name) = name else { return Ok(None) };
    let values = file.tensors[&name].values().map_err(|e| format!("tensor `{}`: {e}", short(&name)))?;
    file.tensors.remove(&name);
    Ok(Some((values, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these names and shapes; tensor i holds the number i.
    fn file(tensors: &[(&str, &[usize])]) -> Tensors {
        let mut file = Tensors::default();
        for (i, (name, shape)) in tensors.iter().enumerate() {
            let len: usize = shape.iter().product();
            let bytes = crate::model::Bytes::new([(i as f32).to_le_bytes()].concat().repeat(len));
            let tensor = Tensor::new(shape.to_vec(), crate::import::Element::F32, bytes, 0..4 * len).unwrap();
            file.tensors.insert((*name).into(), tensor);
        }
        file
    }

    /// An LSTM under these prefixes: 9 tokens, embeddings of `e`, 4 units.
    fn lstm(embedding: &str, rnn: &str, head: &str, e: usize) -> Tensors {
        let name = |prefix: &str, name: &str| format!("{prefix}{name}");
        let names = [
            (name(embedding, "weight"), vec![9, e]),
            (name(rnn, "weight_ih_l0"), vec![16, e]),
            (name(rnn, "weight_hh_l0"), vec![16, 4]),
            (name(rnn, "bias_ih_l0"), vec![16]),
            (name(rnn, "bias_hh_l0"), vec![16]),
            (name(head, "weight"), vec![9, 4]),
            (name(head, "bias"), vec![9]),
        ];
        file(&names.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect::<Vec<_>>())
    }

    fn found(file: Tensors) -> Result<[String; 3], Fault> {
        let parts = parts(file, &Options::default())?;
        let head = parts.head.map_or("tied".to_string(), |head| head.from);
        Ok([parts.embedding.from, parts.layers[0].from.clone(), head])
    }

    #[test]
    fn any_prefix_is_known() {
        for (embedding, rnn, head) in [
            ("encoder.", "rnn.", "decoder."),
            ("_embedding.", "_rnn.", "_linear."),
            ("embedding.", "lstm.", "fc."),
            ("module.model.emb.", "module.model.gru.", "module.model.out."),
            ("wte.", "", "lm_head."),
            ("embedding.", "rnn.", "output."),
        ] {
            // With as many numbers as units shapes say nothing, and words must.
            for e in [3, 4] {
                let expected = [format!("{embedding}weight"), format!("{rnn}*_l0"), format!("{head}weight")];
                assert_eq!(found(lstm(embedding, rnn, head, e)).unwrap(), expected);
            }
        }
        // Names that say nothing are enough where shapes say it.
        assert_eq!(found(lstm("a.", "b.", "c.", 3)).unwrap(), ["a.weight", "b.*_l0", "c.weight"]);
        // So is a bias, which an embedding has not.
        assert_eq!(found(lstm("a.", "b.", "c.", 4)).unwrap(), ["a.weight", "b.*_l0", "c.weight"]);
        let mut plain = lstm("a.", "b.", "c.", 4);
        plain.tensors.remove("c.bias");
        let error = found(plain).unwrap_err();
        assert!(error.found.contains("cannot be told") && error.option == Some("map"), "{error}");
    }

    #[test]
    fn what_is_missing_or_left_over_is_named() {
        let mut tied = lstm("emb.", "rnn.", "out.", 4);
        tied.tensors.remove("out.weight");
        assert_eq!(found(tied).unwrap()[2], "tied");
        let mut extra = lstm("emb.", "rnn.", "out.", 3);
        extra.tensors.insert("norm.weight".into(), file(&[("n", &[4])]).tensors["n"].clone());
        let error = found(extra).unwrap_err();
        assert!(error.found.contains("left over: norm.weight [4]"), "{error}");
        for (name, message) in [
            ("emb.weight", "no embedding: expected a tensor of shape [tokens, 3]"),
            ("out.weight", "no output layer: expected a tensor of shape [tokens, 4]"),
            ("rnn.weight_ih_l0", "there is no weight_ih"),
            ("rnn.weight_hh_l0", "there is no weight_hh"),
        ] {
            let mut file = lstm("emb.", "rnn.", "out.", 3);
            file.tensors.remove(name);
            let error = found(file).unwrap_err();
            assert!(error.found.contains(message), "{name}: {error}");
        }
        let mut gap = lstm("emb.", "rnn.", "out.", 3);
        for name in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
            let tensor = gap.tensors[&format!("rnn.{name}_l0")].clone();
            gap.tensors.insert(format!("rnn.{name}_l2"), tensor);
        }
        let error = found(gap).unwrap_err();
        assert!(error.found.contains("_l2` layer 1 is missing"), "{error}");
        let error = found(file(&[("conv.weight", &[3, 3])])).unwrap_err();
        assert!(error.found.contains("no recurrent weights") && error.found.contains("conv.weight [3, 3]"), "{error}");
    }
}
