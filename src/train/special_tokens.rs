//! The tokens that begin and end a sequence.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::Tokenizer;

/// Names of the token that begins a sequence, the usual ones.
const BOS: [&str; 5] = ["<bos>", "<s>", "[BOS]", "[CLS]", "<|endoftext|>"];
/// Names of the token that ends one.
const EOS: [&str; 5] = ["<eos>", "</s>", "[EOS]", "[SEP]", "<|endoftext|>"];

/// Ids that mark a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begins it.
    pub bos: u32,
    /// Ends it.
    pub eos: u32,
}

/// A tokenizer with tokens that begin and end a sequence: those of these names, else the first of the usual names
/// that it has. Our own kinds get `<bos>` and `<eos>` where they have none, and what they have is made special, so
/// that no text encodes to it.
///
/// # Errors
/// A named token that the tokenizer lacks; a Hugging Face tokenizer without any.
pub fn with_special_tokens(
    tokenizer: &Tokenizer,
    bos: Option<&str>,
    eos: Option<&str>,
) -> Result<(Tokenizer, SpecialTokens)> {
    let mut json: Value = serde_json::from_slice(&tokenizer.to_json()).expect("a tokenizer's own JSON");
    let own = matches!(json["model"]["type"].as_str(), Some("characters" | "bytes" | "list"));
    let mut special = serde_json::Map::new();
    let mut next = tokenizer.len() as u32;
    let mut mark = |role: &'static str, name: Option<&str>, usual: &[&str]| {
        let known = match name {
            Some(name) => {
                let lacking = || Error::Option {
                    name: role.into(),
                    value: name.into(),
                    expected: "a token of the tokenizer".into(),
                };
                Some((name.to_string(), tokenizer.id_of(name).ok_or_else(lacking)?))
            }
            None => usual.iter().find_map(|name| Some((name.to_string(), tokenizer.id_of(name)?))),
        };
        let (name, id) = match known {
            Some(known) => known,
            None if own => {
                next += 1;
                (usual[0].to_string(), next - 1)
            }
            None => {
                return Err(Error::NoToken { role, usual: usual.iter().map(|name| name.to_string()).collect() });
            }
        };
        special.insert(name, id.into());
        Ok(id)
    };
    let tokens = SpecialTokens { bos: mark("bos", bos, &BOS)?, eos: mark("eos", eos, &EOS)? };
    if !own {
        return Ok((tokenizer.clone(), tokens));
    }
    if let Some(already) = json["model"]["special"].as_object() {
        special.extend(already.clone());
    }
    json["model"]["special"] = special.into();
    Ok((Tokenizer::from_json(json.to_string().as_bytes(), "tokenizer.json")?, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::OnUnknown;

    #[test]
    fn our_own_kinds_get_what_they_lack() {
        let (characters, special) =
            with_special_tokens(&Tokenizer::characters("abc".chars()).unwrap(), None, None).unwrap();
        assert_eq!(special, SpecialTokens { bos: 3, eos: 4 });
        assert_eq!((characters.len(), characters.decode(&[3, 0, 4]).unwrap().as_str()), (5, "a"));
        assert_eq!(with_special_tokens(&characters, None, None).unwrap().1, special, "once is enough");
        let (bytes, special) = with_special_tokens(&Tokenizer::bytes(), None, None).unwrap();
        assert_eq!((bytes.len(), special), (258, SpecialTokens { bos: 256, eos: 257 }));
    }

    #[test]
    fn a_list_may_have_them() {
        let list = Tokenizer::from_vocabulary(b"<pad>\n</s>\nCl\nC\n<s>", "v.txt").unwrap();
        let (list, special) = with_special_tokens(&list, None, None).unwrap();
        assert_eq!(special, SpecialTokens { bos: 4, eos: 1 });
        assert!(list.is_special(1) && list.is_special(4) && list.len() == 5);
        assert_eq!(list.encode("CCl", OnUnknown::Error).unwrap(), [3, 2]);
        let message = with_special_tokens(&list, Some("<go>"), None).unwrap_err().to_string();
        assert_eq!(message, "bos <go>: expected a token of the tokenizer");
    }

    #[test]
    fn hugging_face_files_are_left_as_they_are() {
        let words = br#"{"model": {"type": "WordLevel", "vocab": {"a": 0, "[CLS]": 1, "end": 2}, "unk_token": "a"}}"#;
        let words = Tokenizer::from_json(words, "t").unwrap();
        let (same, special) = with_special_tokens(&words, None, Some("end")).unwrap();
        assert_eq!((special, same.to_json()), (SpecialTokens { bos: 1, eos: 2 }, words.to_json()));
        let error = with_special_tokens(&words, None, None).unwrap_err();
        assert!(matches!(error, Error::NoToken { role: "eos", .. }), "{error}");
        assert!(error.to_string().contains("none of <eos>, </s>"), "{error}");
    }
}
