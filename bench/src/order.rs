//! In which order connections send their requests.

use core::fmt;

/// Connections taken from a skewed order before it repeats.
const SKEWED_LEN: usize = 1 << 20;
/// A connection comes again after this many others at the earliest, so that its previous request is
/// answered by then.
const APART: usize = 32;

/// How requests fall on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Each connection once, in an order that no prefetcher guesses; then again.
    Uniform,
    /// By Zipf's law with exponent 1: the second connection half as often as the first.
    Zipf,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Order::Uniform => "uniform",
            Order::Zipf => "zipf",
        })
    }
}

impl Order {
    /// A cycle of connections below `connections`, the same each time.
    ///
    /// Below 64 connections all orders are uniform: nobody may come again while it waits, and that
    /// leaves too little choice.
    pub fn cycle(self, connections: u32) -> Vec<u32> {
        let mut random = Random(0x5bd1_e995_9d1c_ace5);
        let mut shuffled: Vec<u32> = (0..connections).collect();
        for last in (1..shuffled.len()).rev() {
            shuffled.swap(last, random.below(last as u64 + 1) as usize);
        }
        match self {
            Order::Zipf if shuffled.len() >= 2 * APART => skewed(&shuffled, &mut random),
            _ => shuffled,
        }
    }
}

fn skewed(by_rank: &[u32], random: &mut Random) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=by_rank.len())
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    let mut cycle: Vec<u32> = Vec::with_capacity(SKEWED_LEN);
    while cycle.len() < SKEWED_LEN {
        let point = random.below(1 << 53) as f64 / (1u64 << 53) as f64 * sum;
        let rank = sums.partition_point(|&each| each <= point).min(by_rank.len() - 1);
        let (connection, len) = (by_rank[rank], cycle.len());
        let recent = &cycle[len.saturating_sub(APART - 1)..];
        // The end must not run into the beginning either.
        let left = SKEWED_LEN - len;
        let first = &cycle[..APART.saturating_sub(left).min(len)];
        if !recent.contains(&connection) && !first.contains(&connection) {
            cycle.push(connection);
        }
    }
    cycle
}

/// SplitMix64: enough for an order, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_is_fair() {
        let mut cycle = Order::Uniform.cycle(1_000);
        assert!(cycle.windows(2).any(|pair| pair[0] > pair[1]));
        cycle.sort_unstable();
        assert!(cycle.into_iter().eq(0..1_000));
    }

    #[test]
    fn zipf_is_skewed() {
        let mut counts = vec![0u32; 1_000];
        for connection in Order::Zipf.cycle(1_000) {
            counts[connection as usize] += 1;
        }
        counts.sort_unstable();
        let total: u32 = counts.iter().sum();
        let top: u32 = counts[900..].iter().sum();
        assert!(counts[0] > 0 && top > total / 2, "{top} of {total}");
    }

    #[test]
    fn nobody_comes_again_too_soon() {
        for connections in [1u32, 32, 64, 65, 1_000] {
            let cycle = Order::Zipf.cycle(connections);
            let apart = APART.min(connections as usize);
            let around = cycle.iter().cycle().take(cycle.len() + apart);
            let around: Vec<u32> = around.copied().collect();
            for window in around.windows(apart) {
                for (n, each) in window.iter().enumerate() {
                    assert!(!window[n + 1..].contains(each), "{connections}: {window:?}");
                }
            }
        }
    }
}
