//! Hugging Face files, against the `tokenizers` crate's own whole-text encoding and decoding.

use serde_json::{Value, json};

use super::*;

fn both(name: &str, json: &str) -> (Tokenizer, tokenizers::Tokenizer) {
    let ours = Tokenizer::from_json(json.as_bytes(), name).unwrap();
    (ours, tokenizers::Tokenizer::from_bytes(json).unwrap())
}

/// A sample with other parts.
fn variant(name: &str, changes: &[(&str, Value)]) -> String {
    let (_, json) = SAMPLES.iter().find(|(sample, _)| *sample == name).unwrap();
    let mut json: Value = serde_json::from_str(json).unwrap();
    for (path, value) in changes {
        *json.pointer_mut(path).unwrap() = value.clone();
    }
    json.to_string()
}

fn error(json: &str) -> String {
    Tokenizer::from_json(json.as_bytes(), "t.json").unwrap_err().to_string()
}

/// The samples and variants of them with every other decoder, normalizer and pre-tokenizer.
fn files() -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = SAMPLES.map(|(name, json)| (name.into(), json.into())).into();
    let mut add = |name: &str, changes: &[(&str, Value)]| {
        files.push((format!("{name} {changes:?}"), variant(name, changes)));
    };
    add(
        "fallback.json",
        &[(
            "/decoder",
            json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"Regex": "▁+"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 1}]}),
        )],
    );
    add(
        "fallback.json",
        &[
            ("/normalizer", Value::Null),
            (
                "/pre_tokenizer",
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}),
            ),
            (
                "/decoder",
                json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}]}),
            ),
        ],
    );
    add("fallback.json", &[("/decoder", json!({"type": "BPEDecoder", "suffix": "e"}))]);
    add(
        "wordpiece.json",
        &[
            ("/decoder", json!({"type": "WordPiece", "prefix": "##", "cleanup": false})),
            (
                "/normalizer",
                json!({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"},
            {"type": "Lowercase"}, {"type": "Strip", "strip_left": true, "strip_right": true}]}),
            ),
            (
                "/pre_tokenizer",
                json!({"type": "Sequence", "pretokenizers": [{"type": "Whitespace"},
            {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Digits", "individual_digits": true}]}),
            ),
        ],
    );
    add(
        "unigram.json",
        &[("/model/unk_id", json!(2)), ("/decoder", Value::Null), ("/normalizer", json!({"type": "NFKC"}))],
    );
    add("word_level.json", &[("/pre_tokenizer", json!({"type": "CharDelimiterSplit", "delimiter": "\n"}))]);
    files
}

#[test]
fn encodes_as_the_crate_does() {
    for (name, json) in files() {
        let (ours, theirs) = both(&name, &json);
        for seed in 0..100 {
            let text = random_text(&mut Rng(seed), 40);
            for text in TEXTS.into_iter().chain([text.as_str()]) {
                let expected = theirs.encode(text, false).unwrap().get_ids().to_vec();
                assert_eq!(ours.encode(text, lenient(&ours)).unwrap(), expected, "{name}: {text:?}");
            }
        }
    }
}

#[test]
fn decodes_as_the_crate_does() {
    for (name, json) in files() {
        let (ours, theirs) = both(&name, &json);
        for text in TEXTS.into_iter().filter(|text| !text.is_empty()) {
            let ids = ours.encode(text, lenient(&ours)).unwrap();
            if ids.is_empty() {
                continue;
            }
            assert_eq!(ours.decode(&ids).unwrap(), theirs.decode(&ids, true).unwrap(), "{name}: {ids:?}");
        }
        // Bytes that are no text: the crate gives up characters that a stream has already shown.
        if name.starts_with("fallback") {
            continue;
        }
        for seed in 0..300 {
            let mut rng = Rng(seed);
            let ids: Vec<u32> = (0..=rng.below(30)).map(|_| rng.below(ours.len()) as u32).collect();
            assert_eq!(ours.decode(&ids).unwrap(), theirs.decode(&ids, true).unwrap(), "{name}: {ids:?}");
        }
    }
}

#[test]
fn broken_bytes_become_one_mark_each() {
    let ours = Tokenizer::from_json(SAMPLES[2].1.as_bytes(), "fallback.json").unwrap();
    let ids: Vec<u32> = ["▁", "<0xE8>", "<0xAF>", "<0x41>", "<0xE8>", "<0xAF>", "<0x97>", "<0xE8>", "▁"]
        .map(|token| ours.id_of(token).unwrap())
        .into();
    assert_eq!(ours.decode(&ids).unwrap(), "\u{fffd}\u{fffd}A诗\u{fffd} ");
}

#[test]
fn what_a_vocabulary_lacks_is_an_error() {
    let cases = [
        ("wordpiece.json", "the cat\n the snow\u{2603}man", "\"snow☃man\" at line 2, column 6"),
        ("unigram.json", "the\ncat ☃ the", "'☃' (U+2603) at line 2, column 5"),
        ("word_level.json", "the <unk> cat\nsnow", "\"snow\" at line 2, column 1"),
    ];
    for (name, text, says) in cases {
        let tokenizer = Tokenizer::from_json(variant(name, &[]).as_bytes(), name).unwrap();
        let message = tokenizer.encode(text, OnUnknown::Error).unwrap_err().to_string();
        assert!(message.contains(says), "{name}: {message}");
        let unknown = tokenizer.unknown_id().unwrap();
        assert!(tokenizer.encode(text, OnUnknown::Unk(unknown)).unwrap().contains(&unknown));
        let skipped = tokenizer.encode(text, OnUnknown::Skip).unwrap();
        assert!(name == "word_level.json" || !skipped.contains(&unknown));
    }
}

#[test]
fn a_model_without_an_unknown_token_drops_nothing() {
    // The crate itself would encode "a☃b" as "ab", or fail with words about a missing token.
    let bpe = json!({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}});
    let words = json!({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "<unk>"},
        "pre_tokenizer": {"type": "Whitespace"}});
    let unigram = json!({"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -1.0]], "unk_id": null},
        "pre_tokenizer": {"type": "Whitespace"}});
    let pieces = json!({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}, "max_input_chars_per_word": 9},
        "pre_tokenizer": {"type": "Whitespace"}});
    for (json, text) in [(bpe, "a\nb☃"), (words, "a\n b ☃"), (unigram, "a\n b ☃"), (pieces, "a\n b ☃")] {
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), "t.json").unwrap();
        assert_eq!(tokenizer.unknown_id(), None);
        let message = tokenizer.encode(&text[2..], OnUnknown::Error).unwrap_err().to_string();
        assert!(message.contains("'☃' (U+2603) at line 1, column "), "{message}");
        let ids = tokenizer.encode(text, OnUnknown::Skip).unwrap();
        assert_eq!(ids, [0, 1]);
        assert!(tokenizer.encode(text, OnUnknown::Unk(1)).unwrap().ends_with(&[1, 1]));
    }
}

#[test]
fn files_come_back() {
    for (name, json) in files() {
        let tokenizer = Tokenizer::from_json(json.as_bytes(), &name).unwrap();
        assert_eq!(tokenizer.to_json(), json.as_bytes());
    }
}

#[test]
fn special_and_other_tokens_have_their_ids_and_texts() {
    let tokenizer = Tokenizer::from_json(SAMPLES[1].1.as_bytes(), "split.json").unwrap();
    let end = tokenizer.id_of("<|endoftext|>").unwrap();
    assert!(tokenizer.is_special(end) && end as usize == tokenizer.len() - 2);
    assert_eq!(tokenizer.token_text(end).unwrap(), "<|endoftext|>");
    assert_eq!(tokenizer.token_text(tokenizer.id_of("Ġthe").unwrap()).unwrap(), " the");
    assert_eq!(tokenizer.token_text(tokenizer.id_of("Ċ").unwrap()).unwrap(), "\\n");
    assert_eq!(tokenizer.token_text(tokenizer.id_of("è").unwrap()).unwrap(), "\\xe8");
    assert_eq!(tokenizer.kind(), "BPE (tokenizer.json)");
    let ids = tokenizer.encode("a<|endoftext|>b", OnUnknown::Error).unwrap();
    assert_eq!(ids[1], end);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "ab");
}

#[test]
fn added_tokens_keep_their_ids() {
    // The crate would number <b> 3 and <c> 4.
    let json = json!({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "<unk>": 5}, "unk_token": "<unk>"},
        "pre_tokenizer": {"type": "Whitespace"},
        "added_tokens": [{"id": 9, "content": "<b>", "special": true}, {"id": 7, "content": "<c>"}]});
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), "t.json").unwrap();
    assert_eq!(tokenizer.encode("a <b>b<c>", OnUnknown::Error).unwrap(), [0, 9, 1, 7]);
    assert_eq!((tokenizer.len(), tokenizer.token_text(8)), (10, None));
    assert!(tokenizer.decode(&[8]).is_err());
}

#[test]
fn bad_files_are_refused() {
    let bpe = |field: &str, value: Value| variant("fallback.json", &[(field, value)]);
    for (json, says) in [
        (bpe("/model/merges", json!([["t", "zz"]])), "merge 0: the vocabulary has no \"zz\""),
        (bpe("/model/merges", json!(["a b c"])), "expected two tokens"),
        (bpe("/model/vocab", json!({"a": 0, "b": 0})), "are both id 0"),
        (bpe("/model/vocab", json!({"a": 4_000_000_000_u32})), "is id 4000000000"),
        (bpe("/model/vocab", json!([["a", 1.0]])), "expected an object"),
        (bpe("/model/vocab", json!({})), "merge 0: the vocabulary has no \"t\""),
        (bpe("/added_tokens/0/id", json!(7)), "are both id 7"),
        (bpe("/decoder", json!({"type": "CTC"})), "CTC is for speech"),
        (bpe("/decoder", json!({"type": "Foo"})), "unknown variant `Foo`"),
        (bpe("/normalizer", json!({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})), "normalizer: "),
        (bpe("/normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": ""})), "pattern is empty"),
        (bpe("/pre_tokenizer", json!({"type": "FixedLength", "length": 0})), "length is 0"),
        (variant("unigram.json", &[("/model/unk_id", json!(1000))]), "model.unk_id is 1000"),
        (variant("unigram.json", &[("/added_tokens/3/id", json!(60))]), "expected"),
        (variant("unigram.json", &[("/normalizer/precompiled_charsmap", json!("AAAA"))]), "shorter than its size"),
        (
            variant("unigram.json", &[("/normalizer/precompiled_charsmap", json!("BAAAAP////8="))]),
            "leads out of itself",
        ),
        (variant("wordpiece.json", &[("/model/max_input_chars_per_word", json!(1_000_000))]), "at most 512"),
    ] {
        let message = error(&json);
        assert!(message.starts_with("t.json: ") && message.contains(says), "{says}: {message}");
    }
    let doubling = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let json = bpe("/normalizer", json!({"type": "Sequence", "normalizers": vec![doubling; 40]}));
    assert!(error(&json).contains("times as long"));
}

#[test]
fn thirty_two_thousand_tokens() {
    let words: Vec<String> = (0..32_000).map(|i| format!("w{i}")).collect();
    let vocab: serde_json::Map<String, Value> = words.iter().zip(0..).map(|(w, id)| (w.clone(), json!(id))).collect();
    let json = json!({"version": "1.0", "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}});
    let json = serde_json::to_string_pretty(&json).unwrap();
    let tokenizer = Tokenizer::from_json(json.as_bytes(), "words.json").unwrap();
    assert_eq!(tokenizer.len(), 32_000);
    let mut rng = Rng(1);
    let ids: Vec<u32> = (0..50_000).map(|_| rng.below(32_000) as u32).collect();
    let text = tokenizer.decode(&ids).unwrap();
    assert_eq!(tokenizer.encode(&text, OnUnknown::Error).unwrap(), ids);
    let (mut encoder, mut found) =
        (gatefold::unstable::text::Encoder::new(&tokenizer, OnUnknown::Error).unwrap(), Vec::new());
    for piece in random_cuts(&mut rng, &text) {
        encoder.push(piece, &mut found).unwrap();
    }
    encoder.finish(&mut found).unwrap();
    assert_eq!(found, ids);
    assert_eq!(tokenizer.to_json(), json.as_bytes());
}
