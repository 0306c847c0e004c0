//! From an address to the place of what is known about it.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use super::demux::{Demux, Full};
use crate::wire::Addr;

/// A hash table of a fixed capacity from addresses to u32 places in somebody else's table, which
/// alone has the addresses. Operations are O(1).
pub(super) struct AddressIndex {
    places: Demux,
    keyed: SipHasher24,
}

impl AddressIndex {
    /// An index of up to `limit` addresses; `key` is random, so that nobody can choose addresses
    /// that collide. All memory is taken here.
    ///
    /// # Panics
    /// As [`Demux::new`].
    pub(super) fn new(limit: usize, key: &[u8; 16]) -> AddressIndex {
        AddressIndex { places: Demux::new(limit), keyed: SipHasher24::new_with_key(key) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place inserted for `address`; `is_there` says whether a place is that of `address`.
    pub(super) fn find(&self, address: Addr, is_there: impl FnMut(u32) -> bool) -> Option<u32> {
        self.places.find(self.hash(address), is_there)
    }

    /// Adds what is not in the index.
    ///
    /// # Errors
    /// [`Full`] if there are as many addresses as the index was made for.
    pub(super) fn insert(&mut self, address: Addr, place: u32) -> Result<(), Full> {
        self.places.insert(self.hash(address), place)
    }

    /// Removes `place`, inserted for `address`; whether it was there.
    pub(super) fn remove(&mut self, address: Addr, place: u32) -> bool {
        self.places.remove(self.hash(address), place)
    }

    fn hash(&self, address: Addr) -> u64 {
        let mut sip = self.keyed;
        sip.write(&address.0);
        sip.finish()
    }
}
