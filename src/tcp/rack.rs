//! RACK: loss detection by time, RFC 8985 section 6. What was sent before something that has
//! arrived, by more than a reordering window, is lost.

use crate::wire::Seq;

/// SACKed segments that stand for a loss when no reordering was ever seen (RFC 8985 section 3.2).
const DUP_THRESHOLD: u32 = 3;
/// Recoveries after which an enlarged reordering window returns to normal (section 4).
const REO_WND_PERSIST: u8 = 16;

/// What a connection keeps for good: how much its path reorders (RFC 8985 section 6.2 step 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reordering {
    /// RACK.reo_wnd_mult.
    mult: u8,
    /// RACK.reo_wnd_persist; and beside it whether any was seen ([`SEEN`]).
    persist: u8,
}

const SEEN: u8 = 1 << 7;

impl Reordering {
    pub(crate) const fn new() -> Reordering {
        Reordering { mult: 1, persist: REO_WND_PERSIST }
    }

    fn is_seen(self) -> bool {
        self.persist & SEEN != 0
    }

    /// Something came late, but came.
    pub(crate) fn on_reordering(&mut self) {
        self.persist |= SEEN;
    }

    /// A duplicate was reported (DSACK): the window was too small. Once a round trip.
    pub(crate) fn on_dsack(&mut self) {
        self.mult = self.mult.saturating_add(1);
        self.persist = REO_WND_PERSIST | self.persist & SEEN;
    }

    /// A recovery ended.
    pub(crate) fn on_recovery_end(&mut self) {
        let (left, seen) = (self.persist & !SEEN, self.persist & SEEN);
        self.persist = left.saturating_sub(1) | seen;
        if left <= 1 {
            self.mult = 1;
        }
    }

    /// RACK.reo_wnd, in microseconds.
    pub(crate) fn window_us(&self, state: &Situation) -> u32 {
        if !self.is_seen() && (state.in_recovery || state.sacked_segments >= DUP_THRESHOLD) {
            return 0;
        }
        (u32::from(self.mult) * (state.min_rtt_us / 4)).min(state.srtt_us)
    }
}

/// What the reordering window depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    pub(crate) in_recovery: bool,
    pub(crate) sacked_segments: u32,
    pub(crate) min_rtt_us: u32,
    pub(crate) srtt_us: u32,
}

/// One transmission of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// When, in wrapping microseconds.
    pub(crate) at_us: u32,
    pub(crate) end: Seq,
    pub(crate) retransmitted: bool,
}

impl Sent {
    /// RACK_sent_after: by time, and by sequence number among those sent at once.
    fn after(&self, other: &Sent) -> bool {
        let later = self.at_us.wrapping_sub(other.at_us) as i32;
        later > 0 || later == 0 && self.end.after(other.end)
    }
}

/// The most recently sent segment that has arrived: RACK.segment and RACK.rtt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rack {
    newest: Option<Sent>,
    rtt_us: u32,
    /// RACK.fack: the highest sequence number that has arrived.
    fack: Option<Seq>,
}

/// Whether a segment is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Lost,
    /// Not yet: in this many microseconds it is, if it doesn't arrive.
    In(u32),
    /// Nothing sent after it has arrived.
    Unknown,
}

impl Rack {
    /// Nothing has arrived yet.
    pub(crate) fn is_new(&self) -> bool {
        self.newest.is_none()
    }

    /// A segment has arrived, for all we know now (section 6.2 steps 2 and 3). Returns whether it
    /// shows that the path reorders.
    pub(crate) fn arrived(&mut self, segment: &Sent, min_rtt_us: u32, now_us: u32) -> bool {
        let rtt = now_us.wrapping_sub(segment.at_us);
        // The ACK may be of the first transmission: a round trip that short can't be.
        let ambiguous = segment.retransmitted && rtt < min_rtt_us;
        if !ambiguous && self.newest.is_none_or(|newest| segment.after(&newest)) {
            self.newest = Some(*segment);
            self.rtt_us = rtt;
        }
        match self.fack {
            Some(fack) if segment.end.before(fack) => !segment.retransmitted,
            _ => {
                self.fack = Some(segment.end);
                false
            }
        }
    }

    /// Section 6.2 step 5, for one segment that has not arrived.
    pub(crate) fn judge(&self, segment: &Sent, window_us: u32, now_us: u32) -> Loss {
        match &self.newest {
            Some(newest) if newest.after(segment) => {
                self.remaining(segment, window_us, now_us).map_or(Loss::Lost, Loss::In)
            }
            _ => Loss::Unknown,
        }
    }

    /// Section 6.3: after a timeout, what was sent only just now may still arrive.
    pub(crate) fn is_overdue(&self, segment: &Sent, window_us: u32, now_us: u32) -> bool {
        self.remaining(segment, window_us, now_us).is_none()
    }

    /// Microseconds until the segment counts as lost; `None` if it does.
    fn remaining(&self, segment: &Sent, window_us: u32, now_us: u32) -> Option<u32> {
        let due = segment.at_us.wrapping_add(self.rtt_us).wrapping_add(window_us);
        let left = due.wrapping_sub(now_us) as i32;
        (left > 0).then_some(left as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(at_us: u32, end: u32) -> Sent {
        Sent { at_us, end: Seq(end), retransmitted: false }
    }

    fn situation() -> Situation {
        Situation { in_recovery: false, sacked_segments: 0, min_rtt_us: 4_000, srtt_us: 5_000 }
    }

    #[test]
    fn rfc8985_6_2_step_5_what_was_sent_before_something_that_arrived_is_lost_after_the_window() {
        let mut rack = Rack::default();
        let (first, second, third) = (sent(0, 1_000), sent(10, 2_000), sent(10, 3_000));
        assert_eq!(rack.judge(&first, 0, 5_000), Loss::Unknown);
        rack.arrived(&second, 4_000, 5_000);
        // RACK.rtt is 4,990: the first is due at 4,990, with a window of 1,000 at 5,990.
        assert_eq!(rack.judge(&first, 0, 5_000), Loss::Lost);
        assert_eq!(rack.judge(&first, 1_000, 5_000), Loss::In(990));
        assert_eq!(rack.judge(&third, 0, 9_000), Loss::Unknown, "sent after it");
    }

    #[test]
    fn rfc8985_6_2_step_2_an_ack_that_may_be_of_the_original_tells_nothing() {
        let mut rack = Rack::default();
        rack.arrived(&Sent { retransmitted: true, ..sent(9_000, 2_000) }, 4_000, 9_500);
        assert_eq!(rack.judge(&sent(0, 1_000), 0, 9_500), Loss::Unknown);
        rack.arrived(&Sent { retransmitted: true, ..sent(9_000, 2_000) }, 4_000, 13_500);
        assert_eq!(rack.judge(&sent(0, 1_000), 0, 13_500), Loss::Lost);
    }

    #[test]
    fn rfc8985_6_2_step_3_an_original_that_arrives_late_shows_reordering() {
        let mut rack = Rack::default();
        assert!(!rack.arrived(&sent(0, 2_000), 1, 100));
        assert!(rack.arrived(&sent(0, 1_000), 1, 110));
        assert!(!rack.arrived(&Sent { retransmitted: true, ..sent(0, 500) }, 1, 120));
    }

    #[test]
    fn rfc8985_6_2_step_4_the_window_is_zero_without_reordering_in_recovery_or_at_the_threshold() {
        let mut reordering = Reordering::new();
        assert_eq!(reordering.window_us(&situation()), 1_000);
        let recovering = Situation { in_recovery: true, ..situation() };
        let three = Situation { sacked_segments: 3, ..situation() };
        assert_eq!((reordering.window_us(&recovering), reordering.window_us(&three)), (0, 0));
        reordering.on_reordering();
        assert_eq!(
            (reordering.window_us(&recovering), reordering.window_us(&three)),
            (1_000, 1_000)
        );
    }

    #[test]
    fn rfc8985_6_2_step_4_duplicates_widen_the_window_for_sixteen_recoveries_up_to_srtt() {
        let mut reordering = Reordering::new();
        reordering.on_dsack();
        assert_eq!(reordering.window_us(&situation()), 2_000);
        (0..9).for_each(|_| reordering.on_dsack());
        assert_eq!(reordering.window_us(&situation()), 5_000);
        (0..15).for_each(|_| reordering.on_recovery_end());
        assert_eq!(reordering.window_us(&situation()), 5_000);
        reordering.on_recovery_end();
        assert_eq!(reordering.window_us(&situation()), 1_000);
    }

    #[test]
    fn rfc8985_6_3_after_a_timeout_only_what_is_overdue_is_lost() {
        let mut rack = Rack::default();
        rack.arrived(&sent(0, 1_000), 1, 4_000);
        assert!(rack.is_overdue(&sent(0, 2_000), 0, 300_000));
        assert!(!rack.is_overdue(&sent(299_000, 3_000), 0, 300_000));
    }
}
