//! Texts as files have them: byte-order marks, ends of lines, other encodings; how many bytes became tokens.

use super::*;
use gatefold::unstable::text::{Encoder, Tally};

fn encode(tokenizer: &Tokenizer, unknown: OnUnknown, bytes: &[u8], piece: usize) -> Result<(Vec<u32>, Tally), String> {
    let mut encoder = Encoder::new(tokenizer, unknown).unwrap();
    let mut ids = Vec::new();
    for part in bytes.chunks(piece) {
        encoder.push_bytes(part, &mut ids).map_err(|e| e.to_string())?;
    }
    encoder.finish(&mut ids).map_err(|e| e.to_string())?;
    Ok((ids, encoder.take_tally()))
}

#[test]
fn marks_and_returns_are_passed_over_however_the_text_is_cut() {
    for (name, tokenizer) in all_kinds() {
        let unknown = lenient(&tokenizer);
        let plain = "the cat\nthen the cat\n\nthe th";
        let expected = tokenizer.encode(plain, unknown).unwrap();
        // Our own kinds have a carriage return in these tests' alphabet, and bytes have all of them.
        let ends = if tokenizer.id_of("\r").is_none() { ["\n", "\r\n"] } else { ["\n", "\n"] };
        for (text, piece) in
            ends.iter().flat_map(|end| [1, 2, 3, 5, 100].map(|piece| (plain.replace('\n', end), piece)))
        {
            let marked = format!("\u{feff}{text}");
            let (ids, tally) = encode(&tokenizer, unknown, marked.as_bytes(), piece).unwrap();
            assert_eq!(ids, expected, "{name}, {text:?} in {piece}");
            assert_eq!(tally.bytes, plain.len() as u64, "{name}");
        }
    }
    let characters = Tokenizer::characters("ab\n".chars()).unwrap();
    let error = encode(&characters, OnUnknown::Error, b"ab\r\na\rb", 2).unwrap_err();
    assert!(error.starts_with("character '\\r' (U+000D) at line 2, column 2"), "{error}");
    let with_return = Tokenizer::characters("ab\r\n".chars()).unwrap();
    assert_eq!(encode(&with_return, OnUnknown::Error, b"a\r\nb", 2).unwrap().0, [0, 2, 3, 1]);
}

#[test]
fn a_tally_counts_bytes_of_the_first_token_and_what_is_lacking() {
    for (name, tokenizer) in all_kinds() {
        let unknown = lenient(&tokenizer);
        for text in TEXTS.iter().filter(|text| !text.is_empty()) {
            let (ids, tally) = encode(&tokenizer, unknown, text.as_bytes(), 7).unwrap();
            assert!(tally.first <= tally.bytes && (ids.is_empty() || tally.first > 0), "{name} {text:?}: {tally:?}");
            assert!(tally.lacking.bytes <= tally.bytes, "{name} {text:?}: {tally:?}");
        }
    }
    let words = Tokenizer::from_json(SAMPLES[5].1.as_bytes(), "word_level.json").unwrap();
    let (_, tally) = encode(&words, OnUnknown::Skip, "snark the cat boojum snark".as_bytes(), 100).unwrap();
    assert_eq!(tally.lacking.kinds, [("snark".to_string(), 2), ("boojum".into(), 1)]);
    assert_eq!((tally.lacking.places, tally.lacking.bytes, tally.first), (3, 16, 3));
    assert_eq!((tally.encoded(true, true), tally.encoded(false, true), tally.encoded(false, false)), (10, 7, 23));
    // A byte-level token stands for the bytes of the text, not for those of its name.
    let bytes = Tokenizer::from_json(SAMPLES[0].1.as_bytes(), "byte_level.json").unwrap();
    let (_, tally) = encode(&bytes, lenient(&bytes), " \u{e9}".as_bytes(), 100).unwrap();
    assert!(tally.first >= 1 && tally.first <= 3, "{tally:?}");
}

#[test]
fn other_encodings_are_named() {
    let tokenizer = Tokenizer::characters("ab\u{0}".chars()).unwrap();
    for (bytes, name) in [
        (&b"\xff\xfea\0b\0"[..], "UTF-16"),
        (b"\xfe\xff\0a\0b", "UTF-16"),
        (b"\xff\xfe\0\0a\0\0\0", "UTF-32"),
        (b"a\0b\0a\0b\0a\0b\0", "UTF-16LE"),
        (b"\0a\0b\0a\0b\0a\0b", "UTF-16BE"),
    ] {
        let error = encode(&tokenizer, OnUnknown::Error, bytes, 100).unwrap_err();
        assert!(error.starts_with(&format!("the text is in {name}; expected UTF-8. `iconv")), "{error}");
        let error = Tokenizer::from_vocabulary(bytes, "v.txt").unwrap_err().to_string();
        assert!(error.starts_with(&format!("v.txt: the text is in {name};")), "{error}");
        // To bytes it is as good as any.
        assert!(encode(&Tokenizer::bytes(), OnUnknown::Error, bytes, 100).is_ok());
    }
    assert!(encode(&tokenizer, OnUnknown::Error, b"a\0b\0\0", 100).is_ok(), "a text may hold zeros");
}
