//! Keras's description of a model: which layers data goes through on its way from ids to logits.
//!
//! A Sequential model is a chain. A functional one is a graph of calls, walked back from an output: each layer on the way
//! is called once, with one tensor. Initial states that are inputs of the model are left out, as texts begin with zeros.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::short;

/// Classes of layers that have states.
const RECURRENT: [&str; 7] = ["LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "Bidirectional", "RNN"];

/// A tensor of a call: its layer, the how-manieth call of that layer, and the how-manieth output.
#[derive(Clone, Debug, PartialEq)]
struct Output<'a> {
    layer: &'a str,
    call: u64,
    index: u64,
}

/// A call of a layer.
#[derive(Default)]
struct Call<'a> {
    data: Vec<Output<'a>>,
    states: Vec<Output<'a>>,
    masks: Vec<Output<'a>>,
}

/// A layer on the way, and which of its outputs goes on.
pub struct Step<'a> {
    /// Keras's description.
    pub layer: &'a Value,
    /// 0 for outputs, 1 for the last state.
    pub output: u64,
}

/// The class of a layer.
pub fn class(layer: &Value) -> &str {
    layer["class_name"].as_str().unwrap_or_default()
}

/// The name of a layer.
pub fn name(layer: &Value) -> &str {
    layer["config"]["name"].as_str().or(layer["name"].as_str()).unwrap_or_default()
}

/// The ways from ids to each output, the first output first.
pub fn ways<'a>(description: &'a Value, notes: &mut Vec<String>) -> Result<Vec<Result<Vec<Step<'a>>, String>>, String> {
    let layers = description["layers"].as_array().ok_or("the description has no list `layers`")?;
    let mut by_name = BTreeMap::new();
    for layer in layers {
        if class(layer).is_empty() || name(layer).is_empty() {
            return Err("a layer without a class_name or a name".into());
        }
        if by_name.insert(name(layer), layer).is_some() {
            return Err(format!("two layers are called `{}`", short(name(layer))));
        }
    }
    let called = |layer: &Value| layer["inbound_nodes"].as_array().is_some_and(|calls| !calls.is_empty());
    if !layers.iter().any(called) {
        return Ok(vec![Ok(layers.iter().map(|layer| Step { layer, output: 0 }).collect())]);
    }
    let mut outputs = Vec::new();
    outputs_in(&description["output_layers"], &mut outputs, 0)?;
    if outputs.is_empty() {
        return Err("the description has no `output_layers`; write the file again with today's keras_export.py".into());
    }
    outputs.truncate(64);
    Ok(outputs.into_iter().map(|output| back_from(output, &by_name, notes)).collect())
}

fn back_from<'a>(
    output: Output<'a>,
    by_name: &BTreeMap<&'a str, &'a Value>,
    notes: &mut Vec<String>,
) -> Result<Vec<Step<'a>>, String> {
    let find = |name: &str| {
        by_name.get(name).copied().ok_or_else(|| format!("a layer `{}` is called, but not described", short(name)))
    };
    let mut way = Vec::new();
    let mut at = output;
    for _ in 0..=by_name.len() {
        let layer = find(at.layer)?;
        let within = |what: String| format!("layer `{}` ({}): {what}", short(at.layer), short(class(layer)));
        way.push(Step { layer, output: at.index });
        let calls = layer["inbound_nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let call = match calls {
            [] => {
                way.reverse();
                return Ok(way);
            }
            [call] => read_call(call).map_err(within)?,
            calls => {
                let times = calls.len();
                return Err(within(format!("it is called {times} times; layers here have weights of their own")));
            }
        };
        if !RECURRENT.contains(&class(layer)) && !call.states.is_empty() {
            return Err(within(format!("it is called with {} tensors; expected one", 1 + call.states.len())));
        }
        for state in &call.states {
            let from = find(state.layer)?;
            if RECURRENT.contains(&class(from)) {
                return Err(within(format!(
                    "its initial state is that of `{}`, so this is an encoder-decoder; a model here is one stack of \
                     layers over one text",
                    short(state.layer)
                )));
            }
            if class(from) != "InputLayer" {
                return Err(within(format!("its initial state is computed by `{}`", short(state.layer))));
            }
            let note = format!("the input `{}` is left out: texts begin with states of zeros", short(state.layer));
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        if let Some(mask) = call.masks.iter().find(|m| find(m.layer).is_ok_and(|layer| class(layer) != "NotEqual")) {
            return Err(within(format!("it is masked by `{}`", short(mask.layer))));
        }
        let [data] = &call.data[..] else {
            return Err(within(format!("it is called with {} tensors; expected one", call.data.len())));
        };
        at = data.clone();
    }
    Err("its layers call each other in a ring".into())
}

/// A call as Keras 3 writes it, `{"args", "kwargs"}`, or as Keras 2 does, a list of tensors with keywords.
fn read_call(call: &Value) -> Result<Call<'_>, String> {
    let mut read = Call::default();
    if let Some(args) = call["args"].as_array() {
        for (i, arg) in args.iter().enumerate() {
            outputs_in(arg, if i == 0 { &mut read.data } else { &mut read.states }, 0)?;
        }
        keywords(&call["kwargs"], &mut read)?;
        return Ok(read);
    }
    let mut tensors = Vec::new();
    outputs_in(call, &mut tensors, 0)?;
    let mut inner = call.as_array().map_or(&[][..], Vec::as_slice);
    if inner.first().is_some_and(Value::is_string) {
        inner = std::slice::from_ref(call);
    }
    inner.iter().try_for_each(|tensor| keywords(&tensor[3], &mut read))?;
    let mut tensors = tensors.into_iter();
    read.data.extend(tensors.next());
    // Keras before 2.4 puts states after the data, which several inputs of a Concatenate are, too: states are those of
    // recurrent layers and inputs, and whoever takes two tensors of another kind is no layer that is read here.
    read.states.extend(tensors);
    Ok(read)
}

fn keywords<'a>(keywords: &'a Value, call: &mut Call<'a>) -> Result<(), String> {
    for (key, value) in keywords.as_object().into_iter().flatten() {
        match key.as_str() {
            "mask" => outputs_in(value, &mut call.masks, 0)?,
            "initial_state" => outputs_in(value, &mut call.states, 0)?,
            "training" if value.is_null() || value == false => {}
            "training" => return Err("it is called with training=True, as nothing here is".into()),
            _ => outputs_in(value, &mut call.data, 0)?,
        }
    }
    Ok(())
}

/// The tensors that a value names, in their order.
fn outputs_in<'a>(value: &'a Value, into: &mut Vec<Output<'a>>, depth: usize) -> Result<(), String> {
    if depth > 16 || into.len() > 1024 {
        return Err("a call of too many tensors".into());
    }
    if let Some(history) = value.get("config").and_then(|config| config.get("keras_history")) {
        return outputs_in(history, into, depth + 1);
    }
    match value {
        Value::Array(items) => {
            if let [Value::String(layer), call, index, ..] = &items[..]
                && let (Some(call), Some(index)) = (call.as_u64(), index.as_u64())
            {
                into.push(Output { layer, call, index });
                return Ok(());
            }
            items.iter().try_for_each(|item| outputs_in(item, into, depth + 1))
        }
        Value::Object(entries) => entries.values().try_for_each(|item| outputs_in(item, into, depth + 1)),
        _ => Ok(()),
    }
}
