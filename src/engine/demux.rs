//! From the hash of a four-tuple to what it names: the table every segment is looked up in.
//!
//! ```text
//!        home of f1, f2   home of f3
//!              ▼              ▼
//! [ .. ][ .. ][ f1 v1 ][ f2 v2 ][ f3 v3 ][ .. ][ .. ][ .. ]     a line: 8 entries, 64 bytes
//! ```
//!
//! Open addressing, linear probing, entries of 8 bytes: a 32-bit fingerprint (the upper half of the
//! hash, never zero, so that zero marks an empty entry) and a 32-bit value. The low bits of the
//! fingerprint are the entry's home, so an entry can be moved without knowing its full hash.
//! Entries along a run are kept in the order of their homes (Robin Hood): a search for something
//! absent ends where its home's turn is over, which at 7/8 full takes about 4 steps, and not the 32
//! of plain linear probing; a SYN flood consists of such searches. Removal shifts the rest of the
//! run back by one, so there are no tombstones and the table never needs to be rebuilt.
//!
//! The value is not the key: whoever looks says by comparison whether a value is the one meant.
//! Two flows of the same home have the same fingerprint with probability 2^-(32 − n) for `n` bits
//! of home: in a table of a million entries, one lookup in 4,000 compares a second time.
//!
//! Capacity is a power of two of which at most 7/8 is used: 9.2 to 18.3 bytes for each entry asked
//! for, all of it written at construction, so that no packet pays for a page fault.
//!
//! **Why not `hashbrown`**: the engine looks up packets in batches, and first prefetches the place
//! of each one's flow so that their cache misses overlap. `hashbrown` has no way to say "I shall
//! look here soon", and its control bytes and values are two misses where this is one.

use crate::device::prefetch;

const LINE: usize = 8;

/// An entry; fingerprint zero: none.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    fingerprint: u32,
    value: u32,
}

const EMPTY: Entry = Entry { fingerprint: 0, value: 0 };

/// One cache line of entries.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([Entry; LINE]);

/// The table holds as many entries as it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A hash table of u32 values of a fixed capacity.
pub(crate) struct Demux {
    lines: Box<[Line]>,
    mask: u32,
    len: usize,
    max: usize,
}

impl Demux {
    /// Memory for each entry that is used, in a table as full as it can be.
    #[cfg(test)]
    pub(crate) const BYTES_EACH: usize = (size_of::<Entry>() * 8).div_ceil(7);

    /// A table for up to `max_entries`.
    ///
    /// # Panics
    /// If `max_entries` is over 7/8 of 2^31.
    pub(crate) fn new(max_entries: usize) -> Demux {
        let capacity = (max_entries * 8).div_ceil(7).max(LINE).next_power_of_two();
        assert!(
            capacity <= 1 << 31,
            "{max_entries} entries are more than a home index can tell apart"
        );
        let lines = vec![Line([EMPTY; LINE]); capacity / LINE].into_boxed_slice();
        Demux { lines, mask: capacity as u32 - 1, len: 0, max: max_entries }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Starts loading the line in which [`Demux::find`] will begin to look for `hash`.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let home = fingerprint(hash) & self.mask;
        prefetch::read(&self.lines[home as usize / LINE]);
    }

    /// The value inserted under `hash` for which `is_meant` holds.
    ///
    /// `is_meant` is asked about values with the same fingerprint only, nearly always the right
    /// one.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        self.position(hash, is_meant).map(|at| self.entry(at).value)
    }

    /// Adds `value` under `hash`. The caller knows that the same flow is not in the table.
    ///
    /// # Errors
    /// [`Full`] if there are as many entries as the table was made for.
    pub(crate) fn insert(&mut self, hash: u64, value: u32) -> Result<(), Full> {
        debug_assert!(self.position(hash, |v| v == value).is_none(), "{value} inserted twice");
        if self.len == self.max {
            return Err(Full);
        }
        self.len += 1;
        let mut carried = Entry { fingerprint: fingerprint(hash), value };
        let mut at = carried.fingerprint & self.mask;
        let mut distance = 0;
        // Ends: at least an eighth of the entries are empty.
        loop {
            let here = self.entry(at);
            if here == EMPTY {
                *self.entry_mut(at) = carried;
                return Ok(());
            }
            let its = self.distance(here, at);
            if its < distance {
                // Its home lies after ours: it makes room and moves on.
                *self.entry_mut(at) = carried;
                (carried, distance) = (here, its);
            }
            at = at.wrapping_add(1) & self.mask;
            distance += 1;
        }
    }

    /// Removes `value`, inserted under `hash`; whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, value: u32) -> bool {
        let Some(mut at) = self.position(hash, |v| v == value) else { return false };
        self.len -= 1;
        loop {
            let after = at.wrapping_add(1) & self.mask;
            let next = self.entry(after);
            if next == EMPTY || self.distance(next, after) == 0 {
                *self.entry_mut(at) = EMPTY;
                return true;
            }
            *self.entry_mut(at) = next;
            at = after;
        }
    }

    /// Puts `new` in the place of `old`, inserted under `hash`; whether `old` was there.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let at = self.position(hash, |v| v == old);
        if let Some(at) = at {
            self.entry_mut(at).value = new;
        }
        at.is_some()
    }

    #[inline]
    fn position(&self, hash: u64, mut is_meant: impl FnMut(u32) -> bool) -> Option<u32> {
        let fingerprint = fingerprint(hash);
        let mut at = fingerprint & self.mask;
        let mut distance = 0;
        loop {
            let here = self.entry(at);
            if here.fingerprint == fingerprint && is_meant(here.value) {
                return Some(at);
            }
            if here == EMPTY || self.distance(here, at) < distance {
                return None;
            }
            at = at.wrapping_add(1) & self.mask;
            distance += 1;
        }
    }

    /// How far `entry`, which is at `at`, is from its home.
    #[inline]
    fn distance(&self, entry: Entry, at: u32) -> u32 {
        at.wrapping_sub(entry.fingerprint) & self.mask
    }

    #[inline]
    fn entry(&self, at: u32) -> Entry {
        self.lines[at as usize / LINE].0[at as usize % LINE]
    }

    #[inline]
    fn entry_mut(&mut self, at: u32) -> &mut Entry {
        &mut self.lines[at as usize / LINE].0[at as usize % LINE]
    }
}

/// The upper half of the hash, or 2^31 where that is zero.
#[inline]
fn fingerprint(hash: u64) -> u32 {
    let upper = (hash >> 32) as u32;
    if upper == 0 { 1 << 31 } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::flow_hash::FlowHash;
    use crate::engine::flow_hash::tests::similar_flows;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// Deterministic noise (SplitMix64).
    fn noise(n: u64) -> u64 {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Entries from their homes, the longest and the sum; and whether runs are in order of homes.
    fn check(table: &Demux) -> (u32, u64) {
        let (mut longest, mut sum, mut count) = (0, 0, 0);
        let mut previous = None;
        for at in 0..=table.mask {
            let entry = table.entry(at);
            if entry == EMPTY {
                previous = None;
                continue;
            }
            let distance = table.distance(entry, at);
            if at > 0 {
                // After an empty entry, one is at home; in a run, homes never go back.
                assert!(distance <= previous.map_or(0, |p| p + 1), "gap or disorder at {at}");
            }
            previous = Some(distance);
            longest = longest.max(distance);
            sum += u64::from(distance);
            count += 1;
        }
        assert_eq!(count, table.len());
        (longest, sum)
    }

    #[test]
    fn entries_are_eight_bytes_in_whole_cache_lines() {
        assert_eq!((size_of::<Entry>(), size_of::<Line>(), align_of::<Line>()), (8, 64, 64));
        let table = Demux::new(100);
        assert_eq!(table.lines.as_ptr() as usize % 64, 0);
    }

    #[test]
    fn capacity_is_the_power_of_two_that_leaves_an_eighth_empty() {
        for (max, capacity) in [(0, 8), (7, 8), (8, 16), (14, 16), (15, 32), (1_000_000, 1 << 21)] {
            assert_eq!(Demux::new(max).mask + 1, capacity, "for {max}");
        }
    }

    #[test]
    fn a_full_table_says_so_and_takes_more_after_a_removal() {
        let mut table = Demux::new(14);
        for n in 0..14 {
            assert_eq!(table.insert(noise(n), n as u32), Ok(()));
        }
        assert_eq!(table.insert(noise(14), 14), Err(Full));
        assert_eq!(table.find(noise(15), |_| true), None);
        assert!(table.remove(noise(3), 3) && !table.remove(noise(3), 3));
        assert_eq!(table.insert(noise(14), 14), Ok(()));
        assert_eq!(table.len(), 14);
    }

    #[test]
    fn equal_hashes_are_told_apart_by_comparison() {
        let mut table = Demux::new(7);
        for value in [10, 11, 12] {
            table.insert(5 << 32, value).unwrap();
        }
        assert_eq!(table.find(5 << 32, |v| v == 11), Some(11));
        assert!(table.replace(5 << 32, 11, 21) && !table.replace(5 << 32, 11, 31));
        assert_eq!(table.find(5 << 32, |v| v == 11), None);
        assert_eq!(table.find(5 << 32, |v| v == 21), Some(21));
        assert!(table.remove(5 << 32, 10));
        assert_eq!(table.find(5 << 32, |v| v == 12), Some(12));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_zero_fingerprint_is_an_entry_like_any_other() {
        let mut table = Demux::new(7);
        table.insert(7, 0).unwrap();
        assert_eq!(table.find(7, |_| true), Some(0));
        assert!(table.remove(7, 0));
        assert_eq!(table.find(7, |_| true), None);
    }

    #[test]
    fn probes_stay_short_at_the_highest_load() {
        let max = (1 << 16) / 8 * 7;
        for key in 0..16 {
            let hashes: Vec<u64> = similar_flows(&FlowHash::new([key; 16])).take(max).collect();
            let mut table = Demux::new(max);
            for (n, &hash) in hashes.iter().enumerate() {
                table.insert(hash, n as u32).unwrap();
            }
            let (longest, sum) = check(&table);
            // At load a, an entry is (1 / (1 − a) − 1) / 2 = 3.5 from its home on average.
            let mean = sum as f64 / max as f64;
            assert!((2.5..4.5).contains(&mean), "key {key}: mean distance {mean}");
            assert!(longest < 48, "key {key}: longest distance {longest}");
            let mut compared = 0;
            for (n, &hash) in hashes.iter().enumerate() {
                table.prefetch(hash);
                let found = table.find(hash, |v| {
                    compared += 1;
                    v as usize == n
                });
                assert_eq!(found, Some(n as u32));
            }
            assert!(compared < max + max / 100, "{compared} comparisons for {max} lookups");
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64),
        Remove(usize),
        Replace(usize),
        FindAbsent(u64),
    }

    /// Hashes with few homes and many equal fingerprints, near the end of the table too.
    fn hash() -> impl Strategy<Value = u64> {
        let home = prop_oneof![0..12u32, 0..12u32, 24..32u32, 0..32u32];
        (home, 0..3u32).prop_map(|(home, upper)| u64::from(upper << 20 | home) << 32)
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => hash().prop_map(Op::Insert),
            2 => any::<usize>().prop_map(Op::Remove),
            1 => any::<usize>().prop_map(Op::Replace),
            1 => hash().prop_map(Op::FindAbsent),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(ops in prop::collection::vec(op(), 1..300)) {
            let mut table = Demux::new(28);
            let mut model: HashMap<u32, u64> = HashMap::new();
            let mut next = 0u32;
            for op in ops {
                let pick = |n: usize| {
                    let mut values: Vec<_> = model.keys().copied().collect();
                    values.sort_unstable();
                    (!values.is_empty()).then(|| values[n % values.len()])
                };
                next += 1;
                match op {
                    Op::Insert(hash) => {
                        let result = table.insert(hash, next);
                        prop_assert_eq!(result.is_err(), model.len() == 28);
                        if result.is_ok() {
                            model.insert(next, hash);
                        }
                    }
                    Op::Remove(n) => if let Some(value) = pick(n) {
                        let hash = model.remove(&value).unwrap();
                        prop_assert!(table.remove(hash, value));
                        prop_assert!(!table.remove(hash, value));
                    },
                    Op::Replace(n) => if let Some(value) = pick(n) {
                        let hash = model.remove(&value).unwrap();
                        prop_assert!(table.replace(hash, value, next));
                        model.insert(next, hash);
                    },
                    Op::FindAbsent(hash) => prop_assert_eq!(table.find(hash, |v| v == next), None),
                }
                check(&table);
                for (&value, &hash) in &model {
                    prop_assert_eq!(table.find(hash, |v| v == value), Some(value));
                }
            }
        }
    }
}
