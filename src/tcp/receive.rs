//! Taking in text and FIN: the seventh and eighth step of RFC 9293 section 3.10.7.4, and when to
//! acknowledge.

use super::outcome::{Drop, Event, Outcome, Payload};
use super::settings::Settings;
use super::tcb::{Facts, State, Tcb};
use crate::time::Instant;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

/// Duplicate ACKs sent in one turn at most: three are enough for any sender.
const MAX_DUP_ACKS_OWED: u8 = 16;

impl Tcb {
    /// Seventh: the segment text, cut to the window. Eighth: where the FIN is.
    pub(super) fn text_arrives(&mut self, segment: &Segment, outcome: &mut Outcome) {
        let has_fin = segment.flags.contains(Flags::FIN);
        if segment.payload_len == 0 && !has_fin {
            return;
        }
        if self.state.peer_has_finished() {
            // Nothing can follow a FIN: what claims to is ignored. Text from before it comes again
            // if the peer missed our ACK.
            if segment.seq.before(self.rcv_nxt) {
                self.facts |= Facts::ACK_NOW;
            }
            outcome.drop = Some(Drop::AfterClose);
            return;
        }
        let start = segment.seq;
        let end = start + u32::from(segment.payload_len);
        if has_fin && end.at_or_before(self.rcv_adv) && end.at_or_after(self.rcv_nxt) {
            self.facts |= Facts::PEER_FIN_KNOWN;
            outcome.fin = Some(end);
            if end.after(self.rcv_nxt) && segment.payload_len == 0 {
                // A FIN behind a hole.
                self.owe_duplicate_ack();
            }
        }
        if segment.payload_len == 0 {
            return;
        }
        let first = start.max(self.rcv_nxt);
        let last = end.min(self.rcv_adv);
        if !last.after(first) {
            // All of it was here before, or lies beyond the window.
            let known = end.at_or_before(self.rcv_nxt);
            outcome.drop = Some(if known { Drop::Duplicate } else { Drop::OutOfWindow });
            self.facts |= Facts::ACK_NOW;
            return;
        }
        self.rcv_mss = self.rcv_mss.max(segment.payload_len);
        outcome.payload = Some(Payload {
            skip: start.distance_to(first) as u16,
            len: first.distance_to(last) as u16,
            seq: first,
        });
    }

    /// The peer's FIN is known to be at `fin`: no text can follow that.
    pub(crate) fn cut_at_fin(&mut self, fin: Seq, outcome: &mut Outcome) {
        let Some(payload) = &mut outcome.payload else { return };
        if fin.after(payload.seq) {
            let left = payload.seq.distance_to(fin);
            payload.len = left.min(payload.len.into()) as u16;
            return;
        }
        outcome.payload = None;
        outcome.drop = Some(Drop::OutOfWindow);
        self.facts |= Facts::ACK_NOW;
    }

    /// `bytes` in order were put into the receive queue: RCV.NXT advances.
    #[inline]
    pub(crate) fn delivered(&mut self, bytes: u32) {
        self.rcv_nxt += bytes;
        // The window may be overrun by a byte or more only if it was taken back, which we never do.
        debug_assert!(self.rcv_nxt.at_or_before(self.rcv_adv));
        self.facts |= Facts::ACK_DELAYED;
        // At least every second full-sized segment (RFC 9293 section 3.8.6.3, SHLD-19).
        let unacknowledged = self.last_ack_sent.distance_to(self.rcv_nxt);
        if unacknowledged >= 2 * u32::from(self.rcv_mss) {
            self.facts |= Facts::ACK_NOW;
        }
    }

    /// A segment came that is not next: acknowledge it at once, on its own (RFC 5681 section 4.2).
    pub(crate) fn owe_duplicate_ack(&mut self) {
        self.facts |= Facts::ACK_NOW;
        self.dup_acks_owed = (self.dup_acks_owed + 1).min(MAX_DUP_ACKS_OWED);
    }

    /// A hole was filled, or the application needs the peer to know: acknowledge this turn.
    pub(crate) fn ack_at_once(&mut self) {
        self.facts |= Facts::ACK_NOW;
    }

    /// Eighth: the FIN, which is at `fin`, if it is next. Returns what became of the connection;
    /// `None` if the FIN is behind a hole.
    pub(crate) fn take_fin(
        &mut self,
        fin: Seq,
        settings: &Settings,
        now: Instant,
    ) -> Option<Event> {
        if self.state.peer_has_finished() || self.rcv_nxt != fin {
            return None;
        }
        self.rcv_nxt += 1;
        self.rcv_adv = self.rcv_adv.max(self.rcv_nxt);
        self.facts |= Facts::ACK_NOW;
        match self.state {
            // Our FIN not yet acknowledged, or FIN-WAIT-2 would have been entered.
            State::FinWait1 => self.state = State::Closing,
            State::FinWait2 => {
                self.enter_time_wait(settings, now);
                return Some(Event::TimeWait);
            }
            _ => self.state = State::CloseWait,
        }
        Some(Event::Nothing)
    }

    /// The window to advertise, for a receive buffer of which `charged` bytes are unread or held:
    /// field value and right edge. The edge never moves back, and forward only by enough to matter
    /// (RFC 9293 section 3.8.6.2.2, silly window avoidance).
    #[inline]
    pub(crate) fn window_to_advertise(&self, buffer: u32, charged: u32) -> (u16, u32) {
        let free = buffer.saturating_sub(charged);
        let have = self.rcv_wnd();
        let step = (buffer / 2).min(u32::from(self.rcv_mss.max(self.snd_mss)));
        // Rounded up, so that the edge stays where it is.
        let edge = have.saturating_add((1 << self.rcv_scale) - 1) >> self.rcv_scale;
        let opens = free >= have.saturating_add(step);
        let field = if opens { edge.max(free >> self.rcv_scale) } else { edge };
        let field = field.min(u32::from(u16::MAX));
        (field as u16, field << self.rcv_scale)
    }

    /// Whether the window has opened by so much that the peer should hear of it without waiting.
    pub(crate) fn window_update_due(&self, buffer: u32, charged: u32) -> bool {
        let free = buffer.saturating_sub(charged);
        let have = self.rcv_wnd();
        let gain = free.saturating_sub(have);
        let full = u32::from(self.rcv_mss.max(self.snd_mss));
        // Half of the buffer, or two segments where little is left; not the first widening after
        // the handshake, whose window field could not say more.
        let narrow = have < (buffer / 2).min(u32::from(u16::MAX) / 2);
        let low = have < 2 * full;
        gain > 0 && (narrow && gain >= buffer / 2 || low && gain >= (2 * full).min(buffer / 2))
    }
}
