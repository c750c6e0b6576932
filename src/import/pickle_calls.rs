//! Names and calls of a pickle: what a saved model needs is built, everything else stays a name with what it was given.

use super::pickle::{Id, Machine, Next};
use super::pickle_values::{Class, Known, Object, Value, known};

impl<'a> Machine<'a> {
    /// Names, calls, and what is built from them.
    pub(super) fn object(&mut self, code: u8) -> Next {
        match code {
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(known(module, name)?)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.values[module], &self.values[name]) {
                    (&Value::Text(module), &Value::Text(name)) => self.push(known(module, name)?),
                    _ => Err("a name that is no text".into()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)
            }
            0x92 => {
                let (_, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(function, arguments)
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.pop_to_mark()?;
                known(module, name)?;
                self.push(Value::Object(Box::new(Object::new(Class { module, name }))))
            }
            b'o' => {
                let items = self.pop_to_mark()?;
                let function = *items.first().ok_or("an object without a class")?;
                self.push(Value::List(Vec::new()))?;
                let arguments = self.pop()?;
                self.call(function, arguments)
            }
            b'b' => {
                // The attributes of a dict, such as `_metadata`, are of no interest.
                let state = self.pop()?;
                let top = self.top()?;
                match &mut self.values[top] {
                    Value::Object(object) => object.state = Some(state),
                    Value::Dict(_) | Value::List(_) | Value::Set(_) | Value::Tensor(_) => {}
                    _ => return Err("attributes for what has none".into()),
                }
                Ok(None)
            }
            _ => Err(format!("operation {code:#04x}, which no saved model needs")),
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
    fn storage(&self, id: Id) -> Result<Value<'a>, String> {
        if let [tag, class, name, ..] = *self.items(id)?
            && let (&Value::Text("storage"), &Value::Known(Known::Storage(class)), &Value::Text(name)) =
                (&self.values[tag], &self.values[class], &self.values[name])
        {
            return Ok(Value::Storage(class, name));
        }
        Err("a persistent id that is no storage of a tensor".into())
    }

    fn call(&mut self, function: Id, arguments: Id) -> Next {
        let known = match self.values[function] {
            Value::Known(known) => known,
            Value::Class(class) => return self.push(Value::Object(Box::new(Object::new(class)))),
            _ => return self.push(Value::None),
        };
        let first = self.items(arguments)?.first().copied();
        match known {
            Known::Dict => match first.map(|first| &self.values[first]) {
                Some(Value::Dict(_)) => self.again(first.expect("it was there")),
                Some(Value::List(pairs)) => {
                    let pairs: Vec<Id> = pairs.clone();
                    self.pay(pairs.len())?;
                    let pair = |id: &Id| match self.items(*id) {
                        Ok(&[key, value]) => Ok((key, value)),
                        _ => Err("a dict made from what are no pairs".to_string()),
                    };
                    let entries = pairs.iter().map(pair).collect::<Result<_, _>>()?;
                    self.push(Value::Dict(entries))
                }
                _ => self.push(Value::Dict(Vec::new())),
            },
            Known::List => match first.map(|first| &self.values[first]) {
                Some(Value::List(_)) => self.again(first.expect("it was there")),
                _ => self.push(Value::List(Vec::new())),
            },
            Known::Set => {
                let items = match first.map(|first| &self.values[first]) {
                    Some(Value::List(items) | Value::Set(items)) => items.clone(),
                    _ => Vec::new(),
                };
                self.pay(items.len())?;
                self.push(Value::Set(items))
            }
            Known::RebuildParameter => {
                let tensor = first.ok_or("a parameter without a tensor")?;
                match &self.values[tensor] {
                    Value::Tensor(_) => self.again(tensor),
                    _ => Err("a parameter that is no tensor".into()),
                }
            }
            Known::RebuildTensor => {
                let tensor = self.tensor(arguments)?;
                self.push(tensor)
            }
            Known::Size => self.again(first.ok_or("a size without a tuple")?),
            Known::Storage(_) => self.push(Value::None),
        }
    }

    fn tensor(&self, arguments: Id) -> Result<Value<'a>, String> {
        let [storage, offset, shape, strides, ..] = *self.items(arguments)? else {
            return Err("a tensor of too few parts".into());
        };
        let Value::Storage(class, name) = self.values[storage] else {
            return Err("a tensor without a storage".into());
        };
        let sizes = |id: Id| self.items(id)?.iter().take(9).map(|id| self.int(*id)).collect::<Result<Vec<_>, _>>();
        Ok(Value::tensor(class, name, self.int(offset)?, sizes(shape)?, sizes(strides)?))
    }
}
