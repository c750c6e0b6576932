//! Numbers and counted things as people read them.

/// A number with a comma between each three digits.
pub(super) fn grouped(n: u128) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A speed, such as of tokens a second.
pub(super) fn rate(x: f64) -> String {
    grouped(x.round().max(0.0) as u128)
}

/// So many of something: `1 sequence`, `2,000 sequences`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n.into()), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn things_are_counted_in_their_number() {
        assert_eq!([0, 1, 2000].map(|n| count(n, "token")), ["0 tokens", "1 token", "2,000 tokens"]);
        assert_eq!([0.4, 1999.6].map(rate), ["0", "2,000"]);
    }
}
