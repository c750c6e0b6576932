//! Helpers that the tests of tokenizers share: samples of every kind, random texts, random splits.

mod files;
mod hugging_face;
mod own;
mod stop;
mod streams;

use gatefold::unstable::text::{OnUnknown, Tokenizer};

/// Small Hugging Face files, made for these tests, one of each model and of the usual parts around it.
const SAMPLES: [(&str, &str); 6] = [
    ("byte_level.json", include_str!("../tokenizers/byte_level.json")),
    ("split.json", include_str!("../tokenizers/split.json")),
    ("fallback.json", include_str!("../tokenizers/fallback.json")),
    ("wordpiece.json", include_str!("../tokenizers/wordpiece.json")),
    ("unigram.json", include_str!("../tokenizers/unigram.json")),
    ("word_level.json", include_str!("../tokenizers/word_level.json")),
];

/// Texts with ASCII, Chinese, emoji of several scalars, and combining marks.
const TEXTS: [&str; 8] = [
    "",
    " ",
    "the cat's friend, then the hat!\nnothing  lasts\n\nhere 2024.\n",
    "明月几时有\n把酒问青天",
    "👩‍👩‍👧 the 🇨🇦 cat\n🎉",
    "e\u{301}tude nai\u{308}ve \u{fb01}n ①\u{3000}Ａ",
    "tabs\tand\r\nother\u{a0}blanks \u{2}\u{0} x",
    "<s> the <mask> <|endoftext|>\n<mask> [CLS] <unk> </s>x",
];

/// Our own kinds over an alphabet that has all of [`words`].
fn own_kinds() -> Vec<(String, Tokenizer)> {
    let alphabet: std::collections::BTreeSet<char> = WORDS.concat().chars().chain(TEXTS.concat().chars()).collect();
    let mut list: Vec<String> = alphabet.iter().map(|c| c.to_string()).collect();
    list.extend(["the", "th", "then", "明月", "\n\n", "cat's", "👩‍👩‍👧"].map(String::from));
    let json = serde_json::json!({"model": {"type": "list", "vocab": list, "special": {"<eos>": list.len()}}});
    vec![
        ("characters".into(), Tokenizer::characters(alphabet).unwrap()),
        ("bytes".into(), Tokenizer::bytes()),
        ("list".into(), Tokenizer::from_json(json.to_string().as_bytes(), "list.json").unwrap()),
    ]
}

/// Every kind there is.
fn all_kinds() -> Vec<(String, Tokenizer)> {
    let read = |(name, json): (&str, &str)| (name.into(), Tokenizer::from_json(json.as_bytes(), name).unwrap());
    own_kinds().into_iter().chain(SAMPLES.map(read)).collect()
}

/// The vocabulary's own unknown token where there is one.
fn lenient(tokenizer: &Tokenizer) -> OnUnknown {
    tokenizer.unknown_id().map_or(OnUnknown::Skip, OnUnknown::Unk)
}

/// A splitmix64 generator.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

const WORDS: [&str; 25] = [
    "<mask>",
    "<|endoftext|>",
    "<s>",
    "the",
    " cat",
    " then",
    " the",
    "th",
    "e",
    "明月",
    "青",
    "天",
    "\n",
    "\n",
    "\n\n",
    " ",
    "  ",
    "'s",
    " 2024",
    "!\n",
    "👩‍👩‍👧",
    "e\u{301}",
    "É",
    "☃",
    "\r\n",
];

fn random_text(rng: &mut Rng, words: usize) -> String {
    (0..rng.below(words + 1)).map(|_| *rng.pick(&WORDS)).collect()
}

/// A text in pieces, cut between characters.
fn random_cuts<'a>(rng: &mut Rng, mut text: &'a str) -> Vec<&'a str> {
    let mut pieces = Vec::new();
    while !text.is_empty() {
        let mut at = 1 + rng.below(text.len().min(40));
        while !text.is_char_boundary(at) {
            at += 1;
        }
        let (piece, rest) = text.split_at(at);
        pieces.push(piece);
        text = rest;
    }
    pieces
}
