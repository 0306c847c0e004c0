//! Probes for longer packets (RFC 4821 section 7): a segment that is longer than the others, made
//! of bytes that would have gone anyway. If it is lost, it goes again in segments of the size in
//! force, and costs no congestion window.

use super::Engine;
use super::counters::Counter;
use super::io::Io;
use super::slots::Slot;
use crate::app::App;
use crate::device::{Class, Device, FrameRef, Place};
use crate::tcp::PathNews;
use crate::tcp::output::Next;
use crate::wire::tcp::Flags;

impl<A: App, D: Device> Engine<A, D> {
    /// Something of a connection that has [`Facts::OWN`](crate::tcp::Facts::OWN) was acknowledged.
    pub(super) fn path_acknowledged(&mut self, index: u32) {
        let (now, io) = (self.io.now, &mut self.io);
        let slot = self.slots.at(index);
        let (remote, una) = (io.far.remote(&slot.ends), slot.tcb.snd_una);
        let Some(search) = &mut slot.own_mut(io).path else { return };
        match search.acknowledged(una) {
            PathNews::Nothing => {}
            PathNews::Confirmed(mtu) => self.paths.lower(remote, mtu, now),
            PathNews::Wider(mtu) => {
                io.counters.inc(Counter::PathMtuRaised);
                self.paths.raise(remote, mtu, now);
                slot.set_payload(slot.payload_in(mtu));
            }
        }
    }
}

impl<C> Slot<C> {
    /// Sends a probe if one is due, and there are bytes for it that may go now.
    pub(super) fn send_path_probe<D: Device>(&mut self, io: &mut Io<D>) {
        let search = self.own(io).and_then(|own| own.path);
        let Some(mtu) = search.and_then(|search| search.candidate(io.now)) else { return };
        let len = u32::from(self.payload_in(mtu));
        let enough = self.outbox.queue.bytes() >= len;
        if !enough || !self.tcb.may_probe_path(len) || io.device.room() == 0 {
            return;
        }
        if !io.settings.config.path_mtu_probing || !self.join_front(len as usize, io) {
            return;
        }
        let next = Next { seq: self.tcb.snd_nxt, len, flags: Flags::ACK, again: false };
        if self.transmit(&next, io)
            && let Some(search) = &mut self.own_mut(io).path
        {
            search.probed(next.seq + len, mtu);
            io.counters.inc(Counter::PathProbes);
        }
    }

    /// Puts the first `len` bytes of the send queue into one frame. False if there is none.
    fn join_front<D: Device>(&mut self, len: usize, io: &mut Io<D>) -> bool {
        let (pool, queue) = (&io.pool, &mut self.outbox.queue);
        let Some(mut frame) = pool.alloc(Class::Control) else { return false };
        pool.extend(&mut frame, len);
        let mut rest = pool.bytes_mut(&mut frame);
        for chunk in queue.chunks(pool) {
            let (now, later) = rest.split_at_mut(chunk.len().min(rest.len()));
            now.copy_from_slice(&chunk[..now.len()]);
            rest = later;
        }
        queue.consume(pool, len as u32, Place::Sending);
        queue.insert_after(pool, FrameRef::NONE, frame, Place::Sending);
        true
    }

    /// What is longer than the others is lost or sent again: a probe, if one is out, has failed.
    pub(super) fn path_probe_lost<D>(&mut self, io: &mut Io<D>) {
        let now = io.now;
        if self.own(io).is_some_and(|own| own.path.is_some())
            && let Some(search) = &mut self.own_mut(io).path
            && search.probe_lost(now)
        {
            io.counters.inc(Counter::PathProbesLost);
        }
    }
}
