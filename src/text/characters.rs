//! Tokens that are Unicode scalars.

use std::collections::{BTreeMap, HashMap};

use super::Entry;
use super::special::Special;

/// No id: marks the ASCII characters that the vocabulary lacks.
const NONE: u32 = u32::MAX;

/// A vocabulary of characters.
pub(super) struct Characters {
    texts: Vec<Box<str>>,
    /// Most texts are mostly ASCII, so that part is a table.
    ascii: [u32; 128],
    others: HashMap<char, u32>,
    special: Special,
}

impl Characters {
    pub fn new(vocab: Vec<String>, special: BTreeMap<String, u32>) -> Result<Characters, String> {
        if vocab.is_empty() {
            return Err("the vocabulary is empty".into());
        }
        let special = Special::new(special, vocab.len(), |id| vocab.get(id).map(String::as_str))?;
        let (mut ascii, mut others) = ([NONE; 128], HashMap::new());
        for (id, entry) in (0..).zip(&vocab) {
            if special.name(id).is_some() {
                continue;
            }
            let mut scalars = entry.chars();
            let (Some(c), None) = (scalars.next(), scalars.next()) else {
                return Err(format!("vocabulary entry {id} is {entry:?}, not one character"));
            };
            let before = match ascii.get_mut(c as usize) {
                Some(slot) => Some(std::mem::replace(slot, id)).filter(|id| *id != NONE),
                None => others.insert(c, id),
            };
            if before.is_some() {
                return Err(format!("vocabulary entry {id}, {c:?}, stands there twice"));
            }
        }
        let texts = vocab.into_iter().map(String::into_boxed_str).collect();
        Ok(Characters { texts, ascii, others, special })
    }

    pub fn len(&self) -> usize {
        self.special.end(self.texts.len())
    }

    pub fn texts(&self) -> Vec<String> {
        self.texts.iter().map(|text| text.to_string()).collect()
    }

    pub fn special(&self) -> &Special {
        &self.special
    }

    /// The id of a character.
    #[inline]
    pub fn id(&self, c: char) -> Option<u32> {
        match self.ascii.get(c as usize) {
            Some(id) => Some(*id).filter(|id| *id != NONE),
            None => self.others.get(&c).copied(),
        }
    }

    pub fn id_of(&self, token: &str) -> Option<u32> {
        let mut scalars = token.chars();
        let single = scalars.next().filter(|_| scalars.next().is_none());
        self.special.id(token).or_else(|| self.id(single?))
    }

    pub fn entry(&self, id: u32) -> Option<Entry<'_>> {
        match self.special.name(id) {
            Some(name) => Some(Entry::Special(name)),
            None => self.texts.get(id as usize).map(|text| Entry::Text(text)),
        }
    }
}
