//! What the two ends of a connection are going to do, known to both beforehand.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use super::pattern::Pattern;
use super::rng::{Rng, mix};

/// How an application reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything at once.
    Greedy,
    /// Everything but a few bytes, as one that waits for whole lines.
    Lines,
    /// Holds what comes and lets go of it this much later.
    Slow(Duration),
}

/// What one end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SidePlan {
    /// Bytes that it sends before it finishes.
    pub bytes: u64,
    /// Most bytes of one write.
    pub chunk: usize,
    /// Time between writes; `None` to write whenever there is space.
    pub pace: Option<Duration>,
    /// How it reads.
    pub reading: Reading,
    /// Finishes only after the other end did.
    pub waits: bool,
    /// Aborts once it has sent this much.
    pub aborts_at: Option<u64>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowPlan {
    /// The key of this flow: both ends compute it from the addresses.
    pub key: u64,
    /// The second end sends back what it receives, in the frames in which it arrived.
    pub echo: bool,
    /// The end with the lower address, then the other.
    pub sides: [SidePlan; 2],
}

/// Bounds of the plans of one simulation.
#[derive(Clone, Copy, Debug)]
pub struct PlanLimits {
    /// Seed of all plans.
    pub seed: u64,
    /// Most bytes of one direction.
    pub bytes: u64,
    /// Chance of an abort, in millionths.
    pub aborts: u32,
}

fn address_bits(at: SocketAddr) -> u64 {
    let ip = match at.ip() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    mix(ip as u64 ^ mix((ip >> 64) as u64 ^ u64::from(at.port())))
}

impl FlowPlan {
    /// The plan of the connection between two addresses, the same whoever asks.
    pub fn between(limits: &PlanLimits, one: SocketAddr, other: SocketAddr) -> FlowPlan {
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        let key = mix(limits.seed ^ mix(address_bits(low) ^ address_bits(high).rotate_left(1)));
        let mut rng = Rng::new(key);
        let echo = rng.chance(250_000);
        let mut sides = [SidePlan::draw(&mut rng, limits), SidePlan::draw(&mut rng, limits)];
        // At most one of the two waits for the other, or neither would ever finish.
        match rng.range(0..3) {
            0 => sides[0].waits = true,
            1 => sides[1].waits = true,
            _ => {}
        }
        if echo {
            sides[0].waits = false;
            sides[1] = SidePlan { bytes: sides[0].bytes, aborts_at: None, ..sides[1] };
        }
        FlowPlan { key, echo, sides }
    }

    /// Which of the two sides the end at `local` is.
    pub fn side(local: SocketAddr, remote: SocketAddr) -> usize {
        usize::from(local > remote)
    }

    /// The stream that a side sends.
    pub fn pattern(&self, side: usize) -> Pattern {
        let side = if self.echo { 0 } else { side };
        Pattern::new(mix(self.key ^ side as u64))
    }
}

impl SidePlan {
    fn draw(rng: &mut Rng, limits: &PlanLimits) -> SidePlan {
        let bytes = match rng.range(0..8) {
            0 => 0,
            1 => rng.range(1..4),
            2..5 => rng.range(0..limits.bytes / 16 + 1),
            _ => rng.range(0..limits.bytes + 1),
        };
        let chunk = *rng.pick(&[1, 7, 100, 536, 1_460, 4_000, 20_000, 100_000]);
        // Few writes of few bytes, or the virtual time grows without teaching anything.
        let chunk = chunk.max(bytes as usize / 300);
        let pace = rng.chance(300_000).then(|| Duration::from_micros(rng.range(200..60_000)));
        let reading = match rng.range(0..5) {
            0 => Reading::Slow(Duration::from_micros(rng.range(200..80_000))),
            1 => Reading::Lines,
            _ => Reading::Greedy,
        };
        let aborts_at = rng.chance(limits.aborts).then(|| rng.range(0..bytes + 1));
        SidePlan { bytes, chunk, pace, reading, waits: false, aborts_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_get_the_same_plan_and_one_of_them_finishes_first() {
        let limits = PlanLimits { seed: 3, bytes: 10_000, aborts: 100_000 };
        for port in 1..500u16 {
            let a = SocketAddr::from(([10, 0, 0, 1], port));
            let b = SocketAddr::from(([10, 0, 0, 2], 80));
            let plan = FlowPlan::between(&limits, a, b);
            assert_eq!(plan, FlowPlan::between(&limits, b, a));
            assert_ne!(FlowPlan::side(a, b), FlowPlan::side(b, a));
            assert!(!(plan.sides[0].waits && plan.sides[1].waits));
            assert!(plan.sides.iter().all(|side| side.bytes <= 10_000));
        }
    }
}
