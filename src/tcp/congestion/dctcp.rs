//! DCTCP (RFC 8257): reduces the window by how much of it met congestion, not by half.
//!
//! For networks whose switches mark early and whose other traffic does the same (section 5): beside
//! loss-based flows it would starve them.

use super::CongestionControl;
use super::new_reno;
use super::window::{Prior, Window};
use crate::time::Instant;
use core::time::Duration;

/// DCTCP.Alpha = 1, in the fixed-point form kept here.
const ONE: u32 = 1 << 20;
/// Section 4.2: g = 1/16.
const G_SHIFT: u32 = 4;

/// The DCTCP algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dctcp {
    window: Window,
    /// In congestion avoidance, since the window last grew.
    bytes_acked: u32,
    /// DCTCP.Alpha: the estimated fraction of bytes that meet congestion, in parts of [`ONE`].
    alpha: u32,
    /// In this observation window (section 3.3): all bytes acknowledged, and those marked.
    observed: u32,
    marked: u32,
}

impl Dctcp {
    /// The end of an observation window (section 3.3, steps 5 to 8).
    fn estimate(&mut self) {
        let fraction = u64::from(self.marked) * u64::from(ONE) / u64::from(self.observed.max(1));
        let fraction = fraction.min(ONE.into()) as u32;
        self.alpha = self.alpha - (self.alpha >> G_SHIFT) + (fraction >> G_SHIFT);
        self.alpha = self.alpha.min(ONE);
        (self.observed, self.marked) = (0, 0);
    }
}

impl CongestionControl for Dctcp {
    fn new(mss: u16, initial_window: u32) -> Dctcp {
        // Section 3.3: Alpha begins at 1, so that the first mark halves the window.
        let window = Window::new(mss, initial_window);
        Dctcp { window, bytes_acked: 0, alpha: ONE, observed: 0, marked: 0 }
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
        // Marks in this observation window hold the growth: it is reduced at the window's end.
        if cwnd_limited && self.marked == 0 {
            new_reno::grow(&mut self.window, &mut self.bytes_acked, acked);
        }
    }

    fn on_ecn(&mut self, acked: u32, marked: u32, flight: u32) -> bool {
        self.observed = self.observed.saturating_add(acked);
        self.marked = self.marked.saturating_add(marked);
        if marked > 0 && self.window.in_slow_start() {
            self.window.ssthresh = self.window.cwnd.max(2 * self.window.smss());
        }
        // Section 3.3 step 4: until all is acknowledged that was in flight when it began, the
        // observation window goes on.
        if acked <= self.window.round {
            self.window.round -= acked;
            return false;
        }
        self.window.round = flight.saturating_sub(acked);
        let met_congestion = self.marked > 0;
        self.estimate();
        if met_congestion {
            // Step 9: cwnd × (1 − Alpha / 2).
            let cut = u64::from(self.window.cwnd) * u64::from(self.alpha) / u64::from(2 * ONE);
            self.window.reduce(self.window.cwnd - cut as u32);
            self.bytes_acked = 0;
        }
        met_congestion
    }

    fn on_congestion(&mut self, flight: u32) {
        // Section 3.5: loss is answered as ever.
        self.window.reduce(flight / 2);
        self.bytes_acked = 0;
    }

    fn on_timeout(&mut self, flight: u32, first: bool) {
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
    use super::super::testbed::{Link, Testbed};
    use super::*;

    const M: u32 = 1_000;

    fn start() -> Dctcp {
        Dctcp::new(M as u16, 10 * M)
    }

    impl Dctcp {
        /// A window of `n` segments of which the first `marked` met congestion.
        fn round(&mut self, n: u32, marked: u32) {
            for i in 0..n {
                _ = self.on_ecn(M, if i < marked { M } else { 0 }, n * M);
            }
        }

        fn alpha_percent(&self) -> u32 {
            (u64::from(self.alpha) * 100 / u64::from(ONE)) as u32
        }
    }

    #[test]
    fn the_state_takes_32_bytes() {
        assert_eq!(size_of::<Dctcp>(), 32);
    }

    #[test]
    fn rfc8257_3_3_alpha_begins_at_one_and_the_first_mark_halves_the_window() {
        let mut cc = start();
        assert_eq!(cc.alpha, ONE);
        assert!(cc.on_ecn(M, M, 10 * M));
        assert_eq!((cc.cwnd(), cc.ssthresh()), (5 * M, 5 * M));
    }

    #[test]
    fn rfc8257_3_3_alpha_converges_to_the_marked_fraction() {
        for (marked, percent) in [(0, 0), (2, 10), (10, 50), (20, 100)] {
            let mut cc = start();
            for _ in 0..120 {
                cc.round(20, marked);
            }
            assert!(cc.alpha_percent().abs_diff(percent) <= 1, "{} %", cc.alpha_percent());
        }
    }

    #[test]
    fn rfc8257_4_2_alpha_moves_by_a_sixteenth_in_a_window() {
        let mut cc = start();
        // The first ACK ends the window before it, which was empty but for itself.
        _ = cc.on_ecn(M, 0, 10 * M);
        assert_eq!(cc.alpha, ONE - ONE / 16);
        let before = cc.alpha;
        cc.round(9, 0);
        assert_eq!(cc.alpha, before, "the window goes on");
        _ = cc.on_ecn(M, 0, 10 * M);
        assert_eq!(cc.alpha, before - before / 16);
    }

    #[test]
    fn rfc8257_3_3_the_window_is_reduced_once_a_window_by_half_of_alpha() {
        let mut cc = start();
        cc.set_cwnd(100 * M);
        cc.alpha = ONE / 2;
        cc.window.round = 100 * M;
        for i in 0..100 {
            assert!(!cc.on_ecn(M, if i < 50 { M } else { 0 }, 100 * M), "ACK {i}");
        }
        assert_eq!(cc.cwnd(), 100 * M);
        assert!(cc.on_ecn(M, 0, 100 * M), "the window has ended");
        let percent = cc.cwnd() / M;
        assert!((74..=76).contains(&percent), "{percent} %: 1 − 0.5 / 2");
    }

    #[test]
    fn rfc3168_6_1_2_a_window_with_marks_does_not_grow() {
        let mut cc = start();
        cc.window.round = 10 * M;
        _ = cc.on_ecn(M, M, 10 * M);
        assert!(!cc.in_slow_start(), "the first mark ends slow start");
        for _ in 0..20 {
            cc.on_ack(M, 10 * M, true, Instant::ZERO, Duration::ZERO);
        }
        assert_eq!(cc.cwnd(), 10 * M);
    }

    #[test]
    fn rfc8257_3_5_a_loss_halves_the_window_whatever_alpha() {
        let mut cc = start();
        cc.alpha = 0;
        let prior = cc.prior();
        cc.on_congestion(10 * M);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (5 * M, 5 * M));
        cc.undo(&prior);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * M, u32::MAX));
        cc.on_timeout(10 * M, true);
        assert_eq!((cc.cwnd(), cc.ssthresh()), (M, 5 * M));
    }

    #[test]
    fn rfc8257_3_3_acks_that_cannot_be_trusted_break_nothing() {
        let mut cc = start();
        for (acked, marked, flight) in [(0, M, 0), (M, u32::MAX, M), (u32::MAX, u32::MAX, 0)] {
            _ = cc.on_ecn(acked, marked, flight);
            assert!(cc.alpha <= ONE && cc.cwnd() >= M);
        }
    }

    /// A data centre: 1 Gbit/s, 1 ms; marks above 30 segments of a buffer of 250.
    fn switch() -> Link {
        Link { mark_above: 30 * u64::from(M), ..Link::new(1_000, 1, 200) }
    }

    #[test]
    fn rfc8257_1_flows_keep_the_queue_at_the_threshold_and_the_link_busy() {
        let mut bed = Testbed::new(switch(), [start(), start()]);
        bed.run(1_000, |_| {});
        let before: Vec<_> = bed.flows.iter().map(|f| (f.delivered, f.marked, f.lost)).collect();
        let (mut longest, mut sum, mut n) = (0, 0, 0u64);
        bed.run(2_000, |bed| {
            longest = bed.queue().max(longest);
            sum += bed.queue();
            n += 1;
        });
        let got = |i: usize| bed.flows[i].delivered - before[i].0;
        let share = (got(0) + got(1)) * 100 / (bed.link.rate * 2);
        assert!(share >= 95, "{share} %");
        assert!(got(0) < 2 * got(1) && got(1) < 2 * got(0), "{} and {}", got(0), got(1));
        assert!(bed.flows.iter().zip(&before).all(|(f, b)| f.lost == b.2), "nothing is lost");
        assert!(longest < 60 * u64::from(M) && sum / n < 35 * u64::from(M), "{longest}");
    }

    #[test]
    fn rfc8257_3_3_alpha_settles_at_the_fraction_that_the_switch_marks() {
        let mut bed = Testbed::new(switch(), [start(), start()]);
        bed.run(1_000, |_| {});
        let (packets, marked) = (bed.flows[0].delivered / u64::from(M), bed.flows[0].marked);
        let (mut sum, mut n) = (0, 0u64);
        bed.run(2_000, |bed| {
            sum += u64::from(bed.flows[0].cc.alpha);
            n += 1;
        });
        let packets = bed.flows[0].delivered / u64::from(M) - packets;
        let marked = (bed.flows[0].marked - marked) * 1_000 / packets;
        let alpha = sum / n * 1_000 / u64::from(ONE);
        assert!(alpha.abs_diff(marked) <= 30, "alpha {alpha} ‰, marked {marked} ‰");
    }
}
