//! Packet sizes of the paths on which less fits than on our own link: RFC 1191, RFC 8201.
//!
//! Only paths that a router, or a black hole, has told something about are here. What was told is
//! forgotten after ten minutes (RFC 1191 section 6.3, RFC 8201 section 4), so that a path that
//! has become wider is used.

use super::address_table::AddressTable;
use crate::tcp::PATH_LIFETIME;
use crate::time::Instant;
use crate::wire::Addr;

#[derive(Clone, Copy, Debug)]
struct Path {
    /// Bytes of an IP packet.
    mtu: u16,
    /// Smaller than that, and not believed yet.
    suspected: Option<u16>,
    until: Instant,
}

/// What one core knows of the paths to its peers.
pub(super) struct Paths {
    table: AddressTable<Path>,
}

impl Paths {
    /// Of up to `limit` destinations; the next in turn makes room for a new one.
    ///
    /// # Panics
    /// If `limit` is zero, or over 2^30.
    pub(super) fn new(limit: usize, key: [u8; 16]) -> Paths {
        Paths { table: AddressTable::new(limit, key) }
    }

    /// Bytes of the longest packet that gets to `remote`, if it is less than what our link takes.
    pub(super) fn mtu(&mut self, remote: Addr, now: Instant) -> Option<u16> {
        self.get(remote, now).map(|path| path.mtu).filter(|mtu| *mtu != u16::MAX)
    }

    /// No more than `mtu` bytes get to `remote`.
    pub(super) fn lower(&mut self, remote: Addr, mtu: u16, now: Instant) {
        self.put(remote, Path { mtu, suspected: None, until: now + PATH_LIFETIME });
    }

    /// Somebody says so, and it would be too early to believe it.
    pub(super) fn suspect(&mut self, remote: Addr, mtu: u16, now: Instant) {
        match self.get(remote, now) {
            Some(path) => path.suspected = Some(mtu),
            None => {
                let until = now + PATH_LIFETIME;
                self.put(remote, Path { mtu: u16::MAX, suspected: Some(mtu), until });
            }
        }
    }

    /// A segment to `remote` was lost: what was suspected is believed now. Returns as
    /// [`Paths::mtu`].
    pub(super) fn confirm(&mut self, remote: Addr, now: Instant) -> Option<u16> {
        if let Some(mtu) = self.get(remote, now)?.suspected {
            self.lower(remote, mtu, now);
        }
        self.mtu(remote, now)
    }

    /// A packet of `mtu` bytes got to `remote`.
    pub(super) fn raise(&mut self, remote: Addr, mtu: u16, now: Instant) {
        if let Some(path) = self.get(remote, now)
            && path.mtu < mtu
        {
            path.mtu = mtu;
        }
    }

    fn get(&mut self, remote: Addr, now: Instant) -> Option<&mut Path> {
        // Almost every core knows no such path.
        if self.table.is_empty() {
            return None;
        }
        self.table.get_mut(remote).filter(|path| path.until > now)
    }

    fn put(&mut self, remote: Addr, path: Path) {
        if let Some(place) = self.table.get_mut(remote) {
            *place = path;
            return;
        }
        let put = self.table.insert(remote, path, |_| true);
        debug_assert!(put.is_ok(), "any entry may go");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_millis(s * 1_000)
    }

    fn host(n: u8) -> Addr {
        Addr::from_v4([192, 0, 2, n])
    }

    #[test]
    fn rfc8201_4_a_size_is_forgotten_after_ten_minutes() {
        let mut paths = Paths::new(4, [0; 16]);
        assert_eq!(paths.mtu(host(1), at(0)), None);
        paths.lower(host(1), 1_400, at(0));
        assert_eq!(paths.mtu(host(1), at(599)), Some(1_400));
        assert_eq!(paths.mtu(host(2), at(599)), None);
        assert_eq!(paths.mtu(host(1), at(600)), None);
    }

    #[test]
    fn rfc5927_7_2_a_suspicion_counts_once_it_is_confirmed() {
        let mut paths = Paths::new(4, [0; 16]);
        paths.suspect(host(1), 1_300, at(0));
        assert_eq!(paths.mtu(host(1), at(0)), None);
        assert_eq!(paths.confirm(host(1), at(1)), Some(1_300));
        paths.suspect(host(1), 1_200, at(2));
        assert_eq!(paths.mtu(host(1), at(2)), Some(1_300));
        assert_eq!(paths.confirm(host(1), at(2)), Some(1_200));
        assert_eq!(paths.confirm(host(2), at(2)), None);
    }

    #[test]
    fn a_wider_path_is_remembered_as_such() {
        let mut paths = Paths::new(4, [0; 16]);
        paths.lower(host(1), 1_280, at(0));
        paths.raise(host(1), 1_400, at(1));
        paths.raise(host(2), 1_400, at(1));
        assert_eq!((paths.mtu(host(1), at(2)), paths.mtu(host(2), at(2))), (Some(1_400), None));
    }

    #[test]
    fn more_destinations_than_the_limit_displace_each_other() {
        let mut paths = Paths::new(4, [0; 16]);
        for n in 0..20 {
            paths.lower(host(n), 1_280, at(0));
            assert_eq!(paths.mtu(host(n), at(0)), Some(1_280));
        }
        assert_eq!(paths.table.len(), 4);
    }
}
