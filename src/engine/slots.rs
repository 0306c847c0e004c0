//! Connection slots: the connections of one core, found by index, told apart by generation.

use bitflags::bitflags;

use super::ends::Ends;
use super::flow::Hop;
use super::slab::Handle;
use crate::app::{Close, ConnId, CoreId, Outbox};
use crate::device::FrameQueue;
use crate::tcp::Tcb;

bitflags! {
    /// What a connection waits for in this turn.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Pending: u8 {
        /// In the list of connections to be looked at.
        const LISTED = 1;
        /// `on_data` is due.
        const DATA = 1 << 1;
        /// `on_space` is due.
        const SPACE = 1 << 2;
        /// `on_timer` is due.
        const TIMER = 1 << 3;
        /// Another callback ran: unread bytes are offered again.
        const OFFER = 1 << 4;
        /// In the list of those that wait for frames.
        const STARVED = 1 << 5;
        /// The drain was announced.
        const DRAIN = 1 << 6;
        /// The application is to hear that the peer does not answer.
        const STALLED = 1 << 7;
        /// All that calls for a callback other than `on_data` alone.
        const RARE = Pending::OFFER.bits()
            | Pending::DRAIN.bits()
            | Pending::STALLED.bits()
            | Pending::TIMER.bits()
            | Pending::SPACE.bits();
    }
}

bitflags! {
    /// What a connection has beside its slot, told without looking there.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Has: u8 {
        /// Segments of ours are missing, or may have been.
        const RECOVERY = 1;
        /// Something came beyond a hole, or twice.
        const DISORDER = 1 << 1;
        /// It is one that we opened.
        const CONNECTED = 1 << 2;
        /// The application has set its timer.
        const TIMER = 1 << 3;
        /// The application holds received bytes.
        const HELD = 1 << 4;
        /// A write came up short: `on_space` is owed.
        const SPACE_OWED = 1 << 5;
        /// What keeps a connection off the short way.
        const UNUSUAL = Has::RECOVERY.bits() | Has::DISORDER.bits();
    }
}

/// One connection.
///
/// Nine tenths of its bytes are looked at for each request: what few connections have lies
/// elsewhere, and what remains is worth no order of its own.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    pub(crate) tcb: Tcb,
    pub(crate) ends: Ends,
    pub(crate) hop: Hop,
    /// In order and unread.
    pub(crate) inbox: FrameQueue,
    pub(crate) outbox: Outbox,
    /// The row of what few connections have.
    pub(crate) rare: Option<Handle>,
    /// What of that makes a connection unusual.
    pub(crate) has: Has,
    pub(crate) pending: Pending,
    pub(crate) id: ConnId,
    /// Set when the connection is over and `on_close` is due.
    pub(crate) over: Option<Close>,
    /// The application's state, from `on_open` on.
    pub(crate) app: Option<C>,
}

impl<C> Slot<C> {
    /// A connection at its beginning.
    pub(crate) fn new(tcb: Tcb, ends: Ends, hop: Hop, id: ConnId) -> Slot<C> {
        Slot {
            tcb,
            ends,
            hop,
            inbox: FrameQueue::new(),
            outbox: Outbox::new(),
            rare: None,
            has: Has::empty(),
            pending: Pending::default(),
            id,
            over: None,
            app: None,
        }
    }
}

/// A place for a slot: as large as the slot, whose fields leave room to say which of the two it is.
/// It begins with a cache line or in the middle of one, and so lies in four of them and not in
/// five; all are [prefetched](Slots::prefetch).
#[derive(Debug)]
#[repr(align(32))]
#[expect(clippy::large_enum_variant, reason = "all places are as large as a slot")]
enum Entry<C> {
    /// The generation of its next connection, and the next free place.
    Free {
        generation: u32,
        next: u32,
    },
    Used(Slot<C>),
}

impl<C> Entry<C> {
    fn slot(&self) -> Option<&Slot<C>> {
        match self {
            Entry::Used(slot) => Some(slot),
            Entry::Free { .. } => None,
        }
    }
}

/// All slots of a core. Memory is reserved at the start and touched as connections need it.
#[derive(Debug)]
pub(crate) struct Slots<C> {
    core: CoreId,
    entries: Vec<Entry<C>>,
    limit: u32,
    free_head: u32,
    used: u32,
}

const NONE: u32 = u32::MAX;

impl<C> Slots<C> {
    pub(crate) fn new(core: CoreId, limit: u32) -> Slots<C> {
        let limit = limit.min(ConnId::MAX_SLOTS);
        let entries = Vec::with_capacity(limit as usize);
        Slots { core, entries, limit, free_head: NONE, used: 0 }
    }

    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// Slots that were ever used: indices are below.
    pub(crate) fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// Fills a free slot with what `make` builds for its name; `None` if there is none free.
    #[inline]
    pub(crate) fn insert(&mut self, make: impl FnOnce(ConnId) -> Slot<C>) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        if self.free_head == NONE {
            self.free_head = self.entries.len() as u32;
            self.entries.push(Entry::Free { generation: 0, next: NONE });
        }
        let index = self.free_head;
        let entry = &mut self.entries[index as usize];
        let Entry::Free { generation, next } = *entry else { return None };
        self.free_head = next;
        *entry = Entry::Used(make(ConnId::new(self.core, index, generation)));
        self.used += 1;
        Some(index)
    }

    /// Empties a slot; its name is stale from now on. What it had elsewhere must have gone before.
    ///
    /// # Panics
    /// If the slot is free.
    pub(crate) fn remove(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let used = entry.slot().expect("a slot that is used");
        let generation = (used.id.generation() + 1) & ConnId::GENERATION_MASK;
        *entry = Entry::Free { generation, next: self.free_head };
        self.free_head = index;
        self.used -= 1;
    }

    /// The connection in a slot that is known to be used.
    ///
    /// # Panics
    /// If the slot is free: whoever had the index kept it too long.
    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> &mut Slot<C> {
        match &mut self.entries[index as usize] {
            Entry::Used(slot) => slot,
            Entry::Free { .. } => panic!("a slot that is used"),
        }
    }

    /// The connection in a slot, if it is used.
    pub(crate) fn get(&self, index: u32) -> Option<&Slot<C>> {
        self.entries.get(index as usize)?.slot()
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Slot<C>> {
        match self.entries.get_mut(index as usize)? {
            Entry::Used(slot) => Some(slot),
            Entry::Free { .. } => None,
        }
    }

    /// The index of the connection with this name, if it still lives.
    pub(crate) fn find(&self, id: ConnId) -> Option<u32> {
        let slot = self.get(id.slot())?;
        (slot.id == id).then_some(id.slot())
    }

    /// Indices of all used slots, in no order that means anything.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        let used = self.entries.iter().enumerate().filter(|(_, entry)| entry.slot().is_some());
        used.map(|(index, _)| index as u32)
    }

    /// Asks the cache for all lines of a slot.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(entry) = self.entries.get(index as usize) {
            crate::device::prefetch::read_all(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::demux::Demux;
    use crate::engine::ends::FarAddresses;
    use crate::engine::flow::Flow;
    use crate::engine::wheel::Wheel;
    use crate::tcp::{LocalOffer, Settings, TcpConfig};
    use crate::time::Instant;
    use crate::wire::{Addr, Seq};

    fn slot_without_state(id: ConnId) -> Slot<()> {
        new(id)
    }

    fn slot(id: ConnId) -> Slot<u8> {
        new(id)
    }

    fn new<C>(id: ConnId) -> Slot<C> {
        let settings = Settings::new(TcpConfig::default());
        let offer = LocalOffer::new(&settings.config, 1_500, true);
        let remote = Addr::UNSPECIFIED_V4;
        let flow = Flow { remote, remote_port: 1, local_port: 2, local: 0 };
        let tcb = Tcb::connect(Seq(0), 0, &offer, &settings, Instant::ZERO);
        let ends = FarAddresses::new(0).keep(&flow).expect("IPv4");
        Slot::new(tcb, ends, Hop::to([0; 6]), id)
    }

    #[test]
    fn a_name_is_stale_once_its_slot_is_free() {
        let mut slots = Slots::new(CoreId(3), 2);
        let first = slots.insert(slot).expect("room");
        let id = slots.at(first).id;
        assert_eq!(slots.find(id), Some(first));
        slots.remove(first);
        assert_eq!(slots.find(id), None);
        let again = slots.insert(slot).expect("room");
        assert_eq!(again, first);
        assert_ne!(slots.at(again).id, id);
        assert_eq!(slots.find(id), None);
    }

    #[test]
    fn an_idle_ipv4_connection_takes_at_most_256_bytes_all_in() {
        let slot = size_of::<Entry<()>>();
        let all = slot + Wheel::BYTES_EACH + Demux::BYTES_EACH;
        assert!(all <= 256, "{all}, {slot} of them for the slot");
    }

    #[test]
    fn a_place_takes_no_more_than_its_slot() {
        assert_eq!(size_of::<Entry<()>>(), size_of::<Slot<()>>());
        assert_eq!(size_of::<Entry<()>>(), 224);
        assert_eq!(size_of::<Entry<[u64; 3]>>(), 256, "there is room for some state");
    }

    #[test]
    fn a_slot_lies_in_four_cache_lines_and_all_of_them_are_prefetched() {
        let mut slots = Slots::new(CoreId(0), 64);
        while let Some(index) = slots.insert(slot_without_state) {
            let from = core::ptr::from_ref(&slots.entries[index as usize]).addr();
            let lines = |range: core::ops::Range<usize>| range.start / 64..=(range.end - 1) / 64;
            let touched = lines(from..from + size_of::<Entry<()>>());
            let fetched = (from..from + size_of::<Entry<()>>()).step_by(64).map(|at| at / 64);
            assert_eq!(touched.clone().count(), 4, "slot {index}");
            assert!(fetched.eq(touched), "slot {index}");
        }
    }

    #[test]
    fn no_more_than_the_limit() {
        let mut slots = Slots::new(CoreId(0), 2);
        assert!(slots.insert(slot).is_some() && slots.insert(slot).is_some());
        assert!(slots.is_full());
        assert!(slots.insert(slot).is_none());
        assert_eq!(slots.indices().count(), 2);
    }
}
