//! Segments that came before their turn: kept until the hole before them is filled.
//!
//! A frame is charged whole, however little lies in it, so that what a peer can hold on to is
//! counted in what it costs us. Two limits bound it: one connection may have as many frames as its
//! window needs when it is full of segments of a kilobyte, small neighbours being put together in
//! one frame; and all connections share a budget ([`Limits::out_of_order`]) of which each may take
//! as much as is left. With *k* peers that take all they can there is always a part of 1/(*k* + 1)
//! left for the next. What finds no room is dropped and counted; it was not acknowledged, and what
//! fills the hole is always taken.
//!
//! [`Limits::out_of_order`]: super::Limits::out_of_order

use super::counters::Counter;
use super::io::Io;
use super::slots::Slot;
use crate::device::{Device, Frame, FrameRef, Place, Pool};
use crate::wire::Seq;

/// What a frame of a connection's window must hold on average.
const BYTES_PER_FRAME: u32 = 1_024;
/// Frames that a connection may have beyond that, however small its window.
const FEW: u32 = 64;
/// Neighbours up to this long are put together in one frame.
const MERGE_BYTES: u32 = 1_024;

const RECEIVED: Place = Place::Received;

/// The frames of all connections' out-of-order queues.
#[derive(Debug)]
pub(crate) struct Reassembly {
    used: u32,
    most: u32,
}

impl Reassembly {
    /// At most `limit` frames, and at most a quarter of the pool.
    pub(crate) fn new(limit: u32, pool: &Pool) -> Reassembly {
        Reassembly { used: 0, most: limit.min(pool.frames() / 4) }
    }

    /// Whether less than half of the budget is left.
    pub(super) fn is_scarce(&self) -> bool {
        self.used > self.most / 2
    }

    /// Whether a connection that has `own` frames may take one more.
    fn has_room(&self, own: u16, receive_buffer: u32) -> bool {
        let window = receive_buffer / BYTES_PER_FRAME + FEW;
        let own = u32::from(own);
        own < window.min(u32::from(u16::MAX)) && own < self.most - self.used
    }
}

impl<C> Slot<C> {
    /// A hole may be filled: moves what is next now from the out-of-order queue.
    pub(super) fn join_out_of_order<D: Device>(&mut self, io: &mut Io<D>) {
        while let Some(at) = self.out_of_order.front().some() {
            let seq = Seq(io.pool.seq(at));
            let left = self.tcb.text_left();
            if seq.after(self.tcb.rcv_nxt) || left == 0 {
                return;
            }
            let Some(mut frame) = self.remove_out_of_order(FrameRef::NONE, io) else { return };
            let known = (seq.distance_to(self.tcb.rcv_nxt) as usize).min(frame.len());
            frame.advance(known);
            self.came_twice(seq, seq + known as u32);
            frame.truncate(frame.len().min(left as usize));
            if frame.is_empty() {
                io.pool.release(frame);
            } else {
                self.deliver(frame, io);
            }
        }
    }

    /// RFC 2883 section 4.2: the first part of a segment that came before is reported.
    fn came_twice(&mut self, from: Seq, to: Seq) {
        self.duplicate = match self.duplicate {
            Some((first, end)) if end == from => Some((first, to)),
            None if to.after(from) => Some((from, to)),
            before => before,
        };
    }

    /// Keeps a segment beyond a hole, without what is there already.
    pub(super) fn keep_out_of_order<D: Device>(
        &mut self,
        mut frame: Frame,
        seq: Seq,
        io: &mut Io<D>,
    ) {
        let len = frame.len() as u32;
        self.first_come_first_kept(&mut frame, seq, io);
        let before = self.last_at_or_before(seq, &io.pool);
        let start = self.cut(&mut frame, seq, before, io);
        if frame.is_empty() {
            // RFC 2883 section 4.1.1: all of it is in a block already.
            self.duplicate = Some((seq, seq + len));
            io.counters.inc(Counter::DropDuplicate);
            io.pool.release(frame);
            return;
        }
        let joined = before.some().filter(|before| ends_at(&io.pool, *before, start));
        if let Some(before) = joined
            && fits_behind(&io.pool, before, frame.len() as u32)
        {
            io.counters.inc(Counter::OutOfOrderSegments);
            self.append(before, &frame, io);
            io.pool.release(frame);
            self.merge_next(before, io);
            return;
        }
        if let Some(full) = self.no_room(io) {
            io.counters.inc(full);
            io.pool.release(frame);
            return;
        }
        io.counters.inc(Counter::OutOfOrderSegments);
        let kept = self.out_of_order.insert_after(&io.pool, before, frame, RECEIVED);
        io.pool.set_seq(kept, start.0);
        self.out_of_order_frames += 1;
        io.reassembly.used += 1;
        self.merge_next(kept, io);
    }

    /// Why one more frame can't be kept out of order, if so.
    fn no_room<D: Device>(&self, io: &Io<D>) -> Option<Counter> {
        if io.pool.free_for_data() == 0 {
            // What is in order must still find room, or the hole is never filled.
            return Some(Counter::DropNoRoom);
        }
        let buffer = io.settings.config.receive_buffer;
        let room = io.reassembly.has_room(self.out_of_order_frames, buffer);
        (!room).then_some(Counter::DropOutOfOrder)
    }

    /// Where a segment repeats bytes that are here already, those that came first count, whatever
    /// the later ones say: nobody can change what was acknowledged, or what another reader on the
    /// path has seen.
    pub(super) fn first_come_first_kept<D: Device>(&self, frame: &mut Frame, seq: Seq, io: &Io<D>) {
        let pool = &io.pool;
        let end = seq + frame.len() as u32;
        if self.is_beyond_all(seq, pool) {
            return;
        }
        let mut contradicts = false;
        let mut at = self.out_of_order.front();
        while let Some(here) = at.some() {
            let (first, last) = span(pool, here);
            if first.at_or_after(end) {
                break;
            }
            if last.after(seq) {
                let (from, to) = (first.max(seq), last.min(end));
                let part =
                    |base: Seq| base.distance_to(from) as usize..base.distance_to(to) as usize;
                let kept = &pool.queued_bytes(here)[part(first)];
                let new = &mut pool.bytes_mut(frame)[part(seq)];
                if kept != new {
                    contradicts = true;
                    new.copy_from_slice(kept);
                }
            }
            at = pool.next(here);
        }
        if contradicts {
            io.counters.inc(Counter::ContradictingSegments);
        }
    }

    /// Whether nothing in the queue lies at or behind `seq`: so it mostly is.
    fn is_beyond_all(&self, seq: Seq, pool: &Pool) -> bool {
        self.out_of_order.back().some().is_none_or(|last| span(pool, last).1.at_or_before(seq))
    }

    /// The last frame that begins at or before `seq`.
    fn last_at_or_before(&self, seq: Seq, pool: &Pool) -> FrameRef {
        if self.is_beyond_all(seq, pool) {
            return self.out_of_order.back();
        }
        let (mut before, mut at) = (FrameRef::NONE, self.out_of_order.front());
        while let Some(here) = at.some().filter(|here| Seq(pool.seq(*here)).at_or_before(seq)) {
            (before, at) = (here, pool.next(here));
        }
        before
    }

    /// Cuts what is there already off a segment that belongs behind `before`; frames that it covers
    /// go. Returns where it begins now.
    fn cut<D: Device>(
        &mut self,
        frame: &mut Frame,
        seq: Seq,
        before: FrameRef,
        io: &mut Io<D>,
    ) -> Seq {
        let mut start = seq;
        if let Some(before) = before.some() {
            let (_, end) = span(&io.pool, before);
            if end.after(start) {
                let known = (start.distance_to(end) as usize).min(frame.len());
                frame.advance(known);
                self.came_twice(seq, seq + known as u32);
                start = end;
            }
        }
        let next = |slot: &Self, pool: &Pool| match before.some() {
            Some(before) => pool.next(before),
            None => slot.out_of_order.front(),
        };
        while let Some(at) = next(self, &io.pool).some().filter(|_| !frame.is_empty()) {
            let (first, last) = span(&io.pool, at);
            let end = start + frame.len() as u32;
            if first.at_or_after(end) {
                break;
            }
            self.came_twice(first, last.min(end));
            if last.after(end) {
                frame.truncate(start.distance_to(first) as usize);
                break;
            }
            if let Some(covered) = self.remove_out_of_order(before, io) {
                io.pool.release(covered);
            }
        }
        start
    }

    /// Puts the frame behind `at` into `at`, if it follows at once and there is room.
    fn merge_next<D: Device>(&mut self, at: FrameRef, io: &mut Io<D>) {
        let Some(next) = io.pool.next(at).some() else { return };
        let (first, last) = span(&io.pool, next);
        let follows = ends_at(&io.pool, at, first);
        if !follows || !fits_behind(&io.pool, at, first.distance_to(last)) {
            return;
        }
        if let Some(frame) = self.remove_out_of_order(at, io) {
            self.append(at, &frame, io);
            io.pool.release(frame);
        }
    }

    fn append<D: Device>(&mut self, at: FrameRef, frame: &Frame, io: &Io<D>) {
        let pool = &io.pool;
        self.out_of_order.edit(pool, at, RECEIVED, |here| {
            let before = here.len();
            pool.extend(here, frame.len());
            pool.bytes_mut(here)[before..].copy_from_slice(pool.bytes(frame));
        });
    }

    fn remove_out_of_order<D>(&mut self, before: FrameRef, io: &mut Io<D>) -> Option<Frame> {
        let frame = self.out_of_order.remove_after(&io.pool, before, RECEIVED)?;
        self.out_of_order_frames -= 1;
        io.reassembly.used -= 1;
        Some(frame)
    }

    /// Forgets what waits for a hole to be filled. RFC 2018 section 8 allows it even for what was
    /// reported.
    pub(super) fn drop_out_of_order<D>(&mut self, io: &mut Io<D>) {
        self.out_of_order.clear(&io.pool, RECEIVED);
        io.reassembly.used -= u32::from(core::mem::take(&mut self.out_of_order_frames));
    }
}

/// Sequence numbers of the first byte of a queued frame, and of the one behind its last.
fn span(pool: &Pool, at: FrameRef) -> (Seq, Seq) {
    let first = Seq(pool.seq(at));
    (first, first + pool.queued_len(at))
}

fn ends_at(pool: &Pool, at: FrameRef, seq: Seq) -> bool {
    span(pool, at).1 == seq
}

fn fits_behind(pool: &Pool, at: FrameRef, len: u32) -> bool {
    len <= MERGE_BYTES && pool.queued_tailroom(at) >= len
}
