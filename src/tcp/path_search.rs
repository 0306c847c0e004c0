//! The search for longer packets on a path that was found narrow (RFC 4821 section 7).

use core::time::Duration;

use super::path_mtu::next_probe;
use super::tcb::{Facts, State, Tcb};
use crate::time::Instant;
use crate::wire::Seq;

/// How long a size is kept before a longer one is tried (RFC 1191 section 6.3, RFC 8201 section 4).
pub(crate) const PATH_LIFETIME: Duration = Duration::from_secs(600);

/// Of a connection whose segments are shorter than agreed. Sizes are those of IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathSearch {
    /// What the handshake agreed on.
    full: u16,
    mtu: u16,
    /// It is a guess, and nothing has got through yet.
    guessed: bool,
    /// When a longer one may be tried.
    due: Instant,
    /// The probe that is out: where it ends, and its size.
    probe: Option<(Seq, u16)>,
}

/// What an acknowledgement told about the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathNews {
    Nothing,
    /// Packets of the guessed size get through, where longer ones did not.
    Confirmed(u16),
    /// The probe got through.
    Wider(u16),
}

impl PathSearch {
    /// A connection of packets of up to `full` bytes may send no more than `mtu` now.
    pub(crate) fn new(full: u16, mtu: u16, guessed: bool, now: Instant) -> PathSearch {
        PathSearch { full, mtu, guessed, due: now + PATH_LIFETIME, probe: None }
    }

    /// The same connection may send even less.
    pub(crate) fn lower(self, mtu: u16, guessed: bool, now: Instant) -> PathSearch {
        PathSearch::new(self.full, mtu, guessed, now)
    }

    /// The size to try now, if it is time for one.
    pub(crate) fn candidate(&self, now: Instant) -> Option<u16> {
        let idle = self.probe.is_none() && !self.guessed && self.due <= now;
        next_probe(self.mtu, self.full).filter(|_| idle)
    }

    /// A packet of `mtu` bytes went out, whose payload ends at `end`.
    pub(crate) fn probed(&mut self, end: Seq, mtu: u16) {
        self.probe = Some((end, mtu));
    }

    /// The probe, if one was out, didn't get through; whether there was one.
    pub(crate) fn probe_lost(&mut self, now: Instant) -> bool {
        self.due = now + PATH_LIFETIME;
        self.probe.take().is_some()
    }

    /// Everything up to `una` has been acknowledged.
    pub(crate) fn acknowledged(&mut self, una: Seq) -> PathNews {
        if self.guessed {
            self.guessed = false;
            return PathNews::Confirmed(self.mtu);
        }
        match self.probe {
            Some((end, mtu)) if una.at_or_after(end) => {
                // The next step follows at once.
                (self.mtu, self.probe) = (mtu, None);
                PathNews::Wider(mtu)
            }
            _ => PathNews::Nothing,
        }
    }
}

impl Tcb {
    /// Whether a probe with so much new payload may go now: nothing is being repaired, and no
    /// window is exceeded.
    pub(crate) fn may_probe_path(&self, len: u32) -> bool {
        let busy = Facts::RECOVERY | Facts::TIMED_OUT | Facts::REORDER_ARMED | Facts::PROBE_OUT;
        matches!(self.state, State::Established | State::CloseWait)
            && !self.facts.intersects(busy)
            && self.snd_nxt == self.snd_max
            && self.has_room_for(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_millis(s * 1_000)
    }

    #[test]
    fn rfc8201_4_a_longer_packet_is_tried_after_ten_minutes() {
        let search = PathSearch::new(1_500, 1_280, false, at(0));
        assert_eq!(search.candidate(at(599)), None);
        assert_eq!(search.candidate(at(600)), Some(1_400));
    }

    #[test]
    fn rfc4821_7_6_1_what_gets_through_is_used_and_the_next_is_tried() {
        let mut search = PathSearch::new(1_500, 1_280, false, at(0));
        for size in [1_400, 1_492, 1_500] {
            assert_eq!(search.candidate(at(600)), Some(size));
            search.probed(Seq(9), size);
            assert_eq!(search.candidate(at(600)), None, "one at a time");
            assert_eq!(search.acknowledged(Seq(8)), PathNews::Nothing);
            assert_eq!(search.acknowledged(Seq(9)), PathNews::Wider(size));
        }
        assert_eq!(search.candidate(at(9_999)), None);
    }

    #[test]
    fn rfc4821_7_6_2_after_a_lost_probe_there_is_peace_for_a_while() {
        let mut search = PathSearch::new(1_500, 1_280, false, at(0));
        search.probed(Seq(9), 1_400);
        assert!(search.probe_lost(at(601)) && !search.probe_lost(at(601)));
        assert_eq!(search.candidate(at(1_200)), None);
        assert_eq!(search.candidate(at(1_201)), Some(1_400));
    }

    #[test]
    fn a_guess_is_confirmed_by_what_gets_through() {
        let mut search = PathSearch::new(1_500, 1_280, true, at(0));
        assert_eq!(search.candidate(at(600)), None);
        assert_eq!(search.acknowledged(Seq(1)), PathNews::Confirmed(1_280));
        assert_eq!(search.acknowledged(Seq(2)), PathNews::Nothing);
        assert_eq!(search.lower(576, true, at(1)).full, 1_500);
    }
}
