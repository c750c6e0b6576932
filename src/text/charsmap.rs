//! SentencePiece's table of character replacements, `precompiled_charsmap`: base64 of a 32-bit size, a double-array
//! trie of 32-bit units and texts that end with a zero byte.
//!
//! The crate that uses the table trusts its every index, so we walk all that a text could reach before it gets it.

/// Bytes from base64.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0);
    for byte in digits.bytes() {
        let digit = digit(byte).ok_or_else(|| format!("precompiled_charsmap: {:?} is no base64", char::from(byte)))?;
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Ok(bytes)
}

/// Checks that no text leads out of the table; returns how many bytes its longest replacement has.
pub(super) fn check(map: &[u8]) -> Result<usize, String> {
    let wrong = |what: &str| format!("precompiled_charsmap: {what}");
    let (size, rest) = map.split_first_chunk().ok_or_else(|| wrong("shorter than its size field"))?;
    let size = u32::from_le_bytes(*size) as usize;
    if size == 0 || !size.is_multiple_of(4) || size > rest.len() {
        return Err(wrong("its trie does not fit in"));
    }
    let (trie, texts) = rest.split_at(size);
    let trie: Vec<u32> = trie.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
    let texts = std::str::from_utf8(texts).map_err(|_| wrong("its texts are not UTF-8"))?;
    let mut longest = 1;
    let mut seen = vec![false; trie.len()];
    let mut open = vec![0];
    seen[0] = true;
    while let Some(at) = open.pop() {
        let unit = trie[at];
        let base = at ^ offset(unit);
        // A text goes on from here with any byte: 256 units that differ in their low bits.
        if base | 255 >= trie.len() {
            return Err(wrong("its trie leads out of itself"));
        }
        if at != 0 && unit >> 8 & 1 == 1 {
            let value = (trie[base] & 0x7fff_ffff) as usize;
            let text = texts.get(value..).ok_or_else(|| wrong("a text begins outside of its texts"))?;
            longest = longest.max(text.find('\0').unwrap_or(text.len()));
        }
        for byte in 1..256 {
            let next = base ^ byte;
            if trie[next] & 0x8000_00ff == byte as u32 && !seen[next] {
                seen[next] = true;
                open.push(next);
            }
        }
    }
    Ok(longest)
}

/// From a unit to its children.
fn offset(unit: u32) -> usize {
    (unit as usize >> 10) << ((unit & 1 << 9) >> 6)
}
