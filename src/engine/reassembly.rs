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
use super::disorder::{Disorder, span};
use super::io::Io;
use super::slots::{Has, Slot};
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

    /// So many frames are kept no longer.
    pub(super) fn give_back(&mut self, frames: u16) {
        self.used -= u32::from(frames);
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
    /// Nothing follows the peer's FIN, if that is known to be at `fin`.
    pub(super) fn join_out_of_order<D: Device>(&mut self, fin: Option<Seq>, io: &mut Io<D>) {
        if !self.has.contains(Has::DISORDER) {
            return;
        }
        let mut disorder = self.take_disorder(io);
        while let Some(at) = disorder.queue.front().some() {
            let seq = Seq(io.pool.seq(at));
            let left = fin.map_or(u32::MAX, |fin| self.tcb.rcv_nxt.distance_to(fin));
            if seq.after(self.tcb.rcv_nxt) || left == 0 {
                break;
            }
            let first = disorder.remove(FrameRef::NONE, &io.pool, &mut io.reassembly);
            let Some(mut frame) = first else { break };
            let known = (seq.distance_to(self.tcb.rcv_nxt) as usize).min(frame.len());
            frame.advance(known);
            disorder.came_twice(seq, seq + known as u32);
            frame.truncate(frame.len().min(left as usize));
            if frame.is_empty() {
                io.pool.release(frame);
            } else {
                self.deliver(frame, io);
            }
        }
        self.put_disorder(disorder, io);
    }

    /// Keeps a segment beyond a hole, without what is there already.
    pub(super) fn keep_out_of_order<D: Device>(&mut self, frame: Frame, seq: Seq, io: &mut Io<D>) {
        let mut disorder = self.take_disorder(io);
        disorder.keep(frame, seq, io);
        self.put_disorder(disorder, io);
    }

    /// Forgets what waits for a hole to be filled.
    pub(super) fn drop_out_of_order<D>(&mut self, io: &mut Io<D>) {
        if self.has.contains(Has::DISORDER) {
            let mut disorder = self.take_disorder(io);
            disorder.clear(&io.pool, &mut io.reassembly);
            self.put_disorder(disorder, io);
        }
    }

    /// The bytes of `frame` that wait beyond a hole already are those that came first.
    pub(super) fn first_come_first_kept<D>(&self, frame: &mut Frame, seq: Seq, io: &Io<D>) {
        let Some(disorder) = self.disorder(io) else { return };
        if disorder.first_come_first_kept(frame, seq, &io.pool) {
            io.counters.inc(Counter::ContradictingSegments);
        }
    }

    /// A part of the stream came twice: the next ACK says so (RFC 2883).
    pub(super) fn report_duplicate<D>(&mut self, from: Seq, to: Seq, io: &mut Io<D>) {
        let mut disorder = self.take_disorder(io);
        disorder.duplicate = Some((from, to));
        self.put_disorder(disorder, io);
    }

    /// An ACK went out: what it may have reported is not reported again.
    #[cold]
    pub(super) fn duplicate_reported<D>(&mut self, io: &mut Io<D>) {
        let mut disorder = self.take_disorder(io);
        disorder.duplicate = None;
        self.put_disorder(disorder, io);
    }
}

impl Disorder {
    /// Keeps a segment, without what is there already.
    fn keep<D: Device>(&mut self, mut frame: Frame, seq: Seq, io: &mut Io<D>) {
        self.note_newest(seq);
        let len = frame.len() as u32;
        if self.first_come_first_kept(&mut frame, seq, &io.pool) {
            io.counters.inc(Counter::ContradictingSegments);
        }
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
        let kept = self.queue.insert_after(&io.pool, before, frame, RECEIVED);
        io.pool.set_seq(kept, start.0);
        self.frames += 1;
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
        let room = io.reassembly.has_room(self.frames, buffer);
        (!room).then_some(Counter::DropOutOfOrder)
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
        let next = |disorder: &Self, pool: &Pool| match before.some() {
            Some(before) => pool.next(before),
            None => disorder.queue.front(),
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
            if let Some(covered) = self.remove(before, &io.pool, &mut io.reassembly) {
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
        if let Some(frame) = self.remove(at, &io.pool, &mut io.reassembly) {
            self.append(at, &frame, io);
            io.pool.release(frame);
        }
    }

    fn append<D: Device>(&mut self, at: FrameRef, frame: &Frame, io: &Io<D>) {
        let pool = &io.pool;
        self.queue.edit(pool, at, RECEIVED, |here| {
            let before = here.len();
            pool.extend(here, frame.len());
            pool.bytes_mut(here)[before..].copy_from_slice(pool.bytes(frame));
        });
    }
}

fn ends_at(pool: &Pool, at: FrameRef, seq: Seq) -> bool {
    span(pool, at).1 == seq
}

fn fits_behind(pool: &Pool, at: FrameRef, len: u32) -> bool {
    len <= MERGE_BYTES && pool.queued_tailroom(at) >= len
}
