//! A machine for pickles that builds numbers, texts, tuples, lists, dicts and tensors.
//!
//! A pickle is a program: it may ask for any function of Python and call it. Nothing that it names is ever run: what is no
//! tensor, dict or list stays an `Object`, the name of a class with what it was given. Names whose only use is to run
//! something end the machine. Values are shared, never copied, and every operation is paid for out of a budget.

use std::collections::HashMap;

use super::pickle_values::Value;

/// A place in [`Pickle::values`].
pub type Id = usize;

/// Operations at most, besides those that the file has bytes.
const ROOM: usize = 1 << 18;

/// The value that a pickle builds.
pub struct Pickle<'a> {
    /// All values; the others name them.
    pub values: Vec<Value<'a>>,
    /// The last one.
    pub top: Id,
}

/// Runs a pickle of a file of `size` bytes, packed as it is.
pub fn run(bytes: &[u8], size: usize) -> Result<Pickle<'_>, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        budget: ROOM + 2 * size,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(top)) => return Ok(Pickle { values: machine.values, top }),
            Err(what) => return Err(format!("in the pickle, at byte {at}: {what}")),
        }
    }
}

/// The machine at work.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    budget: usize,
    pub(super) values: Vec<Value<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

/// `None` to go on, the last value to stop.
pub(super) type Next = Result<Option<Id>, String>;

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or("cut off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn pay(&mut self, operations: usize) -> Result<(), String> {
        let left = self.budget.checked_sub(operations).ok_or("more values than such a file can need")?;
        self.budget = left;
        Ok(())
    }

    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn text(&mut self, len: u64) -> Result<&'a str, String> {
        let len = usize::try_from(len).map_err(|_| "cut off")?;
        std::str::from_utf8(self.take(len)?).map_err(|_| "a text that is not UTF-8".into())
    }

    pub(super) fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|b| *b == b'\n').ok_or("cut off in a line")?;
        let line = self.text(len as u64)?;
        self.at += 1;
        Ok(line)
    }

    pub(super) fn push(&mut self, value: Value<'a>) -> Next {
        self.pay(1)?;
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(None)
    }

    /// A value that is there already.
    pub(super) fn again(&mut self, id: Id) -> Next {
        self.pay(1)?;
        self.stack.push(id);
        Ok(None)
    }

    pub(super) fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value is missing".into());
        }
        Ok(self.stack.pop().expect("asked"))
    }

    pub(super) fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or("a value is missing".into())
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, n: usize) -> Next {
        let mut items = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Value::List(items))
    }

    fn put(&mut self, place: u64) -> Next {
        self.pay(1)?;
        let place = u32::try_from(place).map_err(|_| "a memo place that is too large")?;
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(None)
    }

    fn get(&mut self, place: u64) -> Next {
        let id = u32::try_from(place).ok().and_then(|place| self.memo.get(&place).copied());
        self.again(id.ok_or("a memo place that is empty")?)
    }

    fn append(&mut self, items: Vec<Id>) -> Next {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) | Value::Set(list) => list.extend(items),
            Value::Object(_) => {}
            _ => return Err("an item for what is no list".into()),
        }
        Ok(None)
    }

    fn set(&mut self, items: &[Id]) -> Next {
        let dict = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".into());
        }
        let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match &mut self.values[dict] {
            Value::Dict(entries) => entries.extend(pairs),
            Value::Object(object) => object.entries.extend(pairs),
            _ => return Err("an entry for what is no dict".into()),
        }
        Ok(None)
    }

    /// A number or a text; `None` for other operations.
    fn scalar(&mut self, code: u8) -> Result<Option<Value<'a>>, String> {
        Ok(Some(match code {
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool(code == 0x88),
            b'J' => {
                let n = self.number(4)? as u32;
                Value::Int(i64::from(n as i32))
            }
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            0x8a => {
                let len = self.number(1)? as usize;
                whole(self.take(len)?)
            }
            0x8b => {
                let len = self.number(4)? as usize;
                whole(self.take(len)?)
            }
            b'I' | b'L' => match self.line()?.trim_end_matches('L') {
                "01" => Value::Bool(true),
                "00" => Value::Bool(false),
                digits => digits.parse().map_or(Value::None, Value::Int),
            },
            b'F' => Value::Float(self.line()?.parse().map_err(|_| "a number that is none")?),
            b'G' => {
                let bits = self.take(8)?.iter().fold(0, |n, b| n << 8 | u64::from(*b));
                Value::Float(f64::from_bits(bits))
            }
            b'X' => self.sized_text(4)?,
            0x8c => self.sized_text(1)?,
            0x8d => self.sized_text(8)?,
            b'V' => Value::Text(self.line()?),
            b'S' => {
                let line = self.line()?;
                let bare = line.strip_prefix(['\'', '"']).and_then(|text| text.strip_suffix(['\'', '"']));
                Value::Text(bare.unwrap_or(line))
            }
            b'T' | b'B' => self.bytes_of(4)?,
            b'U' | b'C' => self.bytes_of(1)?,
            0x8e | 0x96 => self.bytes_of(8)?,
            _ => return Ok(None),
        }))
    }

    /// A text after its length in this many bytes.
    fn sized_text(&mut self, bytes: usize) -> Result<Value<'a>, String> {
        let len = self.number(bytes)?;
        self.text(len).map(Value::Text)
    }

    /// Bytes after their length, which Python 2 has for texts.
    fn bytes_of(&mut self, bytes: usize) -> Result<Value<'a>, String> {
        let len = usize::try_from(self.number(bytes)?).map_err(|_| "cut off")?;
        Ok(std::str::from_utf8(self.take(len)?).map_or(Value::None, Value::Text))
    }

    fn step(&mut self) -> Next {
        let code = self.take(1)?[0];
        if let Some(value) = self.scalar(code)? {
            return self.push(value);
        }
        match code {
            b'.' => self.pop().map(Some),
            0x80 => match self.number(1)? {
                0..=5 => Ok(None),
                version => Err(format!("protocol {version}; expected at most 5")),
            },
            0x95 => self.take(8).map(|_| None),
            b'(' => {
                self.pay(1)?;
                self.marks.push(self.stack.len());
                Ok(None)
            }
            b'0' => self.pop().map(|_| None),
            b'1' => self.pop_to_mark().map(|_| None),
            b'2' => self.top().and_then(|top| self.again(top)),
            b'q' => self.number(1).and_then(|place| self.put(place)),
            b'r' => self.number(4).and_then(|place| self.put(place)),
            b'p' => self.place().and_then(|place| self.put(place)),
            0x94 => self.put(self.memo.len() as u64),
            b'h' => self.number(1).and_then(|place| self.get(place)),
            b'j' => self.number(4).and_then(|place| self.get(place)),
            b'g' => self.place().and_then(|place| self.get(place)),
            _ => match self.collection(code) {
                Ok(true) => Ok(None),
                Ok(false) => self.object(code),
                Err(e) => Err(e),
            },
        }
    }

    fn place(&mut self) -> Result<u64, String> {
        self.line()?.parse().map_err(|_| "a memo place that is no number".into())
    }

    /// Tuples, lists, sets and dicts; `false` for other operations.
    fn collection(&mut self, code: u8) -> Result<bool, String> {
        match code {
            b')' | b']' => self.push(Value::List(Vec::new()))?,
            0x8f => self.push(Value::Set(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))?
            }
            0x91 => {
                let items = self.pop_to_mark()?;
                self.push(Value::Set(items))?
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&items)?
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.append(items)?
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?
            }
            _ => return Ok(false),
        };
        Ok(true)
    }
}

/// A whole number of any length; one that does not fit is of no interest.
fn whole<'a>(bytes: &[u8]) -> Value<'a> {
    if bytes.len() > 8 {
        return Value::None;
    }
    let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let fill = if sign { u64::MAX } else { 0 };
    Value::Int(bytes.iter().rev().fold(fill, |n, b| n << 8 | u64::from(*b)) as i64)
}
