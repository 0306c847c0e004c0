//! A queue of frames, linked through the pool's records: twelve bytes in a connection's slot.

use super::frame::{Frame, FrameRef};
use super::place::Place;
use super::pool::Pool;

/// A first-in first-out list of frames of one pool.
///
/// The queue owns its frames; dropping it with frames inside loses them. All operations are O(1)
/// but where said otherwise.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    head: FrameRef,
    tail: FrameRef,
    bytes: u32,
}

impl FrameQueue {
    pub(crate) const fn new() -> FrameQueue {
        FrameQueue { head: FrameRef::NONE, tail: FrameRef::NONE, bytes: 0 }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == FrameRef::NONE
    }

    /// Sum of the lengths of the views.
    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    #[inline]
    pub(crate) fn front(&self) -> FrameRef {
        self.head
    }

    #[inline]
    pub(crate) fn back(&self) -> FrameRef {
        self.tail
    }

    #[inline]
    pub(crate) fn push_back(&mut self, pool: &Pool, frame: Frame, place: Place) -> FrameRef {
        self.bytes += frame.len() as u32;
        let at = pool.store(frame, place);
        match self.tail.some() {
            None => self.head = at,
            Some(tail) => pool.set_next(tail, at),
        }
        self.tail = at;
        at
    }

    /// Puts `frame` behind `before`, or at the front if that is [`FrameRef::NONE`].
    pub(crate) fn insert_after(
        &mut self,
        pool: &Pool,
        before: FrameRef,
        frame: Frame,
        place: Place,
    ) -> FrameRef {
        self.bytes += frame.len() as u32;
        let at = pool.store(frame, place);
        let next = match before.some() {
            None => core::mem::replace(&mut self.head, at),
            Some(before) => {
                let next = pool.next(before);
                pool.set_next(before, at);
                next
            }
        };
        pool.set_next(at, next);
        if next == FrameRef::NONE {
            self.tail = at;
        }
        at
    }

    /// Takes the frame behind `before`, or the first one if that is [`FrameRef::NONE`].
    #[inline]
    pub(crate) fn remove_after(
        &mut self,
        pool: &Pool,
        before: FrameRef,
        place: Place,
    ) -> Option<Frame> {
        let at = before.some().map_or(self.head, |before| pool.next(before)).some()?;
        let next = pool.next(at);
        match before.some() {
            None => self.head = next,
            Some(before) => pool.set_next(before, next),
        }
        if next == FrameRef::NONE {
            self.tail = before;
        }
        let frame = pool.load(at, place);
        self.bytes -= frame.len() as u32;
        Some(frame)
    }

    #[inline]
    pub(crate) fn pop_front(&mut self, pool: &Pool, place: Place) -> Option<Frame> {
        self.remove_after(pool, FrameRef::NONE, place)
    }

    /// Lends the token of a queued frame to `f`; the frame stays where it is in the queue.
    pub(crate) fn edit<R>(
        &mut self,
        pool: &Pool,
        at: FrameRef,
        place: Place,
        f: impl FnOnce(&mut Frame) -> R,
    ) -> R {
        let next = pool.next(at);
        let mut frame = pool.load(at, place);
        let before = frame.len() as u32;
        let result = f(&mut frame);
        self.bytes = self.bytes - before + frame.len() as u32;
        let at = pool.store(frame, place);
        pool.set_next(at, next);
        result
    }

    /// Drops `n` bytes off the front, releasing the frames that become empty. O(frames dropped).
    ///
    /// # Panics
    /// If the queue has fewer.
    #[inline]
    pub(crate) fn consume(&mut self, pool: &Pool, mut n: u32, place: Place) {
        assert!(n <= self.bytes, "consume {n} of {}", self.bytes);
        while n > 0 {
            let len = pool.queued_len(self.head);
            if n < len {
                pool.advance_queued(self.head, n);
                self.bytes -= n;
                return;
            }
            self.head = pool.release_queued(self.head, place);
            if self.head == FrameRef::NONE {
                self.tail = FrameRef::NONE;
            }
            self.bytes -= len;
            n -= len;
        }
    }

    /// Puts all frames of `front` before the ones here, leaving it empty.
    pub(crate) fn prepend(&mut self, pool: &Pool, front: &mut FrameQueue) {
        let front = core::mem::replace(front, FrameQueue::new());
        if front.is_empty() {
            return;
        }
        pool.set_next(front.tail, self.head);
        if self.is_empty() {
            self.tail = front.tail;
        }
        self.head = front.head;
        self.bytes += front.bytes;
    }

    /// Releases every frame. O(frames).
    pub(crate) fn clear(&mut self, pool: &Pool, place: Place) {
        while let Some(frame) = self.pop_front(pool, place) {
            pool.release(frame);
        }
    }

    /// The bytes, frame by frame.
    #[inline]
    pub(crate) fn chunks<'a>(&'a self, pool: &'a Pool) -> Chunks<'a> {
        Chunks { pool, at: self.head, queue: core::marker::PhantomData }
    }
}

/// Iterator over the bytes of a queue, one slice a frame.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    pool: &'a Pool,
    at: FrameRef,
    /// The slices are good for as long as the queue is not changed.
    queue: core::marker::PhantomData<&'a FrameQueue>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let at = self.at.some()?;
        self.at = self.pool.next(at);
        Some(self.pool.queued_bytes(at))
    }
}
