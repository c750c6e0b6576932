//! The functions that cells put around their sums. Standard cells have sigmoid and tanh; others choose.

use crate::plan::Real;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Linear,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
    /// x / 5 + 1/2 between 0 and 1, as Keras had it up to version 2 and ONNX has it.
    HardSigmoid,
    /// x / 6 + 1/2 between 0 and 1, as Keras has it from version 3 on.
    HardSigmoid6,
}

impl Activation {
    /// All of them, each at the place that is its parameter word.
    pub const ALL: [Activation; 6] = [
        Activation::Linear,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::HardSigmoid,
        Activation::HardSigmoid6,
    ];

    /// Its name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Linear => "linear",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::HardSigmoid6 => "hard_sigmoid_6",
        }
    }

    /// The function of this name.
    pub fn named(name: &str) -> Option<Activation> {
        Activation::ALL.into_iter().find(|activation| activation.name() == name)
    }

    /// The parameter word that stands for it; `shaders/lib/activation.wgsl` has the same.
    pub fn word(self) -> usize {
        self as usize
    }

    /// The function of a parameter word.
    pub(crate) fn of_word(word: usize) -> Activation {
        Activation::ALL[word]
    }

    /// Its value.
    pub fn of<F: Real>(self, x: F) -> F {
        let hard = |slope: F| between(F::ZERO, x.mul_add(slope, F::of(0.5)), F::ONE);
        match self {
            Activation::Linear => x,
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => x.tanh(),
            Activation::Relu => {
                if x > F::ZERO {
                    x
                } else {
                    F::ZERO
                }
            }
            Activation::HardSigmoid => hard(F::ONE / F::of(5.0)),
            Activation::HardSigmoid6 => hard(F::ONE / F::of(6.0)),
        }
    }
}

fn between<F: Real>(low: F, x: F, high: F) -> F {
    if x < low {
        low
    } else if x > high {
        high
    } else {
        x
    }
}
