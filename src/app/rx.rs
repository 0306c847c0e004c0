//! Received bytes, still in the frames they arrived in.

use super::conn_id::ConnId;
use crate::device::{Chunks, Class, FrameQueue, FrameRef, Place, Pool};

/// The unread bytes of a connection during [`App::on_data`](super::App::on_data).
#[derive(Debug)]
pub struct Rx<'a> {
    pub(crate) pool: &'a Pool,
    /// In order and unread.
    pub(crate) inbox: &'a mut FrameQueue,
    /// Bytes that the application holds in [`RxBuf`]s: still on the window's charge.
    pub(crate) held: &'a mut u32,
    pub(crate) owner: ConnId,
    pub(crate) fin: bool,
    /// From behind the unread bytes to behind the last urgent one.
    pub(crate) urgent: Option<i32>,
}

impl Rx<'_> {
    /// Unread bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.inbox.bytes() as usize
    }

    /// Whether there is nothing to read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// Whether the peer has finished sending: nothing will come after the unread bytes.
    pub fn fin(&self) -> bool {
        self.fin
    }

    /// How many bytes from the first unread one on are urgent, those that are still to come
    /// included: the peer's urgent pointer. `None` if none are (RFC 9293 section 3.8.5, MUST-33).
    /// [`on_data`](super::App::on_data) comes whenever the pointer advances, bytes or not.
    ///
    /// Urgent bytes are delivered in line (RFC 6093). On kernel sockets they are too, and this is
    /// always `None`.
    pub fn urgent(&self) -> Option<usize> {
        let urgent = self.len() as i64 + i64::from(self.urgent?);
        usize::try_from(urgent).ok().filter(|urgent| *urgent > 0)
    }

    /// The unread bytes, one slice for each frame they lie in.
    pub fn chunks(&self) -> Chunks<'_> {
        self.inbox.chunks(self.pool)
    }

    /// The unread bytes as one slice: in place if they lie in one frame, else copied to `scratch`.
    pub fn contiguous<'b>(&'b self, scratch: &'b mut Vec<u8>) -> &'b [u8] {
        let mut chunks = self.chunks();
        let first = chunks.next().unwrap_or_default();
        if first.len() == self.len() {
            return first;
        }
        scratch.clear();
        for chunk in self.chunks() {
            scratch.extend_from_slice(chunk);
        }
        scratch
    }

    /// Marks the first `n` bytes as read; the window opens by as much.
    ///
    /// # Panics
    /// If there are fewer unread bytes.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        assert!(n <= self.len(), "consume({n}) of {} unread bytes", self.len());
        self.inbox.consume(self.pool, n as u32, Place::Received);
    }

    /// Takes the first `n` bytes out, in their frames. They stay on the window's charge until the
    /// buffer is dropped, or was [sent](super::Tx::send) and acknowledged.
    ///
    /// A frame of which only a part is taken is split, which copies the smaller part. `None`, and
    /// nothing taken, if that needs a frame and the pool has none.
    ///
    /// # Panics
    /// If there are fewer unread bytes.
    pub fn hold(&mut self, n: usize) -> Option<RxBuf> {
        assert!(n <= self.len(), "hold({n}) of {} unread bytes", self.len());
        split_at(self.pool, self.inbox, n as u32, Place::Received)?;
        let mut buf = RxBuf { pool: self.pool.clone(), queue: FrameQueue::new() };
        while buf.len() < n {
            let Some(frame) = self.inbox.pop_front(self.pool, Place::Received) else { break };
            self.pool.charge(&frame, self.owner.to_bits());
            buf.queue.push_back(self.pool, frame, Place::Held);
        }
        *self.held += n as u32;
        Some(buf)
    }
}

/// Makes byte `n` of the queue the first byte of a frame, copying the front part of the frame that
/// it lies in to a new one. `None` if that needs a frame and there is none. O(frames before `n`).
pub(crate) fn split_at(pool: &Pool, queue: &mut FrameQueue, n: u32, place: Place) -> Option<()> {
    let (mut before, mut at, mut left) = (FrameRef::NONE, queue.front(), n);
    while let Some(here) = at.some() {
        let len = pool.queued_len(here);
        if left == 0 {
            return Some(());
        }
        if left < len {
            return split_frame(pool, queue, before, left as usize, place, Class::Data);
        }
        left -= len;
        (before, at) = (here, pool.next(here));
    }
    Some(())
}

/// Splits the frame behind `before` so that its first `n` bytes come to lie in a frame of their
/// own.
pub(crate) fn split_frame(
    pool: &Pool,
    queue: &mut FrameQueue,
    before: FrameRef,
    n: usize,
    place: Place,
    class: Class,
) -> Option<()> {
    let mut front = pool.alloc(class)?;
    let at = before.some().map_or(queue.front(), |before| pool.next(before));
    let seq = pool.seq(at);
    pool.extend(&mut front, n);
    queue.edit(pool, at, place, |whole| {
        pool.bytes_mut(&mut front).copy_from_slice(&pool.bytes(whole)[..n]);
        whole.advance(n);
    });
    pool.set_seq(at, seq.wrapping_add(n as u32));
    let front = queue.insert_after(pool, before, front, place);
    pool.set_seq(front, seq);
    Some(())
}

/// Received bytes that the application keeps beyond the callback, without a copy.
///
/// They stay on the charge of the connection's window. Dropping the buffer gives them back.
#[derive(Debug)]
pub struct RxBuf {
    pool: Pool,
    queue: FrameQueue,
}

impl RxBuf {
    /// Bytes in the buffer.
    pub fn len(&self) -> usize {
        self.queue.bytes() as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The bytes, one slice for each frame they lie in.
    pub fn chunks(&self) -> Chunks<'_> {
        self.queue.chunks(&self.pool)
    }

    pub(crate) fn queue_mut(&mut self) -> &mut FrameQueue {
        &mut self.queue
    }
}

impl Drop for RxBuf {
    fn drop(&mut self) {
        self.queue.clear(&self.pool, Place::Held);
    }
}
