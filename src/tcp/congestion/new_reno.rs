//! NewReno: RFC 5681 with the fast recovery of RFC 6582, counting bytes (RFC 3465).

use super::CongestionControl;
use crate::time::Instant;
use core::time::Duration;

/// The largest window TCP can advertise (RFC 7323 section 2.3): more is of no use, and sums of two
/// windows stay in 32 bits.
const MAX_CWND: u32 = 1 << 30;

/// The NewReno algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    bytes_acked: u32,
    initial_window: u32,
    smss: u16,
}

impl NewReno {
    fn smss(&self) -> u32 {
        self.smss.into()
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        self.cwnd = cwnd.clamp(self.smss(), MAX_CWND);
    }

    /// Half of what is in flight, at least two segments (RFC 5681 equation 4).
    fn halve(&mut self, flight: u32) {
        self.ssthresh = (flight / 2).max(2 * self.smss());
        self.bytes_acked = 0;
    }
}

impl CongestionControl for NewReno {
    fn new(mss: u16, initial_window: u32) -> NewReno {
        let smss = mss.max(1);
        let cwnd = initial_window.clamp(smss.into(), MAX_CWND);
        // Section 3.1: ssthresh SHOULD start arbitrarily high, so that the network decides.
        NewReno { cwnd, ssthresh: u32::MAX, bytes_acked: 0, initial_window: cwnd, smss }
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn on_ack(&mut self, acked: u32, _flight: u32, cwnd_limited: bool, _: Instant, _: Duration) {
        if !cwnd_limited {
            return;
        }
        if self.in_slow_start() {
            // RFC 5681 equation 2: at most a segment for an ACK, whatever it covers; a receiver
            // that splits its acknowledgements gains nothing.
            self.set_cwnd(self.cwnd.saturating_add(acked.min(self.smss())));
        } else {
            // RFC 5681 section 3.1 (and RFC 3465 section 2.1): a segment for a window acknowledged,
            // once a round trip however many ACKs it takes.
            self.bytes_acked = self.bytes_acked.saturating_add(acked);
            if self.bytes_acked >= self.cwnd {
                self.bytes_acked = (self.bytes_acked - self.cwnd).min(self.cwnd);
                self.set_cwnd(self.cwnd.saturating_add(self.smss()));
            }
        }
    }

    fn on_loss(&mut self, flight: u32) {
        self.halve(flight);
        // RFC 5681 section 3.2 step 3: the three segments that caused the duplicate ACKs have left.
        self.set_cwnd(self.ssthresh.saturating_add(3 * self.smss()));
    }

    fn inflate(&mut self) {
        // RFC 5681 section 3.2 step 4.
        self.set_cwnd(self.cwnd.saturating_add(self.smss()));
    }

    fn on_partial_ack(&mut self, acked: u32) {
        // RFC 6582 section 3.2 step 3: deflate by what was acknowledged, and let one segment out
        // for a whole one that left.
        let kept = if acked >= self.smss() { self.smss() } else { 0 };
        self.set_cwnd(self.cwnd.saturating_sub(acked).saturating_add(kept));
    }

    fn on_recovery_end(&mut self, flight: u32) {
        // RFC 6582 section 3.2 step 3, option 1: with little in flight, ssthresh would be a burst.
        self.set_cwnd(self.ssthresh.min(flight.max(self.smss()).saturating_add(self.smss())));
    }

    fn on_timeout(&mut self, flight: u32, first: bool) {
        // RFC 5681 section 3.1: ssthresh is held when the same segment times out again, since by
        // then what is in flight says nothing any more.
        if first {
            self.halve(flight);
        }
        self.bytes_acked = 0;
        // The loss window: one full-sized segment.
        self.cwnd = self.smss();
    }

    fn on_idle(&mut self) {
        // RFC 5681 section 4.1: the restart window.
        self.set_cwnd(self.cwnd.min(self.initial_window));
    }
}

#[cfg(test)]
mod tests {
    use super::super::initial_window;
    use super::*;
    use proptest::prelude::*;

    const MSS: u16 = 1_000;
    const M: u32 = MSS as u32;

    fn start() -> NewReno {
        NewReno::new(MSS, initial_window(MSS, 0))
    }

    impl NewReno {
        fn acked(&mut self, acked: u32, cwnd_limited: bool) {
            let (now, rtt) = (Instant::from_millis(1), Duration::from_millis(20));
            self.on_ack(acked, 20 * M, cwnd_limited, now, rtt);
        }
    }

    /// In congestion avoidance with a window of 10 segments.
    fn avoiding() -> NewReno {
        let mut cc = start();
        cc.on_loss(20 * M);
        cc.on_recovery_end(20 * M);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * M, 10 * M));
        cc
    }

    #[test]
    fn the_state_takes_twenty_bytes() {
        assert_eq!(size_of::<NewReno>(), 20);
    }

    #[test]
    fn rfc5681_3_1_ssthresh_starts_arbitrarily_high() {
        assert_eq!((start().cwnd(), start().ssthresh()), (10 * M, u32::MAX));
        assert!(start().in_slow_start());
    }

    #[test]
    fn rfc5681_eq_2_slow_start_adds_what_was_acked_up_to_a_segment() {
        for (acked, added) in [(1, 1), (M - 1, M - 1), (M, M), (2 * M, M), (u32::MAX, M)] {
            let mut cc = start();
            cc.acked(acked, true);
            assert_eq!(cc.cwnd(), 10 * M + added, "for {acked} bytes");
        }
    }

    #[test]
    fn rfc5681_3_1_slow_start_doubles_the_window_in_a_round_trip_of_single_acks() {
        let mut cc = start();
        (0..10).for_each(|_| cc.acked(M, true));
        assert_eq!(cc.cwnd(), 20 * M);
    }

    #[test]
    fn rfc5681_3_1_congestion_avoidance_adds_one_segment_for_a_window_acked() {
        // By single ACKs, delayed ACKs, split ACKs or one for all: the same.
        for (acks, size) in [(10, M), (5, 2 * M), (100, M / 10), (1, 10 * M)] {
            let mut cc = avoiding();
            (1..acks).for_each(|_| cc.acked(size, true));
            assert_eq!(cc.cwnd(), 10 * M, "before the window is full");
            cc.acked(size, true);
            assert_eq!(cc.cwnd(), 11 * M, "{acks} ACKs of {size}");
        }
    }

    #[test]
    fn rfc3465_2_1_bytes_beyond_the_window_count_towards_the_next_segment() {
        let mut cc = avoiding();
        cc.acked(12 * M, true);
        assert_eq!(cc.cwnd(), 11 * M);
        cc.acked(9 * M, true);
        assert_eq!(cc.cwnd(), 12 * M);
    }

    #[test]
    fn rfc7661_3_a_window_that_was_not_used_does_not_grow() {
        for mut cc in [start(), avoiding()] {
            let before = cc;
            cc.acked(10 * M, false);
            assert_eq!(cc, before);
        }
    }

    #[test]
    fn rfc5681_eq_4_loss_halves_what_is_in_flight_not_the_window() {
        for (flight, ssthresh) in [(40 * M, 20 * M), (4 * M, 2 * M), (3 * M, 2 * M), (0, 2 * M)] {
            let mut cc = start();
            cc.on_loss(flight);
            assert_eq!(cc.ssthresh(), ssthresh, "{flight} in flight");
            let mut cc = start();
            cc.on_timeout(flight, true);
            assert_eq!(cc.ssthresh(), ssthresh, "{flight} in flight");
        }
    }

    #[test]
    fn rfc5681_3_2_recovery_starts_three_segments_up_and_inflates_by_one_each() {
        let mut cc = start();
        cc.on_loss(20 * M);
        assert_eq!(cc.cwnd(), (10 + 3) * M);
        cc.inflate();
        cc.inflate();
        assert_eq!((cc.cwnd(), cc.ssthresh()), (15 * M, 10 * M));
    }

    #[test]
    fn rfc6582_3_2_a_partial_ack_deflates_by_what_it_acked_and_gives_one_segment_back() {
        for (acked, cwnd) in [(5 * M, 9 * M), (M, 13 * M), (M - 1, 12 * M + 1), (99 * M, M)] {
            let mut cc = start();
            cc.on_loss(20 * M);
            cc.on_partial_ack(acked);
            assert_eq!(cc.cwnd(), cwnd, "{acked} acked");
            assert_eq!(cc.ssthresh(), 10 * M);
        }
    }

    #[test]
    fn rfc6582_3_2_recovery_ends_at_ssthresh_without_a_burst() {
        for (flight, cwnd) in [(30 * M, 10 * M), (9 * M, 10 * M), (4 * M, 5 * M), (0, 2 * M)] {
            let mut cc = start();
            cc.on_loss(20 * M);
            (0..30).for_each(|_| cc.inflate());
            cc.on_recovery_end(flight);
            assert_eq!(cc.cwnd(), cwnd, "{flight} in flight");
        }
    }

    #[test]
    fn rfc5681_3_1_a_timeout_leaves_a_window_of_one_segment() {
        let mut cc = avoiding();
        cc.on_timeout(10 * M, true);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (M, 5 * M));
        // Slow start to the threshold, then avoidance.
        (0..4).for_each(|_| cc.acked(M, true));
        assert_eq!(cc.cwnd(), 5 * M);
        (0..5).for_each(|_| cc.acked(M, true));
        assert_eq!(cc.cwnd(), 6 * M);
    }

    #[test]
    fn rfc5681_3_1_ssthresh_is_held_when_the_same_segment_times_out_again() {
        let mut cc = avoiding();
        cc.on_timeout(10 * M, true);
        cc.on_timeout(M, false);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (M, 5 * M));
    }

    #[test]
    fn rfc5681_4_1_after_idle_the_window_is_at_most_the_initial_one() {
        let mut cc = start();
        (0..50).for_each(|_| cc.acked(M, true));
        cc.on_idle();
        assert_eq!(cc.cwnd(), 10 * M);
        cc.on_timeout(10 * M, true);
        cc.on_idle();
        assert_eq!(cc.cwnd(), M, "idleness never enlarges it");
    }

    proptest! {
        #[test]
        fn the_window_stays_between_a_segment_and_the_largest(
            mss: u16, iw: u32, calls in prop::collection::vec((0..8u8, any::<u32>()), 0..200)
        ) {
            let mut cc = NewReno::new(mss, iw);
            for (call, n) in calls {
                match call {
                    0 | 1 => cc.acked(n, true),
                    2 => cc.on_loss(n),
                    3 => cc.inflate(),
                    4 => cc.on_partial_ack(n),
                    5 => cc.on_recovery_end(n),
                    6 => cc.on_timeout(n, n % 2 == 0),
                    _ => cc.on_idle(),
                }
                prop_assert!((u32::from(mss.max(1))..=MAX_CWND).contains(&cc.cwnd()));
                prop_assert!(cc.ssthresh() >= 2 * u32::from(mss.max(1)));
            }
        }
    }
}
