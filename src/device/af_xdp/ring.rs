//! The four rings: one cursor over shared memory, in two typed directions.
//!
//! A ring is an array of a power of two of entries and two free-running 32-bit indices, the
//! producer's and the consumer's, each written by one side only. Their difference is the number of
//! entries filled. Each side keeps a copy of the other's index and loads it again (acquire) only
//! when the copy doesn't show enough; it stores its own (release) once for many entries.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use super::abi::Descriptor;
use super::mapping::Mapping;

/// What may be read from memory that the kernel wrote: any bit pattern is a value.
pub(super) trait Entry: Copy {}
impl Entry for u64 {}
impl Entry for Descriptor {}

/// Frames for the kernel to receive into, by UMEM offset.
pub(super) type FillRing = Producer<u64>;
/// Frames that the kernel has transmitted, by UMEM offset.
pub(super) type CompletionRing = Consumer<u64>;
/// Packets received.
pub(super) type RxRing = Consumer<Descriptor>;
/// Packets to transmit.
pub(super) type TxRing = Producer<Descriptor>;

/// Where the parts of a ring are in its mapping, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) producer: usize,
    pub(super) consumer: usize,
    pub(super) flags: usize,
    pub(super) entries: usize,
}

impl Layout {
    /// Bytes of a mapping for `size` entries of type `T`.
    pub(super) fn mapping_len<T>(&self, size: u32) -> usize {
        self.entries + size as usize * size_of::<T>()
    }
}

#[derive(Debug)]
struct Cursor<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
    /// Our index, ahead of what the other side has been shown.
    ours: u32,
    /// The other side's index as last loaded.
    theirs: u32,
    /// Keeps the pointers good.
    mapping: Arc<Mapping>,
}

// SAFETY: a cursor's memory is shared with the kernel by nature; what it does there is atomic or,
// for entries, separated by the indices. It can be used from any one thread at a time.
unsafe impl<T: Entry + Send> Send for Cursor<T> {}

impl<T: Entry> Cursor<T> {
    fn new(mapping: Arc<Mapping>, layout: Layout, size: u32) -> Cursor<T> {
        assert!(size.is_power_of_two(), "a ring of {size} entries");
        Cursor {
            producer: mapping.at(layout.producer, 1),
            consumer: mapping.at(layout.consumer, 1),
            flags: mapping.at(layout.flags, 1),
            entries: mapping.at(layout.entries, size as usize),
            size,
            ours: 0,
            theirs: 0,
            mapping,
        }
    }

    fn producer(&self) -> &AtomicU32 {
        debug_assert!(self.mapping.len() > 0);
        // SAFETY: `Mapping::at` checked bounds and alignment; the mapping lives as long as we do,
        // and both sides access the word only atomically.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as in `producer`.
        unsafe { self.consumer.as_ref() }
    }

    fn flags(&self) -> u32 {
        // SAFETY: as in `producer`.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed)
    }

    fn entry(&self, index: u32) -> NonNull<T> {
        // SAFETY: masked to below `size`, the number of entries that `Mapping::at` checked.
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }
    }
}

/// The side of a ring that fills entries.
#[derive(Debug)]
pub(super) struct Producer<T>(Cursor<T>);

impl<T: Entry> Producer<T> {
    /// Takes the producing side of an empty ring of `size` entries.
    ///
    /// # Panics
    /// If `size` is no power of two or `layout` leaves the mapping.
    pub(super) fn new(mapping: Arc<Mapping>, layout: Layout, size: u32) -> Producer<T> {
        let mut cursor = Cursor::new(mapping, layout, size);
        cursor.ours = cursor.producer().load(Ordering::Relaxed);
        cursor.theirs = cursor.consumer().load(Ordering::Acquire);
        Producer(cursor)
    }

    /// Entries that can be pushed, by the other side's index as last loaded.
    fn known_room(&self) -> u32 {
        self.0.size.saturating_sub(self.0.ours.wrapping_sub(self.0.theirs))
    }

    /// Entries that can be pushed; exact if fewer than `wanted`.
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        if self.known_room() < wanted {
            self.0.theirs = self.0.consumer().load(Ordering::Acquire);
        }
        self.known_room()
    }

    /// Entries that can be pushed, without remembering what was loaded: a lower bound that is exact
    /// when the ring is more than half full.
    pub(super) fn room_now(&self) -> u32 {
        let known = self.known_room();
        if known >= self.0.size / 2 {
            return known;
        }
        let theirs = self.0.consumer().load(Ordering::Acquire);
        self.0.size.saturating_sub(self.0.ours.wrapping_sub(theirs))
    }

    /// Writes an entry, not yet visible to the other side. False if the ring is full.
    #[inline]
    pub(super) fn push(&mut self, value: T) -> bool {
        if self.room(1) == 0 {
            return false;
        }
        // SAFETY: the entry is valid memory, and as there is room the other side has consumed it
        // and will not read it before our index has passed it.
        unsafe { self.0.entry(self.0.ours).write(value) };
        self.0.ours = self.0.ours.wrapping_add(1);
        true
    }

    /// Shows the other side all that was pushed. Returns how many entries that were.
    pub(super) fn publish(&mut self) -> u32 {
        let before = self.0.producer().load(Ordering::Relaxed);
        self.0.producer().store(self.0.ours, Ordering::Release);
        self.0.ours.wrapping_sub(before)
    }

    /// Entries published that the other side has not consumed.
    pub(super) fn pending(&mut self) -> u32 {
        self.0.theirs = self.0.consumer().load(Ordering::Acquire);
        self.0.producer().load(Ordering::Relaxed).wrapping_sub(self.0.theirs)
    }

    /// Whether the kernel asks for a system call before it goes on (`XDP_RING_NEED_WAKEUP`).
    pub(super) fn needs_wakeup(&self) -> bool {
        self.0.flags() & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// The side of a ring that empties entries.
#[derive(Debug)]
pub(super) struct Consumer<T>(Cursor<T>);

impl<T: Entry> Consumer<T> {
    /// Takes the consuming side of a ring of `size` entries.
    ///
    /// # Panics
    /// If `size` is no power of two or `layout` leaves the mapping.
    pub(super) fn new(mapping: Arc<Mapping>, layout: Layout, size: u32) -> Consumer<T> {
        let mut cursor = Cursor::new(mapping, layout, size);
        cursor.ours = cursor.consumer().load(Ordering::Relaxed);
        cursor.theirs = cursor.producer().load(Ordering::Acquire);
        Consumer(cursor)
    }

    /// Takes the oldest entry; its place is given back by [`Consumer::release`] only.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.0.ours == self.0.theirs {
            self.0.theirs = self.0.producer().load(Ordering::Acquire);
            if self.0.ours == self.0.theirs {
                return None;
            }
        }
        // SAFETY: the entry is valid memory, was written before the producer's index passed it
        // (acquire), and isn't written again before ours has. Any bit pattern is a `T`.
        let value = unsafe { self.0.entry(self.0.ours).read() };
        self.0.ours = self.0.ours.wrapping_add(1);
        Some(value)
    }

    /// Gives the places of all entries taken back to the other side.
    pub(super) fn release(&mut self) {
        self.0.consumer().store(self.0.ours, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { producer: 0, consumer: 64, flags: 128, entries: 192 };

    fn ring(size: u32, start: u32) -> (Producer<u64>, Consumer<u64>) {
        let len = LAYOUT.mapping_len::<u64>(size);
        let mapping = Arc::new(Mapping::anonymous(len).expect("memory"));
        let cursor = Cursor::<u64>::new(mapping.clone(), LAYOUT, size);
        cursor.producer().store(start, Ordering::Relaxed);
        cursor.consumer().store(start, Ordering::Relaxed);
        (Producer::new(mapping.clone(), LAYOUT, size), Consumer::new(mapping, LAYOUT, size))
    }

    #[test]
    fn pushed_entries_show_only_when_published() {
        let (mut producer, mut consumer) = ring(4, 0);
        assert!(producer.push(7));
        assert_eq!(consumer.pop(), None);
        assert_eq!(producer.publish(), 1);
        assert_eq!(producer.publish(), 0);
        assert_eq!(consumer.pop(), Some(7));
        assert_eq!(consumer.pop(), None);
    }

    #[test]
    fn a_full_ring_takes_nothing_until_places_are_released() {
        let (mut producer, mut consumer) = ring(4, 0);
        for value in 0..4 {
            assert!(producer.push(value));
        }
        assert!(!producer.push(4));
        producer.publish();
        assert_eq!(producer.pending(), 4);
        assert_eq!(consumer.pop(), Some(0));
        assert!(!producer.push(4), "taken, but not released");
        consumer.release();
        assert_eq!(producer.room_now(), 1);
        assert_eq!(producer.room(4), 1);
        assert!(producer.push(4));
        assert!(!producer.push(5));
        assert_eq!(producer.pending(), 3);
    }

    #[test]
    fn indices_wrap_around_32_bits() {
        let (mut producer, mut consumer) = ring(8, u32::MAX - 3);
        for round in 0..5u64 {
            for value in 0..8 {
                assert!(producer.push(round * 8 + value), "round {round} value {value}");
            }
            assert_eq!(producer.room(1), 0);
            assert_eq!(producer.publish(), 8);
            for value in 0..8 {
                assert_eq!(consumer.pop(), Some(round * 8 + value));
            }
            assert_eq!(consumer.pop(), None);
            consumer.release();
            assert_eq!(producer.pending(), 0);
        }
    }

    #[test]
    fn two_threads_pass_every_entry_once_and_in_order() {
        const COUNT: u64 = 100_000;
        let (mut producer, mut consumer) = ring(16, u32::MAX - 1000);
        let sender = std::thread::spawn(move || {
            let mut next = 0;
            while next < COUNT {
                while next < COUNT && producer.push(next) {
                    next += 1;
                }
                producer.publish();
                std::thread::yield_now();
            }
        });
        let mut expected = 0;
        while expected < COUNT {
            while let Some(value) = consumer.pop() {
                assert_eq!(value, expected);
                expected += 1;
            }
            consumer.release();
            std::thread::yield_now();
        }
        sender.join().expect("sender");
        assert_eq!(consumer.pop(), None);
    }

    #[test]
    fn wakeup_flag_is_the_kernels() {
        let (producer, _consumer) = ring(4, 0);
        assert!(!producer.needs_wakeup());
        // SAFETY: as in `Cursor::flags`.
        unsafe { producer.0.flags.as_ref() }.store(libc::XDP_RING_NEED_WAKEUP, Ordering::Relaxed);
        assert!(producer.needs_wakeup());
    }

    #[test]
    #[should_panic(expected = "leave the ring")]
    fn a_ring_larger_than_its_mapping_is_refused() {
        let mapping = Arc::new(Mapping::anonymous(4096).expect("memory"));
        let _ = Producer::<Descriptor>::new(mapping, LAYOUT, 4096);
    }
}
