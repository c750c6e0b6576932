//! Broken tokenizers of every kind. What is accepted all the same must also encode and decode.

use gatefold::Error;
use gatefold::unstable::text::{Encoder, OnUnknown, Tokenizer};

use super::mutations::{self, Rng};
use super::{Format, ONE_AT_A_TIME, attack, hold_to_cap};

/// Short, with ASCII, Chinese, an emoji, combining marks, special tokens and characters that charsmaps know.
const TEXT: &str = "the cat's  hat, 2024!\n明月 e\u{301} ① \u{fb01}\u{2}\n\n<s> <mask> <|endoftext|>🎉\t\u{3000}x ";

/// Uses a tokenizer in every way there is. Errors are fine by now, panics are not.
fn exercise(tokenizer: &Tokenizer) {
    let _ = (tokenizer.to_json(), tokenizer.kind(), tokenizer.id_of("the"), format!("{tokenizer:?}"));
    let unknown = tokenizer.unknown_id().map_or(OnUnknown::Skip, OnUnknown::Unk);
    for unknown in [OnUnknown::Error, OnUnknown::Skip, unknown] {
        if let Ok(ids) = tokenizer.encode(TEXT, unknown) {
            assert!(ids.iter().all(|id| (*id as usize) < tokenizer.len()), "an id out of range");
            tokenizer.decode(&ids).expect("ids that it wrote itself");
        }
    }
    let mut encoder = Encoder::new(tokenizer, OnUnknown::Skip).expect("no unknown id to check");
    let mut ids = Vec::new();
    for bytes in TEXT.as_bytes().chunks(7) {
        let _ = encoder.push_bytes(bytes, &mut ids);
    }
    let _ = encoder.finish(&mut ids);
    let few: Vec<u32> = (0..tokenizer.len().min(64) as u32).collect();
    let _ = tokenizer.decode(&few);
    few.iter().for_each(|id| drop(tokenizer.token_text(*id)));
}

fn attack_json(name: &'static str, json: &str, mutate: fn(&mut Rng, &[u8]) -> Vec<u8>) {
    let open = |bytes: &[u8]| -> Result<(), Error> {
        Tokenizer::from_json(bytes, "broken/tokenizer.json").map(|tokenizer| exercise(&tokenizer))
    };
    attack(&Format { name, valid: json.as_bytes().to_vec(), mutate, open: &open, names: "broken/tokenizer.json: " });
}

fn attack_list(name: &'static str, list: Vec<u8>, mutate: fn(&mut Rng, &[u8]) -> Vec<u8>) {
    let open = |bytes: &[u8]| -> Result<(), Error> {
        Tokenizer::from_vocabulary(bytes, "broken/list").map(|tokenizer| exercise(&tokenizer))
    };
    attack(&Format { name, valid: list, mutate, open: &open, names: "broken/list: " });
}

#[test]
fn characters() {
    let json = r#"{"model": {"type": "characters", "vocab": ["<pad>", "a", "t", "h", "e", " ", "\n", "\u660e"],
        "special": {"<pad>": 0, "<bos>": 8, "<eos>": 9}}}"#;
    attack_json("characters", json, mutations::json);
}

#[test]
fn bytes() {
    let json = r#"{"model": {"type": "bytes", "special": {"<bos>": 256, "<eos>": 257, "<pad>": 258, "<unk>": 259}}}"#;
    attack_json("bytes", json, mutations::json);
}

#[test]
fn list() {
    let json = r#"{"model": {"type": "list", "vocab": ["<pad>", "the", "th", "t", "he", "\n", " ", "\u660e\u6708"],
        "special": {"<pad>": 0, "<bos>": 8, "<eos>": 9}}}"#;
    attack_json("list", json, mutations::json);
}

#[test]
fn byte_level_bpe() {
    attack_json("byte-level BPE", include_str!("../tokenizers/byte_level.json"), mutations::json);
}

#[test]
fn split_bpe() {
    // GPT's expression takes ten milliseconds to compile, so a simple one with a look-ahead stands in for it.
    let json = include_str!("../tokenizers/split.json");
    let (start, end) = pattern(json);
    let json = format!(r"{} ?[a-z]+|\\s+(?!\\S)|\\s+|[^\\s]{}", &json[..start], &json[end..]);
    attack_json("BPE with a regular expression", &json, mutate_strings);
}

/// Where the regular expression of a file stands.
fn pattern(json: &str) -> (usize, usize) {
    let start = json.find(r#""Regex":""#).map_or(0, |at| at + 9);
    (start, start + json[start..].find(r#""},"#).expect("its end"))
}

#[test]
fn fallback_bpe() {
    attack_json("BPE with byte fallback", include_str!("../tokenizers/fallback.json"), mutations::json);
}

#[test]
fn wordpiece() {
    attack_json("WordPiece", include_str!("../tokenizers/wordpiece.json"), mutations::json);
}

#[test]
fn word_level() {
    attack_json("WordLevel", include_str!("../tokenizers/word_level.json"), mutations::json);
}

#[test]
fn unigram() {
    attack_json("Unigram", include_str!("../tokenizers/unigram.json"), mutate_charsmap);
}

#[test]
fn text_list() {
    // Every printable character is there, so that most changes make a doubled token.
    let singles: Vec<String> = (b' '..=b'~').map(|byte| char::from(byte).to_string()).collect();
    let list = singles.join("\n") + "\n\\n\n\\t\n\\\\n\nthe\n明月\n\\u{1F389}\n";
    attack_list("text list", list.into_bytes(), mutate_lines);
}

#[test]
fn json_list() {
    attack_list(
        "JSON list",
        br#"["a", "the", "th", "\n", " ", "\u660e\u6708", "\\", "[C]"]"#.to_vec(),
        mutations::json,
    );
}

/// As [`mutations::json`]; one time in eight (they are slow to compile), regular expressions, patterns and suffixes become harder ones.
fn mutate_strings(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    const PATTERNS: [&str; 16] = [
        "(",
        "",
        "(a*)*b",
        "(?=(a{900}){900}){900}",
        "((((\\\\w{50}){50}){50}){50}){50}",
        "\\\\p{L}{1000}{1000}",
        "(?:x?){5000}",
        "(?<n>a)\\\\k<n>+",
        "(?<!a{1,1000}b)\\\\s",
        "$|^",
        "(?R)",
        "\\\\b",
        "(a|b|ab)*(?=c)c*\\\\1",
        "[^\\\\x00-\\\\u{10FFFF}]",
        "(?i)\\\\pL{500}",
        ".*.*.*.*.*.*(?=x)y",
    ];
    if rng.below(8) > 0 {
        return mutations::json(rng, valid);
    }
    let text = std::str::from_utf8(valid).expect("JSON");
    let (start, end) = pattern(text);
    // Several together, so that not only each alone is tried.
    let patterns: Vec<&str> = (0..=rng.below(3)).map(|_| *rng.pick(&PATTERNS)).collect();
    let behaviors = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"];
    let text = format!("{}{}{}", &text[..start], patterns.join("|"), &text[end..]);
    text.replacen("Isolated", rng.pick::<&str>(&behaviors), 1).into_bytes()
}

/// As [`mutations::json`]; every other time, units of the charsmap's trie change, so that it leads elsewhere.
fn mutate_charsmap(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if rng.below(2) == 0 {
        return mutations::json(rng, valid);
    }
    let mut bytes = valid.to_vec();
    let text = std::str::from_utf8(valid).expect("JSON");
    let start = text.find(r#"charsmap":""#).expect("a charsmap") + 11;
    let length = text[start..].find('"').expect("its end");
    // Most units are zero: those that are not lead somewhere.
    let used: Vec<usize> = (start..start + length).filter(|at| bytes[*at] != b'A').collect();
    for _ in 0..=rng.below(3) {
        let at = if rng.below(4) == 0 { start + rng.below(length) } else { *rng.pick(&used) };
        bytes[at] = *rng.pick(DIGITS);
    }
    bytes
}

/// Lines doubled, emptied, joined, made long, or with escapes.
fn mutate_lines(rng: &mut Rng, valid: &[u8]) -> Vec<u8> {
    const LINES: [&str; 12] =
        ["", "\\", "\\q", "\\u", "\\u{", "\\u{}", "\\u{d800}", "\\u{fffffffff}", "\\u{1F600}", "\r", "[\"", "\u{feff}"];
    let text = std::str::from_utf8(valid).expect("text");
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for _ in 0..=rng.below(3) {
        let at = rng.below(lines.len());
        match rng.below(5) {
            0 => lines.push(lines[at].clone()),
            1 => lines[at] = (*rng.pick(&LINES)).to_string(),
            2 => lines.insert(0, (*rng.pick(&LINES)).to_string()),
            3 => lines[at] = lines[at].repeat(1 << rng.below(18)),
            _ => lines[at] += *rng.pick::<&str>(&LINES),
        }
    }
    lines.join(*rng.pick::<&str>(&["\n", "\n", "\n", "\r\n", "\n\n"])).into_bytes()
}

/// Small files and texts that were made for each other, so that every byte of a text takes as much work as it can: each
/// ends soon, with ids or with an error that says why.
#[test]
fn work_for_each_byte_is_bounded() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let word_level = |part: &str| {
        format!(r#"{{"model":{{"type":"WordLevel","vocab":{{"a":0,"b":1,"[UNK]":2}},"unk_token":"[UNK]"}},{part}}}"#)
    };
    let split = |pattern: &str| {
        let pattern = serde_json::to_string(pattern).expect("JSON");
        word_level(&format!(
            r#""pre_tokenizer":{{"type":"Split","pattern":{{"Regex":{pattern}}},"behavior":"Isolated","invert":false}}"#
        ))
    };
    let replace = |pattern: &str| {
        word_level(&format!(r#""normalizer":{{"type":"Replace","pattern":{{"Regex":"{pattern}"}},"content":"b"}}"#))
    };
    let unigram = |longest: usize| {
        let pieces: Vec<String> = (1..=longest).map(|n| format!(r#"["{}",-{n}]"#, "a".repeat(n))).collect();
        format!(r#"{{"model":{{"type":"Unigram","unk_id":0,"vocab":[{}]}}}}"#, pieces.join(","))
    };
    let word_piece = |longest: usize| {
        let long = "a".repeat(longest);
        format!(
            r###"{{"model":{{"type":"WordPiece","vocab":{{"a":0,"##a":1,"[UNK]":2,"{long}b":3}},"unk_token":"[UNK]",
            "max_input_chars_per_word":{longest}}},"pre_tokenizer":{{"type":"WhitespaceSplit"}}}}"###
        )
    };
    let merges = |depth: u32| {
        let tokens: Vec<String> = (0..depth).map(|n| "a".repeat(1 << n)).collect();
        let vocab: Vec<String> = tokens.iter().enumerate().map(|(id, token)| format!(r#""{token}":{id}"#)).collect();
        let merges: Vec<String> =
            tokens[1..].iter().zip(&tokens).map(|(_, half)| format!(r#"["{half}","{half}"]"#)).collect();
        format!(r#"{{"model":{{"type":"BPE","vocab":{{{}}},"merges":[{}]}}}}"#, vocab.join(","), merges.join(","))
    };
    let list =
        |longest: usize| format!(r#"{{"model":{{"type":"list","vocab":["a","b","{}b"]}}}}"#, "a".repeat(longest - 1));
    let text = "a".repeat(18 << 10);
    let spaced = format!("{} ", "a".repeat(400)).repeat(45);
    for (name, json, text, is_read, is_encoded) in [
        ("repeated repetitions", split(r"(?!(?:(?:a?){12}a{12}(?=Q)))\w"), &text, true, false),
        ("alternatives that overlap", split(r"(?:a|aa)+(?=b)"), &text, true, true),
        ("the same, not delegated", split(r"(a|aa)+\1(?!a)b"), &text, true, false),
        ("back references", split(r"(a*)(a*)(a*)\1\2\3(?=b)"), &text, true, false),
        ("a look-ahead", split(r"a+(?!b)"), &text, true, true),
        ("a normalizer", replace("(?!(?:(?:a?){12}a{12}(?=Q)))a"), &text, true, false),
        ("Unigram, many beginnings", unigram(1000), &text, false, false),
        ("Unigram, few beginnings", unigram(150), &text, true, true),
        ("WordPiece, a long word", word_piece(4096), &text, false, false),
        ("WordPiece, words", word_piece(400), &spaced, true, true),
        ("BPE, one word", merges(11), &text, true, true),
        ("a list, a long token", list(1 << 20), &text, false, false),
        ("a list, a token that nearly fits", list(4096), &text, true, true),
    ] {
        let begun = std::time::Instant::now();
        let mut read = false;
        let outcome = hold_to_cap(name, 0, json.len() + text.len(), || {
            let tokenizer = Tokenizer::from_json(json.as_bytes(), "broken/tokenizer.json")?;
            read = true;
            tokenizer.encode(text, OnUnknown::Skip).map(drop)
        });
        let (took, bytes) = (begun.elapsed(), text.len());
        println!("{name}: {:.0} ns a byte, {:?}", took.as_nanos() as f64 / bytes as f64, outcome.as_ref().err());
        assert_eq!((read, outcome.is_ok()), (is_read, is_encoded), "{name}: {outcome:?}");
        assert!(took.as_secs() < 10, "{name}: {took:?} for {bytes} bytes");
    }
}
