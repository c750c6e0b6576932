//! Our own kinds: what they read, write, encode and say.

use super::*;
use gatefold::unstable::text::{Decoder, Encoder};

fn read(json: &str) -> Result<Tokenizer, String> {
    Tokenizer::from_json(json.as_bytes(), "t.json").map_err(|e| e.to_string())
}

fn list(text: &str) -> Result<Tokenizer, String> {
    Tokenizer::from_vocabulary(text.as_bytes(), "list.txt").map_err(|e| e.to_string())
}

fn message<T>(result: Result<T, String>) -> String {
    result.err().expect("an error")
}

#[test]
fn text_comes_back() {
    for (name, tokenizer) in own_kinds() {
        for text in TEXTS {
            let ids = tokenizer.encode(text, OnUnknown::Error).unwrap();
            assert!(ids.iter().all(|id| (*id as usize) < tokenizer.len()), "{name}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{name}");
        }
    }
}

#[test]
fn files_come_back() {
    for (name, tokenizer) in own_kinds() {
        let json = tokenizer.to_json();
        let again = Tokenizer::from_json(&json, "again.json").unwrap();
        assert_eq!(again.to_json(), json, "{name}");
        assert_eq!((again.len(), again.kind()), (tokenizer.len(), tokenizer.kind()));
        for id in 0..tokenizer.len() as u32 {
            assert_eq!(again.token_text(id), tokenizer.token_text(id), "{name}");
        }
    }
}

#[test]
fn special_entries_are_no_text() {
    let json =
        r#"{"model": {"type": "characters", "vocab": ["<pad>", "a", "<"], "special": {"<pad>": 0, "<eos>": 3}}}"#;
    let tokenizer = read(json).unwrap();
    assert_eq!((tokenizer.len(), tokenizer.id_of("<eos>"), tokenizer.id_of("<pad>")), (4, Some(3), Some(0)));
    assert_eq!(tokenizer.encode("a<", OnUnknown::Error).unwrap(), [1, 2]);
    assert_eq!(tokenizer.decode(&[0, 1, 3, 2, 3]).unwrap(), "a<");
    assert!(tokenizer.is_special(3) && tokenizer.is_special(0) && !tokenizer.is_special(1));
    let tokenizer = read(r#"{"model": {"type": "bytes", "special": {"<bos>": 256, "<eos>": 257}}}"#).unwrap();
    assert_eq!((tokenizer.len(), tokenizer.id_of("<eos>"), tokenizer.id_of("<0x0A>")), (258, Some(257), Some(10)));
    assert_eq!(tokenizer.decode(&[256, 104, 105, 257]).unwrap(), "hi");
    let again = Tokenizer::from_json(&tokenizer.to_json(), "again.json").unwrap();
    assert_eq!(again.id_of("<bos>"), Some(256));
    for (special, says) in [
        (r#"{"<a>": 4}"#, "t.json: model.special: \"<a>\" is id 4"),
        (r#"{"<a>": 2, "<b>": 2}"#, "both id 2"),
        (r#"{"<a>": 0}"#, "another entry"),
        (r#"{"": 2}"#, "a name is empty"),
    ] {
        let json = format!(r#"{{"model": {{"type": "list", "vocab": ["a", "b"], "special": {special}}}}}"#);
        assert!(message(read(&json)).contains(says), "{special}");
    }
}

#[test]
fn an_unknown_character_is_named_with_its_place() {
    let characters = Tokenizer::characters("a\n".chars()).unwrap();
    let list = list("a\n\\n\n").unwrap();
    for tokenizer in [characters, list] {
        let message = tokenizer.encode("a\naaé", OnUnknown::Error).unwrap_err().to_string();
        assert!(message.contains("character 'é' (U+00E9) at line 2, column 3 is not in"), "{message}");
        assert_eq!(tokenizer.encode("aéa", OnUnknown::Skip).unwrap(), [0, 0]);
        assert_eq!(tokenizer.encode("aéa", OnUnknown::Unk(1)).unwrap(), [0, 1, 0]);
        assert!(tokenizer.encode("a", OnUnknown::Unk(2)).unwrap_err().to_string().contains("id 2"));
        let mut encoder = Encoder::new(&tokenizer, OnUnknown::Error).unwrap();
        let mut ids = Vec::new();
        for piece in ["aa\n", "a", "a\n\n", "aaa", "a"] {
            encoder.push(piece, &mut ids).unwrap();
        }
        let message = encoder.push("a☃", &mut ids).unwrap_err().to_string();
        assert!(message.contains("'☃' (U+2603) at line 4, column 6"), "{message}");
    }
}

#[test]
fn the_longest_token_is_taken() {
    let tokenizer = list("a\nab\nabcd\nb\nc\nd\n[C]\n[").unwrap();
    let ids = tokenizer.encode("abcabcd[C][a", OnUnknown::Error).unwrap();
    assert_eq!(ids, [1, 4, 2, 6, 7, 0]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "abcabcd[C][a");
}

#[test]
fn lists_are_read_as_text_or_json() {
    let tokenizer = list("\u{feff}a b\r\n\\n\\t\n \n\\\n\\\\x\n\\u{1F600}").unwrap();
    let texts: Vec<String> = (0..6).map(|id| tokenizer.decode(&[id]).unwrap()).collect();
    assert_eq!(texts, ["a b", "\n\t", " ", "\\", "\\x", "😀"]);
    assert_eq!(tokenizer.len(), 6);
    assert_eq!(list(" [ \"[C]\", \"\\n\"]").unwrap().encode("\n[C]", OnUnknown::Error).unwrap(), [1, 0]);
    assert_eq!(list("[C]\n[N]").unwrap().len(), 2);
    for (text, says) in [
        ("", "list.txt: the vocabulary is empty"),
        ("[]", "the vocabulary is empty"),
        ("a\n\nb", "line 2 is empty"),
        ("a\nb\na", "entry 2, \"a\", stands there twice"),
        ("a\n\\q", "line 2: unknown escape \\q"),
        ("a\nx\\", "line 2: a backslash at the end"),
        ("\\u{110000}", "no character"),
        ("[\"a\", 1]", "line 1 column"),
        ("[\"a\"", "EOF"),
        ("[\"\"]", "entry 0 is empty"),
    ] {
        let message = message(list(text));
        assert!(message.starts_with("list.txt: ") && message.contains(says), "{text:?}: {message}");
    }
    let message = Tokenizer::from_vocabulary(b"a\xff", "list.txt").unwrap_err().to_string();
    assert!(message.contains("byte 1 is not UTF-8"), "{message}");
}

#[test]
fn bad_vocabularies_are_refused() {
    for (json, says) in [
        (
            r#"{"model": {"type": "characters", "vocab": ["a", "a"]}}"#,
            "t.json: vocabulary entry 1, 'a', stands there twice",
        ),
        (r#"{"model": {"type": "characters", "vocab": ["é", "é"]}}"#, "entry 1, 'é', stands there twice"),
        (r#"{"model": {"type": "characters", "vocab": ["ab"]}}"#, "entry 0 is \"ab\", not one character"),
        (r#"{"model": {"type": "characters", "vocab": []}}"#, "empty"),
        (r#"{"model": {"type": "characters", "vocab": {"a": 0}}}"#, "expected an array of strings"),
        (r#"{"model": {"type": "characters"}}"#, "expected an array of strings"),
        (r#"{"model": {"type": "list", "vocab": ["a", 1]}}"#, "line 1 column"),
        (r#"{"model": {"type": "charms", "vocab": ["a"]}}"#, "model.type is \"charms\"; known are characters"),
        (r#"{"model": {"vocab": ["a"]}}"#, "model.type is missing"),
        ("{}", "missing field `model`"),
        ("", "EOF"),
    ] {
        let message = message(read(json));
        assert!(message.starts_with("t.json: ") && message.contains(says), "{json}: {message}");
    }
}

#[test]
fn tokens_are_shown_escaped() {
    let tokenizer = list("\\n\na\tb\n诗").unwrap();
    let shown: Vec<String> = (0..3).map(|id| tokenizer.token_text(id).unwrap()).collect();
    assert_eq!(shown, ["\\n", "a\\tb", "诗"]);
    assert_eq!(tokenizer.token_text(3), None);
    assert_eq!(Tokenizer::bytes().token_text(0xe8).unwrap(), "\\xe8");
    assert_eq!(Tokenizer::bytes().token_text(0x41).unwrap(), "A");
}

#[test]
fn bytes_may_be_anything() {
    let tokenizer = Tokenizer::bytes();
    let mut encoder = Encoder::new(&tokenizer, OnUnknown::Error).unwrap();
    let mut ids = Vec::new();
    encoder.push_bytes(b"a\xff\xe8", &mut ids).unwrap();
    encoder.finish(&mut ids).unwrap();
    assert_eq!(ids, [0x61, 0xff, 0xe8]);
    let mut decoder = Decoder::new(&tokenizer);
    let mut text = String::new();
    for id in ids {
        decoder.push(id, &mut text).unwrap();
    }
    assert_eq!(text, "a\u{fffd}");
    decoder.finish(&mut text);
    assert_eq!(text, "a\u{fffd}\u{fffd}");
    let error = decoder.push(256, &mut text).unwrap_err();
    assert!(matches!(error, gatefold::Error::TokenId { id: 256, vocabulary: 256 }), "{error}");
}

#[test]
fn a_wrong_byte_is_found() {
    let tokenizer = Tokenizer::characters("a\n诗".chars()).unwrap();
    let text = "a\n诗a\n".as_bytes();
    for cut in 0..text.len() {
        let mut encoder = Encoder::new(&tokenizer, OnUnknown::Error).unwrap();
        let mut ids = Vec::new();
        encoder.push_bytes(&text[..cut], &mut ids).unwrap();
        encoder.push_bytes(&text[cut..], &mut ids).unwrap();
        let message = encoder.push_bytes(b"a\xe8\x41", &mut ids).unwrap_err().to_string();
        assert!(message.contains("byte 8 of the text (in line 3) is not UTF-8"), "{message}");
    }
    let mut encoder = Encoder::new(&tokenizer, OnUnknown::Error).unwrap();
    encoder.push_bytes(b"a\xe8\xaf", &mut Vec::new()).unwrap();
    assert!(encoder.finish(&mut Vec::new()).unwrap_err().to_string().contains("byte 1 of the text"));
}
