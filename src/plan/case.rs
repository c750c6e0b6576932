//! Cases: inputs for an op, made from a seed, and how far a result may be from the reference.

use super::philox::philox;
use super::{Builder, Plan, Role, ShardGroup, Sizes, TensorId};

/// How a tensor of a case is filled.
#[derive(Clone, Debug)]
pub enum Fill {
    /// Standard normal numbers times a scale.
    Normal(f32),
    /// Normal numbers of which each third is multiplied by one of these, in turn: large, huge, zero.
    Extreme(&'static [f32]),
    /// Ids below a bound.
    Ids(u32),
    /// These floats.
    Floats(Vec<f32>),
    /// These words.
    Words(Vec<u32>),
}

/// How far results may be from the reference's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// Mean squared difference over mean square of the reference.
    pub nmse: f64,
    /// Largest difference over the root mean square of the reference.
    pub max_over_rms: f64,
}

impl Caps {
    /// The precision of f32 sums in a fixed order, with room for the exponentials of drivers.
    pub const F32: Caps = Caps { nmse: 1e-11, max_over_rms: 5e-5 };
    /// Moved, not computed.
    pub const EXACT: Caps = Caps { nmse: 0.0, max_over_rms: 0.0 };
}

/// One op on one set of inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// Says what is special about it: `rows=67`, `k=65 n=1000`, `extreme`.
    pub name: String,
    /// A single section `case` with the op.
    pub plan: Plan,
    /// B and T of the plan.
    pub sizes: Sizes,
    /// The step at which it runs.
    pub step: u32,
    /// Inputs. A tensor without a fill is zero.
    pub fills: Vec<(TensorId, Fill)>,
    /// Limits of the differences.
    pub caps: Caps,
    /// A tensor that cannot be sharded has more than 1 MiB: the case asks for a device that binds more.
    pub large: bool,
}

impl Case {
    /// A case whose plan is written by `write` into the section `case`; `declare` declares its tensors before.
    pub fn new<T>(
        name: impl Into<String>,
        declare: impl FnOnce(&mut Builder, &mut Vec<(TensorId, Fill)>) -> T,
        write: impl FnOnce(&mut Builder, T),
    ) -> Case {
        let mut builder = Builder::new();
        let mut fills = Vec::new();
        let tensors = declare(&mut builder, &mut fills);
        builder.section("case", |b| write(b, tensors));
        Case {
            name: name.into(),
            plan: builder.finish(),
            sizes: Sizes::of(1, 1),
            step: 0,
            fills,
            caps: Caps::F32,
            large: false,
        }
    }

    /// Other caps than [`Caps::F32`].
    pub fn caps(self, caps: Caps) -> Case {
        Case { caps, ..self }
    }

    /// Marks a case that 1 MiB does not hold.
    pub fn large(self) -> Case {
        Case { large: true, ..self }
    }

    /// The inputs of a float tensor, or zeros.
    pub fn floats(&self, id: TensorId) -> Vec<f32> {
        let len = self.plan.tensor(id).len(self.sizes);
        let normal = |scale: f32| (0..len as u32).map(move |i| scale * normal(id, i)).collect();
        match self.fill(id) {
            None => vec![0.0; len],
            Some(Fill::Normal(scale)) => normal(*scale),
            Some(Fill::Extreme(factors)) => {
                let mut values: Vec<f32> = normal(1.0);
                for (i, x) in values.iter_mut().enumerate().filter(|(i, _)| i % 3 == 0) {
                    *x *= factors[(i / 3) % factors.len()];
                }
                values
            }
            Some(Fill::Floats(values)) => values.clone(),
            Some(_) => unreachable!("a float tensor with a fill of words"),
        }
    }

    /// The inputs of an integer tensor, or zeros.
    pub fn words(&self, id: TensorId) -> Vec<u32> {
        let len = self.plan.tensor(id).len(self.sizes);
        match self.fill(id) {
            None => vec![0; len],
            Some(Fill::Ids(below)) => (0..len as u32).map(|i| random(id, i)[0] % below).collect(),
            Some(Fill::Words(words)) => words.clone(),
            Some(_) => unreachable!("an integer tensor with a fill of floats"),
        }
    }

    fn fill(&self, id: TensorId) -> Option<&Fill> {
        self.fills.iter().find(|(t, _)| *t == id).map(|(_, fill)| fill)
    }
}

/// A tensor `[n]` that is sharded with a group.
pub(crate) fn flat_operand(
    b: &mut Builder,
    fills: &mut Vec<(TensorId, Fill)>,
    name: &str,
    n: usize,
    (group, fill): (ShardGroup, Fill),
) -> TensorId {
    let id = b.f32(Role::Scratch, name, &[n.into()]);
    b.shard(id, 0, group);
    fills.push((id, fill));
    id
}

fn random(id: TensorId, i: u32) -> [u32; 4] {
    philox([i, id.0, 0, 0], [0x6a74_e5f0, 0x0bad_cafe])
}

/// A standard normal number by Box and Muller.
fn normal(id: TensorId, i: u32) -> f32 {
    let [a, b, ..] = random(id, i);
    let u = (f64::from(a) + 0.5) / 4_294_967_296.0;
    let v = f64::from(b) / 4_294_967_296.0;
    ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
}

/// How far a result is from the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// Mean squared difference over mean square of the reference.
    pub nmse: f64,
    /// Largest difference over the root mean square of the reference.
    pub max_over_rms: f64,
    /// A number is NaN where the reference has none, or infinite where it is finite.
    pub not_finite: bool,
}

impl Difference {
    /// Compares floats. Equal infinities are equal, and so are NaNs.
    pub fn of(found: &[f32], reference: &[f64]) -> Difference {
        assert_eq!(found.len(), reference.len());
        let (mut square, mut square_difference, mut largest, mut not_finite) = (0.0f64, 0.0f64, 0.0f64, false);
        for (&found, &reference) in found.iter().zip(reference) {
            let found = f64::from(found);
            let equal = found == reference || found.is_nan() && reference.is_nan();
            if equal || !reference.is_finite() && f64::from(reference as f32) == found {
                square += if reference.is_finite() { reference * reference } else { 0.0 };
                continue;
            }
            not_finite |= !found.is_finite();
            let difference = (found - reference).abs();
            square += reference * reference;
            square_difference += difference * difference;
            largest = largest.max(difference);
        }
        let n = reference.len().max(1) as f64;
        let rms = (square / n).sqrt().max(1e-30);
        Difference {
            nmse: square_difference / n / (rms * rms),
            max_over_rms: largest / rms,
            not_finite: not_finite || square_difference.is_nan(),
        }
    }

    /// The larger of two, number by number.
    pub fn max(self, other: Difference) -> Difference {
        Difference {
            nmse: self.nmse.max(other.nmse),
            max_over_rms: self.max_over_rms.max(other.max_over_rms),
            not_finite: self.not_finite || other.not_finite,
        }
    }

    /// Whether it is within the caps.
    pub fn within(self, caps: Caps) -> bool {
        !self.not_finite && self.nmse <= caps.nmse && self.max_over_rms <= caps.max_over_rms
    }
}
