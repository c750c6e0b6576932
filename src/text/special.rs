//! Special entries of our own kinds.

use std::collections::{BTreeMap, HashMap};

/// Entries that mark something (`<bos>`, `<eos>`, `<pad>`): no text encodes to them, they decode to nothing.
#[derive(Default)]
pub(super) struct Special {
    by_name: BTreeMap<String, u32>,
    names: HashMap<u32, String>,
    /// Ids after the vocabulary.
    appended: usize,
}

impl Special {
    /// Special entries beside a vocabulary of `base` ids, where `entry` is what the vocabulary writes at an id. An id
    /// below `base` must carry the special entry's own name; the others go on after the vocabulary without a hole.
    pub fn new<'a>(
        by_name: BTreeMap<String, u32>,
        base: usize,
        entry: impl Fn(usize) -> Option<&'a str>,
    ) -> Result<Special, String> {
        let mut names = HashMap::with_capacity(by_name.len());
        let mut appended = 0;
        for (name, id) in &by_name {
            if name.is_empty() {
                return Err("model.special: a name is empty".into());
            }
            if (*id as usize) < base {
                if entry(*id as usize) != Some(name) {
                    return Err(format!(
                        "model.special: {name:?} is id {id}, but the vocabulary has another entry there"
                    ));
                }
            } else {
                appended += 1;
            }
            if let Some(other) = names.insert(*id, name.clone()) {
                return Err(format!("model.special: {name:?} and {other:?} are both id {id}"));
            }
        }
        let end = base + appended;
        if let Some((name, id)) = by_name.iter().find(|(_, id)| **id as usize >= end) {
            return Err(format!("model.special: {name:?} is id {id}; expected ids below {end}, without a hole"));
        }
        Ok(Special { by_name, names, appended })
    }

    pub fn by_name(&self) -> &BTreeMap<String, u32> {
        &self.by_name
    }

    pub fn id(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// One more than the largest id.
    pub fn end(&self, base: usize) -> usize {
        base + self.appended
    }
}
