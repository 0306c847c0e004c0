//! What is known of each frame beside its bytes, and what queues and the engine do with it.

use core::cell::Cell;

use super::frame::{Frame, FrameRef, View};
use super::place::Place;
use super::pool::{NONE, Pool};

/// Handed to the device for transmission and not completed.
pub(super) const POSTED: u8 = 1;
/// Bytes of this frame are on the charge of the connection that received them.
pub(super) const CHARGED: u8 = 2;
/// Transmitted at least once: nothing may be appended.
pub(super) const SENT: u8 = 4;
/// The marks of [`Marks`], as they lie among the flags.
const MARKS: u8 = Marks::all().bits();

bitflags::bitflags! {
    /// What the sender knows of a segment in flight.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Marks: u8 {
        /// The peer has it (RFC 2018); it may still take that back.
        const SACKED = 8;
        /// It counts as lost and has not been sent again since.
        const LOST = 16;
        /// It was sent more than once.
        const RETRANSMITTED = 32;
    }
}

/// What is known of a frame beside its bytes: half a cache line.
#[derive(Debug)]
#[repr(C, align(32))]
pub(super) struct Meta {
    pub(super) next: Cell<u32>,
    pub(super) view: Cell<View>,
    pub(super) place: Cell<Place>,
    pub(super) flags: Cell<u8>,
    /// Bytes on the charge of `owner` while [`CHARGED`].
    pub(super) charge: Cell<u16>,
    pub(super) seq: Cell<u32>,
    pub(super) sent_at: Cell<u32>,
    pub(super) owner: Cell<u64>,
}

impl Meta {
    /// The one place where a frame changes its place: a token forged or used twice ends here.
    #[inline]
    pub(super) fn move_place(&self, from: Place, to: Place) {
        let is = self.place.replace(to);
        if is != from {
            misplaced(is, from);
        }
    }

    #[inline]
    fn note_sent(&self, seq: u32, micros: u32) {
        self.seq.set(seq);
        self.sent_at.set(micros);
        self.flags.set(self.flags.get() & !MARKS);
    }
}

#[cold]
#[inline(never)]
fn misplaced(is: Place, should: Place) -> ! {
    panic!("a frame is {is:?}, not {should:?}");
}

impl Pool {
    #[inline]
    pub(super) fn store(&self, frame: Frame, place: Place) -> FrameRef {
        let meta = self.meta(frame.index());
        meta.move_place(Place::InHand, place);
        meta.view.set(frame.view());
        meta.next.set(NONE);
        FrameRef(frame.index())
    }

    #[inline]
    pub(super) fn load(&self, at: FrameRef, place: Place) -> Frame {
        let meta = self.meta(at.0);
        meta.move_place(place, Place::InHand);
        Frame::new(at.0, meta.view.get())
    }

    /// The token of a frame that stays in its queue, unless the device has it.
    #[inline]
    pub(super) fn lend(&self, at: FrameRef) -> Option<Frame> {
        let meta = self.meta(at.0);
        let frame = Frame::new(at.0, meta.view.get());
        (meta.flags.get() & POSTED == 0).then_some(frame)
    }

    /// Takes a sent frame off the front of its queue; the one behind it is the result.
    #[inline]
    pub(super) fn next_sent(&self, at: FrameRef, seq: u32, micros: u32) -> FrameRef {
        let meta = self.meta(at.0);
        meta.note_sent(seq, micros);
        FrameRef(meta.next.replace(NONE))
    }

    /// Drops the first `n` bytes of the view of a queued frame.
    ///
    /// # Panics
    /// If the view is shorter.
    #[inline]
    pub(super) fn advance_queued(&self, at: FrameRef, n: u32) {
        let meta = self.meta(at.0);
        let (view, n) = (meta.view.get(), n as usize);
        assert!(n <= view.len(), "advance {n} in a view of {}", view.len());
        meta.view.set(View::new(view.start() + n, view.len() - n));
    }

    /// Gives back a frame that was in a queue; the frame behind it is the result.
    #[inline]
    pub(super) fn release_queued(&self, at: FrameRef, place: Place) -> FrameRef {
        let meta = self.meta(at.0);
        let next = FrameRef(meta.next.get());
        self.release_meta(at.0, meta, place);
        next
    }

    #[inline]
    pub(super) fn set_next(&self, at: FrameRef, next: FrameRef) {
        self.meta(at.0).next.set(next.0);
    }

    /// The frame behind `at` in its queue.
    #[inline]
    pub(crate) fn next(&self, at: FrameRef) -> FrameRef {
        FrameRef(self.meta(at.0).next.get())
    }

    #[inline]
    pub(crate) fn queued_bytes(&self, at: FrameRef) -> &[u8] {
        let meta = self.meta(at.0);
        self.slice(at.0, meta.view.get())
    }

    /// Position of a queued frame among all of the pool.
    pub(crate) fn position_of(&self, at: FrameRef) -> usize {
        (at.0 - self.0.first) as usize
    }

    /// Length of the view of a queued frame.
    #[inline]
    pub(crate) fn queued_len(&self, at: FrameRef) -> u32 {
        self.meta(at.0).view.get().len() as u32
    }

    /// Bytes behind the view of a queued frame.
    #[inline]
    pub(crate) fn queued_tailroom(&self, at: FrameRef) -> u32 {
        let view = self.meta(at.0).view.get();
        (self.frame_size() - view.start() - view.len()) as u32
    }

    /// Sequence number of the first byte of a queued frame.
    #[inline]
    pub(crate) fn seq(&self, at: FrameRef) -> u32 {
        self.meta(at.0).seq.get()
    }

    /// Sets the sequence number of the first byte of a queued frame.
    #[inline]
    pub(crate) fn set_seq(&self, at: FrameRef, seq: u32) {
        self.meta(at.0).seq.set(seq);
    }

    /// When the frame was last transmitted, in wrapping microseconds.
    pub(crate) fn sent_at(&self, at: FrameRef) -> u32 {
        self.meta(at.0).sent_at.get()
    }

    /// Notes when the frame was last transmitted.
    #[inline]
    pub(crate) fn set_sent_at(&self, at: FrameRef, micros: u32) {
        self.meta(at.0).sent_at.set(micros);
    }

    /// Notes the sequence number of a queued frame's first byte and when it was transmitted, and
    /// that nothing else is known of it.
    #[inline]
    pub(crate) fn note_sent(&self, at: FrameRef, seq: u32, micros: u32) {
        self.meta(at.0).note_sent(seq, micros);
    }

    /// What the sender knows of a queued frame.
    pub(crate) fn marks(&self, at: FrameRef) -> Marks {
        Marks::from_bits_truncate(self.meta(at.0).flags.get())
    }

    /// Replaces what the sender knows of a queued frame.
    #[inline]
    pub(crate) fn set_marks(&self, at: FrameRef, marks: Marks) {
        let flags = &self.meta(at.0).flags;
        flags.set(flags.get() & !MARKS | marks.bits());
    }

    /// Whether the device still has the frame in its transmit ring.
    #[inline]
    pub(crate) fn is_posted(&self, at: FrameRef) -> bool {
        self.meta(at.0).flags.get() & POSTED != 0
    }

    /// Whether the frame was ever transmitted from its present queue.
    #[inline]
    pub(crate) fn is_sent(&self, at: FrameRef) -> bool {
        self.meta(at.0).flags.get() & SENT != 0
    }

    /// Whether the frame is on an application's charge: its tail may hold bytes that are not ours.
    #[inline]
    pub(crate) fn is_charged(&self, at: FrameRef) -> bool {
        self.meta(at.0).flags.get() & CHARGED != 0
    }

    /// Puts the bytes of the view on the charge of the connection `owner`.
    pub(crate) fn charge(&self, frame: &Frame, owner: u64) {
        let meta = self.meta(frame.index());
        meta.flags.set(meta.flags.get() | CHARGED);
        meta.owner.set(owner);
        meta.charge.set(frame.len() as u16);
    }

    /// Frees one frame that the application has given back; tells whose charge to lower by how
    /// much.
    #[inline]
    pub(crate) fn take_returned(&self) -> Option<(u64, u32)> {
        let index = self.0.returned_head.get();
        if index == NONE {
            return None;
        }
        let meta = self.meta(index);
        self.0.returned_head.set(meta.next.get());
        let charge = (meta.owner.get(), u32::from(meta.charge.get()));
        self.release_index(index, Place::Returned);
        Some(charge)
    }
}
