//! When frames are scarce: connections that hold some and do not move are given up.
//!
//! A peer that takes nothing of what it asked for costs us frames for as long as its connection
//! lasts, and it may make that as long as it likes: it acknowledges nothing, or keeps its window
//! shut and answers every probe, or takes a byte at a time. RFC 9293 section 3.8.6.1 lets such a
//! connection stay open; RFC 6429 says that a host which is short of memory may end it. So nothing
//! is done as long as there are frames, and then only to those of which the peer did not take an
//! eighth in [`Limits::patience`](super::Limits::patience).
//!
//! What a peer sent beyond a hole that it never fills is forgotten in the same way, and its
//! connection goes on.
//!
//! Until then nobody starves: the first half of the frames is for whoever writes first; from then
//! on a connection may hold its part of what is left, so that the next has one too.

use super::counters::Counter;
use super::disorder::Disorder;
use super::slots::Slot;
use super::{Engine, Io};
use crate::app::{App, Close, ConnId};
use crate::device::{Device, Pool};
use crate::time::Tick;
use crate::wire::Seq;

/// A peer must take one in this many of the bytes that are held for it.
const LEAST: u32 = 8;
/// Connections watched at a time.
const SUSPECTS: usize = 1_024;
/// Connections looked at in a turn.
const LOOKS: usize = 64;

/// Where a connection was when its watch began.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    id: ConnId,
    snd_una: Seq,
    rcv_nxt: Seq,
    /// Bytes that it has not taken.
    owes: u32,
    /// Bytes that it sent beyond a hole.
    waits: u32,
}

/// The connections that are being watched, if frames are scarce.
#[derive(Debug)]
pub(crate) struct Watch {
    suspects: Vec<Suspect>,
    /// The slot to be looked at next, and how many are left of this round.
    next: u32,
    left: u32,
    /// When they are judged; `None` while there is no watch.
    verdict_at: Option<Tick>,
}

impl Watch {
    pub(crate) fn new(connections: u32) -> Watch {
        let most = SUSPECTS.min(connections as usize);
        Watch { suspects: Vec::with_capacity(most), next: 0, left: 0, verdict_at: None }
    }

    /// When the engine must look again.
    pub(crate) fn deadline(&self) -> Option<Tick> {
        self.verdict_at
    }
}

impl<A: App, D: Device> Engine<A, D> {
    /// Begins a watch, goes on with it, or ends it. Costs a comparison while there are frames.
    pub(super) fn watch(&mut self) {
        match self.watch.verdict_at {
            None if !is_scarce(&self.io) => {}
            None => self.begin_watch(),
            Some(at) if at.is_after(self.io.now.tick()) => self.look_for_suspects(),
            Some(_) => self.judge(),
        }
    }

    #[cold]
    fn begin_watch(&mut self) {
        self.watch.left = self.slots.len();
        let patience = self.config.limits.patience;
        self.watch.verdict_at = Some(self.io.now.tick().after(patience));
        self.look_for_suspects();
    }

    /// Adds connections that hold frames, a few slots a turn. The first round starts where the last
    /// watch ended.
    fn look_for_suspects(&mut self) {
        let watch = &mut self.watch;
        for _ in 0..LOOKS {
            if watch.left == 0 || watch.suspects.len() == watch.suspects.capacity() {
                return;
            }
            watch.left -= 1;
            watch.next = if watch.next + 1 >= self.slots.len() { 0 } else { watch.next + 1 };
            let Some(slot) = self.slots.get(watch.next) else { continue };
            let suspect = slot.suspect(&self.io);
            if slot.over.is_none() && (suspect.owes > 0 || suspect.waits > 0) {
                watch.suspects.push(suspect);
            }
        }
    }

    #[cold]
    fn judge(&mut self) {
        self.watch.verdict_at = None;
        let scarce = is_scarce(&self.io);
        while let Some(then) = self.watch.suspects.pop() {
            let Some(index) = self.slots.find(then.id).filter(|_| scarce) else { continue };
            let slot = self.slots.at(index);
            let now = slot.suspect(&self.io);
            let stays = |from: Seq, to: Seq, held: u32| from.distance_to(to) < held.div_ceil(LEAST);
            if slot.over.is_some() {
                continue;
            }
            if now.owes > 0 && stays(then.snd_una, now.snd_una, then.owes) {
                self.io.counters.inc(Counter::StalledResets);
                slot.send_abort(&mut self.io);
                slot.over = Some(Close::NoResources);
            } else if now.waits > 0 && stays(then.rcv_nxt, now.rcv_nxt, then.waits) {
                self.io.counters.inc(Counter::HolesForgotten);
                slot.drop_out_of_order(&mut self.io);
            }
            self.list(index);
        }
    }
}

impl<D> Io<D> {
    /// Bytes that a connection with segments of this size may have queued now, one of so many.
    #[inline]
    pub(super) fn send_limit(&self, connections: u32, segment: u16) -> u32 {
        let limit = self.settings.config.send_buffer;
        if !frames_are_scarce(&self.pool) {
            return limit;
        }
        let part = (self.pool.free_for_data() / connections.max(1)).max(1);
        limit.min(part.saturating_mul(u32::from(segment)))
    }
}

impl<C> Slot<C> {
    fn suspect<D>(&self, io: &Io<D>) -> Suspect {
        Suspect {
            id: self.id,
            snd_una: self.tcb.snd_una,
            rcv_nxt: self.tcb.rcv_nxt,
            owes: self.outbox.bytes(),
            waits: self.disorder(io).map_or(0, Disorder::bytes),
        }
    }
}

fn is_scarce<D>(io: &Io<D>) -> bool {
    frames_are_scarce(&io.pool) || io.reassembly.is_scarce()
}

/// Whether more than half of the frames for payload are taken.
#[inline]
fn frames_are_scarce(pool: &Pool) -> bool {
    pool.free_for_data() < pool.data_frames() / 2
}
