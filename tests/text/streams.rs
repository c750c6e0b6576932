//! Pieces and wholes: however a text is cut, ids and text are the same.

use super::*;
use gatefold::unstable::text::{Decoder, Encoder};

fn in_pieces(mut encoder: Encoder, pieces: &[&str]) -> Vec<u32> {
    let mut ids = Vec::new();
    for piece in pieces {
        encoder.push(piece, &mut ids).unwrap();
    }
    encoder.finish(&mut ids).unwrap();
    ids
}

#[test]
fn pieces_give_the_ids_of_the_whole() {
    for (name, tokenizer) in all_kinds() {
        let unknown = lenient(&tokenizer);
        for seed in 0..300 {
            let mut rng = Rng(seed);
            let text = random_text(&mut rng, 120);
            let whole = tokenizer.encode(&text, unknown).unwrap();
            assert!(whole.iter().all(|id| (*id as usize) < tokenizer.len()), "{name}");
            let pieces = random_cuts(&mut rng, &text);
            // Small pieces, so that there are many cuts; never a forced one.
            let encoder = Encoder::with_pieces(&tokenizer, unknown, 1 + rng.below(64), 1 << 20).unwrap();
            assert_eq!(in_pieces(encoder, &pieces), whole, "{name}, seed {seed}: {text:?}");
        }
    }
}

#[test]
fn forced_cuts_depend_on_the_text_alone() {
    for (name, tokenizer) in all_kinds() {
        let unknown = lenient(&tokenizer);
        for seed in 0..200 {
            let mut rng = Rng(seed);
            let text = random_text(&mut rng, 120).replace('\n', " ");
            let new = || Encoder::with_pieces(&tokenizer, unknown, 16, 48).unwrap();
            let once = in_pieces(new(), &[&text]);
            assert_eq!(in_pieces(new(), &random_cuts(&mut rng, &text)), once, "{name}, seed {seed}: {text:?}");
        }
    }
}

#[test]
fn bytes_in_pieces_are_text_in_pieces() {
    for (name, tokenizer) in all_kinds() {
        let unknown = lenient(&tokenizer);
        for seed in 0..50 {
            let mut rng = Rng(seed);
            let text = random_text(&mut rng, 60);
            let mut encoder = Encoder::new(&tokenizer, unknown).unwrap();
            let mut ids = Vec::new();
            for bytes in text.as_bytes().chunks(1 + rng.below(5)) {
                encoder.push_bytes(bytes, &mut ids).unwrap();
            }
            encoder.finish(&mut ids).unwrap();
            // Files of Windows have the ids of the others, where the vocabulary is not one of carriage returns.
            let returns = ["characters", "bytes", "list"].contains(&name.as_str());
            let text = if returns { text } else { text.replace("\r\n", "\n") };
            assert_eq!(ids, tokenizer.encode(&text, unknown).unwrap(), "{name}: {text:?}");
        }
    }
}

#[test]
fn lines_go_on_over_pieces() {
    let (_, json) = SAMPLES[5];
    let tokenizer = Tokenizer::from_json(json.as_bytes(), "word_level.json").unwrap();
    let mut encoder = Encoder::with_pieces(&tokenizer, OnUnknown::Error, 4, 64).unwrap();
    let mut ids = Vec::new();
    for _ in 0..20 {
        encoder.push("the cat\nthe hat, ", &mut ids).unwrap();
    }
    let pushed = encoder.push("the\nthe the snark\n", &mut ids).and_then(|()| encoder.finish(&mut ids));
    let message = pushed.unwrap_err().to_string();
    assert!(message.contains("\"snark\" at line 22, column 9 is not in"), "{message}");
}

#[test]
fn a_finished_encoder_is_new() {
    for (name, tokenizer) in all_kinds() {
        let unknown = lenient(&tokenizer);
        let mut encoder = Encoder::new(&tokenizer, unknown).unwrap();
        for text in TEXTS {
            let mut ids = Vec::new();
            encoder.push(text, &mut ids).unwrap();
            encoder.finish(&mut ids).unwrap();
            assert_eq!(ids, tokenizer.encode(text, unknown).unwrap(), "{name}: {text:?}");
        }
    }
}

#[test]
fn only_whole_characters_come_out() {
    for (name, tokenizer) in all_kinds() {
        for text in TEXTS {
            let ids = tokenizer.encode(text, lenient(&tokenizer)).unwrap();
            let whole = tokenizer.decode(&ids).unwrap();
            let mut decoder = Decoder::new(&tokenizer);
            let mut shown = String::new();
            for id in ids {
                decoder.push(id, &mut shown).unwrap();
                assert!(whole.starts_with(&shown), "{name}: {shown:?} of {whole:?}");
            }
            decoder.finish(&mut shown);
            assert_eq!(shown, whole, "{name}");
        }
    }
}

#[test]
fn long_streams_take_flat_memory() {
    // The state of a decoder after 200,000 tokens is that after none: nothing grows but the text.
    for (name, tokenizer) in all_kinds() {
        let mut decoder = Decoder::new(&tokenizer);
        let (mut rng, mut text) = (Rng(7), String::new());
        let mut longest = 0;
        for _ in 0..200_000 {
            let id = rng.below(tokenizer.len()) as u32;
            decoder.push(id, &mut text).unwrap();
            longest = longest.max(format!("{decoder:?}").len() * usize::from(rng.below(1000) == 0));
            text.clear();
        }
        assert!(longest < 4096, "{name}: {longest}");
    }
}
