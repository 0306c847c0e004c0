//! What to send next: RFC 9293 section 3.8.6.2.1 (silly window), 3.7.4 (Nagle), RFC 5681 (cwnd).

use super::congestion::CongestionControl;
use super::recovery::Recovery;
use super::settings::Settings;
use super::tcb::{Facts, State, Tcb};
use crate::time::Instant;
use crate::wire::Seq;
use crate::wire::tcp::Flags;

/// The initial window is never larger (RFC 6928 section 2).
const LARGE_SEGMENTS: u32 = 10;

/// The send queue, as far as the decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// Bytes from SND.NXT on: not sent, or to be sent again.
    pub(crate) bytes: u32,
    /// Of these, how many lie in the first frame: most that one segment can take.
    pub(crate) first: u32,
    /// Bytes between SND.UNA and SND.NXT that have left the network: SACKed or lost.
    pub(crate) left: u32,
    /// The congestion window in force.
    pub(crate) cwnd: u32,
}

/// The next segment with a sequence number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) seq: Seq,
    /// Payload bytes: all of the first frame, or less if only the window allows no more.
    pub(crate) len: u32,
    pub(crate) flags: Flags,
    /// Sent before, at least in part.
    pub(crate) again: bool,
}

impl Tcb {
    /// Decides on the next segment; `None` if nothing may be sent now.
    pub(crate) fn next_segment(&mut self, unsent: Unsent, settings: &Settings) -> Option<Next> {
        match self.state {
            State::SynSent => return self.next_syn(Flags::SYN),
            State::SynReceived => return self.next_syn(Flags::SYN | Flags::ACK),
            State::FinWait2 | State::TimeWait => return None,
            _ => {}
        }
        let again = self.snd_nxt.before(self.snd_max);
        if unsent.bytes == 0 {
            let fin_due = self.has(Facts::FIN_QUEUED) && !self.fin_covered();
            return fin_due.then_some(Next {
                seq: self.snd_nxt,
                len: 0,
                flags: Flags::FIN | Flags::ACK,
                again,
            });
        }
        let len = self.sendable(unsent, settings)?;
        let last = len == unsent.bytes;
        let mut flags = Flags::ACK;
        flags.set(Flags::FIN, last && self.has(Facts::FIN_QUEUED));
        flags.set(Flags::PSH, last);
        Some(Next { seq: self.snd_nxt, len, flags, again })
    }

    fn next_syn(&self, flags: Flags) -> Option<Next> {
        let due = self.snd_nxt == self.snd_una;
        let again = self.snd_max != self.snd_una;
        due.then_some(Next { seq: self.snd_nxt, len: 0, flags, again })
    }

    /// The congestion window in force; `recovery` is what is kept while segments are missing.
    pub(crate) fn cwnd(&self, recovery: Option<&Recovery>) -> u32 {
        // What wants samples has a window of its own in a recovery too.
        let reduced = self.facts.contains(Facts::RECOVERY | Facts::SACK);
        match recovery {
            Some(recovery) if reduced && !self.has(Facts::SAMPLED) => recovery.cwnd,
            _ => self.congestion.cwnd(),
        }
    }

    /// The congestion window holds something back.
    pub(crate) fn limited_by_cwnd(&mut self) {
        self.facts |= Facts::CWND_LIMITED;
        self.limited_end = self.snd_max;
    }

    /// Whether the congestion control wants every round trip measured now: while its window grows.
    #[inline]
    pub(crate) fn wants_rtt(&self) -> bool {
        self.has(Facts::CWND_LIMITED) && self.congestion.wants_rtt()
    }

    /// RFC 3042: each of the first two duplicate ACKs lets one new segment out. With SACK it is the
    /// scoreboard that makes room.
    fn limited_transmit(&self) -> u32 {
        let repairing = Facts::RECOVERY | Facts::TIMED_OUT;
        if self.snd_nxt != self.snd_max || self.facts.intersects(Facts::SACK | repairing) {
            return 0;
        }
        u32::from(self.dup_acks.min(2)) * u32::from(self.snd_mss)
    }

    /// Whether the peer takes a full segment beyond what is in flight.
    pub(crate) fn window_is_open(&self) -> bool {
        self.snd_wnd() >= self.snd_una.distance_to(self.snd_nxt) + u32::from(self.snd_mss)
    }

    /// SND.NXT is behind the FIN: it was sent since the last timeout.
    fn fin_covered(&self) -> bool {
        self.has(Facts::FIN_SENT) && self.snd_nxt == self.snd_max
    }

    /// How many bytes of the first frame may go.
    fn sendable(&mut self, unsent: Unsent, settings: &Settings) -> Option<u32> {
        let in_flight = self.snd_una.distance_to(self.snd_nxt);
        let window = self.snd_wnd().saturating_sub(in_flight);
        let pipe = in_flight.saturating_sub(unsent.left);
        let full = u32::from(self.snd_mss);
        let cwnd = (unsent.cwnd + self.limited_transmit()).saturating_sub(pipe);
        if cwnd < unsent.first && pipe > 0 && !self.has(Facts::OVERRIDE) {
            self.limited_by_cwnd();
            return None;
        }
        if window >= unsent.first {
            let rest_follows = unsent.bytes > unsent.first;
            let nagle_holds = !settings.config.no_delay
                && in_flight > 0
                // What was sent before, perhaps in longer segments, needs no company.
                && self.snd_nxt == self.snd_max
                && unsent.first < full
                && !rest_follows
                && !self.has(Facts::FIN_QUEUED);
            return (!nagle_holds).then_some(unsent.first);
        }
        // Silly window avoidance: less than a segment goes only if it is half of the largest
        // window.
        let enough = window >= self.max_wnd() / 2 || self.has(Facts::OVERRIDE);
        (window > 0 && enough).then_some(window)
    }

    /// The segment was handed to the device: SND.NXT moves, timers start, the ACK in it counts.
    #[inline]
    pub(crate) fn sent(&mut self, next: &Next, now: Instant) {
        let syn = next.flags.contains(Flags::SYN);
        let fin = next.flags.contains(Flags::FIN);
        let before = self.flight();
        if before == 0 {
            self.stalled_since = now.tick();
        }
        self.snd_nxt = next.seq + next.len + u32::from(syn) + u32::from(fin);
        if fin {
            self.fin_sent();
        }
        if !next.again && !self.has(Facts::TIMING) {
            self.facts |= Facts::TIMING;
            self.rtt_seq = self.snd_nxt;
            self.rtt_started_us = now.micros32();
        }
        self.snd_max = self.snd_max.max(self.snd_nxt);
        self.facts -= Facts::OVERRIDE;
        // RFC 6298 section 5.1; a probe is for the last segment (RFC 8985 section 7.2).
        let probe = self.facts.contains(Facts::TAIL | Facts::PROBE_TIMER);
        if !self.has(Facts::RETRANSMIT_ARMED) || probe {
            self.arm_retransmit(now);
        } else if before <= u32::from(self.snd_mss) {
            // It was armed for a single segment.
            self.arm_probe(now);
        }
        self.facts -= Facts::TAIL;
        if next.flags.contains(Flags::ACK) {
            self.ack_sent();
        }
    }

    fn fin_sent(&mut self) {
        self.facts |= Facts::FIN_SENT;
        match self.state {
            State::Established => self.state = State::FinWait1,
            State::CloseWait => self.state = State::LastAck,
            _ => {}
        }
    }

    /// A segment with an ACK was handed to the device.
    #[inline]
    pub(crate) fn ack_sent(&mut self) {
        self.facts -= Facts::ACK_NOW | Facts::ACK_DELAYED;
        self.last_ack_sent = self.rcv_nxt;
        self.dup_acks_owed = self.dup_acks_owed.saturating_sub(1);
    }

    /// The way to the peer was not known when the SYN was "sent": the next one is the first.
    pub(crate) fn syn_never_left(&mut self) {
        self.snd_nxt = self.snd_una;
        self.snd_max = self.snd_una;
        self.tries = 0;
        self.facts -= Facts::TIMING | Facts::RETRANSMIT_ARMED;
    }

    /// The segment at SND.UNA was sent again out of turn.
    pub(crate) fn retransmitted(&mut self, now: Instant) {
        self.facts -= Facts::TIMING;
        self.arm_retransmit(now);
        self.ack_sent();
    }

    /// The ACK could not be sent: as soon as the delayed ACK's timer allows.
    pub(crate) fn delay_ack(&mut self) {
        self.facts |= Facts::ACK_DELAYED;
    }

    /// The advertised window's right edge, as sent.
    #[inline]
    pub(crate) fn advertised(&mut self, window: u32) {
        self.rcv_adv = self.rcv_adv.max(self.rcv_nxt + window);
    }

    /// A probe byte at SND.UNA was sent: it may be acknowledged, but SND.NXT stays.
    pub(crate) fn probed(&mut self) {
        self.snd_max = self.snd_max.max(self.snd_una + 1);
    }

    /// Arms what must be armed when nothing more can be sent this turn: the override timer if data
    /// waits and nothing in flight will bring an ACK (RFC 9293 sections 3.8.6.1 and 3.8.6.2.1), and
    /// the delayed ACK.
    pub(crate) fn settle(&mut self, waiting: bool, settings: &Settings, now: Instant) {
        let due = waiting || self.flight() > 0;
        if due && !self.has(Facts::RETRANSMIT_ARMED) && self.state.is_synchronized() {
            if self.flight() == 0 {
                self.stalled_since = now.tick();
            }
            self.arm_retransmit(now);
        }
        if self.has(Facts::ACK_DELAYED) && self.ack_at_is_stale(settings, now) {
            self.ack_at = now.tick().after(settings.config.delayed_ack);
        }
    }

    /// Whether `ack_at` is of an earlier delayed ACK: due already, or later than one can be.
    fn ack_at_is_stale(&self, settings: &Settings, now: Instant) -> bool {
        let latest = now.tick().after(settings.config.delayed_ack);
        !self.ack_at.is_after(now.tick()) || self.ack_at.is_after(latest)
    }

    /// Whether what is sent now comes after a pause of a retransmission timeout or more (RFC 5681
    /// section 4.1).
    #[inline]
    pub(crate) fn was_idle(&self, now: Instant) -> bool {
        // With nothing in flight, `stalled_since` is when the last of it was acknowledged.
        let timeout = self.rtt.rto_us();
        self.flight() == 0 && !self.stalled_since.after_micros(timeout).is_after(now.tick())
    }

    /// Whether the congestion window is larger than a restart would leave it.
    #[inline]
    pub(crate) fn cwnd_is_large(&self) -> bool {
        self.congestion.cwnd() > LARGE_SEGMENTS * u32::from(self.snd_mss)
    }

    /// Sequence number of a segment without text. SND.NXT goes back on a timeout; an
    /// acknowledgement from back there would be outside of the window of a peer that got the rest.
    pub(crate) fn bare_seq(&self) -> Seq {
        if self.snd_nxt == self.snd_una { self.snd_nxt } else { self.snd_max }
    }
}
