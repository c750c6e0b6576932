//! FNV-1a: tells data apart that differ by chance, not by malice.

/// The start value of hashes.
pub(crate) const START: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on with a hash by a word.
pub(crate) fn step(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x100_0000_01b3)
}

/// Goes on with a hash by bytes.
pub(crate) fn bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| step(hash, u64::from(*byte)))
}
