//! PyTorch's names with any prefix: which tensor is the embedding, which are recurrent layers, which is the output.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::cell::{CellWeights, Recurrent};
use super::parts::{Matrix, Parts, Vector};
use super::tensors::{Tensor, Tensors};
use crate::model::short;
use crate::network::{Form, Kind};
use crate::ops::activation::Activation;

/// Parts of names that embeddings have.
const EMBEDDING_WORDS: [&str; 5] = ["embed", "emb", "encoder", "wte", "lookup"];
/// Parts of names that output layers have.
const OUTPUT_WORDS: [&str; 9] = ["decoder", "linear", "fc", "output", "out", "head", "proj", "dense", "classifier"];

/// A recurrent weight's name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Recurring {
    prefix: String,
    /// `_l3`; cells (`LSTMCell`) have none.
    layer: Option<usize>,
    reverse: bool,
    weight: &'static str,
}

/// `encoder.rnn.weight_ih_l0_reverse` is `weight_ih` of layer 0, reversed, under `encoder.rnn.`.
fn recurring(name: &str) -> Option<Recurring> {
    const WEIGHTS: [&str; 6] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "peephole"];
    let weight = WEIGHTS.into_iter().find(|weight| name.contains(weight))?;
    let at = name.rfind(weight)?;
    let (prefix, rest) = (&name[..at], &name[at + weight.len()..]);
    let (rest, reverse) = rest.strip_suffix("_reverse").map_or((rest, false), |rest| (rest, true));
    let layer = match rest.strip_prefix("_l") {
        Some(number) => Some(number.parse().ok().filter(|n| *n < 256)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Recurring { prefix: prefix.into(), layer, reverse, weight })
}

/// The names of a layer's weights, by direction and kind.
type Weights = BTreeMap<(bool, &'static str), String>;
/// A name as [`natural`] takes it apart.
type Natural = Vec<(String, u64)>;

/// Names sorted as people count: `cell.2` before `cell.10`.
fn natural(name: &str) -> Natural {
    let mut key: Natural = vec![(String::new(), 0)];
    for c in name.chars() {
        let last = key.last_mut().expect("not empty");
        match c.to_digit(10) {
            Some(digit) => last.1 = last.1.saturating_mul(10).saturating_add(u64::from(digit) + 1),
            None if last.1 > 0 => key.push((c.to_string(), 0)),
            None => last.0.push(c),
        }
    }
    key
}

/// The parts of a model from a state dict.
pub fn parts(mut file: Tensors, options: &Options) -> Result<Parts, String> {
    let mut notes = Vec::new();
    let drop =
        |name: &String, t: &Tensor| t.shape.is_empty() || !t.element.is_float() && t.elements() < 2 || name.is_empty();
    let counters: Vec<String> = file.tensors.iter().filter(|(n, t)| drop(n, t)).map(|(n, _)| n.clone()).collect();
    counters.iter().for_each(|name| drop_tensor(&mut file, name));
    let layers = recurrent_layers(&mut file, options.activation, &mut notes)?;
    let inputs = layers[0].inputs;
    let last = layers.last().expect("not empty");
    let outputs = last.form.outputs(last.hidden);
    let (embedding, head) = embedding_and_head(&file, inputs, outputs)?;
    let take = |file: &mut Tensors, name: &str| -> Result<Matrix, String> {
        let tensor = file.tensors.remove(name).expect("it was chosen from these");
        let values = tensor.values().map_err(|e| format!("tensor `{}`: {e}", short(name)))?;
        Ok(Matrix { values, rows: tensor.shape[0], columns: tensor.shape[1], from: name.into() })
    };
    let embedding = take(&mut file, &embedding)?;
    let head = head.map(|name| take(&mut file, &name)).transpose()?;
    let head_bias = head_bias(&mut file, head.as_ref(), embedding.rows)?;
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
        return Err(format!(
            "left over: {}. Models here are an embedding, recurrent layers and an output layer; `--map NAME=` leaves a \
             tensor out, `--map NAME=OTHER` gives it another name",
            file.listed()
        ));
    }
    Ok(Parts { embedding, layers, head: head.filter(|_| !tied), head_bias, notes })
}

fn drop_tensor(file: &mut Tensors, name: &str) {
    file.tensors.remove(name);
}

/// All recurrent layers in their order; their tensors leave the file.
fn recurrent_layers(
    file: &mut Tensors,
    activation: Option<Activation>,
    notes: &mut Vec<String>,
) -> Result<Vec<Recurrent>, String> {
    let mut found: BTreeMap<(Natural, Option<usize>), Weights> = BTreeMap::new();
    for name in file.tensors.keys() {
        if let Some(r) = recurring(name) {
            let weights = found.entry((natural(&r.prefix), r.layer)).or_default();
            weights.insert((r.reverse, r.weight), name.clone());
        }
    }
    if found.is_empty() {
        return Err(format!(
            "no recurrent weights: expected names that end in weight_ih_l0, weight_hh_l0 and so on (or weight_ih of \
             cells); the file has {}",
            file.listed()
        ));
    }
    let numbers: Vec<(&Natural, usize)> =
        found.keys().filter_map(|(prefix, layer)| Some((prefix, (*layer)?))).collect();
    for (i, (prefix, layer)) in numbers.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| numbers[i]).filter(|(p, _)| p == prefix);
        if *layer != before.map_or(0, |(_, layer)| layer + 1) {
            let name = found[&((*prefix).clone(), Some(*layer))].values().next().map(String::as_str);
            return Err(format!("before `{}` a layer is missing: they count from l0", short(name.unwrap_or_default())));
        }
    }
    let prefixes: BTreeSet<&Natural> = found.keys().map(|(prefix, _)| prefix).collect();
    if prefixes.len() > 1 {
        notes.push("layers of several modules are put one behind the other, in the order of their names".into());
    }
    found.into_values().map(|weights| layer(file, &weights, activation, notes)).collect()
}

/// One layer, of one direction or two.
fn layer(
    file: &mut Tensors,
    weights: &Weights,
    activation: Option<Activation>,
    notes: &mut Vec<String>,
) -> Result<Recurrent, String> {
    let any = weights.values().next().expect("a layer has a weight");
    let name_of = |reverse: bool, weight: &'static str| {
        weights.get(&(reverse, weight)).ok_or_else(|| format!("beside `{}` there is no {weight}", short(any)))
    };
    let matrix = |file: &Tensors, name: &str| match file.tensors[name].shape[..] {
        [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
        ref shape => Err(format!("tensor `{}` has shape {shape:?}; expected a matrix", short(name))),
    };
    let bidirectional = weights.keys().any(|(reverse, _)| *reverse);
    let (hh, ih) = (name_of(false, "weight_hh")?, name_of(false, "weight_ih")?);
    let ((rows, state), (_, inputs)) = (matrix(file, hh)?, matrix(file, ih)?);
    let projected = weights.get(&(false, "weight_hr")).map(|name| matrix(file, name)).transpose()?;
    let hidden = projected.map_or(state, |(_, hidden)| hidden);
    let kind = Kind::ALL.into_iter().find(|kind| kind.gates() * hidden == rows);
    let kind = kind.ok_or_else(|| {
        format!(
            "tensor `{}` has shape [{rows}, {state}]; expected 4 (LSTM), 3 (GRU) or 1 (RNN) times as many rows as units",
            short(hh)
        )
    })?;
    let form = Form {
        bidirectional,
        projection: projected.map(|(p, _)| p),
        peepholes: weights.contains_key(&(false, "peephole")),
        cell: activation.filter(|_| kind == Kind::Rnn).unwrap_or(Activation::Tanh),
        ..Form::plain(kind)
    };
    if kind == Kind::Rnn && activation.is_none() && !notes.iter().any(|note| note.contains("tanh")) {
        notes.push("a plain RNN is taken to have tanh, as a state dict does not say (--activation relu)".into());
    }
    let from = hh.replace("weight_hh", "*");
    let mut directions = Vec::new();
    for reverse in [false, true].into_iter().take(form.directions()) {
        let mut take = |weight: &'static str, shape: &[usize]| -> Result<Option<Vec<f32>>, String> {
            let Some(name) = weights.get(&(reverse, weight)) else { return Ok(None) };
            let tensor = file.tensors.remove(name).expect("it was found there");
            if tensor.shape != shape {
                return Err(format!("tensor `{}` has shape {:?}; expected {shape:?}", short(name), tensor.shape));
            }
            tensor.values().map(Some).map_err(|e| format!("tensor `{}`: {e}", short(name)))
        };
        let missing = |weight| format!("beside `{}` there is no {weight} of that direction", short(any));
        let gates = kind.gates() * hidden;
        let state = form.state(hidden);
        let w_ih = take("weight_ih", &[gates, inputs])?.ok_or_else(|| missing("weight_ih"))?;
        let w_hh = take("weight_hh", &[gates, state])?.ok_or_else(|| missing("weight_hh"))?;
        let biases = [take("bias_ih", &[gates])?, take("bias_hh", &[gates])?];
        if biases.iter().any(Option::is_none) && !notes.iter().any(|note| note.contains("without a bias")) {
            notes.push("a layer without a bias in the file has zeros".into());
        }
        let [b_ih, b_hh] = biases.map(|bias| bias.unwrap_or_else(|| vec![0.0; gates]));
        let w_hr = match form.projection {
            Some(p) => Some(take("weight_hr", &[p, hidden])?.ok_or_else(|| missing("weight_hr"))?),
            None => None,
        };
        let peephole = match form.peepholes {
            true => Some(take("peephole", &[3 * hidden])?.ok_or_else(|| missing("peephole"))?),
            false => None,
        };
        directions.push(CellWeights { w_ih, w_hh, b_ih, b_hh, w_hr, peephole });
    }
    Ok(Recurrent { form, inputs, hidden, directions, from })
}

/// How many of the words a name has.
fn likeness(name: &str, words: &[&str]) -> usize {
    let name = name.to_lowercase();
    words.iter().filter(|word| name.contains(**word)).count()
}

/// The names of the embedding [V, inputs] and the output layer [V, outputs]; `None` for a tied one.
fn embedding_and_head(file: &Tensors, inputs: usize, outputs: usize) -> Result<(String, Option<String>), String> {
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
    if let (Some(embedding), Some(head)) = (&own_embedding, &own_head) {
        return Ok((embedding.clone(), Some(head.clone())));
    }
    let (mut embeddings, mut heads) = (of_width(inputs), of_width(outputs));
    embeddings.retain(|name| own_embedding.as_ref().is_none_or(|own| own == *name) && own_head.as_ref() != Some(name));
    heads.retain(|name| own_head.as_ref().is_none_or(|own| own == *name) && own_embedding.as_ref() != Some(name));
    if embeddings.is_empty() {
        return Err(format!(
            "no embedding: expected a tensor of shape [tokens, {inputs}], as the first recurrent layer takes {inputs} \
             numbers; besides recurrent weights the file has {}",
            file.listed()
        ));
    }
    // The pair that looks most like an embedding and an output of one vocabulary.
    let score = |embedding: &String, head: Option<&String>| -> i64 {
        let plus = likeness(embedding, &EMBEDDING_WORDS) as i64 - likeness(embedding, &OUTPUT_WORDS) as i64;
        let Some(head) = head else { return 2 * plus - 1 };
        let minus = likeness(head, &OUTPUT_WORDS) as i64 - likeness(head, &EMBEDDING_WORDS) as i64;
        let same = file.tensors[embedding].shape[0] == file.tensors[head].shape[0];
        2 * plus + 2 * minus + 4 + if same { 100 } else { 0 }
    };
    let mut pairs = Vec::new();
    for &embedding in &embeddings {
        let others = heads.iter().copied().filter(|head| *head != embedding);
        pairs.extend(others.map(|head| (score(embedding, Some(head)), embedding, Some(head))));
        if inputs == outputs && own_head.is_none() {
            pairs.push((score(embedding, None), embedding, None));
        }
    }
    let best = pairs.iter().map(|pair| pair.0).max();
    let best: Vec<_> = pairs.iter().filter(|pair| Some(pair.0) == best).collect();
    match best[..] {
        [(_, embedding, head)] => Ok(((*embedding).clone(), head.cloned())),
        [] => Err(format!(
            "no output layer: expected a tensor of shape [tokens, {outputs}]; besides recurrent weights the file has {}",
            file.listed()
        )),
        _ => Err(format!(
            "it cannot be told which is the embedding and which the output layer: {}; say it with --map \
             NAME=embedding.weight and --map NAME=output.weight",
            file.listed()
        )),
    }
}

/// The output layer's bias: beside its weight, or the only vector of that length.
fn head_bias(file: &mut Tensors, head: Option<&Matrix>, vocab: usize) -> Result<Option<Vector>, String> {
    let beside = head.and_then(|head| Some(head.from.strip_suffix("weight")?.to_string() + "bias"));
    let fits = |t: &Tensor| t.shape == [vocab] && t.element.is_float();
    let name = beside.filter(|name| file.tensors.get(name).is_some_and(fits)).or_else(|| {
        let mut vectors = file.tensors.iter().filter(|(_, t)| fits(t)).map(|(name, _)| name.clone());
        vectors.next().filter(|_| vectors.next().is_none())
    });
    let Some(name) = name else { return Ok(None) };
    let values = file.tensors[&name].values().map_err(|e| format!("tensor `{}`: {e}", short(&name)))?;
    file.tensors.remove(&name);
    Ok(Some((values, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let of =
            |prefix: &str, layer, reverse, weight| Some(Recurring { prefix: prefix.into(), layer, reverse, weight });
        assert_eq!(recurring("encoder.rnn.weight_ih_l0"), of("encoder.rnn.", Some(0), false, "weight_ih"));
        assert_eq!(recurring("lstm.bias_hh_l12_reverse"), of("lstm.", Some(12), true, "bias_hh"));
        assert_eq!(recurring("cells.3.weight_hh"), of("cells.3.", None, false, "weight_hh"));
        assert_eq!(recurring("rnn.weight_hh_l0_raw"), None);
        assert_eq!(recurring("fc.weight"), None);
    }

    #[test]
    fn cells_count_as_people_do() {
        assert!(natural("cells.2.") < natural("cells.10."));
        assert!(natural("lstm1.") < natural("lstm2."));
    }

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

    fn found(file: Tensors) -> Result<[String; 3], String> {
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
        let error = found(lstm("a.", "b.", "c.", 4)).unwrap_err();
        assert!(error.contains("cannot be told") && error.contains("--map"), "{error}");
    }

    #[test]
    fn what_is_missing_or_left_over_is_named() {
        let mut tied = lstm("emb.", "rnn.", "out.", 4);
        tied.tensors.remove("out.weight");
        assert_eq!(found(tied).unwrap()[2], "tied");
        let mut extra = lstm("emb.", "rnn.", "out.", 3);
        extra.tensors.insert("norm.weight".into(), file(&[("n", &[4])]).tensors["n"].clone());
        let error = found(extra).unwrap_err();
        assert!(error.contains("left over: norm.weight [4]"), "{error}");
        for (name, message) in [
            ("emb.weight", "no embedding: expected a tensor of shape [tokens, 3]"),
            ("out.weight", "no output layer: expected a tensor of shape [tokens, 4]"),
            ("rnn.weight_ih_l0", "there is no weight_ih"),
            ("rnn.weight_hh_l0", "there is no weight_hh"),
        ] {
            let mut file = lstm("emb.", "rnn.", "out.", 3);
            file.tensors.remove(name);
            let error = found(file).unwrap_err();
            assert!(error.contains(message), "{name}: {error}");
        }
        let mut gap = lstm("emb.", "rnn.", "out.", 3);
        for name in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
            let tensor = gap.tensors[&format!("rnn.{name}_l0")].clone();
            gap.tensors.insert(format!("rnn.{name}_l2"), tensor);
        }
        let error = found(gap).unwrap_err();
        assert!(error.contains("_l2` a layer is missing"), "{error}");
        let error = found(file(&[("conv.weight", &[3, 3])])).unwrap_err();
        assert!(error.contains("no recurrent weights") && error.contains("conv.weight [3, 3]"), "{error}");
    }
}
