//! Bytes to send, written straight into the frames they will leave in.

use core::time::Duration;

use super::conn_id::ConnId;
use super::rx::{RxBuf, split_frame};
use super::wishes::Wishes;
use crate::device::{Class, FrameQueue, FrameRef, Place, Pool};
use crate::time::Instant;

/// The sending side of a connection's slot: what [`Tx`] fills and every backend empties.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Not yet sent, or to be sent again.
    pub(crate) queue: FrameQueue,
    /// Sent and not yet acknowledged: stays empty where the kernel does that.
    pub(crate) in_flight: FrameQueue,
}

impl Outbox {
    pub(crate) const fn new() -> Outbox {
        Outbox { queue: FrameQueue::new(), in_flight: FrameQueue::new() }
    }

    /// Bytes that count against the limit.
    pub(crate) fn bytes(&self) -> u32 {
        self.queue.bytes() + self.in_flight.bytes()
    }
}

/// What a callback asked for beside bytes; carried out after it returns.
#[derive(Debug)]
pub(crate) struct Commands {
    pub(crate) abort: bool,
    /// Nothing more will be written; set from the beginning if it was before.
    pub(crate) finish: bool,
    /// A write came up short: `on_space` is owed.
    pub(crate) wants_space: bool,
    /// `Some(None)` cancels.
    pub(crate) timer: Option<Option<Duration>>,
    pub(crate) wishes: Wishes,
}

impl Commands {
    /// Nothing. A constant, so that it is copied from there, and not from where it was just made.
    pub(crate) const NONE: Commands = Commands {
        abort: false,
        finish: false,
        wants_space: false,
        timer: None,
        wishes: Wishes::NONE,
    };

    /// Whether nothing is to be carried out.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        let Commands { abort, finish, wants_space, timer, wishes } = self;
        !(*abort | *finish | *wants_space | wishes.any) && timer.is_none()
    }
}

/// What a [`Tx`] knows beyond its own connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxContext<'a> {
    pub(crate) pool: &'a Pool,
    /// Most bytes that one connection may have queued.
    pub(crate) limit: u32,
    /// Most payload bytes that one frame may carry: the effective MSS.
    pub(crate) segment: u16,
    pub(crate) now: Instant,
}

/// Commands to one connection, during a callback. They take effect after it returns.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) context: TxContext<'a>,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) commands: &'a mut Commands,
    pub(crate) id: ConnId,
}

impl Tx<'_> {
    /// Name of the connection.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.context.now
    }

    /// Bytes that can be written now: zero after [`Tx::finish`] or [`Tx::abort`].
    #[inline]
    pub fn space(&self) -> usize {
        if self.closed() {
            return 0;
        }
        let budget = self.context.limit.saturating_sub(self.outbox.bytes()) as usize;
        let frames = self.context.pool.free_for_data() as usize;
        budget.min(frames * usize::from(self.context.segment) + self.tail_room())
    }

    /// Copies as much of `bytes` as there is space for; returns how much. A short write (less than
    /// all of it) is followed by exactly one `on_space`.
    // So that a response of known length is copied without a call.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        if self.write_alone(bytes) { bytes.len() } else { self.write_pieces(bytes) }
    }

    fn write_pieces(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        let written = self.fill(bytes.len(), |room| {
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            room[..now.len()].copy_from_slice(now);
            rest = later;
            now.len()
        });
        debug_assert!(written <= bytes.len());
        written
    }

    /// The most common write: all of a response that fits one segment, with nothing before it.
    #[inline(always)]
    fn write_alone(&mut self, bytes: &[u8]) -> bool {
        let closed = self.closed();
        let outbox = &mut *self.outbox;
        let limit = self.context.limit.saturating_sub(outbox.in_flight.bytes()) as usize;
        let fits = !bytes.is_empty() && bytes.len() <= limit.min(usize::from(self.context.segment));
        if !fits || !outbox.queue.is_empty() || closed {
            return false;
        }
        outbox.queue.push_copy(self.context.pool, bytes, Place::Sending)
    }

    /// Lets `f` write up to `max` bytes in place. `f` is called with the free part of one frame
    /// after the other and returns how much it wrote; less than it was given ends the call. Returns
    /// the bytes written. If there was space for less than `max`, one `on_space` follows.
    ///
    /// # Panics
    /// If `f` returns more than it was given.
    pub fn fill(&mut self, max: usize, mut f: impl FnMut(&mut [u8]) -> usize) -> usize {
        let allowed = max.min(self.space());
        let mut written = 0;
        while written < allowed {
            let want = allowed - written;
            let (offered, got) = match self.appendable() {
                Some((tail, room)) => self.fill_tail(tail, room.min(want), &mut f),
                None => match self.fill_new(want, &mut f) {
                    Some(result) => result,
                    None => break,
                },
            };
            written += got;
            if got < offered {
                return written;
            }
        }
        if written < max && !self.closed() {
            self.commands.wants_space = true;
        }
        written
    }

    /// Sends received bytes on, in the frames they arrived in.
    ///
    /// # Errors
    /// Gives the buffer back if there is not space for all of it (one `on_space` follows) or the
    /// connection is finished.
    pub fn send(&mut self, mut buf: RxBuf) -> Result<(), RxBuf> {
        if self.closed() {
            return Err(buf);
        }
        let budget = self.context.limit.saturating_sub(self.outbox.bytes()) as usize;
        // A buffer larger than the whole budget may go when nothing else is queued.
        let fits = buf.len() <= budget || self.outbox.bytes() == 0;
        if !fits || !self.cut_to_segments(buf.queue_mut()) {
            self.commands.wants_space = true;
            return Err(buf);
        }
        let pool = self.context.pool;
        while let Some(frame) = buf.queue_mut().pop_front(pool, Place::Held) {
            self.outbox.queue.push_back(pool, frame, Place::Sending);
        }
        Ok(())
    }

    /// Sends FIN after everything written. The peer may go on sending.
    pub fn finish(&mut self) {
        self.commands.finish = true;
    }

    /// Resets the connection at once; what was written and not sent is dropped.
    pub fn abort(&mut self) {
        self.commands.abort = true;
    }

    /// Sets the connection's timer to fire once after `after` (resolution 131 µs, at most 39
    /// hours), in place of what it was set to; `None` cancels it.
    pub fn set_timer(&mut self, after: Option<Duration>) {
        self.commands.timer = Some(after);
    }

    #[inline]
    fn closed(&self) -> bool {
        self.commands.finish || self.commands.abort
    }

    /// The last frame of the queue and how much more it may carry, if it was not sent yet.
    fn appendable(&self) -> Option<(FrameRef, usize)> {
        let pool = self.context.pool;
        let tail = self.outbox.queue.back().some()?;
        if pool.is_sent(tail) || pool.is_charged(tail) {
            return None;
        }
        let room = u32::from(self.context.segment).saturating_sub(pool.queued_len(tail));
        let room = room.min(pool.queued_tailroom(tail)) as usize;
        (room > 0).then_some((tail, room))
    }

    fn tail_room(&self) -> usize {
        self.appendable().map_or(0, |(_, room)| room)
    }

    fn fill_tail(
        &mut self,
        tail: FrameRef,
        room: usize,
        f: &mut impl FnMut(&mut [u8]) -> usize,
    ) -> (usize, usize) {
        let pool = self.context.pool;
        self.outbox.queue.edit(pool, tail, Place::Sending, |frame| {
            let before = frame.len();
            let room = room.min(pool.tailroom(frame));
            pool.extend(frame, room);
            let got = f(&mut pool.bytes_mut(frame)[before..]);
            assert!(got <= room, "fill: wrote {got} of {room}");
            frame.truncate(before + got);
            (room, got)
        })
    }

    fn fill_new(
        &mut self,
        want: usize,
        f: &mut impl FnMut(&mut [u8]) -> usize,
    ) -> Option<(usize, usize)> {
        let pool = self.context.pool;
        let mut frame = pool.alloc(Class::Data)?;
        let room = want.min(usize::from(self.context.segment));
        pool.extend(&mut frame, room);
        let got = f(pool.bytes_mut(&mut frame));
        assert!(got <= room, "fill: wrote {got} of {room}");
        frame.truncate(got);
        if got == 0 {
            pool.release(frame);
        } else {
            self.outbox.queue.push_back(pool, frame, Place::Sending);
        }
        Some((room, got))
    }

    /// Splits frames that carry more than one segment's worth; false if the pool ran dry midway.
    fn cut_to_segments(&self, queue: &mut FrameQueue) -> bool {
        let pool = self.context.pool;
        let segment = usize::from(self.context.segment);
        let (mut before, mut at) = (FrameRef::NONE, queue.front());
        while let Some(here) = at.some() {
            if pool.queued_len(here) as usize > segment {
                if split_frame(pool, queue, before, segment, Place::Held, Class::Data).is_none() {
                    return false;
                }
                before = before.some().map_or(queue.front(), |before| pool.next(before));
            } else {
                before = here;
            }
            at = pool.next(before);
        }
        true
    }
}
