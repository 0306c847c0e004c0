//! Names of connections that stay unique when slots are used again.

use core::fmt;

/// Number of a core of the server, from zero: the index of its engine, not of the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoreId(pub u8);

/// Names one connection for as long as it lives, and never another one soon after: core, slot and
/// the slot's generation (28 bits, so a stale name is mistaken only after 268 million uses of one
/// slot).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnId(u64);

impl ConnId {
    const SLOT_BITS: u32 = 28;
    /// Highest number of slots of one core.
    pub const MAX_SLOTS: u32 = 1 << Self::SLOT_BITS;
    /// Generations count in this many bits.
    pub(crate) const GENERATION_MASK: u32 = (1 << 28) - 1;

    pub(crate) fn new(core: CoreId, slot: u32, generation: u32) -> ConnId {
        debug_assert!(slot < Self::MAX_SLOTS && generation <= Self::GENERATION_MASK);
        let core = u64::from(core.0) << 56;
        ConnId(core | u64::from(generation) << Self::SLOT_BITS | u64::from(slot))
    }

    /// The core whose engine has the connection.
    pub fn core(self) -> CoreId {
        CoreId((self.0 >> 56) as u8)
    }

    pub(crate) fn slot(self) -> u32 {
        self.0 as u32 & (Self::MAX_SLOTS - 1)
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> Self::SLOT_BITS) as u32 & Self::GENERATION_MASK
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u64) -> ConnId {
        ConnId(bits)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({}:{}#{})", self.core().0, self.slot(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let id = ConnId::new(CoreId(255), ConnId::MAX_SLOTS - 1, ConnId::GENERATION_MASK);
        assert_eq!(id.core(), CoreId(255));
        assert_eq!(id.slot(), ConnId::MAX_SLOTS - 1);
        assert_eq!(id.generation(), ConnId::GENERATION_MASK);
        assert_eq!(ConnId::from_bits(id.to_bits()), id);
        assert_ne!(ConnId::new(CoreId(0), 1, 1), ConnId::new(CoreId(0), 1, 2));
    }
}
