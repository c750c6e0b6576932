//! PyTorch's recurrent modules: which weights belong to one layer, and the order of layers and modules.

use std::collections::{BTreeMap, BTreeSet};

use super::Options;
use super::cell::{CellWeights, Recurrent};
use super::tensors::Tensors;
use crate::error::Fault;
use crate::model::short;
use crate::network::{GeneralCell, Kind};
use crate::ops::activation::Activation;

/// Words that count.
const COUNTING: [[&str; 2]; 10] = [
    ["one", "first"],
    ["two", "second"],
    ["three", "third"],
    ["four", "fourth"],
    ["five", "fifth"],
    ["six", "sixth"],
    ["seven", "seventh"],
    ["eight", "eighth"],
    ["nine", "ninth"],
    ["ten", "tenth"],
];
/// Words of the two halves of an encoder-decoder.
const READS: [&str; 4] = ["enc", "encoder", "src", "source"];
const WRITES: [&str; 5] = ["dec", "decoder", "tgt", "trg", "target"];

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

/// The words and numbers of a name, in lower case: `cells.12.lstmTwo` is cells, 12, lstm, two.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in name.chars() {
        let joins = match c {
            '0'..='9' => before.is_ascii_digit(),
            _ if c.is_alphabetic() => before.is_alphabetic() && !(before.is_lowercase() && c.is_uppercase()),
            _ => false,
        };
        match words.last_mut().filter(|_| joins) {
            Some(word) => word.extend(c.to_lowercase()),
            None if c.is_alphanumeric() => words.push(c.to_lowercase().collect()),
            None => {}
        }
        before = c;
    }
    words
}

/// A name's words without its numbers, and the numbers: names that differ in these alone count as people do.
fn counted(name: &str) -> (Vec<String>, Vec<u64>) {
    let (mut rest, mut numbers) = (Vec::new(), Vec::new());
    for word in words(name) {
        let spelt = COUNTING.iter().position(|names| names.contains(&word.as_str()));
        match word.parse().ok().or(spelt.map(|i| i as u64 + 1)) {
            Some(number) => numbers.push(number),
            // The prefix of DataParallel and of wrappers of weights.
            None if word == "module" => {}
            None => rest.push(word),
        }
    }
    (rest, numbers)
}

/// All recurrent layers in their order; their tensors leave the file.
pub fn recurrent_layers(
    file: &mut Tensors,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Vec<Recurrent>, Fault> {
    let mut found: BTreeMap<String, BTreeMap<Option<usize>, Weights>> = BTreeMap::new();
    for name in file.tensors.keys() {
        if let Some(r) = recurring(name) {
            let weights = found.entry(r.prefix).or_default().entry(r.layer).or_default();
            weights.insert((r.reverse, r.weight), name.clone());
        }
    }
    if found.is_empty() {
        return Err(format!(
            "no recurrent weights: expected names that end in weight_ih_l0, weight_hh_l0 and so on (or weight_ih of \
             cells); the file has {}",
            file.listed()
        )
        .into());
    }
    for layers in found.values() {
        let numbers = layers.keys().flatten().copied();
        if let Some((missing, number)) = numbers.enumerate().find(|(i, number)| i != number) {
            let name = layers[&Some(number)].values().next().map_or("", String::as_str);
            return Err(format!("before `{}` layer {missing} is missing: they count from l0", short(name)).into());
        }
    }
    let order = module_order(file, &found, &options.layers, notes)?;
    let mut layers = Vec::new();
    for prefix in order {
        for weights in found[&prefix].values() {
            layers.push(layer(file, weights, options.activation, notes)?);
        }
    }
    Ok(layers)
}

/// A module's name for people.
fn shown(prefix: &str) -> String {
    let name = prefix.trim_end_matches('.');
    if name.is_empty() { "(no name)".into() } else { short(name) }
}

/// The order in which data goes through the modules. A file does not say it, so it is told by numbers in their names,
/// or by the user.
fn module_order(
    file: &Tensors,
    found: &BTreeMap<String, BTreeMap<Option<usize>, Weights>>,
    asked: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<String>, Fault> {
    let prefixes: Vec<&String> = found.keys().collect();
    if let [one] = prefixes[..]
        && asked.is_empty()
    {
        return Ok(vec![one.clone()]);
    }
    let listed = || prefixes.iter().take(12).map(|p| format!("`{}`", shown(p))).collect::<Vec<_>>().join(", ");
    let has = |prefix: &str, set: &[&str]| words(prefix).iter().any(|word| set.contains(&word.as_str()));
    let reads = prefixes.iter().find(|p| has(p, &READS) && !has(p, &WRITES));
    let writes = prefixes.iter().find(|p| has(p, &WRITES) && !has(p, &READS));
    if let (Some(reads), Some(writes)) = (reads, writes) {
        return Err(format!(
            "an encoder-decoder: `{}` reads a text and `{}` writes another one; a model here is one stack of layers over \
             one text",
            shown(reads),
            shown(writes)
        ).into());
    }
    if !asked.is_empty() {
        let named = |name: &String| prefixes.iter().find(|p| p.trim_end_matches('.') == name).copied().cloned();
        let order: Option<Vec<String>> = asked.iter().map(named).collect();
        let complete = |order: &Vec<String>| order.iter().collect::<BTreeSet<_>>().len() == prefixes.len();
        return order.filter(|order| order.len() == prefixes.len() && complete(order)).ok_or_else(|| {
            let what = "expected each of the recurrent modules once, in the order of data";
            Fault::from(format!("layers {}: {what}: {}", asked.join(","), listed())).helped_by("layers")
        });
    }
    let mut counts: Vec<(Vec<u64>, &String)> = prefixes.iter().map(|p| (counted(p).1, *p)).collect();
    counts.sort();
    let alike = prefixes.windows(2).all(|pair| counted(pair[0]).0 == counted(pair[1]).0);
    let distinct = counts.windows(2).all(|pair| pair[0].0 != pair[1].0);
    // The order in which a script made its modules; safetensors sorts names.
    let place = |p: &String| found[p].values().flat_map(BTreeMap::values).filter_map(|n| file.tensors[n].place).min();
    let places: Vec<Option<usize>> = counts.iter().map(|(_, prefix)| place(prefix)).collect();
    let against = places.windows(2).any(|pair| pair[0] > pair[1]);
    if !alike || !distinct || against {
        let why = if alike && distinct { "their numbers say another order than the file" } else { "no numbers say it" };
        let what = "and it cannot be told in which order data goes through them";
        return Err(Fault::from(format!("several recurrent modules, {}, {what}: {why}", listed())).helped_by("layers"));
    }
    notes.push("layers of several modules are put one after another, in the order of their numbers".into());
    Ok(counts.into_iter().map(|(_, prefix)| prefix.clone()).collect())
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
    let form = GeneralCell {
        bidirectional,
        projection: projected.map(|(p, _)| p),
        peepholes: weights.contains_key(&(false, "peephole")),
        cell: activation.filter(|_| kind == Kind::Rnn).unwrap_or(Activation::Tanh),
        ..GeneralCell::plain(kind)
    };
    if kind == Kind::Rnn && activation.is_none() && !notes.iter().any(|note| note.contains("tanh")) {
        notes.push(
            "a plain RNN is taken to have tanh, as a state dict does not say (`options.activation` says otherwise)"
                .into(),
        );
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
    fn modules_count_as_people_do() {
        assert!(counted("cells.2.").1 < counted("cells.10.").1);
        assert_eq!(counted("net.lstm_two."), (vec!["net".into(), "lstm".into()], vec![2]));
        assert_eq!(counted("lstm1.module.").0, counted("lstm2.").0);
        assert_eq!(counted("lstm1.").0, counted("lstmSecond.").0);
        assert_eq!(words("tgtRNN.cell12"), ["tgt", "rnn", "cell", "12"]);
    }
}
