//! What a connection keeps while segments are missing: RFC 8985 and RFC 9937 put together.
//!
//! It exists only then, in a table of its own: a connection without loss never touches it. The
//! marks of single segments are with their frames; here are their sums, and what decides.

use super::congestion::CongestionControl;
use super::prr::Prr;
use super::rack::{Loss, Rack, Sent, Situation};
use super::tcb::{Facts, Tcb};
use super::undo::{Cause, Episode};
use crate::time::{Instant, Tick};
use crate::wire::Seq;

/// Microseconds of a smoothed round trip that is not known yet.
const NO_RTT_US: u32 = 1_000_000;

/// The scoreboard's sums and the algorithms' state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recovery {
    rack: Rack,
    /// While a fast recovery lasts.
    prr: Option<Prr>,
    /// Bytes and segments that the peer has beyond SND.UNA.
    pub(crate) sacked: u32,
    pub(crate) sacked_segments: u32,
    /// Bytes lost and not sent again.
    pub(crate) lost: u32,
    /// Newly acknowledged or SACKed by the segment in hand.
    pub(crate) delivered: u32,
    /// Newly found lost by the segment in hand.
    pub(crate) newly_lost: bool,
    /// The recovery has just begun: its first retransmission goes at once.
    begun: bool,
    /// A timeout: the first segment goes again at once, whatever the window says.
    pub(crate) resend: bool,
    /// The last reduction of the window, as long as it may prove to have been a mistake.
    pub(crate) episode: Option<Episode>,
    /// The congestion window while a fast recovery lasts (RFC 9937).
    pub(super) cwnd: u32,
    /// When a segment that something overtook counts as lost.
    pub(crate) reorder_at: Tick,
    /// RACK.dsack_round: duplicates reported before this is acknowledged count once.
    dsack_round: Option<Seq>,
}

impl Recovery {
    /// Bytes between SND.UNA and SND.NXT that are not in the network.
    pub(crate) fn left(&self) -> u32 {
        self.sacked + self.lost
    }

    /// Nothing is missing any more.
    pub(crate) fn is_over(&self, tcb: &Tcb) -> bool {
        self.left() == 0 && !tcb.facts.intersects(Facts::RECOVERY | Facts::TIMED_OUT)
    }

    /// Nothing was missing before this ACK either: what is kept waits for reports of duplicates.
    pub(crate) fn is_at_rest(&self, tcb: &Tcb) -> bool {
        self.is_over(tcb) && self.rack.is_new()
    }

    /// Nothing is missing any more: keeps only what may still prove a mistake.
    pub(crate) fn rest(&mut self) {
        let Recovery { episode, dsack_round, .. } = *self;
        *self = Recovery { episode, dsack_round, ..Recovery::default() };
    }

    /// Nothing was lost: what counted as lost is in flight again, and late. The marks are the
    /// caller's.
    pub(crate) fn take_back(&mut self) {
        let Recovery { sacked, sacked_segments, reorder_at, dsack_round, .. } = *self;
        let nothing = Recovery::default();
        *self = Recovery { sacked, sacked_segments, reorder_at, dsack_round, ..nothing };
    }

    /// The peer reports that something of ours came twice (RFC 2883): nothing was lost.
    pub(crate) fn duplicate_reported(&mut self, tcb: &mut Tcb) {
        if !self.counts_duplicates(tcb) {
            self.dsack_round = Some(tcb.snd_max);
            tcb.reordering.on_dsack();
        }
    }

    /// A duplicate was reported in this round trip.
    pub(crate) fn counts_duplicates(&self, tcb: &Tcb) -> bool {
        self.dsack_round.is_some_and(|round| tcb.snd_una.before(round))
    }

    /// A segment has arrived.
    pub(crate) fn arrived(&mut self, segment: &Sent, len: u32, tcb: &mut Tcb, now: Instant) {
        self.delivered += len;
        if self.rack.arrived(segment, tcb.min_rtt_us, now.micros32()) {
            tcb.reordering.on_reordering();
        }
    }

    /// RACK.reo_wnd.
    pub(crate) fn window_us(&self, tcb: &Tcb) -> u32 {
        self.window_in(tcb.facts.intersects(Facts::RECOVERY | Facts::TIMED_OUT), tcb)
    }

    /// The same at the moment of a timeout, which begins a recovery.
    pub(crate) fn window_before_us(&self, tcb: &Tcb) -> u32 {
        self.window_in(false, tcb)
    }

    fn window_in(&self, in_recovery: bool, tcb: &Tcb) -> u32 {
        let srtt = tcb.rtt.srtt().map_or(NO_RTT_US, |srtt| srtt.as_micros() as u32);
        tcb.reordering.window_us(&Situation {
            in_recovery,
            sacked_segments: self.sacked_segments,
            min_rtt_us: tcb.min_rtt_us.min(srtt),
            srtt_us: srtt,
        })
    }

    pub(crate) fn judge(&self, segment: &Sent, window_us: u32, now: Instant) -> Loss {
        self.rack.judge(segment, window_us, now.micros32())
    }

    pub(crate) fn is_overdue(&self, segment: &Sent, window_us: u32, now: Instant) -> bool {
        self.rack.is_overdue(segment, window_us, now.micros32())
    }

    /// Bytes were sent, first or again.
    pub(crate) fn sent(&mut self, bytes: u32) {
        if let Some(prr) = &mut self.prr {
            prr.on_sent(bytes);
        }
    }

    /// The first loss of a window: fast recovery begins (RFC 5681 section 3.2, RFC 9937 section 6).
    /// `used` is what the reduction starts from: what is in flight, or more (RFC 7661 section
    /// 4.4.2).
    pub(crate) fn begin(&mut self, in_flight: u32, used: u32, tcb: &mut Tcb) {
        let delivered_before = self.sacked.saturating_sub(self.delivered);
        let prior = tcb.congestion.prior();
        tcb.congestion.on_congestion(used);
        self.episode = Some(Episode::new(Cause::Loss, prior, tcb));
        tcb.window_reduced();
        tcb.recover = tcb.snd_max - 1;
        tcb.facts |= Facts::RECOVERY;
        tcb.facts -= Facts::TIMING | Facts::PROBE_OUT;
        self.begun = true;
        let recover_fs = in_flight.saturating_sub(delivered_before);
        let prr = || Prr::new(tcb.congestion.ssthresh(), recover_fs, tcb.snd_mss);
        self.prr = tcb.congestion.uses_prr().then(prr);
    }

    /// After an ACK: the recovery's end, or its congestion window. `in_flight`: bytes from SND.UNA
    /// to SND.NXT.
    pub(crate) fn conclude(&mut self, advanced: bool, in_flight: u32, tcb: &mut Tcb) {
        let recovering = tcb.facts.intersects(Facts::RECOVERY | Facts::TIMED_OUT);
        let pipe = in_flight.saturating_sub(self.left());
        if recovering && tcb.snd_una.after(tcb.recover) {
            if tcb.facts.intersects(Facts::RECOVERY | Facts::SAMPLED) {
                tcb.congestion.on_recovered();
                self.prr = None;
            }
            tcb.facts -= Facts::RECOVERY | Facts::TIMED_OUT;
            tcb.reordering.on_recovery_end();
            if let Some(episode) = &mut self.episode
                && !episode.recovered(tcb.snd_max)
            {
                self.episode = None;
            }
        }
        if let Some(prr) = &mut self.prr {
            let safe = advanced && !self.newly_lost;
            // What the reordering timer finds lost has no ACK to let it out.
            let by_timer = self.newly_lost && self.delivered == 0;
            let least = if self.begun || by_timer { u32::from(tcb.snd_mss) } else { 0 };
            let count = prr.on_ack(self.delivered, pipe, safe).max(least);
            self.cwnd = pipe.saturating_add(count);
        }
        (self.delivered, self.newly_lost, self.begun) = (0, false, false);
    }
}
