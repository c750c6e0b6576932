//! Symbolic sizes.

use std::ops::Mul;

/// The symbols of shapes: `[T, B, H]` throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// B: rows, one for each sequence in flight.
    Rows,
    /// T: time steps of a sequence section (prefill, score window, training window).
    Time,
    /// S: time steps of what an encoder reads.
    Source,
}

impl Symbol {
    const ALL: [Symbol; 3] = [Symbol::Rows, Symbol::Time, Symbol::Source];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The values of a plan's symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// B.
    pub rows: usize,
    /// T.
    pub time: usize,
    /// S; 1 in plans without it.
    pub source: usize,
}

impl Sizes {
    /// The sizes of a plan in B and T.
    pub const fn of(rows: usize, time: usize) -> Sizes {
        Sizes { rows, time, source: 1 }
    }

    /// The value of a symbol.
    pub fn value(self, symbol: Symbol) -> usize {
        match symbol {
            Symbol::Rows => self.rows,
            Symbol::Time => self.time,
            Symbol::Source => self.source,
        }
    }
}

/// A size: `scale * (product of some symbols) + plus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    scale: usize,
    /// The symbols, a bit each.
    symbols: u8,
    plus: usize,
}

impl Dim {
    /// B, the number of rows.
    pub const ROWS: Dim = Dim::symbol(Symbol::Rows);
    /// T, the number of time steps.
    pub const TIME: Dim = Dim::symbol(Symbol::Time);
    /// S, the number of an encoder's time steps.
    pub const SOURCE: Dim = Dim::symbol(Symbol::Source);

    /// A symbol alone.
    pub const fn symbol(symbol: Symbol) -> Dim {
        Dim { scale: 1, symbols: symbol.bit(), plus: 0 }
    }

    /// A size known when the plan is written.
    pub const fn fixed(value: usize) -> Dim {
        Dim { scale: 0, symbols: 0, plus: value }
    }

    /// This size plus a constant.
    pub const fn plus(self, value: usize) -> Dim {
        Dim { plus: self.plus + value, ..self }
    }

    /// The number that this size stands for under `sizes`.
    pub fn value(self, sizes: Sizes) -> usize {
        let symbols = Symbol::ALL.into_iter().filter(|symbol| self.symbols & symbol.bit() != 0);
        self.scale * symbols.map(|symbol| sizes.value(symbol)).product::<usize>() + self.plus
    }

    /// The number, where no symbol is part of it.
    pub fn as_fixed(self) -> Option<usize> {
        (self.symbols == 0).then_some(self.scale + self.plus)
    }
}

impl From<usize> for Dim {
    fn from(value: usize) -> Dim {
        Dim::fixed(value)
    }
}

impl Mul for Dim {
    type Output = Dim;

    /// A product of different symbols, or of symbols and a constant; sums (`T + 1`) have no product here.
    fn mul(self, other: Dim) -> Dim {
        match (self.as_fixed(), other.as_fixed()) {
            (Some(a), Some(b)) => Dim::fixed(a * b),
            (Some(a), None) => Dim { scale: a * other.scale, plus: a * other.plus, ..other },
            (None, Some(_)) => other * self,
            (None, None) => {
                assert!(self.plus == 0 && other.plus == 0, "a product of sums is not a Dim");
                assert!(self.symbols & other.symbols == 0, "B*B or T*T is not a Dim");
                Dim { scale: self.scale * other.scale, symbols: self.symbols | other.symbols, plus: 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_symbols_and_constants() {
        let sizes = Sizes { rows: 2, time: 3, source: 5 };
        let value = |dim: Dim| dim.value(sizes);
        assert_eq!([Dim::ROWS, Dim::TIME, Dim::SOURCE, Dim::fixed(7)].map(value), [2, 3, 5, 7]);
        assert_eq!(value(Dim::SOURCE * Dim::ROWS * 4.into()), 40);
        assert_eq!(value(Dim::TIME * (Dim::SOURCE * Dim::ROWS)), 30);
        assert_eq!(value(Dim::fixed(3) * Dim::SOURCE.plus(1)), 18);
        assert_eq!(Dim::SOURCE * Dim::TIME, Dim::TIME * Dim::SOURCE);
        assert_eq!((Dim::fixed(6).as_fixed(), Dim::SOURCE.as_fixed()), (Some(6), None));
        assert_eq!(Sizes::of(2, 3).value(Symbol::Source), 1);
    }

    #[test]
    #[should_panic(expected = "is not a Dim")]
    fn a_symbol_has_no_square() {
        let _ = Dim::SOURCE * Dim::ROWS * Dim::SOURCE;
    }
}
