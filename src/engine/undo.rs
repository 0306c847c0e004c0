//! Repairs that may prove needless: what a timeout sends, what the ACKs after it say, and the way
//! back if nothing was lost.

use super::counters::Counter;
use super::io::{Fields, Io};
use super::send::Sent;
use super::slots::Slot;
use crate::device::{Device, FrameQueue, Marks, Place};
use crate::tcp::congestion::{CongestionControl, Prior};
use crate::tcp::{self, Ack, Cause, Episode, Facts, News, Outcome, Recovery, Verdict};
use crate::wire::Seq;
use crate::wire::tcp::Segment;

const SENDING: Place = Place::Sending;

/// What an ACK did to the queue in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) advanced: bool,
    /// Something is acknowledged or SACKed that was not.
    pub(super) delivered: bool,
    /// By RFC 5681 section 2; only without SACK.
    pub(super) duplicate: bool,
}

impl<C> Slot<C> {
    /// A timeout: the first segment goes again, and if F-RTO is not to look whether that was
    /// needed, everything else that counts as lost.
    pub(super) fn timed_out<D: Device>(
        &mut self,
        first: bool,
        forward: bool,
        prior: Prior,
        io: &mut Io<D>,
    ) {
        let front = self.outbox.in_flight.front();
        let sack = self.lose_overdue(io);
        let doubtful = sack || forward || self.tcb.has(Facts::TIMESTAMPS);
        if doubtful && front.some().is_some() {
            self.need_recovery(io);
        }
        let recovery = self.recovery(io).filter(|_| front.some().is_some());
        let Some(mut recovery) = recovery.copied() else {
            return self.go_back(false, io);
        };
        let mut episode = match recovery.episode {
            Some(episode) if episode.cause == Cause::Timeout && !first => episode,
            _ => Episode::new(Cause::Timeout, prior, &self.tcb),
        };
        let end = Seq(io.pool.seq(front)) + io.pool.queued_len(front);
        episode.try_forward(forward.then_some(end));
        recovery.episode = Some(episode);
        recovery.resend = sack || forward;
        self.keep(recovery, io);
        if !recovery.resend {
            self.go_back(false, io);
        }
    }

    /// What is in flight is to be sent again, but for the first segment if that was.
    pub(super) fn go_back<D>(&mut self, first_was: bool, io: &Io<D>) {
        let (pool, Self { outbox, tcb, .. }) = (&io.pool, self);
        let mut kept = FrameQueue::new();
        if first_was && let Some(frame) = outbox.in_flight.pop_front(pool, SENDING) {
            kept.push_back(pool, frame, SENDING);
        }
        outbox.queue.prepend(pool, &mut outbox.in_flight);
        tcb.go_back(tcb.snd_una + kept.bytes());
        outbox.in_flight = kept;
    }

    /// Sends again what is lost, or what F-RTO wants sent instead.
    pub(super) fn repair<D: Device>(&mut self, io: &mut Io<D>) -> Sent {
        let Some(recovery) = self.recovery(io) else {
            return Sent::All;
        };
        let allowance = recovery.episode.and_then(|episode| episode.allowance());
        if recovery.resend && !self.resend_first(io) {
            return Sent::Blocked;
        }
        match allowance {
            None if self.tcb.has(Facts::SACK) => self.send_lost(io),
            None => Sent::All,
            Some(0) => {
                // What waits, waits for the window of one segment.
                self.tcb.limited_by_cwnd();
                Sent::All
            }
            Some(segments) => self.send_new(segments, io),
        }
    }

    /// Whether F-RTO waits for an ACK: until then nothing else goes.
    pub(super) fn is_held<D>(&self, io: &Io<D>) -> bool {
        let recovery = self.recovery(io);
        recovery.and_then(|recovery| recovery.episode?.allowance()).is_some()
    }

    fn resend_first<D: Device>(&mut self, io: &mut Io<D>) -> bool {
        let front = self.outbox.in_flight.front().some();
        let front = front.and_then(|front| self.cut_to_segment(front, io));
        let can = front.filter(|front| !io.pool.is_posted(*front));
        if let Some(front) = can
            && !self.send_again(front, io)
        {
            return false;
        }
        if let Some(recovery) = self.recovery_mut(io) {
            recovery.resend = false;
        }
        true
    }

    /// F-RTO step 2 (b): new segments, whatever the congestion window says. Without any the timeout
    /// counts as real.
    fn send_new<D: Device>(&mut self, segments: u8, io: &mut Io<D>) -> Sent {
        let mut sent = 0;
        while sent < segments {
            self.tcb.facts |= Facts::OVERRIDE;
            let next = self.next_segment(io).filter(|next| next.len > 0 && !next.again);
            let Some(next) = next.filter(|_| io.device.room() > 0) else { break };
            if !self.transmit(&next, io) {
                break;
            }
            sent += 1;
        }
        self.tcb.facts -= Facts::OVERRIDE;
        let Some(mut recovery) = self.recovery(io).copied() else { return Sent::All };
        if sent > 0 {
            if let Some(episode) = &mut recovery.episode {
                episode.went_forward();
            }
            self.keep(recovery, io);
            return Sent::All;
        }
        self.send_old(&mut recovery, io);
        self.keep(recovery, io);
        if self.tcb.has(Facts::SACK) { self.send_lost(io) } else { Sent::All }
    }

    /// The timeout was real, for all F-RTO can tell: goes on as after any (RFC 5682 section 2.1).
    fn send_old<D>(&mut self, recovery: &mut Recovery, io: &mut Io<D>) {
        if let Some(episode) = &mut recovery.episode {
            episode.try_forward(None);
        }
        // Step 3 (a): what slow start would have reached by now.
        let congestion = &mut self.tcb.congestion;
        congestion.set_cwnd(congestion.cwnd().min(3 * congestion.smss()));
        if !self.tcb.has(Facts::SACK) {
            self.go_back(self.tcb.has(Facts::RESENT) && !recovery.resend, io);
        }
        recovery.resend &= self.tcb.has(Facts::SACK);
    }

    /// An ACK on a connection without SACK.
    pub(super) fn plain_ack_arrives<D: Device>(
        &mut self,
        segment: &Segment,
        outcome: &Outcome,
        io: &mut Io<D>,
    ) {
        let advanced = outcome.acked > 0;
        if let Some(prior) = outcome.reduced.filter(|_| self.tcb.has(Facts::TIMESTAMPS)) {
            let episode = Episode::new(Cause::Loss, prior, &self.tcb);
            if let Some(recovery) = self.need_recovery(io) {
                recovery.episode = Some(episode);
            }
            return;
        }
        let Some(mut recovery) = self.recovery(io).copied() else { return };
        let progress = Progress { advanced, delivered: advanced, duplicate: outcome.duplicate };
        self.judge(segment, progress, &mut recovery, io);
        let una = self.tcb.snd_una;
        recovery.episode = recovery.episode.filter(|episode| !episode.is_settled(una));
        self.keep_or_drop(recovery, io);
    }

    /// Congestion was reported: whatever the last reduction was for, it was no mistake.
    pub(super) fn reduction_stands<D>(&mut self, io: &mut Io<D>) {
        let recovery = self.recovery_mut(io);
        if let Some(episode) = recovery.and_then(|recovery| recovery.episode.as_mut()) {
            episode.stands();
        }
    }

    /// Looks whether the ACK shows the last reduction to have been a mistake.
    pub(super) fn judge<D>(
        &mut self,
        segment: &Segment,
        progress: Progress,
        recovery: &mut Recovery,
        io: &mut Io<D>,
    ) {
        // What was to go at once is no longer the first, or has come.
        recovery.resend &= !progress.advanced;
        let Some(episode) = &mut recovery.episode else { return };
        let una = self.tcb.snd_una;
        if episode.is_stale(una) {
            recovery.episode = None;
            return;
        }
        let edges = segment.options.sack.iter().map(|(_, right)| right);
        let timestamps = segment.options.timestamps.filter(|_| self.tcb.has(Facts::TIMESTAMPS));
        let news = News {
            ack: Ack {
                una,
                advanced: progress.advanced,
                duplicate: progress.duplicate,
                sacked: edges.reduce(Seq::max),
                delivered: progress.delivered,
            },
            echo: timestamps.map(|timestamps| timestamps.echo),
            report: tcp::reported_duplicate(segment),
        };
        let sack = self.tcb.has(Facts::SACK);
        match episode.judge(&news, self.tcb.congestion.ssthresh(), sack) {
            // What is new goes with the turn's output.
            Verdict::Nothing | Verdict::SendNew => {}
            Verdict::SendOld => self.send_old(recovery, io),
            Verdict::Spurious => self.take_back(recovery, io),
        }
    }

    /// Nothing was lost: the window comes back, and what counted as lost is in flight again.
    fn take_back<D>(&mut self, recovery: &mut Recovery, io: &mut Io<D>) {
        let Some(episode) = recovery.episode else { return };
        io.counters.inc(Counter::UndoneReductions);
        if episode.cause == Cause::Timeout {
            io.counters.inc(Counter::SpuriousTimeouts);
        }
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            io.pool.set_marks(here, io.pool.marks(here) - Marks::LOST);
            at = io.pool.next(here);
        }
        recovery.take_back();
        self.tcb.take_back(episode.cause, &episode.prior);
        self.resume(io);
    }

    /// RFC 4015 section 3: SND.NXT goes on from where it went back.
    fn resume<D>(&mut self, io: &Io<D>) {
        let pool = &io.pool;
        while self.tcb.snd_nxt.before(self.tcb.snd_max) {
            let front = self.outbox.queue.front();
            let len = front.some().map_or(0, |front| pool.queued_len(front));
            let next = self.tcb.snd_nxt + len;
            if len == 0 || next.after(self.tcb.snd_max) {
                break;
            }
            let Some(frame) = self.outbox.queue.pop_front(pool, SENDING) else { break };
            let at = self.outbox.in_flight.push_back(pool, frame, SENDING);
            pool.set_seq(at, self.tcb.snd_nxt.0);
            self.tcb.snd_nxt = next;
        }
        let fin = self.tcb.has(Facts::FIN_SENT) && self.outbox.queue.is_empty();
        if fin && self.tcb.snd_nxt + 1 == self.tcb.snd_max {
            self.tcb.snd_nxt = self.tcb.snd_max;
        }
    }

    /// A segment was sent again.
    pub(super) fn note_resent<D>(&mut self, fields: &Fields, len: u32, io: &mut Io<D>) {
        io.counters.inc(Counter::Retransmissions);
        let recovery = self.recovery_mut(io);
        if let Some(episode) = recovery.and_then(|recovery| recovery.episode.as_mut()) {
            let timestamp = fields.options.timestamps.map(|timestamps| timestamps.value);
            episode.resent(fields.seq + len, len, timestamp);
        }
    }
}
