//! How much memory a plan needs, before any of it is there.

use std::fmt;

use serde::Serialize;

use super::{Plan, Role, SectionId, Sizes};

/// Bytes that sections of a plan need at some sizes, by what they are for. Executors add little: rounded rows, and
/// one weight more while weights are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryNeed {
    /// Weights, 4 bytes each. A tied output layer has its own, in its own layout.
    pub weights: u64,
    /// States of the sequences in flight.
    pub states: u64,
    /// Saved by forward sections for backward ones.
    pub saved: u64,
    /// Between the ops of a section.
    pub scratch: u64,
    /// Token ids and results on their way in and out.
    pub io: u64,
}

impl MemoryNeed {
    /// All of it.
    pub fn total(&self) -> u64 {
        [self.weights, self.states, self.saved, self.scratch, self.io].into_iter().fold(0, u64::saturating_add)
    }
}

impl fmt::Display for MemoryNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MemoryNeed { weights, states, saved, scratch, io } = *self;
        write!(f, "{} (", bytes_in_words(self.total()))?;
        let parts = [("weights", weights), ("states", states), ("saved", saved), ("scratch", scratch), ("io", io)];
        for (i, (name, bytes)) in parts.into_iter().filter(|(_, bytes)| *bytes > 0).enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name} {}", bytes_in_words(bytes))?;
        }
        f.write_str(")")
    }
}

impl Plan {
    /// The memory that some sections need at these sizes. A number that does not fit 64 bits is the largest that does.
    pub fn memory(&self, sections: &[SectionId], sizes: Sizes) -> MemoryNeed {
        let mut need = MemoryNeed::default();
        for (tensor, _) in self.tensors.iter().zip(self.used_by(sections)).filter(|(t, used)| *used && !t.is_arena()) {
            let product = |elements: u64, n: usize| elements.saturating_mul(n as u64);
            let bytes = tensor.shape(sizes).into_iter().fold(4, product);
            let sum = match tensor.role {
                Role::Weight => &mut need.weights,
                Role::State => &mut need.states,
                Role::Saved => &mut need.saved,
                Role::Scratch => &mut need.scratch,
                Role::Io => &mut need.io,
            };
            *sum = sum.saturating_add(bytes);
        }
        need
    }
}

/// A number of bytes for people: in KiB, MiB or GiB.
pub fn bytes_in_words(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        0x10_0000..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_in_the_unit_that_suits_them() {
        let words = [0, 1, 1 << 20, 3 << 29].map(bytes_in_words);
        assert_eq!(words, ["0 KiB", "1 KiB", "1.0 MiB", "1.5 GiB"]);
        let need = MemoryNeed { weights: 5 << 20, io: 100, ..Default::default() };
        assert_eq!(need.to_string(), "5.0 MiB (weights 5.0 MiB, io 1 KiB)");
    }
}
