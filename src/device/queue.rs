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
        self.link_back(pool, at);
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
    #[inline(always)]
    pub(crate) fn consume(&mut self, pool: &Pool, n: u32, place: Place) {
        // Nearly always it is just the first frame.
        if !self.is_empty() && pool.queued_len(self.head) == n {
            self.release_front(pool, n, place);
        } else {
            self.consume_any(pool, n, place);
        }
    }

    /// Releases the first frame, whose view is `len` long.
    #[inline]
    fn release_front(&mut self, pool: &Pool, len: u32, place: Place) {
        let next = pool.release_queued(self.head, place);
        self.unlink_front(next, len);
    }

    fn consume_any(&mut self, pool: &Pool, mut n: u32, place: Place) {
        assert!(n <= self.bytes, "consume {n} of {}", self.bytes);
        while n > 0 {
            let len = pool.queued_len(self.head);
            if n < len {
                pool.advance_queued(self.head, n);
                self.bytes -= n;
                return;
            }
            self.release_front(pool, len, place);
            n -= len;
        }
    }

    /// Appends a new frame with a copy of `bytes`. False if the pool has none for payload.
    ///
    /// # Panics
    /// If they don't fit a frame behind [`Pool::TX_HEADROOM`].
    #[inline(always)]
    pub(crate) fn push_copy(&mut self, pool: &Pool, bytes: &[u8], place: Place) -> bool {
        let Some(at) = pool.alloc_queued(bytes, place) else { return false };
        self.bytes += bytes.len() as u32;
        self.link_back(pool, at);
        true
    }

    /// The first frame, whose view is `len` long, is gone; `next` was behind it.
    #[inline(always)]
    fn unlink_front(&mut self, next: FrameRef, len: u32) {
        self.head = next;
        if next == FrameRef::NONE {
            self.tail = FrameRef::NONE;
        }
        self.bytes -= len;
    }

    #[inline(always)]
    fn link_back(&mut self, pool: &Pool, at: FrameRef) {
        match self.tail.some() {
            None => self.head = at,
            Some(tail) => pool.set_next(tail, at),
        }
        self.tail = at;
    }

    /// The token of the first frame, which stays in the queue: to be transmitted, then
    /// [forwarded](FrameQueue::forward) or forgotten. `None` if the device still has the frame, or
    /// the queue is empty.
    #[inline]
    pub(crate) fn lend_front(&self, pool: &Pool) -> Option<Frame> {
        if self.is_empty() { None } else { pool.lend(self.head) }
    }

    /// Moves the first frame, whose token this is, behind those of `to`: sent at this time with
    /// this sequence number. Both queues are of the same place.
    ///
    /// # Panics
    /// If the token is of another frame.
    #[inline]
    pub(crate) fn forward(
        &mut self,
        lent: Frame,
        to: &mut FrameQueue,
        pool: &Pool,
        (seq, micros): (u32, u32),
    ) {
        let at = FrameRef(lent.index());
        assert!(at == self.head, "a frame that is not the first");
        let next = pool.next_sent(at, seq, micros);
        self.unlink_front(next, lent.len() as u32);
        to.bytes += lent.len() as u32;
        to.link_back(pool, at);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Class, PoolConfig};
    use proptest::prelude::*;

    const PLACE: Place = Place::Received;

    fn frames(pool: &Pool, queue: &FrameQueue) -> Vec<FrameRef> {
        let mut at = queue.front();
        core::iter::from_fn(|| {
            let here = at.some()?;
            at = pool.next(here);
            Some(here)
        })
        .collect()
    }

    fn frame(pool: &Pool) -> Option<Frame> {
        let mut frame = pool.alloc(Class::Data)?;
        pool.extend(&mut frame, 10);
        Some(frame)
    }

    #[test]
    fn a_queue_takes_twelve_bytes() {
        assert_eq!(size_of::<FrameQueue>(), 12);
    }

    proptest! {
        #[test]
        fn behaves_like_a_list(ops in prop::collection::vec((0u8..6, any::<usize>()), 1..80)) {
            let config = PoolConfig { frames: 64, reserve: 8, ..PoolConfig::default() };
            let pool = Pool::new(config).unwrap();
            let (mut queue, mut model) = (FrameQueue::new(), Vec::<FrameRef>::new());
            for (op, n) in ops {
                // Behind this many frames.
                let at = n % (model.len() + 1);
                let before = at.checked_sub(1).map_or(FrameRef::NONE, |last| model[last]);
                match op {
                    0 => if let Some(frame) = frame(&pool) {
                        model.push(queue.push_back(&pool, frame, PLACE));
                    },
                    1 => if let Some(frame) = frame(&pool) {
                        model.insert(at, queue.insert_after(&pool, before, frame, PLACE));
                    },
                    2 => {
                        let removed = queue.remove_after(&pool, before, PLACE);
                        prop_assert_eq!(removed.is_some(), at < model.len());
                        if let Some(frame) = removed {
                            model.remove(at);
                            pool.release(frame);
                        }
                    }
                    3 => {
                        queue.consume(&pool, at as u32 * 10, PLACE);
                        model.drain(..at);
                    }
                    4 => if let Some(frame) = frame(&pool) {
                        let mut front = FrameQueue::new();
                        model.insert(0, front.push_back(&pool, frame, PLACE));
                        queue.prepend(&pool, &mut front);
                        prop_assert!(front.is_empty());
                    },
                    _ => if let Some(&at) = model.get(at) {
                        queue.edit(&pool, at, PLACE, |frame| assert_eq!(frame.len(), 10));
                    },
                }
                prop_assert_eq!(frames(&pool, &queue), model.clone());
                let last = model.last().copied().unwrap_or(FrameRef::NONE);
                prop_assert_eq!(queue.back(), last);
                prop_assert_eq!(queue.bytes(), model.len() as u32 * 10);
            }
            queue.clear(&pool, PLACE);
            prop_assert!(queue.is_empty() && queue.bytes() == 0);
        }
    }
}
