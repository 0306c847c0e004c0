//! NewReno: RFC 5681 with the fast recovery of RFC 6582, counting bytes (RFC 3465).

use super::CongestionControl;
use super::window::{Prior, Window};
use crate::time::Instant;
use core::time::Duration;

/// The NewReno algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewReno {
    window: Window,
    /// Bytes acknowledged in congestion avoidance since the window last grew.
    bytes_acked: u32,
}

/// What NewReno grows by, for those that grow like it.
///
/// After slow start a segment for a window acknowledged, once a round trip however many ACKs it
/// takes (RFC 5681 section 3.1, RFC 3465 section 2.1).
pub(super) fn grow(window: &mut Window, bytes_acked: &mut u32, acked: u32) {
    if window.in_slow_start() {
        window.slow_start(acked);
        return;
    }
    *bytes_acked = bytes_acked.saturating_add(acked);
    if *bytes_acked >= window.cwnd {
        *bytes_acked = (*bytes_acked - window.cwnd).min(window.cwnd);
        window.grow(window.smss());
    }
}

impl CongestionControl for NewReno {
    fn new(mss: u16, initial_window: u32) -> NewReno {
        NewReno { window: Window::new(mss, initial_window), bytes_acked: 0 }
    }

    fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.window.ssthresh
    }

    fn smss(&self) -> u32 {
        self.window.smss()
    }

    fn set_mss(&mut self, mss: u16) {
        self.window.set_mss(mss);
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        self.window.set_cwnd(cwnd);
    }

    fn on_ack(&mut self, acked: u32, _flight: u32, cwnd_limited: bool, _: Instant, _: Duration) {
        if cwnd_limited {
            grow(&mut self.window, &mut self.bytes_acked, acked);
        }
    }

    fn on_ecn(&mut self, acked: u32, marked: u32, flight: u32) -> bool {
        // RFC 3168 section 6.1.2: like a loss, but nothing has to be sent again.
        let news = self.window.mark_is_news(acked, marked, flight);
        if news {
            self.window.reduce(self.window.cwnd / 2);
            self.bytes_acked = 0;
        }
        news
    }

    fn on_congestion(&mut self, flight: u32) {
        if self.window.loss_is_news(flight) {
            // RFC 5681 equation 4: half of what is in flight, at least two segments.
            self.window.reduce(flight / 2);
        }
        self.bytes_acked = 0;
    }

    fn on_timeout(&mut self, flight: u32, first: bool) {
        // RFC 5681 section 3.1: ssthresh is held when the same segment times out again, since by
        // then what is in flight says nothing any more.
        if first {
            self.window.reduce(flight / 2);
        }
        self.bytes_acked = 0;
        self.window.collapse();
    }

    fn undo(&mut self, prior: &Prior) {
        self.window.restore(prior);
    }

    fn decay(&mut self, cwnd: u32, ssthresh: u32) {
        self.window.decay(cwnd, ssthresh);
    }

    fn on_idle(&mut self) {
        self.window.restart();
    }
}

#[cfg(test)]
mod tests {
    use super::super::initial_window;
    use super::super::window::MAX_CWND;
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
    fn the_state_takes_20_bytes() {
        assert_eq!(size_of::<NewReno>(), 20);
    }

    #[test]
    fn rfc3168_6_1_2_a_mark_halves_the_window_once_a_round_trip() {
        let mut cc = avoiding();
        assert!(cc.on_ecn(M, M, 10 * M));
        assert_eq!((cc.cwnd(), cc.ssthresh()), (5 * M, 5 * M));
        assert!(!cc.on_ecn(M, M, 9 * M));
        assert_eq!(cc.cwnd(), 5 * M);
    }

    #[test]
    fn rfc4015_3_a_spurious_recovery_or_timeout_is_undone() {
        for timeout in [false, true] {
            let mut cc = avoiding();
            let prior = cc.prior();
            if timeout {
                cc.on_timeout(10 * M, true);
                cc.on_timeout(10 * M, false);
            } else {
                cc.on_loss(10 * M);
            }
            cc.undo(&prior);
            assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * M, 10 * M), "timeout: {timeout}");
        }
    }

    #[test]
    fn rfc5681_3_1_ssthresh_starts_arbitrarily_high() {
        assert_eq!((start().cwnd(), start().ssthresh()), (10 * M, u32::MAX));
        assert!(start().in_slow_start());
    }

    #[test]
    fn rfc3465_2_2_slow_start_adds_what_was_acked_up_to_two_segments() {
        let most = 2 * M;
        for (acked, added) in [(1, 1), (M - 1, M - 1), (M, M), (most, most), (u32::MAX, most)] {
            let mut cc = start();
            cc.acked(acked, true);
            assert_eq!(cc.cwnd(), 10 * M + added, "for {acked} bytes");
        }
    }

    #[test]
    fn rfc3465_2_2_slow_start_doubles_the_window_in_a_round_trip_with_delayed_acks_too() {
        for (acks, size) in [(10, M), (5, 2 * M), (100, M / 10)] {
            let mut cc = start();
            (0..acks).for_each(|_| cc.acked(size, true));
            assert_eq!(cc.cwnd(), 20 * M, "{acks} ACKs of {size}");
        }
    }

    #[test]
    fn rfc3465_2_3_after_a_timeout_an_ack_adds_one_segment_until_slow_start_ends() {
        let mut cc = avoiding();
        cc.on_timeout(20 * M, true);
        cc.acked(8 * M, true);
        assert_eq!(cc.cwnd(), 2 * M);
        (0..4).for_each(|_| cc.acked(2 * M, true));
        assert_eq!((cc.cwnd(), cc.in_slow_start()), (6 * M, true));
        (0..4).for_each(|_| cc.acked(2 * M, true));
        assert!(!cc.in_slow_start());
        cc.on_idle();
        cc.set_cwnd(M);
        cc.acked(2 * M, true);
        assert_eq!(cc.cwnd(), 3 * M, "the slow start after a pause is another");
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
            mss: u16, iw: u32, calls in prop::collection::vec((0..10u8, any::<u32>()), 0..200)
        ) {
            let mut cc = NewReno::new(mss, iw);
            let mut prior = cc.prior();
            for (call, n) in calls {
                if matches!(call, 2 | 6) {
                    prior = cc.prior();
                }
                match call {
                    0 | 1 => cc.acked(n, true),
                    2 => cc.on_loss(n),
                    3 => cc.inflate(),
                    4 => cc.on_partial_ack(n),
                    5 => cc.on_recovery_end(n),
                    6 => cc.on_timeout(n, n % 2 == 0),
                    7 => cc.undo(&prior),
                    8 => _ = cc.on_ecn(n, n / 2, n),
                    _ => cc.on_idle(),
                }
                prop_assert!((u32::from(mss.max(1))..=MAX_CWND).contains(&cc.cwnd()));
                prop_assert!(cc.ssthresh() >= 2 * u32::from(mss.max(1)));
            }
        }
    }
}
