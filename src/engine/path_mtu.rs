//! Segments that are too long for their path: RFC 1191, RFC 8201 and RFC 4821.
//!
//! A router that says so is believed if the segment that it quotes is in flight and longer than
//! what it says would fit; and, once the connection has got something through, only when that
//! segment was lost too (RFC 5927 section 7.2), for a forged message can't make a segment vanish.
//! Connections to the same peer learn it when they begin, or when one of their segments times out.
//!
//! What is in flight and longer is sent again at once, cut to size, and costs no congestion window:
//! nothing was lost by congestion (RFC 8201 section 5.4). The cutting is
//! [`Slot::cut_to_segment`]'s, when a segment is sent again, whatever made it too long.

use super::Engine;
use super::counters::Counter;
use super::io::Io;
use super::slots::Slot;
use crate::app::{App, split_frame};
use crate::device::{Class, Device, FrameRef, Marks, Place};
use crate::tcp::path_mtu::{believable, black_hole_step};
use crate::tcp::{Facts, PathSearch};
use crate::wire::{Quoted, Seq};

impl<A: App, D: Device> Engine<A, D> {
    /// A router says that the quoted packet, which is in flight, is longer than `mtu` bytes.
    pub(super) fn packet_too_big(&mut self, index: u32, mtu: u32, quoted: &Quoted) {
        let (remote, now) = (quoted.dst, self.io.now);
        let Some(mtu) = believable(mtu, quoted.len, remote.is_v4()) else {
            return self.io.counters.inc(Counter::DropPathMtu);
        };
        let slot = self.slots.at(index);
        if slot.payload_in(mtu) >= slot.tcb.snd_mss {
            // What it quotes is from before we knew, or a probe.
            self.io.counters.inc(Counter::DropPathMtu);
            slot.lose_too_long(&mut self.io);
            return self.list(index);
        }
        if slot.tcb.has_got_through() && !slot.was_sent_again(quoted.seq, &self.io) {
            self.io.counters.inc(Counter::PathMtuDeferred);
            return self.paths.suspect(remote, mtu, now);
        }
        self.paths.lower(remote, mtu, now);
        self.io.counters.inc(Counter::PathMtuLowered);
        slot.shorten_segments(mtu, &mut self.io);
        self.list(index);
    }

    /// A segment timed out: whether it is too long for its path is asked here.
    pub(super) fn path_timed_out(&mut self, index: u32) {
        let (now, io) = (self.io.now, &mut self.io);
        let slot = self.slots.at(index);
        if !slot.tcb.state.is_synchronized() {
            return;
        }
        slot.path_probe_lost(io);
        let remote = io.far.remote(&slot.ends);
        if let Some(mtu) = self.paths.confirm(remote, now)
            && slot.payload_in(mtu) < slot.tcb.snd_mss
        {
            io.counters.inc(Counter::PathMtuLowered);
            slot.set_segment(mtu, false, io);
        } else if io.settings.config.path_mtu_probing
            && let Some(mtu) = slot.black_hole_step(io)
        {
            // Perhaps nobody says that they are too long (RFC 4821 section 7.7).
            io.counters.inc(Counter::BlackHoles);
            slot.set_segment(mtu, true, io);
        }
        // Whoever looks at the timeout next sees the segment that goes again.
        if let Some(front) = slot.outbox.in_flight.front().some() {
            slot.cut_to_segment(front, io);
        }
    }

    /// A connection opens: what is known of its path holds for it too.
    pub(super) fn apply_path(&mut self, index: u32) {
        let slot = self.slots.at(index);
        if let Some(mtu) = self.paths.mtu(self.io.far.remote(&slot.ends), self.io.now)
            && slot.payload_in(mtu) < slot.tcb.snd_mss
        {
            slot.set_segment(mtu, false, &mut self.io);
        }
    }
}

impl<C> Slot<C> {
    /// Payload bytes of a full segment in packets of `mtu` bytes.
    pub(super) fn payload_in(&self, mtu: u16) -> u16 {
        self.tcb.payload_in(mtu, self.ends.is_v4())
    }

    /// Packets have `mtu` bytes at most from now on, told by a router or guessed.
    fn set_segment<D>(&mut self, mtu: u16, guessed: bool, io: &mut Io<D>) {
        let full = self.tcb.packet_len(self.tcb.snd_mss, self.ends.is_v4());
        let now = io.now;
        let search = &mut self.own_mut(io).path;
        *search = Some(match search {
            Some(search) => search.lower(mtu, guessed, now),
            None => PathSearch::new(full, mtu, guessed, now),
        });
        self.set_payload(self.payload_in(mtu));
    }

    /// Full segments carry so much from now on.
    pub(super) fn set_payload(&mut self, payload: u16) {
        self.tcb.set_mss(payload);
    }

    /// The same, and what is in flight and longer is sent again at once.
    fn shorten_segments<D: Device>(&mut self, mtu: u16, io: &mut Io<D>) {
        self.set_segment(mtu, false, io);
        self.lose_too_long(io);
    }

    /// Whatever is in flight and longer than a segment may be is to be sent again.
    fn lose_too_long<D: Device>(&mut self, io: &mut Io<D>) {
        if !self.has_too_long(io) {
            return;
        }
        self.path_probe_lost(io);
        if let Some(recovery) = self.recovery_mut(io) {
            // Whether a timeout was needed is no question any more: nothing is held back for it.
            recovery.resend = false;
            if let Some(episode) = &mut recovery.episode {
                episode.try_forward(None);
            }
        }
        if !self.tcb.has(Facts::SACK) {
            self.tcb.repair_without_reduction();
            return self.go_back(false, io);
        }
        // Without it, the timer finds out.
        let Some(mut recovery) = self.need_recovery(io).copied() else { return };
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            let (len, marks) = (io.pool.queued_len(here), io.pool.marks(here));
            let known = marks.intersects(Marks::SACKED | Marks::LOST);
            if len > u32::from(self.tcb.snd_mss) && !known {
                io.pool.set_marks(here, marks | Marks::LOST);
                recovery.lost += len;
            }
            at = io.pool.next(here);
        }
        self.keep(recovery, io);
        self.tcb.repair_without_reduction();
    }

    fn has_too_long<D: Device>(&self, io: &Io<D>) -> bool {
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            if io.pool.queued_len(here) > u32::from(self.tcb.snd_mss) {
                return true;
            }
            at = io.pool.next(here);
        }
        false
    }

    /// Whether the segment at `seq` was sent more than once, or is going to be.
    fn was_sent_again<D: Device>(&self, seq: Seq, io: &Io<D>) -> bool {
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            if seq.within(Seq(io.pool.seq(here)), io.pool.queued_len(here)) {
                return io.pool.marks(here).intersects(Marks::RETRANSMITTED | Marks::LOST);
            }
            at = io.pool.next(here);
        }
        // Gone back: it waits in the send queue, or is a FIN.
        seq.at_or_after(self.tcb.snd_nxt)
    }

    /// The size to try if what is first in flight may time out for its length.
    fn black_hole_step<D: Device>(&self, io: &Io<D>) -> Option<u16> {
        let is_v4 = self.ends.is_v4();
        let first = io.pool.queued_len(self.outbox.in_flight.front().some()?);
        let len = self.tcb.packet_len(first as u16, is_v4);
        black_hole_step(len, self.tcb.rtt.backoff(), is_v4)
    }

    /// Cuts a frame in flight that is longer than a segment may be; returns the front piece, or the
    /// frame itself if it is not too long. `None` if there is no frame to cut it with.
    pub(super) fn cut_to_segment<D: Device>(
        &mut self,
        at: FrameRef,
        io: &mut Io<D>,
    ) -> Option<FrameRef> {
        let segment = u32::from(self.tcb.snd_mss);
        if io.pool.queued_len(at) <= segment {
            return Some(at);
        }
        self.path_probe_lost(io);
        let (mut before, mut here) = (FrameRef::NONE, self.outbox.in_flight.front());
        while here != at {
            (before, here) = (here, io.pool.next(here.some()?));
        }
        let queue = &mut self.outbox.in_flight;
        let (marks, sent_at) = (io.pool.marks(at), io.pool.sent_at(at));
        split_frame(&io.pool, queue, before, segment as usize, Place::Sending, Class::Control)?;
        let piece = before.some().map_or(queue.front(), |before| io.pool.next(before));
        io.pool.set_marks(piece, marks);
        io.pool.set_sent_at(piece, sent_at);
        io.copy_snapshot(at, piece);
        Some(piece)
    }
}
