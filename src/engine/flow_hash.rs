//! A keyed hash of a connection's four-tuple.
//!
//! Peers choose their addresses and ports, so without a secret they could choose flows that all
//! land in one place of the table and make every lookup a walk. The hash has three stages:
//!
//! 1. NH (Black and others, "UMAC", CRYPTO 1999): the 36 bytes as five words, a secret word added
//!    to each, multiplied in pairs to 128 bits and summed. Two different tuples get the same sum
//!    under at most one key in 2^64.
//! 2. Multiply-shift (Dietzfelbinger 1996): the two halves of the sum, each times a secret 128-bit
//!    number, plus another; the upper 64 bits. For two different sums, every pair of results is
//!    equally likely, whichever of the 64 bits are looked at.
//! 3. A fixed one-to-one mixing. It changes no probability, but the stages before it are close to
//!    linear: consecutive ports would come out evenly spaced, which under some keys means clustered
//!    (without this stage, mean distances of 100 entries in a table that should have 4).
//!
//! So two flows picked without knowledge of the key share any given `b` bits with probability 2^-b
//! (plus 2^-64): what a random function would give. The secrets come from the 128-bit key by
//! SipHash.
//!
//! **What it resists**: anyone who doesn't see the hash at work, such as a client opening many
//! connections or a flood of spoofed addresses. **What it doesn't**: someone who can tell, by
//! timing single lookups, which flows collide. The hash is arithmetic, not a cipher, and such an
//! observer could solve for the key; so no output of it may leave the machine. Whatever the peer
//! gets to see (initial sequence numbers, timestamps, cookies) is made with SipHash and other keys.
//! Flow labels are the exception: they come from this function under secrets of their own, and
//! whoever solves for those can tell flow labels beforehand, nothing else.

use core::hash::Hasher;
use siphasher::sip::SipHasher24;

/// The secrets expanded from one key: 96 bytes, read on each packet and therefore always in cache.
pub(crate) struct FlowHash {
    add: [u64; 6],
    multiply: [u128; 2],
    offset: u128,
}

impl FlowHash {
    /// The hash under `key`, which must be random and secret.
    pub(crate) fn new(key: [u8; 16]) -> FlowHash {
        FlowHash::of_words(key, 0)
    }

    /// Another hash, which says nothing about [`FlowHash::new`] of the same key: for the flow
    /// labels of IPv6 (RFC 6437), which everybody sees.
    pub(crate) fn for_labels(key: [u8; 16]) -> FlowHash {
        FlowHash::of_words(key, FlowHash::WORDS)
    }

    /// Words of secret in one hash.
    const WORDS: u64 = 12;

    fn of_words(key: [u8; 16], first: u64) -> FlowHash {
        let word = |n: u64| {
            let mut sip = SipHasher24::new_with_key(&key);
            sip.write_u64(first + n);
            sip.finish()
        };
        let wide = |n: u64| u128::from(word(n)) << 64 | u128::from(word(n + 1));
        FlowHash {
            add: core::array::from_fn(|n| word(n as u64)),
            multiply: [wide(6), wide(8)],
            offset: wide(10),
        }
    }

    /// The hash of a flow as this host sees it. All 64 bits are equally good.
    #[inline]
    pub(crate) fn hash(
        &self,
        local: &[u8; 16],
        local_port: u16,
        remote: &[u8; 16],
        remote_port: u16,
    ) -> u64 {
        let (local, remote) = (u128::from_ne_bytes(*local), u128::from_ne_bytes(*remote));
        // Not side by side, as they lie in a segment: that would be read as one word, just after it
        // was written as two.
        let ports = u64::from(local_port) << 32 | u64::from(remote_port);
        let sum = self
            .pair(0, local as u64, remote as u64)
            .wrapping_add(self.pair(2, (local >> 64) as u64, (remote >> 64) as u64))
            .wrapping_add(self.pair(4, ports, 0));
        let low = self.multiply[0].wrapping_mul(u128::from(sum as u64));
        let high = self.multiply[1].wrapping_mul(sum >> 64);
        mix((low.wrapping_add(high).wrapping_add(self.offset) >> 64) as u64)
    }

    #[inline]
    fn pair(&self, n: usize, a: u64, b: u64) -> u128 {
        u128::from(a.wrapping_add(self.add[n])) * u128::from(b.wrapping_add(self.add[n + 1]))
    }
}

/// A one-to-one scrambling of 64 bits, after the finaliser of MurmurHash3.
#[inline]
fn mix(h: u64) -> u64 {
    let h = (h ^ h >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^ h >> 33
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn v4(n: u32) -> [u8; 16] {
        let mut a = [0; 16];
        a[10..12].fill(0xff);
        a[12..].copy_from_slice(&n.to_be_bytes());
        a
    }

    /// Flows that differ in as little as flows do: consecutive client ports and addresses.
    pub(crate) fn similar_flows(hash: &FlowHash) -> impl Iterator<Item = u64> {
        let server = v4(0x0a09_0001);
        (0..256u32)
            .flat_map(move |host| (0..256u16).map(move |port| (host, port)))
            .map(move |(host, port)| hash.hash(&server, 80, &v4(0x0a09_0100 + host), 32_768 + port))
    }

    #[test]
    fn consecutive_flows_spread_evenly_over_any_bits() {
        for key in 0..32u8 {
            let hash = FlowHash::new([key; 16]);
            for shift in [0, 16, 32, 44, 56] {
                let mut buckets = [0u32; 256];
                for h in similar_flows(&hash) {
                    buckets[(h >> shift) as usize & 255] += 1;
                }
                // 65,536 flows over 256 buckets: 256 each, standard deviation 16.
                let chi2: f64 =
                    buckets.iter().map(|&n| (f64::from(n) - 256.0).powi(2) / 256.0).sum();
                assert!(
                    chi2 < 400.0,
                    "key {key}, bits from {shift}: chi-squared {chi2}, 255 ideal"
                );
            }
        }
    }

    #[test]
    fn every_input_bit_changes_about_half_of_the_output() {
        let hash = FlowHash::new(*b"0123456789abcdef");
        let base = hash.hash(&[7; 16], 80, &[9; 16], 4_000);
        let mut worst = 64;
        for bit in 0..128 {
            let mut other = [7; 16];
            other[bit / 8] ^= 1 << (bit % 8);
            worst = worst.min((hash.hash(&other, 80, &[9; 16], 4_000) ^ base).count_ones());
            let mut other = [9; 16];
            other[bit / 8] ^= 1 << (bit % 8);
            worst = worst.min((hash.hash(&[7; 16], 80, &other, 4_000) ^ base).count_ones());
        }
        for bit in 0..16 {
            let flip = 1 << bit;
            worst =
                worst.min((hash.hash(&[7; 16], 80 ^ flip, &[9; 16], 4_000) ^ base).count_ones());
            worst =
                worst.min((hash.hash(&[7; 16], 80, &[9; 16], 4_000 ^ flip) ^ base).count_ones());
        }
        assert!(worst >= 10, "{worst} of 64 bits changed");
    }

    #[test]
    fn similar_flows_do_not_collide() {
        let hash = FlowHash::new([3; 16]);
        assert_eq!(similar_flows(&hash).collect::<HashSet<_>>().len(), 65_536);
    }

    #[test]
    fn rfc6437_3_labels_have_secrets_of_their_own() {
        let labels: HashSet<u64> =
            similar_flows(&FlowHash::for_labels([3; 16])).map(|hash| hash >> 44).collect();
        // 65,536 draws of 2^20: about 63,500 different ones.
        assert!(labels.len() > 63_000, "{} labels", labels.len());
        let (table, label) = (FlowHash::new([3; 16]), FlowHash::for_labels([3; 16]));
        let same = similar_flows(&table).zip(similar_flows(&label)).filter(|(a, b)| a == b);
        assert_eq!(same.count(), 0);
    }

    proptest! {
        #[test]
        fn the_key_and_the_direction_matter(
            key: [u8; 16], local: [u8; 16], remote: [u8; 16], ports: (u16, u16)
        ) {
            let at = |key, (l, lp), (r, rp)| FlowHash::new(key).hash(l, lp, r, rp);
            let (l, r) = ((&local, ports.0), (&remote, ports.1));
            let mut other = key;
            other[0] ^= 1;
            prop_assert_eq!(at(key, l, r), at(key, l, r));
            prop_assert_ne!(at(key, l, r), at(other, l, r));
            prop_assume!(l != r);
            prop_assert_ne!(at(key, l, r), at(key, r, l));
        }
    }
}
