//! Bytes as characters, the way byte-level BPE writes them in its vocabulary: printable Latin-1 stands for itself, the
//! other 68 bytes for U+0100 and following. And `<0x0A>`, as byte fallback writes them.

/// The byte that a character stands for.
pub(super) fn byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x100..=0x120 => code - 0x100,
        0x121..=0x142 => code - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// The bytes of a token; of one that is not written in such characters (an added token), those of its UTF-8.
pub(super) fn bytes(token: &str) -> Vec<u8> {
    token.chars().map(byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// A token for display: its text, what is no text as `\xE8`.
pub(super) fn display(token: &str) -> String {
    let mut text = String::new();
    for chunk in bytes(token).utf8_chunks() {
        text.extend(chunk.valid().chars().flat_map(char::escape_debug));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

/// The byte of a token such as `<0x0A>`.
pub(super) fn hexadecimal(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}
