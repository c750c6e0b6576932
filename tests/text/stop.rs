//! Stop texts against a search that tries everything.

use super::{Rng, random_cuts};
use gatefold::unstable::text::StopTexts;

/// The end, beginning and number of the first stop text to be complete, the longest of several.
fn naive(text: &str, stops: &[String]) -> Option<(usize, usize)> {
    let ends = (1..=text.len()).filter(|end| text.is_char_boundary(*end));
    ends.map(|end| &text[..end]).find_map(|text| {
        let hits = stops.iter().enumerate().filter(|(_, stop)| text.ends_with(stop.as_str()));
        hits.max_by_key(|(k, stop)| (stop.len(), usize::MAX - k)).map(|(k, stop)| (text.len() - stop.len(), k))
    })
}

fn random(rng: &mut Rng, most: usize) -> String {
    (0..rng.below(most + 1)).map(|_| *rng.pick(&["a", "b", "ab", "诗", "词", "e\u{301}"])).collect()
}

#[test]
fn as_a_naive_search() {
    let mut hits = 0;
    for seed in 0..10_000 {
        let mut rng = Rng(seed);
        let stops: Vec<String> =
            (0..rng.below(4)).map(|_| random(&mut rng, 5)).filter(|stop| !stop.is_empty()).collect();
        let text = random(&mut rng, 40);
        let mut matcher = StopTexts::new(&stops).unwrap();
        let (mut shown, mut hit, mut pushed) = (String::new(), None, 0);
        for piece in random_cuts(&mut rng, &text) {
            hit = matcher.push(piece, &mut shown);
            pushed += piece.len();
            if hit.is_none() {
                // Only the longest end that begins a stop text is held back.
                let held = &text[shown.len()..pushed];
                let begins = |from: usize| stops.iter().any(|stop| stop.starts_with(&text[from..pushed]));
                let longest = (0..pushed).find(|from| text.is_char_boundary(*from) && begins(*from));
                assert_eq!(held.len(), longest.map_or(0, |from| pushed - from), "{stops:?} {text:?}");
            }
        }
        matcher.finish(&mut shown);
        let expected = naive(&text, &stops);
        assert_eq!(hit, expected.map(|(_, k)| k), "{stops:?} {text:?}");
        assert_eq!(shown, text[..expected.map_or(text.len(), |(start, _)| start)], "{stops:?} {text:?}");
        hits += usize::from(hit.is_some());
    }
    assert!((2000..8000).contains(&hits), "{hits} hits");
}

#[test]
fn nothing_is_shown_after_a_hit() {
    let mut matcher = StopTexts::new(&["END"]).unwrap();
    let mut shown = String::new();
    assert_eq!(matcher.push("one E", &mut shown), None);
    assert_eq!(shown, "one ");
    assert_eq!(matcher.push("NEND two", &mut shown), Some(0));
    assert_eq!(matcher.push("three", &mut shown), Some(0));
    matcher.finish(&mut shown);
    assert_eq!(shown, "one EN");
    assert!(StopTexts::new(&[""]).is_err());
}
