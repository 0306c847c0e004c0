//! Streams whose every byte is known from its position, so that gigabytes compare without a buffer.

use super::rng::mix;

/// A stream of pseudo-random bytes; two streams with different keys share no run of eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    key: u64,
}

impl Pattern {
    /// The stream of this key.
    pub const fn new(key: u64) -> Pattern {
        Pattern { key }
    }

    fn word(self, index: u64) -> [u8; 8] {
        mix(self.key ^ mix(index)).to_le_bytes()
    }

    /// Writes the bytes from `position` on into `out`.
    pub fn fill(self, position: u64, out: &mut [u8]) {
        let mut at = 0;
        while at < out.len() {
            let position = position + at as u64;
            let word = self.word(position / 8);
            let from = (position % 8) as usize;
            let n = (8 - from).min(out.len() - at);
            out[at..at + n].copy_from_slice(&word[from..from + n]);
            at += n;
        }
    }

    /// Where `bytes`, which should be those from `position` on, first differ.
    pub fn mismatch(self, position: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = 0;
        while at < bytes.len() {
            let here = position + at as u64;
            let word = self.word(here / 8);
            let from = (here % 8) as usize;
            let n = (8 - from).min(bytes.len() - at);
            if bytes[at..at + n] != word[from..from + n] {
                let off = (0..n).find(|i| bytes[at + i] != word[from + i]);
                return Some(here + off.unwrap_or(0) as u64);
            }
            at += n;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_matches_and_any_change_is_found() {
        let pattern = Pattern::new(99);
        let mut whole = [0u8; 100];
        pattern.fill(0, &mut whole);
        for from in 0..40 {
            for to in from..100 {
                assert_eq!(pattern.mismatch(from as u64, &whole[from..to]), None);
            }
        }
        for changed in 0..100 {
            let mut bytes = whole;
            bytes[changed] ^= 1;
            assert_eq!(pattern.mismatch(0, &bytes), Some(changed as u64));
        }
        assert!(pattern.mismatch(1, &whole[..8]).is_some());
    }
}
