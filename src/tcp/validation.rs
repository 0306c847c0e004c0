//! Congestion window validation (RFC 7661): what a window is worth that isn't used.
//!
//! The controllers' part is small: a window that didn't limit the sender doesn't grow (section
//! 4.3). This is the other part: it measures how much the application lets the path carry in a
//! round trip (pipeACK), says whether that validates the window, bounds the reaction to a loss by
//! it, and lets an unused window decay after five minutes instead of at the first pause. A
//! connection may keep one; without it, `on_idle` of the controller is the (stricter) rule.

use crate::time::{Instant, Tick};
use core::time::Duration;

/// Section 4.2: the time over which pipeACK is the maximum: three round trips, at least a second.
const SAMPLING_RTTS: u32 = 3;
const SAMPLING_MIN: Duration = Duration::from_secs(1);
/// Section 4.4.3: the non-validated period.
const NON_VALIDATED: Duration = Duration::from_secs(300);

/// How much of a connection's window its recent use supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The largest volume acknowledged in a round trip, in this half of the sampling period and in
    /// the one before: their maximum is pipeACK. Zero in both: undefined.
    newer: u32,
    older: u32,
    half_ends: Tick,
    /// Acknowledged in this round trip, which ends there.
    round_acked: u32,
    round_ends: Tick,
    /// Since when the window has been larger than its use supports.
    validated_at: Tick,
}

impl Validation {
    /// A new connection: pipeACK is undefined, so that the window counts as validated (section
    /// 4.2).
    pub fn new(now: Instant) -> Validation {
        let tick = now.tick();
        Validation {
            newer: 0,
            older: 0,
            half_ends: tick,
            round_acked: 0,
            round_ends: tick,
            validated_at: tick,
        }
    }

    /// `acked` new bytes were acknowledged; `srtt` is the smoothed round trip, `cwnd` the window.
    pub fn on_ack(&mut self, acked: u32, cwnd: u32, now: Instant, srtt: Duration) {
        let tick = now.tick();
        if !self.half_ends.is_after(tick) {
            let half = (srtt * SAMPLING_RTTS).max(SAMPLING_MIN) / 2;
            // A second half passed without an ACK: what it held is too old as well.
            let stale = !self.half_ends.after(half).is_after(tick);
            if stale {
                (self.newer, self.round_acked) = (0, 0);
            }
            self.older = self.newer;
            self.newer = 0;
            self.half_ends = tick.after(half);
        }
        self.round_acked = self.round_acked.saturating_add(acked);
        if !self.round_ends.is_after(tick) {
            // Section 4.2: a sample is what was acknowledged in a round trip.
            self.newer = self.newer.max(self.round_acked);
            self.round_acked = 0;
            self.round_ends = tick.after(srtt);
        }
        if self.is_validated(cwnd) {
            self.validated_at = tick;
        }
    }

    /// The volume that was lately acknowledged in a round trip; `None` while undefined.
    pub fn pipe_ack(&self) -> Option<u32> {
        let most = self.newer.max(self.older);
        (most > 0).then_some(most)
    }

    /// Section 4.3: the use supports the window if it is at least half of it, or unknown.
    pub fn is_validated(&self, cwnd: u32) -> bool {
        self.pipe_ack().is_none_or(|pipe| pipe >= cwnd / 2)
    }

    /// Section 4.4.1: what a reaction to congestion must start from in the non-validated phase,
    /// instead of the window: what was in flight or lately acknowledged in a round trip, whichever
    /// is more.
    pub fn used_window(&self, flight: u32) -> u32 {
        self.pipe_ack().unwrap_or(0).max(flight)
    }

    /// Section 4.4.3: after five minutes of too little use the window is halved (to the initial
    /// window at least), for each five minutes, and the threshold remembers three quarters of it.
    /// Returns the new (cwnd, ssthresh), or `None` if they may stay. A new period begins.
    pub fn decay(
        &mut self,
        cwnd: u32,
        ssthresh: u32,
        initial: u32,
        now: Instant,
    ) -> Option<(u32, u32)> {
        let tick = now.tick();
        let period = Tick(0).after(NON_VALIDATED).0;
        let periods = self.validated_at.until(tick) / period;
        if periods == 0 {
            return None;
        }
        self.validated_at = tick;
        let three_quarters = cwnd / 4 * 3;
        let halved = cwnd >> periods.min(31);
        Some((halved.max(initial).min(cwnd), ssthresh.max(three_quarters)))
    }

    /// A loss or a mark was answered: the measure begins anew (section 4.4.1).
    pub fn on_congestion(&mut self, now: Instant) {
        *self = Validation::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// 20 kB acknowledged in each round trip, until `ms`.
    fn busy_until(ms: u64) -> Validation {
        let mut v = Validation::new(at(0));
        for t in (10..=ms).step_by(10) {
            v.on_ack(2_000, 30_000, at(t), RTT);
        }
        v
    }

    #[test]
    fn the_state_takes_24_bytes() {
        assert_eq!(size_of::<Validation>(), 24);
    }

    #[test]
    fn rfc7661_4_2_pipeack_is_what_is_acked_in_a_round_trip() {
        let pipe = busy_until(3_000).pipe_ack().unwrap();
        assert!((18_000..=22_000).contains(&pipe), "{pipe}");
        assert_eq!(Validation::new(at(0)).pipe_ack(), None);
    }

    #[test]
    fn rfc7661_4_2_pipeack_forgets_after_the_sampling_period() {
        let mut v = busy_until(3_000);
        for t in (3_100..=4_300).step_by(100) {
            v.on_ack(100, 30_000, at(t), RTT);
        }
        assert!(v.pipe_ack().unwrap() <= 200, "{:?}", v.pipe_ack());
        let mut v = busy_until(3_000);
        v.on_ack(100, 30_000, at(60_000), RTT);
        assert!(v.pipe_ack().unwrap() <= 100, "a pause of many periods");
    }

    #[test]
    fn rfc7661_4_3_use_of_half_the_window_validates_it() {
        let v = busy_until(3_000);
        assert!(v.is_validated(30_000));
        assert!(!v.is_validated(60_000));
        assert!(Validation::new(at(0)).is_validated(u32::MAX), "while pipeACK is undefined");
    }

    #[test]
    fn rfc7661_4_4_1_congestion_is_answered_from_what_was_used() {
        let v = busy_until(3_000);
        assert!(v.used_window(1_000) >= 18_000);
        assert_eq!(v.used_window(50_000), 50_000);
    }

    #[test]
    fn rfc7661_4_4_3_an_unused_window_is_halved_after_five_minutes_not_before() {
        let mut v = busy_until(3_000);
        assert_eq!(v.decay(100_000, 40_000, 14_600, at(302_000)), None);
        let later = at(304_000);
        assert_eq!(v.decay(100_000, 40_000, 14_600, later), Some((50_000, 75_000)));
        assert_eq!(v.decay(50_000, 75_000, 14_600, later), None, "a new period");
        assert_eq!(
            v.decay(400_000, 9_000, 14_600, at(1_300_000)).map(|(cwnd, _)| cwnd),
            Some(50_000)
        );
        let mut v = busy_until(400_000);
        assert_eq!(v.decay(20_000, 9_000, 14_600, at(701_000)), Some((14_600, 15_000)));
        assert_eq!(v.decay(1_000, 9_000, 14_600, at(1_100_000)), Some((1_000, 9_000)));
    }
}
