//! Entries found by index, with a free list and a named maximum.

use core::num::NonZeroU32;

/// An index in four bytes, `None` included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(NonZeroU32);

impl Handle {
    /// `None` for the one index that no table has.
    pub(crate) fn new(index: u32) -> Option<Handle> {
        NonZeroU32::new(index.wrapping_add(1)).map(Handle)
    }

    pub(crate) fn index(self) -> u32 {
        self.0.get() - 1
    }
}

/// A bounded table whose entries keep their index while they live. All operations are O(1).
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free_head: u32,
    used: u32,
    limit: u32,
}

#[derive(Debug)]
enum Entry<T> {
    Free { next: u32 },
    Used(T),
}

const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    /// What a value takes, the table's own bits included.
    #[cfg(test)]
    pub(crate) const ENTRY_BYTES: usize = size_of::<Entry<T>>();

    pub(crate) fn new(limit: u32) -> Slab<T> {
        let entries = Vec::with_capacity(limit as usize);
        Slab { entries, free_head: NONE, used: 0, limit }
    }

    pub(crate) fn len(&self) -> u32 {
        self.used
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    /// `None`, and nothing changed, if the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        self.used += 1;
        let index = self.free_head;
        if index == NONE {
            self.entries.push(Entry::Used(value));
            return Some(self.entries.len() as u32 - 1);
        }
        let entry = &mut self.entries[index as usize];
        if let Entry::Free { next } = *entry {
            self.free_head = next;
        }
        *entry = Entry::Used(value);
        Some(index)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let entry = self.entries.get_mut(index as usize)?;
        if matches!(entry, Entry::Free { .. }) {
            return None;
        }
        let free = Entry::Free { next: self.free_head };
        self.free_head = index;
        self.used -= 1;
        match core::mem::replace(entry, free) {
            Entry::Used(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }

    /// All values, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Used(value) => Some(value),
            Entry::Free { .. } => None,
        })
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.entries.get(index as usize)? {
            Entry::Used(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.entries.get_mut(index as usize)? {
            Entry::Used(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_takes_four_bytes_and_keeps_its_index() {
        assert_eq!(size_of::<Option<Handle>>(), 4);
        for index in [0, 1, u32::MAX - 1] {
            assert_eq!(Handle::new(index).map(Handle::index), Some(index));
        }
    }

    #[test]
    fn indices_are_used_again_and_the_limit_holds() {
        let mut slab = Slab::new(2);
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!((a, b, slab.insert('c')), (Some(0), Some(1), None));
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!((slab.remove(0), slab.get(0)), (None, None));
        assert_eq!(slab.insert('d'), Some(0));
        assert_eq!((slab.get(0), slab.get(1), slab.len()), (Some(&'d'), Some(&'b'), 2));
    }
}
