//! How many connections each source has, by prefix of its address.
//!
//! Only completed handshakes count: who forges the address of a SYN uses up nobody's share.

use super::address_index::AddressIndex;
use super::config::Limits;
use super::slab::Slab;
use crate::wire::Addr;

/// Bits of an IPv6 address that name a source: what one customer has at least.
const V6_PREFIX: u8 = 64;
/// Bits of a v4-mapped address before the IPv4 address itself.
const V4_OFFSET: u8 = 96;

#[derive(Clone, Copy, Debug)]
struct Source {
    prefix: Addr,
    connections: u32,
}

/// A table of sources. There are never more than connections, so it is never full; its memory is
/// taken at the start, and only if there is a limit. Operations are O(1).
#[derive(Debug)]
pub(crate) struct Sources(Option<Table>);

struct Table {
    index: AddressIndex,
    sources: Slab<Source>,
    limit: u32,
    v4_prefix: u8,
}

impl core::fmt::Debug for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Table").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

impl Sources {
    /// `key` is random, so that nobody can choose addresses that collide.
    pub(crate) fn new(limits: &Limits, key: &[u8; 16]) -> Sources {
        let limited = limits.connections_per_source < limits.connections;
        Sources(limited.then(|| Table {
            index: AddressIndex::new(limits.connections as usize, key),
            sources: Slab::new(limits.connections),
            limit: limits.connections_per_source,
            v4_prefix: limits.source_prefix.min(32),
        }))
    }

    /// Whether the source of this address has all the connections that it may have.
    pub(crate) fn is_full(&self, remote: Addr) -> bool {
        let Some(table) = &self.0 else { return false };
        let prefix = table.prefix(remote);
        let source = table.find(prefix).and_then(|at| table.sources.get(at));
        source.map_or(0, |source| source.connections) >= table.limit
    }

    /// A connection from there came to be.
    pub(crate) fn enter(&mut self, remote: Addr) {
        let Some(table) = &mut self.0 else { return };
        let prefix = table.prefix(remote);
        if let Some(at) = table.find(prefix) {
            if let Some(source) = table.sources.get_mut(at) {
                source.connections += 1;
            }
            return;
        }
        let inserted = table.sources.insert(Source { prefix, connections: 1 });
        debug_assert!(inserted.is_some(), "as many sources as connections fit");
        if let Some(at) = inserted
            && table.index.insert(prefix, at).is_err()
        {
            table.sources.remove(at);
        }
    }

    /// A connection from there is over.
    pub(crate) fn leave(&mut self, remote: Addr) {
        let Some(table) = &mut self.0 else { return };
        let prefix = table.prefix(remote);
        let Some(at) = table.find(prefix) else { return };
        let Some(source) = table.sources.get_mut(at) else { return };
        source.connections -= 1;
        if source.connections == 0 {
            table.sources.remove(at);
            table.index.remove(prefix, at);
        }
    }
}

impl Table {
    fn prefix(&self, remote: Addr) -> Addr {
        let bits = if remote.is_v4() { V4_OFFSET + self.v4_prefix } else { V6_PREFIX };
        Addr(
            (u128::from_be_bytes(remote.0) & !u128::MAX.checked_shr(bits.into()).unwrap_or(0))
                .to_be_bytes(),
        )
    }

    fn find(&self, prefix: Addr) -> Option<u32> {
        let same = |at| self.sources.get(at).is_some_and(|source| source.prefix == prefix);
        self.index.find(prefix, same)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn limited(connections: u32, per_source: u32, source_prefix: u8) -> Sources {
        let limits = Limits {
            connections,
            connections_per_source: per_source,
            source_prefix,
            ..Limits::default()
        };
        Sources::new(&limits, &[7; 16])
    }

    fn addr(text: &str) -> Addr {
        Addr::from(text.parse::<std::net::IpAddr>().expect("an address"))
    }

    #[test]
    fn a_prefix_is_one_source() {
        for (prefix, same, other) in [
            (32, ["10.0.0.1", "10.0.0.1"], "10.0.0.2"),
            (24, ["10.0.0.1", "10.0.0.254"], "10.0.1.1"),
            (30, ["10.0.0.1", "10.0.0.3"], "10.0.0.4"),
            (24, ["2001:db8::1", "2001:db8::ffff:1"], "2001:db8:0:1::1"),
        ] {
            let mut sources = limited(8, 1, prefix);
            assert!(!sources.is_full(addr(same[1])));
            sources.enter(addr(same[0]));
            assert!(sources.is_full(addr(same[1])), "{same:?}");
            assert!(!sources.is_full(addr(other)), "{other}");
            sources.leave(addr(same[1]));
            assert!(!sources.is_full(addr(same[0])));
        }
    }

    #[test]
    fn without_a_limit_there_is_no_table() {
        let limits = Limits::default();
        let mut sources = Sources::new(&limits, &[7; 16]);
        assert!(sources.0.is_none());
        sources.enter(addr("10.0.0.1"));
        assert!(!sources.is_full(addr("10.0.0.1")));
    }

    proptest! {
        #[test]
        fn it_counts_as_a_map_does(
            steps in prop::collection::vec((any::<bool>(), 0u8..6), 0..200),
        ) {
            const MOST: usize = 12;
            let mut sources = limited(MOST as u32, 3, 32);
            let mut model: HashMap<u8, u32> = HashMap::new();
            for (enters, host) in steps {
                let remote = Addr::from(std::net::IpAddr::from([10, 0, 0, host]));
                let count = model.entry(host).or_default();
                if enters && *count < 3 {
                    *count += 1;
                    sources.enter(remote);
                } else if !enters && *count > 0 {
                    *count -= 1;
                    sources.leave(remote);
                }
                for (host, count) in &model {
                    let remote = Addr::from(std::net::IpAddr::from([10, 0, 0, *host]));
                    prop_assert_eq!(sources.is_full(remote), *count >= 3);
                }
                let table = sources.0.as_ref().expect("limited");
                let kept = model.values().filter(|count| **count > 0).count();
                prop_assert_eq!((table.sources.len() as usize, table.index.len()), (kept, kept));
            }
        }
    }
}
