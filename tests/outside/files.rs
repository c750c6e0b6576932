//! The crate `safetensors` reads what is written.

use gatefold::unstable::model::{Config, Precision, Weights};
use gatefold::unstable::network::{Cell, Shape};
use gatefold::unstable::train::{
    Cadence, Checkpoint, CorpusOptions, End, Kernels, Manifest, Method, Options, Progress, Rate, Schedule, Unknown,
    first_weights,
};
use libtest_mimic::Trial;
use safetensors::{Dtype, SafeTensors};

use crate::report::{DONE, Outcome, trial};

pub fn trials() -> Vec<Trial> {
    vec![trial("safetensors: a model's weights", weights), trial("safetensors: a checkpoint", checkpoint)]
}

fn config() -> Config {
    Config::new(Shape { cell: Cell::Gru, vocab: 7, embedding: 3, hidden: 5, layers: 2 })
}

/// The tensor has the sizes and, in f32, the bits.
fn has(file: &SafeTensors<'_>, name: &str, shape: &[usize], values: &[f32]) {
    let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!((view.dtype(), view.shape()), (Dtype::F32, shape), "{name}");
    assert_eq!(view.data(), values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>(), "{name}");
}

fn weights() -> Outcome {
    let first = first_weights(&config(), 5, None);
    let shapes = gatefold::unstable::model::weight_shapes(&config().shape());
    for precision in [Precision::F32, Precision::F16] {
        let mut bytes = Vec::new();
        Weights::from_tensors(first.clone()).write(&mut bytes, &config(), precision)?;
        let file = SafeTensors::deserialize(&bytes)?;
        assert_eq!(file.len(), shapes.len());
        for (name, shape) in &shapes {
            match precision {
                Precision::F32 => has(&file, name, shape, &first[name]),
                _ => assert_eq!(file.tensor(name)?.dtype(), Dtype::F16, "{name}"),
            }
        }
    }
    DONE
}

fn checkpoint() -> Outcome {
    let mut snapshot = first_weights(&config(), 5, None);
    snapshot.insert("first_moment.output.weight".into(), vec![1.0 / 3.0; 35]);
    let options = Options {
        corpus: CorpusOptions {
            data: "data.txt".into(),
            valid: None,
            pairs: false,
            lines: false,
            unknown: Unknown::Error,
            valid_tokens: None,
        },
        batch_size: 4,
        sequence_length: 5,
        seed: 3,
        optimizer: Method::Adam,
        weight_decay: 0.0,
        momentum: 0.0,
        clip: None,
        rate: Rate { peak: 0.5, warmup: 3, schedule: Schedule::Constant },
        end: End::Steps(7),
        patience: None,
        valid_every: Some(10),
        log_every: 4,
        checkpoint_every: Cadence::Minutes(5.0),
        f16: false,
        source_length: 1,
        label_smoothing: 0.0,
    };
    let manifest = Manifest::new(options, Progress::default(), 99, vec![1], Kernels::default());
    let mut bytes = Vec::new();
    Checkpoint { manifest, snapshot: snapshot.clone() }.write(&config(), &mut bytes)?;
    let file = SafeTensors::deserialize(&bytes)?;
    assert_eq!(file.len(), snapshot.len());
    has(&file, "first_moment.output.weight", &[7, 5], &snapshot["first_moment.output.weight"]);
    DONE
}
