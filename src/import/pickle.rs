//! A machine for pickles that builds numbers, texts, tuples, lists, dicts and tensors, and nothing else.
//!
//! A pickle is a program: it may ask for any function of Python and call it. This machine knows the few names that a
//! saved dict of tensors needs; the first other one ends it. Nothing that was named is ever run.

use std::collections::HashMap;

use crate::model::short;

/// Values at most that a pickle may build.
const MAX_VALUES: usize = 1 << 22;

/// A place in [`Pickle::values`].
pub type Id = usize;

/// What a pickle builds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// None, and whatever does not matter.
    None,
    /// True or False.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// A tuple or a list.
    List(Vec<Id>),
    /// A dict, in its order.
    Dict(Vec<(Id, Id)>),
    /// A name that the machine knows.
    Known(Known),
    /// A stretch of numbers in the archive: its type, its name there, its length.
    Storage(&'static str, String, i64),
    /// A tensor in a storage: offset, sizes, strides, in numbers.
    Tensor(Id, i64, Vec<i64>, Vec<i64>),
}

/// The names that may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// collections.OrderedDict.
    OrderedDict,
    /// torch._utils._rebuild_tensor_v2 and its elders.
    RebuildTensor,
    /// torch._utils._rebuild_parameter.
    RebuildParameter,
    /// torch.FloatStorage and so on.
    Storage(&'static str),
    /// torch.Size.
    Size,
}

const STORAGES: [&str; 10] = [
    "FloatStorage",
    "HalfStorage",
    "BFloat16Storage",
    "DoubleStorage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];

fn known(module: &str, name: &str) -> Result<Known, String> {
    match (module, name) {
        ("collections", "OrderedDict") => Ok(Known::OrderedDict),
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Ok(Known::RebuildTensor),
        ("torch._utils", "_rebuild_parameter") => Ok(Known::RebuildParameter),
        ("torch", "Size") => Ok(Known::Size),
        ("torch", name) if STORAGES.contains(&name) => {
            Ok(Known::Storage(STORAGES.iter().find(|s| **s == name).expect("found")))
        }
        _ if module.starts_with("torch.nn") || module == "__main__" => Err(format!(
            "it holds a Python object ({}.{}), not a dict of tensors; save `model.state_dict()` with torch.save",
            short(module),
            short(name)
        )),
        _ => Err(format!(
            "the pickle asks for {}.{}, which is refused: only tensors and dicts are built, and nothing is run",
            short(module),
            short(name)
        )),
    }
}

/// What a pickle built.
pub struct Pickle {
    /// All values; the others name them.
    pub values: Vec<Value>,
    /// The last one.
    pub top: Id,
}

/// Runs a pickle.
pub fn run(bytes: &[u8]) -> Result<Pickle, String> {
    let mut machine =
        Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(top)) => return Ok(Pickle { values: machine.values, top }),
            Err(what) => return Err(format!("in the pickle, at byte {at}: {what}")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or("cut off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, String> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn text(&mut self, len: u64) -> Result<String, String> {
        let len = usize::try_from(len).map_err(|_| "cut off")?;
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| "a text that is not UTF-8")?;
        Ok(text.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|b| *b == b'\n').ok_or("cut off in a name")?;
        let line = self.text(len as u64)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Result<Option<Id>, String> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(None)
    }

    fn pop(&mut self) -> Result<Id, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err("a value is missing".into());
        }
        Ok(self.stack.pop().expect("asked"))
    }

    fn top(&self) -> Result<Id, String> {
        self.stack.last().copied().ok_or("a value is missing".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, n: usize) -> Result<Option<Id>, String> {
        let mut items = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Value::List(items))
    }

    fn put(&mut self, place: u64) -> Result<Option<Id>, String> {
        let place = u32::try_from(place).map_err(|_| "a memo place that is too large")?;
        let top = self.top()?;
        self.memo.insert(place, top);
        Ok(None)
    }

    fn get(&mut self, place: u64) -> Result<Option<Id>, String> {
        let id = u32::try_from(place).ok().and_then(|place| self.memo.get(&place).copied());
        self.stack.push(id.ok_or("a memo place that is empty")?);
        Ok(None)
    }

    fn append(&mut self, items: Vec<Id>) -> Result<Option<Id>, String> {
        let list = self.top()?;
        match &mut self.values[list] {
            Value::List(list) => list.extend(items),
            _ => return Err("an item for what is no list".into()),
        }
        Ok(None)
    }

    fn set(&mut self, items: &[Id]) -> Result<Option<Id>, String> {
        let dict = self.top()?;
        let Value::Dict(entries) = &mut self.values[dict] else { return Err("an entry for what is no dict".into()) };
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value".into());
        }
        entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
        Ok(None)
    }

    /// A number or a text; `None` for other operations.
    fn scalar(&mut self, code: u8) -> Result<Option<Value>, String> {
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
                let bytes = self.take(len)?;
                if len > 8 {
                    return Err("a whole number of more than 64 bits".into());
                }
                let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
                let fill = if sign { u64::MAX } else { 0 };
                let n = bytes.iter().rev().fold(fill, |n, b| n << 8 | u64::from(*b));
                Value::Int(n as i64)
            }
            b'G' => {
                let bits = self.take(8)?.iter().fold(0, |n, b| n << 8 | u64::from(*b));
                Value::Float(f64::from_bits(bits))
            }
            b'X' | b'T' => self.sized_text(4)?,
            0x8c | b'U' => self.sized_text(1)?,
            0x8d => self.sized_text(8)?,
            _ => return Ok(None),
        }))
    }

    /// A text behind its length in this many bytes.
    fn sized_text(&mut self, bytes: usize) -> Result<Value, String> {
        let len = self.number(bytes)?;
        self.text(len).map(Value::Text)
    }

    fn step(&mut self) -> Result<Option<Id>, String> {
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
                self.marks.push(self.stack.len());
                Ok(None)
            }
            b'0' => self.pop().map(|_| None),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(None)
            }
            b')' | b']' => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b't' | b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items))
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()))?;
                self.set(&items)
            }
            0x85 => self.tuple(1),
            0x86 => self.tuple(2),
            0x87 => self.tuple(3),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)
            }
            b'q' => self.number(1).and_then(|place| self.put(place)),
            b'r' => self.number(4).and_then(|place| self.put(place)),
            0x94 => self.put(self.memo.len() as u64),
            b'h' => self.number(1).and_then(|place| self.get(place)),
            b'j' => self.number(4).and_then(|place| self.get(place)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Known(known(&module, &name)?))
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (Value::Text(module), Value::Text(name)) => {
                        let known = known(module, name)?;
                        self.push(Value::Known(known))
                    }
                    _ => Err("a name that is no text".into()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let value = self.call(function, arguments)?;
                self.push(value)
            }
            b'b' => {
                // The attributes of a dict, such as `_metadata`: of no interest.
                self.pop()?;
                match self.top().map(|top| &self.values[top])? {
                    Value::Dict(_) => Ok(None),
                    _ => Err("attributes for what is no dict; only tensors and dicts are built".into()),
                }
            }
            b'i' | b'o' | 0x81 | 0x92 => Err("it makes a Python object; only tensors and dicts are built".into()),
            _ => Err(format!("operation {code:#04x}, which a dict of tensors does not need")),
        }
    }

    fn items(&self, id: Id) -> Result<&[Id], String> {
        match &self.values[id] {
            Value::List(items) => Ok(items),
            _ => Err("a tuple is missing".into()),
        }
    }

    fn int(&self, id: Id) -> Result<i64, String> {
        match self.values[id] {
            Value::Int(n) => Ok(n),
            _ => Err("a whole number is missing".into()),
        }
    }

    /// ('storage', torch.FloatStorage, '0', 'cpu', 1234).
    fn storage(&self, id: Id) -> Result<Value, String> {
        let items = self.items(id)?;
        if let [tag, class, name, _, len] = *items {
            let tag = &self.values[tag];
            if let (Value::Text(tag), Value::Known(Known::Storage(class)), Value::Text(name)) =
                (tag, &self.values[class], &self.values[name])
                && tag == "storage"
            {
                return Ok(Value::Storage(class, name.clone(), self.int(len)?));
            }
        }
        Err("a persistent id that is no storage of a tensor".into())
    }

    fn call(&self, function: Id, arguments: Id) -> Result<Value, String> {
        let Value::Known(known) = self.values[function] else { return Err("a call of what is no function".into()) };
        let items = self.items(arguments)?;
        match known {
            Known::OrderedDict if items.is_empty() => Ok(Value::Dict(Vec::new())),
            Known::OrderedDict => Err("an OrderedDict made from a list".into()),
            Known::RebuildParameter => {
                let tensor = *items.first().ok_or("a parameter without a tensor")?;
                match &self.values[tensor] {
                    value @ Value::Tensor(..) => Ok(value.clone()),
                    _ => Err("a parameter that is no tensor".into()),
                }
            }
            Known::RebuildTensor => {
                let [storage, offset, shape, strides, ..] = *items else {
                    return Err("a tensor of too few parts".into());
                };
                if !matches!(self.values[storage], Value::Storage(..)) {
                    return Err("a tensor without a storage".into());
                }
                let sizes =
                    |id: Id| self.items(id)?.iter().take(9).map(|id| self.int(*id)).collect::<Result<Vec<_>, _>>();
                Ok(Value::Tensor(storage, self.int(offset)?, sizes(shape)?, sizes(strides)?))
            }
            Known::Size => Ok(self.values[*items.first().ok_or("a size without a tuple")?].clone()),
            Known::Storage(name) => Err(format!("a call of torch.{name}")),
        }
    }
}
