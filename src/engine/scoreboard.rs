//! Which segments of a connection the peer has, which are lost, and sending those again.
//!
//! The marks are with the frames in flight, in order of sequence numbers; the sums and the
//! decisions are [`Recovery`]'s. Every walk is over the frames of one connection, which its send
//! buffer bounds.

use core::time::Duration;

use super::counters::Counter;
use super::io::Io;
use super::send::Sent as Sending;
use super::slots::{Has, Slot};
use super::undo::Progress;
use crate::device::{Device, Frame, FrameRef, Marks, Place, Pool};
use crate::tcp::rack::{Loss, Sent};
use crate::tcp::{self, Facts, Recovery};
use crate::time::Tick;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

impl<C> Slot<C> {
    /// What the ACK in hand acknowledges has arrived: to be called before its frames go, with
    /// SND.UNA already there.
    pub(super) fn note_acknowledged<D: Device>(&mut self, io: &mut Io<D>) {
        if !self.tcb.has(Facts::SACK) || !self.has.contains(Has::RECOVERY) {
            return;
        }
        let Some(mut recovery) = self.recovery(io).copied() else { return };
        if recovery.is_at_rest(&self.tcb) {
            return;
        }
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            let (sent, len, marks) = sent(&io.pool, here);
            if sent.end.after(self.tcb.snd_una) {
                break;
            }
            if marks.contains(Marks::SACKED) {
                recovery.sacked -= len;
                recovery.sacked_segments -= 1;
            } else {
                recovery.arrived(&sent, len, &mut self.tcb, io.now);
            }
            if marks.contains(Marks::LOST) {
                recovery.lost -= len;
            }
            at = io.pool.next(here);
        }
        self.keep(recovery, io);
    }

    /// The front of the queue in flight begins at SND.UNA, wherever in a frame that is: `cut` bytes
    /// were taken off it just now.
    pub(super) fn trim_marks<D: Device>(&mut self, cut: u32, io: &mut Io<D>) {
        let front = self.outbox.in_flight.front();
        if Seq(io.pool.seq(front)) == self.tcb.snd_una {
            return;
        }
        io.pool.set_seq(front, self.tcb.snd_una.0);
        let marks = io.pool.marks(front);
        if let Some(recovery) = self.recovery_mut(io) {
            if marks.contains(Marks::LOST) {
                recovery.lost = recovery.lost.saturating_sub(cut);
            }
            if marks.contains(Marks::SACKED) {
                recovery.sacked = recovery.sacked.saturating_sub(cut);
            }
        }
    }

    /// RFC 2018 section 5.1: marks what the segment's SACK blocks cover. Then finds losses, and
    /// begins or ends a recovery.
    pub(super) fn sacks_arrive<D: Device>(
        &mut self,
        segment: &Segment,
        advanced: bool,
        io: &mut Io<D>,
    ) {
        let una = self.tcb.snd_una;
        if !segment.options.sack.is_empty() {
            if tcp::reported_duplicate(segment).is_some()
                && let Some(recovery) = self.need_recovery(io)
            {
                recovery.duplicate_reported(&mut self.tcb);
            }
            let new = segment.options.sack.iter().any(|(_, right)| right.after(una));
            if new {
                self.need_recovery(io);
            }
        }
        let Some(mut recovery) = self.recovery(io).copied() else { return };
        for (left, right) in segment.options.sack.iter() {
            // Only what lies in flight: a block below is a DSACK, one beyond is made up.
            if left.at_or_after(una) && right.after(left) && right.at_or_before(self.tcb.snd_max) {
                self.mark_sacked(left, right, &mut recovery, io);
            }
        }
        let delivered = recovery.delivered > 0;
        self.judge(segment, Progress { advanced, delivered, duplicate: false }, &mut recovery, io);
        if !recovery.is_at_rest(&self.tcb) {
            self.find_losses(&mut recovery, io);
            recovery.conclude(advanced, self.outbox.in_flight.bytes(), &mut self.tcb);
        }
        if recovery.is_over(&self.tcb) {
            self.tcb.facts -= Facts::REORDER_ARMED;
            recovery.rest();
        }
        self.keep_or_drop(recovery, io);
    }

    /// Drops what says nothing any more.
    pub(super) fn keep_or_drop<D>(&mut self, recovery: Recovery, io: &mut Io<D>) {
        let over = recovery.is_over(&self.tcb) || !self.tcb.has(Facts::SACK);
        if over && recovery.episode.is_none() && !recovery.counts_duplicates(&self.tcb) {
            self.drop_recovery(io);
        } else {
            self.keep(recovery, io);
        }
    }

    fn mark_sacked<D>(&mut self, left: Seq, right: Seq, recovery: &mut Recovery, io: &mut Io<D>) {
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            let (sent, len, marks) = sent(&io.pool, here);
            if sent.end.after(right) {
                return;
            }
            if Seq(io.pool.seq(here)).at_or_after(left) && !marks.contains(Marks::SACKED) {
                if self.tcb.has(Facts::SAMPLED) {
                    self.sample_delivered(here, io);
                }
                recovery.arrived(&sent, len, &mut self.tcb, io.now);
                recovery.sacked += len;
                recovery.sacked_segments += 1;
                if marks.contains(Marks::LOST) {
                    recovery.lost -= len;
                }
                io.pool.set_marks(here, (marks | Marks::SACKED) - Marks::LOST);
            }
            at = io.pool.next(here);
        }
    }

    /// RACK_detect_loss (RFC 8985 section 6.2 step 5).
    fn find_losses<D>(&mut self, recovery: &mut Recovery, io: &mut Io<D>) {
        let window = recovery.window_us(&self.tcb);
        let (mut wait_us, mut too_long, mut congestion) = (0, false, false);
        let (mut at, mut adjacent) = (self.outbox.in_flight.front(), false);
        while let Some(here) = at.some() {
            let (sent, len, marks) = sent(&io.pool, here);
            if !marks.intersects(Marks::SACKED | Marks::LOST) {
                match recovery.judge(&sent, window, io.now) {
                    Loss::Lost => {
                        recovery.lost += len;
                        recovery.newly_lost = true;
                        // What is too long for the path says nothing of its load.
                        if len > u32::from(self.tcb.snd_mss) {
                            too_long = true;
                        } else {
                            congestion = true;
                            self.begin_recovery(recovery, io);
                        }
                        self.mark_lost(here, marks, adjacent, io);
                    }
                    Loss::In(us) => wait_us = wait_us.max(us),
                    Loss::Unknown => {}
                }
            }
            adjacent = io.pool.marks(here).contains(Marks::LOST);
            at = io.pool.next(here);
        }
        self.tcb.facts.set(Facts::REORDER_ARMED, wait_us > 0);
        if wait_us > 0 {
            let wait = Duration::from_micros(u64::from(wait_us));
            recovery.reorder_at = io.now.tick().after(wait);
        }
        let recovering = self.tcb.facts.intersects(Facts::RECOVERY | Facts::TIMED_OUT);
        if recovery.lost > 0 && !recovering && too_long && !congestion {
            self.tcb.repair_without_reduction();
        } else if recovery.lost > 0 {
            self.begin_recovery(recovery, io);
        }
    }

    /// Something is lost: fast recovery begins, if it isn't on already.
    fn begin_recovery<D>(&mut self, recovery: &mut Recovery, io: &mut Io<D>) {
        if self.tcb.facts.intersects(Facts::RECOVERY | Facts::TIMED_OUT) {
            return;
        }
        io.counters.inc(Counter::FastRetransmits);
        let in_flight = self.outbox.in_flight.bytes();
        let used = self.used_window(in_flight, io);
        recovery.begin(in_flight, used, &mut self.tcb);
    }

    fn mark_lost<D>(&mut self, at: FrameRef, marks: Marks, adjacent: bool, io: &Io<D>) {
        io.pool.set_marks(at, marks | Marks::LOST);
        if self.tcb.has(Facts::SAMPLED) {
            self.sample_lost(at, adjacent, io);
        }
    }

    /// When the reordering timer expires, if it is armed.
    #[inline]
    pub(super) fn reorder_at<D>(&self, io: &Io<D>) -> Option<Tick> {
        if !self.tcb.has(Facts::REORDER_ARMED) {
            return None;
        }
        self.recovery(io).map(|recovery| recovery.reorder_at)
    }

    /// The reordering timer: what something overtook counts as lost now (RFC 8985 section 6.2).
    pub(super) fn reorder_timer<D: Device>(&mut self, io: &mut Io<D>) {
        if self.reorder_at(io).is_none_or(|at| at.is_after(io.now.tick())) {
            return;
        }
        let Some(mut recovery) = self.recovery(io).copied() else { return };
        self.find_losses(&mut recovery, io);
        recovery.conclude(false, self.outbox.in_flight.bytes(), &mut self.tcb);
        self.keep(recovery, io);
    }

    /// A timeout (RFC 8985 section 6.3): the first segment, and whatever is overdue, is lost. False
    /// if there is no room for the bookkeeping: then everything is to be sent again.
    pub(super) fn lose_overdue<D: Device>(&mut self, io: &mut Io<D>) -> bool {
        if !self.tcb.has(Facts::SACK) || self.outbox.in_flight.is_empty() {
            return false;
        }
        let Some(mut recovery) = self.need_recovery(io).copied() else { return false };
        let first = self.outbox.in_flight.front();
        // RFC 2018 section 8: a peer that SACKed what it does not acknowledge has thrown it away.
        let reneged = io.pool.marks(first).contains(Marks::SACKED);
        let window = recovery.window_before_us(&self.tcb);
        (recovery.sacked, recovery.sacked_segments, recovery.lost) = (0, 0, 0);
        let (mut at, mut adjacent) = (first, false);
        while let Some(here) = at.some() {
            let (sent, len, mut marks) = sent(&io.pool, here);
            if reneged {
                marks -= Marks::SACKED;
            }
            let overdue = here == first || recovery.is_overdue(&sent, window, io.now);
            if marks.contains(Marks::SACKED) {
                recovery.sacked += len;
                recovery.sacked_segments += 1;
            } else if marks.contains(Marks::LOST) {
                recovery.lost += len;
            } else if overdue || reneged {
                recovery.lost += len;
                self.mark_lost(here, marks, adjacent, io);
                marks |= Marks::LOST;
            }
            adjacent = marks.contains(Marks::LOST);
            io.pool.set_marks(here, marks);
            at = io.pool.next(here);
        }
        recovery.resend = true;
        self.tcb.facts -= Facts::REORDER_ARMED;
        self.keep(recovery, io);
        true
    }

    /// Sends lost segments again while the congestion window and the pace allow.
    pub(super) fn send_lost<D: Device>(&mut self, io: &mut Io<D>) -> Sending {
        loop {
            let Some(recovery) = self.recovery(io).copied() else { return Sending::All };
            if recovery.lost == 0 {
                return Sending::All;
            }
            let Some(at) = self.first_lost(&io.pool) else { return Sending::All };
            let Some(at) = self.cut_to_segment(at, io) else { return Sending::All };
            let len = io.pool.queued_len(at);
            let pipe = self.outbox.in_flight.bytes().saturating_sub(recovery.left());
            if pipe > 0 && pipe + len > self.tcb.cwnd(Some(&recovery)) {
                self.tcb.limited_by_cwnd();
                return Sending::All;
            }
            if io.pool.is_posted(at) {
                return Sending::All;
            }
            if let Some(until) = self.held_until(io) {
                return Sending::Held(until);
            }
            if !self.send_again(at, io) {
                return Sending::Blocked;
            }
        }
    }

    fn first_lost(&self, pool: &Pool) -> Option<FrameRef> {
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            if pool.marks(here).contains(Marks::LOST) {
                return Some(here);
            }
            at = pool.next(here);
        }
        None
    }

    /// Posts a frame in flight again, with a fresh header. False if the device has no room.
    pub(super) fn send_again<D: Device>(&mut self, at: FrameRef, io: &mut Io<D>) -> bool {
        let last = at == self.outbox.in_flight.back() && self.outbox.queue.is_empty();
        let mut flags = Flags::ACK;
        flags.set(Flags::FIN, last && self.tcb.has(Facts::FIN_SENT));
        flags.set(Flags::PSH, last);
        let len = io.pool.queued_len(at) as usize;
        let mut fields = self.fields(Seq(io.pool.seq(at)), flags, len, io);
        // Perhaps it was lost because of it (RFC 9768 section 3.2.3.2.2).
        fields.options.accecn = None;
        let pool = io.pool.clone();
        let Slot { outbox, ends, hop, .. } = self;
        let send = |frame: &mut Frame| io.send_to(frame, ends, *hop, &fields);
        if !outbox.in_flight.edit(&pool, at, Place::Sending, send) {
            return false;
        }
        io.pool.set_sent_at(at, io.now.micros32());
        let marks = io.pool.marks(at);
        io.pool.set_marks(at, (marks | Marks::RETRANSMITTED) - Marks::LOST);
        let pipe = self.pipe(io);
        self.departed(at, len as u32, pipe, io);
        if let Some(recovery) = self.recovery_mut(io) {
            if marks.contains(Marks::LOST) {
                recovery.lost -= len as u32;
            }
            recovery.sent(len as u32);
        }
        self.note_resent(&fields, len as u32, io);
        self.advertised(&fields, io);
        if self.tcb.ecn.is_on() {
            self.told_marks(&fields, false, io);
        }
        self.tcb.retransmitted(io.now);
        true
    }

    /// All that is left is what the last ACK left in flight: its own age says when it is overdue.
    #[cold]
    pub(super) fn hasten_probe<D>(&mut self, io: &Io<D>) {
        if let Some(last) = self.outbox.in_flight.back().some() {
            self.tcb.hasten_probe(io.pool.sent_at(last), io.now);
        }
    }

    /// A tail loss probe (RFC 8985 section 7.3): new data if there is some, else the last segment.
    pub(super) fn send_tail_probe<D: Device>(&mut self, io: &mut Io<D>) {
        let again = self.outbox.queue.is_empty() || !self.tcb.window_is_open();
        self.tcb.probe_sent(again);
        if again {
            let last = self.outbox.in_flight.back().some();
            let last = last.and_then(|last| self.cut_to_segment(last, io));
            if self.tcb.fin_alone() {
                // It has no frame: output sends it again.
                self.tcb.go_back(self.tcb.snd_una);
                io.counters.inc(Counter::TailLossProbes);
            } else if last.is_some_and(|last| !io.pool.is_posted(last) && self.send_again(last, io))
            {
                io.counters.inc(Counter::TailLossProbes);
            }
        } else {
            // Output sends one segment beyond the congestion window.
            io.counters.inc(Counter::TailLossProbes);
        }
    }

    /// Bytes between SND.UNA and SND.NXT that are not in the network.
    pub(super) fn left<D>(&self, io: &Io<D>) -> u32 {
        let recovery = self.recovery(io);
        recovery.map_or(0, Recovery::left)
    }

    /// Bytes that the peer has beyond SND.UNA.
    pub(super) fn sacked<D>(&self, io: &Io<D>) -> u32 {
        let recovery = self.recovery(io);
        recovery.map_or(0, |recovery| recovery.sacked)
    }

    /// New data was sent: a recovery in progress must know.
    pub(super) fn note_sent<D>(&mut self, bytes: u32, io: &mut Io<D>) {
        if let Some(recovery) = self.recovery_mut(io) {
            recovery.sent(bytes);
        }
    }
}

/// A frame in flight, as loss detection sees it: its last transmission, length and marks.
fn sent(pool: &Pool, at: FrameRef) -> (Sent, u32, Marks) {
    let (len, marks) = (pool.queued_len(at), pool.marks(at));
    let sent = Sent {
        at_us: pool.sent_at(at),
        end: Seq(pool.seq(at)) + len,
        retransmitted: marks.contains(Marks::RETRANSMITTED),
    };
    (sent, len, marks)
}
