//! F-RTO (RFC 5682): whether a timeout was spurious, seen from the next two ACKs.
//!
//! After a timeout only the first segment goes again. If what it asked for is acknowledged, new
//! data goes instead of old; if then something is acknowledged that was sent before the timeout and
//! not again, it was no loss that the timer saw.

use crate::wire::Seq;

/// New segments that go out in step 2.
const NEW_SEGMENTS: u8 = 2;

/// Where the algorithm stands. It begins in step 2, with the first segment sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frto {
    /// The highest sequence number sent before the timeout, plus one.
    recover: Seq,
    /// Where the segment that step 1 sent again ends.
    resent: Seq,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Step 2, before the ACK.
    First,
    /// Step 2 (b): so many new segments may still go.
    New(u8),
    /// Step 3.
    Second,
}

/// One ACK, as far as the algorithm looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// SND.UNA with this ACK.
    pub(crate) una: Seq,
    pub(crate) advanced: bool,
    /// A duplicate ACK by RFC 5681 section 2; only without SACK.
    pub(crate) duplicate: bool,
    /// The highest edge of the SACK blocks.
    pub(crate) sacked: Option<Seq>,
    /// Something was acknowledged or SACKed that had not been.
    pub(crate) delivered: bool,
}

/// What follows from an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Wait.
    Nothing,
    /// Send new data.
    New,
    /// The loss is real: go on as after any timeout.
    Loss,
    /// Nothing was lost.
    Spurious,
}

impl Frto {
    /// Step 1: the segment that ends at `resent` is being sent again; `recover` is SND.MAX.
    pub(crate) fn new(resent: Seq, recover: Seq) -> Frto {
        Frto { recover, resent, step: Step::First }
    }

    /// New segments that may go now, whatever the congestion window says.
    pub(crate) fn allowance(&self) -> u8 {
        match self.step {
            Step::New(left) => left,
            Step::First | Step::Second => 0,
        }
    }

    /// So many new segments were sent, and there is nothing more to send.
    pub(crate) fn sent_new(&mut self) {
        self.step = Step::Second;
    }

    /// `sack`: the SACK-enhanced version (section 3.1), else the basic one (section 2.1).
    pub(crate) fn on_ack(&mut self, ack: &Ack, sack: bool) -> Finding {
        match self.step {
            Step::First | Step::New(_) => self.first_ack(ack, sack),
            Step::Second if sack => self.second_ack_with_sack(ack),
            Step::Second if ack.duplicate => Finding::Loss,
            Step::Second if ack.advanced => Finding::Spurious,
            Step::Second => Finding::Nothing,
        }
    }

    fn first_ack(&mut self, ack: &Ack, sack: bool) -> Finding {
        // With SACK duplicates only fill the scoreboard.
        if ack.duplicate && !sack {
            return Finding::Loss;
        }
        if !ack.advanced {
            return Finding::Nothing;
        }
        if ack.una.at_or_after(self.recover) {
            return Finding::Loss;
        }
        if ack.una.before(self.resent) {
            return if sack { Finding::Nothing } else { Finding::Loss };
        }
        self.step = Step::New(NEW_SEGMENTS);
        Finding::New
    }

    fn second_ack_with_sack(&self, ack: &Ack) -> Finding {
        let beyond = ack.sacked.is_some_and(|edge| edge.after(self.recover));
        if beyond || ack.una.after(self.recover) {
            Finding::Loss
        } else if ack.delivered {
            Finding::Spurious
        } else {
            Finding::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten segments of 100 bytes from 1,000 on are out; the first goes again.
    fn frto() -> Frto {
        Frto::new(Seq(1_100), Seq(2_000))
    }

    fn acks(una: u32) -> Ack {
        let una = Seq(una);
        Ack { una, advanced: true, duplicate: false, sacked: None, delivered: true }
    }

    fn duplicate(una: u32) -> Ack {
        Ack { advanced: false, duplicate: true, delivered: false, ..acks(una) }
    }

    fn sacks(una: u32, edge: u32) -> Ack {
        Ack { advanced: false, sacked: Some(Seq(edge)), ..acks(una) }
    }

    /// Past step 2, with two new segments out.
    fn second(sack: bool) -> Frto {
        let mut frto = frto();
        assert_eq!(frto.on_ack(&acks(1_200), sack), Finding::New);
        assert_eq!(frto.allowance(), 2);
        frto.sent_new();
        assert_eq!(frto.allowance(), 0);
        frto
    }

    #[test]
    fn rfc5682_2_1_two_acks_that_advance_mean_spurious() {
        assert_eq!(second(false).on_ack(&acks(1_300), false), Finding::Spurious);
    }

    #[test]
    fn rfc5682_2_1_step_2a_a_duplicate_or_an_ack_of_everything_or_of_a_part_mean_loss() {
        for ack in [duplicate(1_000), acks(2_000), acks(1_050)] {
            assert_eq!(frto().on_ack(&ack, false), Finding::Loss, "{ack:?}");
        }
    }

    #[test]
    fn rfc5682_2_1_step_3a_a_duplicate_means_loss() {
        assert_eq!(second(false).on_ack(&duplicate(1_200), false), Finding::Loss);
    }

    #[test]
    fn an_ack_that_is_neither_new_nor_a_duplicate_says_nothing() {
        let update = Ack { duplicate: false, ..duplicate(1_200) };
        for sack in [false, true] {
            assert_eq!(second(sack).on_ack(&update, sack), Finding::Nothing);
            assert_eq!(frto().on_ack(&update, sack), Finding::Nothing);
        }
    }

    #[test]
    fn rfc5682_3_1_step_2_waits_for_the_resent_segment() {
        let mut frto = frto();
        assert_eq!(frto.on_ack(&sacks(1_000, 1_500), true), Finding::Nothing);
        assert_eq!(frto.on_ack(&acks(1_050), true), Finding::Nothing);
        assert_eq!(frto.on_ack(&acks(1_100), true), Finding::New);
    }

    #[test]
    fn rfc5682_3_1_step_2a_an_ack_of_everything_means_loss() {
        assert_eq!(frto().on_ack(&acks(2_000), true), Finding::Loss);
    }

    #[test]
    fn rfc5682_3_1_step_3a_what_is_sacked_or_acked_beyond_means_loss() {
        assert_eq!(second(true).on_ack(&sacks(1_200, 2_100), true), Finding::Loss);
        assert_eq!(second(true).on_ack(&acks(2_100), true), Finding::Loss);
    }

    #[test]
    fn rfc5682_3_1_step_3b_what_was_sent_before_the_timeout_means_spurious() {
        assert_eq!(second(true).on_ack(&sacks(1_200, 1_500), true), Finding::Spurious);
        assert_eq!(second(true).on_ack(&acks(1_300), true), Finding::Spurious);
    }
}
