//! The one source of chance in a simulation.

use core::ops::Range;

/// SplitMix64: 64 bits of state, and every seed is a good one.
///
/// Written out here, and never to change, because a seed that found a bug must go on finding it: no
/// crate of random numbers promises the same values from its next release.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that always gives the same values for the same seed.
    pub const fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// A generator of its own for one purpose, so that what one part draws does not change what
    /// another part gets.
    pub fn fork(&mut self, purpose: u64) -> Rng {
        Rng(mix(self.next_u64() ^ mix(purpose)))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number of `range`.
    ///
    /// # Panics
    /// If the range is empty.
    pub fn range(&mut self, range: Range<u64>) -> u64 {
        assert!(range.start < range.end, "no number lies in {range:?}");
        range.start + self.next_u64() % (range.end - range.start)
    }

    /// True `per_million` times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.next_u64() % 1_000_000 < u64::from(per_million)
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.range(0..items.len() as u64) as usize]
    }
}

/// A bijection of 64 bits in which every bit of the input moves half of the output's.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_a_seed_never_change() {
        // The published first outputs of SplitMix64 for seed 1234567.
        let mut rng = Rng::new(1_234_567);
        let first = [rng.next_u64(), rng.next_u64(), rng.next_u64()];
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn chance_is_about_as_likely_as_it_says() {
        let mut rng = Rng::new(7);
        let hits = (0..100_000).filter(|_| rng.chance(20_000)).count();
        assert!((1_800..2_200).contains(&hits), "{hits} of 100,000 at 2 %");
        assert!(!rng.chance(0) && rng.chance(1_000_000));
    }
}
