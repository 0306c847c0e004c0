//! A bounded table of what is known about addresses, with room made by what can go.

use super::address_index::AddressIndex;
use super::demux::Full;
use crate::wire::Addr;

/// Entries looked at to find one that can go, when the table is full.
const EVICTION_SCAN: usize = 16;

/// A map from addresses to `T`, of a fixed capacity. Operations are O(1).
pub(super) struct AddressTable<T> {
    index: AddressIndex,
    entries: Vec<(Addr, T)>,
    limit: usize,
    /// Where the next search for an entry to evict begins.
    hand: usize,
}

impl<T> AddressTable<T> {
    /// A table of up to `limit` addresses; `key` is random, so that nobody can choose addresses
    /// that collide. All memory is taken here.
    ///
    /// # Panics
    /// If `limit` is zero, or over 2^30.
    pub(super) fn new(limit: usize, key: [u8; 16]) -> AddressTable<T> {
        assert!((1..=1 << 30).contains(&limit), "a table of {limit} addresses");
        AddressTable {
            index: AddressIndex::new(limit, &key),
            entries: Vec::with_capacity(limit),
            limit,
            hand: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get_mut(&mut self, address: Addr) -> Option<&mut T> {
        let at = self.position(address)?;
        Some(&mut self.entries[at].1)
    }

    /// Adds what is not in the table, in the place of one that `may_go` if need be.
    ///
    /// # Errors
    /// [`Full`] if none of the next few may go.
    pub(super) fn insert(
        &mut self,
        address: Addr,
        value: T,
        may_go: impl Fn(&T) -> bool,
    ) -> Result<(), Full> {
        let at = if self.entries.len() < self.limit {
            self.entries.push((address, value));
            self.entries.len() - 1
        } else {
            let at = self.victim(may_go).ok_or(Full)?;
            let removed = self.index.remove(self.entries[at].0, at as u32);
            debug_assert!(removed, "every entry is in the index");
            self.entries[at] = (address, value);
            at
        };
        self.index.insert(address, at as u32)
    }

    /// An entry that can go, among the next few.
    fn victim(&mut self, may_go: impl Fn(&T) -> bool) -> Option<usize> {
        for _ in 0..EVICTION_SCAN.min(self.limit) {
            let at = self.hand;
            self.hand = (at + 1) % self.limit;
            if may_go(&self.entries[at].1) {
                return Some(at);
            }
        }
        None
    }

    fn position(&self, address: Addr) -> Option<usize> {
        let same = |at: u32| self.entries[at as usize].0 == address;
        self.index.find(address, same).map(|at| at as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn address(n: u8) -> Addr {
        Addr::from_v4([10, 0, 0, n])
    }

    #[test]
    fn a_full_table_makes_room_only_where_it_may() {
        let mut table = AddressTable::new(3, [1; 16]);
        for n in 0..3 {
            table.insert(address(n), n, |_| false).unwrap();
        }
        assert_eq!(table.insert(address(3), 3, |_| false), Err(Full));
        assert_eq!(table.insert(address(3), 3, |n| *n == 1), Ok(()));
        assert_eq!(table.get_mut(address(1)), None);
        assert_eq!([0, 2, 3].map(|n| table.get_mut(address(n)).copied()), [0, 2, 3].map(Some));
    }

    proptest! {
        #[test]
        fn it_stays_within_its_limit_and_finds_all_it_holds(
            calls in prop::collection::vec((0..40u8, any::<bool>()), 0..400)
        ) {
            let mut table: AddressTable<u8> = AddressTable::new(10, [9; 16]);
            let mut model: HashMap<u8, u8> = HashMap::new();
            for (n, add) in calls {
                if let Some(value) = table.get_mut(address(n)) {
                    *value = value.wrapping_add(1);
                    *model.get_mut(&n).expect("it is there") = *value;
                } else if add && table.insert(address(n), n, |n| n % 2 == 0).is_ok() {
                    model.insert(n, n);
                    model.retain(|n, _| table.get_mut(address(*n)).is_some());
                }
                prop_assert!(table.len() <= 10 && table.index.len() == table.len());
                prop_assert_eq!(model.len(), table.len());
                for (&n, &value) in &model {
                    prop_assert_eq!(table.get_mut(address(n)).copied(), Some(value));
                }
            }
        }
    }
}
