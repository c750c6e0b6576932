//! Fields of a JSON file, taken one by one, so that an error names the file, the field, what was found and what was
//! expected.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Fault, Result, json_fault};

/// Bytes of a file of fields at most. A JSON value takes up to 16 times its text in memory, and twice that while it
/// grows.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// A type that an entry of a JSON object may have.
pub(super) trait Entry: for<'de> Deserialize<'de> {
    /// Whether the entry of this name is something else, and of no interest.
    fn skips(_name: &str) -> bool {
        false
    }
}

impl Entry for Value {}

/// A JSON object whose names are unique. Serde's own maps keep the last of two silently.
pub(super) struct Entries<V>(pub BTreeMap<String, V>);

impl<'de, V: Entry> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Collect<V>(PhantomData<V>);
        impl<'de, V: Entry> Visitor<'de> for Collect<V> {
            type Value = Entries<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries<V>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if V::skips(&name) {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let value = map.next_value()?;
                    if entries.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{}` stands there twice", short(&name))));
                    }
                    entries.insert(name, value);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect(PhantomData))
    }
}

/// The beginning of a text from a file, fit for one line of a message: 60 characters at most, none of them a control
/// character.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 60;
    const DOTS: &str = "...";
    let escape = |c: char| if matches!(c, '"' | '\'') { c.to_string() } else { c.escape_debug().to_string() };
    let (mut shown, mut kept, mut width) = (String::new(), 0, 0);
    for escaped in text.chars().map(escape) {
        width += escaped.chars().count();
        shown += &escaped;
        if width <= MOST - DOTS.len() {
            kept = shown.len();
        }
        if width > MOST {
            shown.truncate(kept);
            return shown + DOTS;
        }
    }
    shown
}

/// The fields of a JSON file that is one object. `null` is an absent field, as Hugging Face's tools write it.
pub(super) struct Fields<'a> {
    file: &'a str,
    /// The object's own name and a point, where it stands in another one.
    prefix: String,
    values: BTreeMap<String, Value>,
}

impl<'a> Fields<'a> {
    /// Parses a file; `file` is its name in messages.
    pub fn parse(file: &'a str, json: &[u8]) -> Result<Fields<'a>> {
        if json.len() > MAX_BYTES {
            return Err(Error::model(file, format!("{} bytes; expected at most {MAX_BYTES}", json.len())));
        }
        let json = crate::text::unmarked(json).map_err(|what| Error::model(file, what))?;
        let wrong = |e| Error::model(file, json_fault(&e));
        let Entries(values) = serde_json::from_slice(json).map_err(wrong)?;
        Ok(Fields { file, prefix: String::new(), values })
    }

    /// An object within the object.
    pub fn object(&self, field: &str) -> Result<Option<Fields<'a>>> {
        let values = self.optional(field, "an object", |value| value.as_object().cloned())?;
        let prefix = format!("{}{field}.", self.prefix);
        Ok(values.map(|values| Fields { file: self.file, prefix, values: values.into_iter().collect() }))
    }

    /// One of some names: what it stands for.
    pub fn choice<T: Copy>(&self, field: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let named = |value: &Value| choices.iter().find(|(name, _)| value.as_str() == Some(name)).map(|(_, of)| *of);
        self.optional(field, &format!("one of {}", names.join(", ")), named)
    }

    /// The error for a field that is not as expected.
    pub fn wrong(&self, field: &str, expected: &str) -> Error {
        let found = match self.values.get(field) {
            None => "is missing".to_string(),
            Some(Value::String(text)) => format!("is \"{}\"", short(text)),
            Some(value) => format!("is {}", short(&value.to_string())),
        };
        Error::model(self.file, Fault::field(format!("{}{field}", self.prefix), found).expected(expected))
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.values.get(field).filter(|value| !value.is_null())
    }

    /// A field through `convert`, which gives `None` for what is not as expected.
    fn optional<T>(&self, field: &str, expected: &str, convert: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let value = self.get(field);
        value.map(|value| convert(value).ok_or_else(|| self.wrong(field, expected))).transpose()
    }

    /// A whole number in a range.
    pub fn integer(&self, field: &str, range: RangeInclusive<u64>) -> Result<Option<u64>> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.optional(field, &expected, |value| value.as_u64().filter(|n| range.contains(n)))
    }

    /// A whole number in a range that must be there.
    pub fn size(&self, field: &str, range: RangeInclusive<u64>) -> Result<usize> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        Ok(self.integer(field, range)?.ok_or_else(|| self.wrong(field, &expected))? as usize)
    }

    /// A number for which `fits` holds once it is an f32.
    pub fn real(&self, field: &str, expected: &str, fits: impl Fn(f32) -> bool) -> Result<Option<f32>> {
        self.optional(field, expected, |value| value.as_f64().map(|x| x as f32).filter(|x| x.is_finite() && fits(*x)))
    }

    /// `true` or `false`.
    pub fn flag(&self, field: &str) -> Result<Option<bool>> {
        self.optional(field, "true or false", Value::as_bool)
    }

    /// A text.
    pub fn text(&self, field: &str) -> Result<Option<String>> {
        self.optional(field, "a text", |value| value.as_str().map(String::from))
    }

    /// A text that is not empty, or a list of such.
    pub fn texts(&self, field: &str) -> Result<Option<Vec<String>>> {
        let one = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(String::from);
        self.optional(field, "a text that is not empty, or a list of such texts", |value| one_or_list(value, one))
    }

    /// A token id.
    pub fn id(&self, field: &str, vocab: usize) -> Result<Option<u32>> {
        self.optional(field, &id_expected("a token id", vocab), |value| as_id(value, vocab))
    }

    /// A token id, or a list of them; none where the field is absent.
    pub fn ids(&self, field: &str, vocab: usize) -> Result<Vec<u32>> {
        let expected = id_expected("a token id, or a list of token ids,", vocab);
        let ids = self.optional(field, &expected, |value| one_or_list(value, |item| as_id(item, vocab)))?;
        Ok(ids.unwrap_or_default())
    }
}

fn one_or_list<T>(value: &Value, convert: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(convert).collect(),
        one => convert(one).map(|item| vec![item]),
    }
}

fn id_expected(what: &str, vocab: usize) -> String {
    format!("{what} below vocab_size {vocab}")
}

fn as_id(value: &Value, vocab: usize) -> Option<u32> {
    value.as_u64().filter(|id| *id < vocab as u64).and_then(|id| u32::try_from(id).ok())
}

/// For serde: one id as a number, several as a list.
pub(super) fn write_ids<S: serde::Serializer>(ids: &Vec<u32>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    use serde::Serialize;
    match ids[..] {
        [id] => id.serialize(serializer),
        _ => ids.serialize(serializer),
    }
}
