//! What the window-based controllers share: the window, its threshold, slow start, and the way
//! back.

use bitflags::bitflags;

/// The largest window TCP can advertise (RFC 7323 section 2.3): more is of no use, and sums of two
/// windows stay in 32 bits.
pub(super) const MAX_CWND: u32 = 1 << 30;

/// Segments that one ACK may open the window by in slow start: L of RFC 3465 section 2.2.
const L: u32 = 2;

bitflags! {
    /// Facts of one bit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Facts: u8 {
        /// Congestion marks are reported on this connection.
        const ECN = 1;
        /// In the slow start after a time-out.
        const TIMED_OUT = 1 << 1;
    }
}

/// What a reduction changes, as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prior {
    /// The congestion window in bytes.
    pub cwnd: u32,
    /// The slow start threshold.
    pub ssthresh: u32,
    /// Where CUBIC's curve was flat; zero if there was none.
    pub w_max: u32,
}

/// A congestion window in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) cwnd: u32,
    pub(super) ssthresh: u32,
    /// Bytes of the current round that are still to be acknowledged. A round ends when all is
    /// acknowledged that was in flight when it began.
    pub(super) round: u32,
    smss: u16,
    /// The initial window, in whole segments.
    initial_segments: u8,
    facts: Facts,
}

impl Window {
    pub(super) fn new(mss: u16, initial_window: u32) -> Window {
        let smss = mss.max(1);
        let cwnd = initial_window.clamp(smss.into(), MAX_CWND);
        Window {
            cwnd,
            // RFC 5681 section 3.1: arbitrarily high, so that the network decides.
            ssthresh: u32::MAX,
            round: 0,
            smss,
            initial_segments: (cwnd / u32::from(smss)).min(255) as u8,
            facts: Facts::empty(),
        }
    }

    pub(super) fn smss(&self) -> u32 {
        self.smss.into()
    }

    pub(super) fn set_mss(&mut self, mss: u16) {
        self.smss = mss.max(1);
        self.set_cwnd(self.cwnd);
        self.ssthresh = self.ssthresh.max(2 * self.smss());
    }

    pub(super) fn set_cwnd(&mut self, cwnd: u32) {
        self.cwnd = cwnd.clamp(self.smss(), MAX_CWND);
    }

    pub(super) fn grow(&mut self, by: u32) {
        self.set_cwnd(self.cwnd.saturating_add(by));
    }

    /// An ACK of `acked` bytes in slow start (RFC 5681 section 3.1).
    ///
    /// It may open the window by two segments, so that ACKs of two segments each double it in a
    /// round trip as well (RFC 3465 section 2.2); by one after a time-out, when an ACK can cover
    /// what was delivered long before (section 2.3). What is acknowledged counts, not the ACKs: a
    /// receiver that splits them gains nothing. It ends at the threshold and not beyond.
    pub(super) fn slow_start(&mut self, acked: u32) {
        let most = if self.facts.contains(Facts::TIMED_OUT) { 1 } else { L };
        let by = acked.min(most * self.smss());
        self.grow(by.min(self.ssthresh.saturating_sub(self.cwnd)));
        if !self.in_slow_start() {
            self.facts -= Facts::TIMED_OUT;
        }
    }

    pub(super) fn in_slow_start(&self) -> bool {
        self.cwnd < self.ssthresh
    }

    /// RFC 4015 section 3: back to what the window was.
    pub(super) fn restore(&mut self, prior: &Prior) {
        self.set_cwnd(self.cwnd.max(prior.cwnd));
        self.ssthresh = self.ssthresh.max(prior.ssthresh);
        self.facts -= Facts::TIMED_OUT;
        self.round = 0;
    }

    /// The new threshold, at least two segments, and the window with it.
    pub(super) fn reduce(&mut self, ssthresh: u32) {
        self.ssthresh = ssthresh.max(2 * self.smss());
        self.set_cwnd(self.ssthresh);
    }

    /// RFC 3168 section 6.1.2: no more than one reaction in a window of data, be it to marks or to
    /// losses. Whether this loss is news; if so the round begins in which nothing else is.
    pub(super) fn loss_is_news(&mut self, flight: u32) -> bool {
        let news = self.round == 0;
        if news && self.facts.contains(Facts::ECN) {
            self.round = flight;
        }
        news
    }

    /// The same for an ACK of `acked` bytes with `marked` ones.
    pub(super) fn mark_is_news(&mut self, acked: u32, marked: u32, flight: u32) -> bool {
        self.facts |= Facts::ECN;
        let of_this_round = self.round > 0 && acked <= self.round;
        self.round = self.round.saturating_sub(acked);
        let news = marked > 0 && !of_this_round;
        if news {
            self.round = flight.saturating_sub(acked);
        }
        news
    }

    /// The loss window: one full-sized segment (RFC 5681 section 3.1).
    pub(super) fn collapse(&mut self) {
        self.round = 0;
        self.facts |= Facts::TIMED_OUT;
        self.cwnd = self.smss();
    }

    /// The window wasn't used for long (RFC 7661 section 4.4.3).
    pub(super) fn decay(&mut self, cwnd: u32, ssthresh: u32) {
        self.set_cwnd(cwnd);
        self.ssthresh = ssthresh.max(2 * self.smss());
    }

    /// The restart window: no more than the initial one (RFC 5681 section 4.1).
    pub(super) fn restart(&mut self) {
        let initial = u32::from(self.initial_segments.max(1)) * self.smss();
        self.set_cwnd(self.cwnd.min(initial));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window::new(1_000, 10_000)
    }

    fn prior(w: &Window) -> Prior {
        Prior { cwnd: w.cwnd, ssthresh: w.ssthresh, w_max: 0 }
    }

    #[test]
    fn rfc3168_6_1_2_marks_count_once_in_a_window_of_data() {
        let mut w = window();
        assert!(w.mark_is_news(1_000, 1_000, 10_000));
        for _ in 0..9 {
            assert!(!w.mark_is_news(1_000, 1_000, 10_000), "sent before the reaction");
        }
        assert!(w.mark_is_news(1_000, 1_000, 10_000), "sent after it");
        assert!(!window().mark_is_news(1_000, 0, 10_000), "no mark, no news");
    }

    #[test]
    fn rfc3168_6_1_2_a_loss_in_the_window_of_a_mark_is_no_second_reason() {
        let mut w = window();
        assert!(w.mark_is_news(1_000, 1_000, 10_000));
        assert!(!w.loss_is_news(9_000));
        assert!(!w.mark_is_news(9_000, 0, 9_000));
        assert!(w.loss_is_news(9_000));
        assert!(!w.mark_is_news(1_000, 1_000, 9_000), "nor the other way round");
    }

    #[test]
    fn without_ecn_each_loss_is_news() {
        let mut w = window();
        assert!(w.loss_is_news(9_000) && w.loss_is_news(9_000));
    }

    #[test]
    fn rfc4015_3_a_reduction_is_taken_back() {
        let mut w = window();
        let prior = prior(&w);
        w.reduce(5_000);
        assert_eq!((w.cwnd, w.ssthresh), (5_000, 5_000));
        w.restore(&prior);
        assert_eq!((w.cwnd, w.ssthresh), (10_000, u32::MAX));
    }

    #[test]
    fn rfc4015_3_a_window_that_grew_past_the_old_one_is_kept() {
        let mut w = window();
        let prior = prior(&w);
        w.reduce(5_000);
        w.set_cwnd(20_000);
        w.restore(&prior);
        assert_eq!(w.cwnd, 20_000);
    }
}
