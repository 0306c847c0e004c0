//! A region of memory cut into frames of equal size, and the record of where each frame is.
//!
//! A frame is in exactly one [`Place`]. Tokens ([`Frame`]) exist only for frames that somebody has
//! in hand; a frame in the fill ring, in a queue or with the device alone is known by its index
//! only. A frame that was handed to the device for transmission is *posted* until the device
//! completes it, wherever else it is: released meanwhile, it becomes free at its completion and not
//! before.
#![allow(unsafe_code)]

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering};
use std::io;
use std::rc::Rc;

use super::frame::{Frame, FrameRef, View};
use super::memory::{Memory, Pages};
use super::place::{Census, Place};
use super::record::{CHARGED, Meta, POSTED, SENT};

/// How a [`Pool`] is cut.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Number of frames.
    pub frames: u32,
    /// Bytes in a frame: 2048, 4096, or 16384 for packets larger than a page.
    pub frame_size: u32,
    /// Frames that only control segments (ACK, RST, SYN-ACK, ARP, NDP) may take.
    pub reserve: u32,
    /// Whether to try explicit huge pages.
    pub huge_pages: bool,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig { frames: 16_384, frame_size: 2_048, reserve: 256, huge_pages: true }
    }
}

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The caller's configuration makes no sense.
    #[error("frame pool: {0}")]
    Config(&'static str),
    /// The machine has not the memory.
    #[error("frame pool: mapping {bytes} bytes failed: {source}")]
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What the system answered.
        source: io::Error,
    },
    /// 2^32 frames were handed out in the life of this process.
    #[error("frame pool: no frame numbers left in this process")]
    Numbers,
}

/// Who may take the last frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Payload: leaves the reserve alone.
    Data,
    /// The part cut off a segment that the peer's window has no room for: leaves half of the
    /// reserve alone.
    Cut,
    /// ACK, RST, SYN-ACK, ARP, NDP: may take the reserve.
    Control,
}

/// No frame, in a list.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Inner {
    memory: Memory,
    meta: Box<[Meta]>,
    pub(super) first: u32,
    pub(super) shift: u32,
    reserve: u32,
    data_floor: u32,
    free_head: Cell<u32>,
    free: Cell<u32>,
    pub(super) returned_head: Cell<u32>,
    exhausted: Cell<u64>,
}

/// A pool of frames: a cheap handle, to be cloned by the device and the engine of one core.
///
/// All operations are O(1), allocate nothing and take `&self`; the pool belongs to one thread.
#[derive(Clone, Debug)]
pub struct Pool(pub(super) Rc<Inner>);

static NEXT_INDEX: AtomicU32 = AtomicU32::new(0);

impl Pool {
    /// Where a device that copies places a received packet: where AF_XDP does (the kernel's
    /// `XDP_PACKET_HEADROOM`).
    pub const RX_HEADROOM: usize = 256;
    /// Bytes before the payload of a frame that is built here. The longest headers fit; and with
    /// the most common ones, Ethernet, IPv4 and TCP with timestamps, the packet begins where a
    /// received one does: a frame that was received into and is then sent from is written in the
    /// same cache lines.
    pub const TX_HEADROOM: usize = Pool::RX_HEADROOM + 66;

    /// Maps the memory and cuts it.
    ///
    /// # Errors
    /// [`PoolError::Config`] for a frame size other than 2048, 4096 or 16384, no frames, or a
    /// reserve as large as the pool; [`PoolError::Memory`] when the system refuses the mapping.
    pub fn new(config: PoolConfig) -> Result<Pool, PoolError> {
        if ![2_048, 4_096, 16_384].contains(&config.frame_size) {
            return Err(PoolError::Config("frame_size must be 2048, 4096 or 16384"));
        }
        if config.frames == 0 || config.reserve >= config.frames {
            return Err(PoolError::Config("frames must be more than reserve, and not zero"));
        }
        let bytes = config.frames as usize * config.frame_size as usize;
        let memory = Memory::map(bytes, config.huge_pages)
            .map_err(|source| PoolError::Memory { bytes, source })?;
        let first = NEXT_INDEX
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                n.checked_add(config.frames).filter(|end| *end < NONE)
            })
            .map_err(|_| PoolError::Numbers)?;
        let meta = (0..config.frames).map(|i| {
            let next = if i + 1 < config.frames { first + i + 1 } else { NONE };
            Meta {
                next: Cell::new(next),
                view: Cell::new(View::NOTHING),
                place: Cell::new(Place::Free),
                flags: Cell::new(0),
                charge: Cell::new(0),
                seq: Cell::new(0),
                sent_at: Cell::new(0),
                owner: Cell::new(0),
            }
        });
        Ok(Pool(Rc::new(Inner {
            memory,
            meta: meta.collect(),
            first,
            shift: config.frame_size.trailing_zeros(),
            reserve: config.reserve,
            data_floor: config.reserve + (config.frames - config.reserve) / 4,
            free_head: Cell::new(first),
            free: Cell::new(config.frames),
            returned_head: Cell::new(NONE),
            exhausted: Cell::new(0),
        })))
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.0.meta.len() as u32
    }

    /// Bytes in a frame.
    pub fn frame_size(&self) -> usize {
        1 << self.0.shift
    }

    /// Frames that are free, the reserve included.
    #[inline]
    pub fn free(&self) -> u32 {
        self.0.free.get()
    }

    /// Free frames that payload may take.
    #[inline]
    pub fn free_for_data(&self) -> u32 {
        self.0.free.get().saturating_sub(self.data_floor())
    }

    /// Frames that payload may take when all are free.
    pub(crate) fn data_frames(&self) -> u32 {
        self.frames() - self.data_floor()
    }

    /// What is written leaves room for what is received: two hosts whose frames are all full of
    /// bytes for each other would never move again.
    #[inline]
    fn data_floor(&self) -> u32 {
        self.0.data_floor
    }

    /// Free frames that only what is no payload may take.
    #[inline]
    pub(crate) fn reserve(&self) -> u32 {
        self.0.reserve
    }

    /// How often [`Pool::alloc`] had nothing to give.
    pub fn exhausted(&self) -> u64 {
        self.0.exhausted.get()
    }

    /// The pages that the memory lies on.
    pub fn pages(&self) -> Pages {
        self.0.memory.pages()
    }

    /// The region, for a device that registers it with the kernel.
    #[cfg(feature = "af-xdp")]
    pub(crate) fn region(&self) -> (core::ptr::NonNull<u8>, usize) {
        (self.0.memory.base(), self.0.meta.len() << self.0.shift)
    }

    /// Takes a free frame, its empty view at [`Pool::TX_HEADROOM`]; `None` (counted) if there is
    /// none for this class.
    #[inline]
    pub fn alloc(&self, class: Class) -> Option<Frame> {
        let index = self.take_for(class, Place::InHand)?;
        Some(Frame::new(index, View::new(Pool::TX_HEADROOM, 0)))
    }

    /// A frame with a copy of `bytes`, to be linked into a queue of `place` at once.
    #[inline(always)]
    pub(super) fn alloc_queued(&self, bytes: &[u8], place: Place) -> Option<FrameRef> {
        let start = Pool::TX_HEADROOM;
        assert!(bytes.len() <= self.frame_size() - start, "{} bytes in a frame", bytes.len());
        let index = self.take_for(Class::Data, place)?;
        let meta = self.meta(index);
        let view = View::new(start, bytes.len());
        meta.view.set(view);
        meta.next.set(NONE);
        let mut frame = Frame::new(index, view);
        self.bytes_mut(&mut frame).copy_from_slice(bytes);
        Some(FrameRef(index))
    }

    #[inline]
    fn take_for(&self, class: Class, place: Place) -> Option<u32> {
        let floor = match class {
            Class::Data => self.data_floor(),
            Class::Cut => self.0.reserve / 2,
            Class::Control => 0,
        };
        if self.0.free.get() <= floor {
            self.0.exhausted.set(self.0.exhausted.get() + 1);
            return None;
        }
        Some(self.take_free(place))
    }

    /// Gives a frame back. Posted to the device, it is freed at its completion; on an application's
    /// charge, once the engine has taken it off.
    #[inline]
    pub fn release(&self, frame: Frame) {
        self.release_index(frame.index(), Place::InHand);
    }

    /// The bytes of the view.
    #[inline]
    pub fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.slice(frame.index(), frame.view())
    }

    /// The bytes of the view, to be written.
    #[inline]
    pub fn bytes_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        let base = self.address(frame.index(), frame.view());
        // SAFETY: in bounds by `address`. The token is the only one for this frame and it is
        // borrowed mutably, so no other slice of it exists; queues and devices have no token.
        unsafe { core::slice::from_raw_parts_mut(base, frame.len()) }
    }

    /// Makes the view `n` bytes longer at its end.
    ///
    /// # Panics
    /// If the frame has not that much room behind the view: see [`Pool::tailroom`].
    #[inline]
    pub fn extend(&self, frame: &mut Frame, n: usize) {
        assert!(n <= self.tailroom(frame), "extend by {n} over the end of the frame");
        frame.extend(n);
    }

    /// Bytes behind the view in its frame.
    #[inline]
    pub fn tailroom(&self, frame: &Frame) -> usize {
        self.frame_size() - frame.start() - frame.len()
    }

    /// Counts the frames by place. O(frames): for reports and tests.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for meta in &self.0.meta {
            census.frames[meta.place.get() as usize] += 1;
            census.posted += u32::from(meta.flags.get() & POSTED != 0);
        }
        census
    }

    // ----- for devices -----

    /// Takes a free frame for the fill ring; `None` when only the reserve is left. The number is
    /// the frame's position in the region; times the frame size, its address in the UMEM.
    #[inline]
    pub fn take_for_fill(&self) -> Option<u32> {
        // Half of the reserve is for receiving: when applications have all other frames, the ACKs
        // that would free them must still get in.
        if self.0.free.get() <= self.0.reserve / 2 {
            return None;
        }
        Some(self.take_free(Place::Fill) - self.0.first)
    }

    /// The device received a packet into the frame at `position` of the region.
    ///
    /// # Panics
    /// If that frame was not in the fill ring, or the packet does not fit it.
    #[inline]
    pub fn received(&self, position: u32, start: usize, len: usize) -> Frame {
        assert!(start + len <= self.frame_size(), "packet of {len} at {start} leaves its frame");
        let index = self.0.first + position;
        self.meta(index).move_place(Place::Fill, Place::InHand);
        Frame::new(index, View::new(start, len))
    }

    /// Position of the frame in the region.
    #[inline]
    pub fn position(&self, frame: &Frame) -> u32 {
        frame.index() - self.0.first
    }

    /// The frame is in the transmit ring now.
    ///
    /// # Panics
    /// If it already was.
    #[inline]
    pub fn post(&self, frame: &Frame) {
        let flags = &self.meta(frame.index()).flags;
        assert_eq!(flags.get() & POSTED, 0, "a frame was posted twice");
        flags.set(flags.get() | POSTED | SENT);
    }

    /// The device has transmitted the frame at `position` of the region.
    ///
    /// # Panics
    /// If it was not posted.
    #[inline]
    pub fn complete(&self, position: u32) {
        let index = self.0.first + position;
        let meta = self.meta(index);
        assert_ne!(meta.flags.get() & POSTED, 0, "a frame was completed that was not posted");
        meta.flags.set(meta.flags.get() & !POSTED);
        if meta.place.get() == Place::Transmit {
            self.release_index(index, Place::Transmit);
        }
    }

    // ----- inside -----

    #[inline]
    fn take_free(&self, place: Place) -> u32 {
        let index = self.0.free_head.get();
        let meta = self.meta(index);
        meta.move_place(Place::Free, place);
        self.0.free_head.set(meta.next.get());
        self.0.free.set(self.0.free.get() - 1);
        meta.flags.set(0);
        index
    }

    #[inline]
    pub(super) fn release_index(&self, index: u32, from: Place) {
        self.release_meta(index, self.meta(index), from);
    }

    #[inline]
    pub(super) fn release_meta(&self, index: u32, meta: &Meta, from: Place) {
        let flags = meta.flags.get();
        if flags & POSTED != 0 {
            meta.move_place(from, Place::Transmit);
        } else if flags & CHARGED != 0 {
            meta.move_place(from, Place::Returned);
            meta.flags.set(flags & !CHARGED);
            meta.next.set(self.0.returned_head.get());
            self.0.returned_head.set(index);
        } else {
            meta.move_place(from, Place::Free);
            meta.next.set(self.0.free_head.get());
            self.0.free_head.set(index);
            self.0.free.set(self.0.free.get() + 1);
        }
    }

    #[inline]
    pub(super) fn meta(&self, index: u32) -> &Meta {
        // An index of another pool lies outside of this one's range, so it panics here.
        &self.0.meta[index.wrapping_sub(self.0.first) as usize]
    }

    #[inline]
    pub(super) fn slice(&self, index: u32, view: View) -> &[u8] {
        let base = self.address(index, view);
        // SAFETY: in bounds by `address`. The caller borrows the token, or the queue that owns the
        // frame, for as long as the slice lives, so nobody writes to it.
        unsafe { core::slice::from_raw_parts(base, view.len()) }
    }

    #[inline]
    fn address(&self, index: u32, view: View) -> *mut u8 {
        let position = index.wrapping_sub(self.0.first) as usize;
        let (start, len) = (view.start(), view.len());
        assert!(position < self.0.meta.len(), "frame {index} is of another pool");
        assert!(start + len <= self.frame_size(), "view leaves its frame");
        // SAFETY: position is below the number of frames and start within a frame, so the offset
        // stays inside of the mapping.
        unsafe { self.0.memory.base().as_ptr().add((position << self.0.shift) + start) }
    }
}
