//! The connections of one core: a table whose places are used again under new names.

use bitflags::bitflags;
use mio::net::TcpStream;

use crate::app::{ConnId, CoreId, Outbox};
use crate::device::FrameQueue;
use crate::wire::Addr;

bitflags! {
    /// What is known of a connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Flags: u16 {
        /// The kernel may have bytes, or the end of them.
        const READABLE = 1;
        /// The kernel may take bytes.
        const WRITABLE = 1 << 1;
        /// The kernel reported an error that we have not asked for yet.
        const ERROR = 1 << 2;
        /// The peer's FIN may be behind the bytes: read until it comes.
        const ENDING = 1 << 3;
        /// The peer has finished, and we have read all.
        const PEER_FIN = 1 << 4;
        /// Our FIN is on its way.
        const SHUT = 1 << 5;
        /// In the queue of connections to serve.
        const QUEUED = 1 << 6;
        /// In the queue of connections that wait for a frame to read into.
        const READ_STARVED = 1 << 7;
        /// In the queue of connections that wait for a frame to write into.
        const WRITE_STARVED = 1 << 8;
        /// Bytes were written since the last short write.
        const PROGRESS = 1 << 9;
        /// We opened it and it is not established.
        const CONNECTING = 1 << 10;
        /// A callback came that may change the application's mind about what it left unread.
        const OFFER = 1 << 11;
        /// `on_drain` is owed.
        const DRAIN = 1 << 12;
        /// The application wants no keep-alive.
        const NO_PROBES = 1 << 13;
        /// The application will write no more.
        const FINISHED = 1 << 14;
        /// A write came up short: `on_space` is owed.
        const SPACE_OWED = 1 << 15;
    }
}

/// One connection, or the place for one.
#[derive(Debug)]
pub(super) struct Slot<C> {
    /// `None`: the place is free.
    pub(super) stream: Option<TcpStream>,
    /// The application's: `None` until `on_open` accepts.
    pub(super) state: Option<C>,
    /// In order and unread.
    pub(super) inbox: FrameQueue,
    /// Bytes that the application holds: still on the window's charge.
    pub(super) held: u32,
    pub(super) outbox: Outbox,
    pub(super) flags: Flags,
    /// Frames to offer to the next read.
    pub(super) read_frames: u8,
    generation: u32,
    next_free: u32,
    /// Of a connection that we opened.
    pub(super) token: u64,
    /// Of one that we accepted: by which listener, and from where.
    pub(super) origin: Option<(u16, Addr)>,
}

impl<C> Slot<C> {
    pub(super) fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }
}

const NONE: u32 = u32::MAX;

/// The table. Its memory is reserved at the start and touched as it is used.
#[derive(Debug)]
pub(super) struct Slots<C> {
    core: CoreId,
    slots: Vec<Slot<C>>,
    limit: u32,
    free: u32,
    used: u32,
    /// Most payload bytes of a frame.
    pub(super) segment: u16,
}

impl<C> Slots<C> {
    pub(super) fn new(core: CoreId, limit: u32, segment: u16) -> Slots<C> {
        let slots = Vec::with_capacity(limit as usize);
        Slots { core, slots, limit, free: NONE, used: 0, segment }
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == self.limit
    }

    /// One more than the highest place ever used.
    pub(super) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The place that [`Slots::insert`] will use; `None` if all are taken.
    pub(super) fn vacant(&self) -> Option<u32> {
        match self.free {
            NONE => (self.end() < self.limit).then_some(self.end()),
            at => Some(at),
        }
    }

    /// Puts a connection into the vacant place.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn insert(&mut self, stream: TcpStream, flags: Flags, token: u64) -> u32 {
        assert!(!self.is_full(), "no place for another connection");
        let at = self.free;
        self.used += 1;
        if at == NONE {
            self.slots.push(Slot {
                stream: Some(stream),
                state: None,
                inbox: FrameQueue::new(),
                held: 0,
                outbox: Outbox::new(),
                flags,
                read_frames: 1,
                generation: 0,
                next_free: NONE,
                token,
                origin: None,
            });
            return self.end() - 1;
        }
        let slot = &mut self.slots[at as usize];
        self.free = slot.next_free;
        // The place may still stand in a queue of places to look at.
        let queued =
            slot.flags & Flags::QUEUED.union(Flags::READ_STARVED).union(Flags::WRITE_STARVED);
        slot.stream = Some(stream);
        slot.outbox = Outbox::new();
        (slot.inbox, slot.held) = (FrameQueue::new(), 0);
        slot.flags = flags | queued;
        slot.read_frames = 1;
        slot.token = token;
        slot.origin = None;
        at
    }

    /// Makes the place free, its name stale. The queues must have been emptied.
    pub(super) fn remove(&mut self, at: u32) -> Option<C> {
        let slot = &mut self.slots[at as usize];
        assert!(slot.inbox.is_empty() && slot.outbox.queue.is_empty(), "frames left behind");
        slot.stream = None;
        slot.generation = (slot.generation + 1) & ConnId::GENERATION_MASK;
        slot.next_free = self.free;
        self.free = at;
        self.used -= 1;
        slot.state.take()
    }

    pub(super) fn id(&self, at: u32) -> ConnId {
        ConnId::new(self.core, at, self.slots[at as usize].generation)
    }

    /// Where the connection `id` is; `None` if it is gone.
    pub(super) fn find(&self, id: ConnId) -> Option<u32> {
        let slot = self.slots.get(id.slot() as usize)?;
        let same = slot.generation == id.generation() && slot.stream.is_some();
        same.then_some(id.slot())
    }

    /// The place `at`, if a connection is there.
    pub(super) fn get(&mut self, at: u32) -> Option<&mut Slot<C>> {
        self.slots.get_mut(at as usize).filter(|slot| slot.stream.is_some())
    }

    /// The place `at`, whether a connection is there or not.
    pub(super) fn place(&mut self, at: u32) -> &mut Slot<C> {
        &mut self.slots[at as usize]
    }
}
