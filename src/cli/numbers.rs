//! Numbers and counted things as people read them.

pub(super) use crate::bench::grouped;

/// So many of something: `1 sequence`, `2,000 sequences`.
pub(super) fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_counted_in_their_number() {
        assert_eq!([0, 1, 2000].map(|n| count(n, "token")), ["0 tokens", "1 token", "2,000 tokens"]);
    }
}
