//! The neighbour cache: link-layer addresses of next hops, for ARP (RFC 826) and NDP (RFC 4861).
//!
//! Nobody can fill the table by talking to us, since only looking up makes an entry; and what
//! lookups make (answers to spoofed sources on the link, say) is bounded in number and in requests
//! a second, and never displaces a neighbour in use.

mod entry;

use super::address_table::AddressTable;
use super::demux::Full;
use crate::time::Instant;
use crate::wire::Addr;

use entry::Entry;

/// A MAC address.
pub(crate) type Mac = [u8; 6];

/// What to do with a frame for a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// Send it there.
    Known(Mac),
    /// Send it there; and send a request to that MAC now, for the answer is getting old.
    Verify(Mac),
    /// Keep or drop it; and send a request to all now.
    AskNow,
    /// Keep or drop it: a request is under way.
    Pending,
    /// Drop it: the address doesn't answer, or there is no room to ask about it.
    Unreachable,
}

/// Why somebody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Sending,
    /// What was sent there gets no answer (RFC 1122 section 4.2.3.5: advice to the IP layer).
    Doubt,
}

/// What a packet says of its sender's address: the solicited and override flags of RFC 4861
/// section 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Answer,
    /// An answer that does not replace another.
    WeakAnswer,
    Announcement,
    /// An announcement that does not replace another.
    WeakAnnouncement,
}

impl Advice {
    /// From the two flags.
    pub(crate) fn of(solicited: bool, replace: bool) -> Advice {
        match (solicited, replace) {
            (true, true) => Advice::Answer,
            (true, false) => Advice::WeakAnswer,
            (false, true) => Advice::Announcement,
            (false, false) => Advice::WeakAnnouncement,
        }
    }

    fn answers(self) -> bool {
        matches!(self, Advice::Answer | Advice::WeakAnswer)
    }

    fn overrides(self) -> bool {
        matches!(self, Advice::Answer | Advice::Announcement)
    }
}

/// The neighbours of one interface, as one core sees them.
pub(crate) struct Neighbours {
    table: AddressTable<Entry>,
    refused: u64,
}

impl Neighbours {
    /// A cache of up to `limit` neighbours; `key` is random, so that nobody can choose addresses
    /// that collide. All memory is taken here.
    ///
    /// # Panics
    /// If `limit` is zero, or over 2^30.
    pub(crate) fn new(limit: usize, key: [u8; 16]) -> Neighbours {
        Neighbours { table: AddressTable::new(limit, key), refused: 0 }
    }

    /// How many neighbours there are, whatever is known of them.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How often an address was unreachable because the table was full of others in use.
    #[cfg(test)]
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Where to send a frame for the next hop `address`. Each answer that says to ask counts as
    /// asked.
    pub(crate) fn lookup(&mut self, address: Addr, why: Use, now: Instant) -> Lookup {
        if let Some(entry) = self.table.get_mut(address) {
            return entry.lookup(why, now);
        }
        match self.table.insert(address, Entry::asked_for(now), |entry| entry.is_idle(now)) {
            Ok(()) => Lookup::AskNow,
            Err(Full) => {
                self.refused += 1;
                Lookup::Unreachable
            }
        }
    }

    /// Takes in what an ARP packet or a neighbour discovery message says; whether an address that
    /// was asked about has become known, or is known anew, so that what goes there can follow.
    ///
    /// Addresses never looked up are ignored: announcing oneself makes no entry. A MAC that is not
    /// a station's is never believed (RFC 1812 section 3.3.2).
    pub(crate) fn learn(
        &mut self,
        address: Addr,
        mac: Option<Mac>,
        advice: Advice,
        now: Instant,
    ) -> bool {
        if mac.is_some_and(|mac| mac[0] & 1 != 0 || mac == [0; 6]) {
            return false;
        }
        self.table.get_mut(address).is_some_and(|entry| entry.learn(mac, advice, now))
    }

    /// What was sent to `mac` for `address` got through.
    pub(crate) fn confirm(&mut self, address: Addr, mac: Mac, now: Instant) {
        if let Some(entry) = self.table.get_mut(address) {
            entry.confirm(mac, now);
        }
    }

    /// Whether the neighbour was given by configuration.
    pub(crate) fn is_static(&mut self, address: Addr) -> bool {
        self.table.get_mut(address).is_some_and(|entry| entry.is_fixed())
    }

    /// Sets a neighbour by configuration: it is never asked about, changed or evicted.
    ///
    /// # Errors
    /// [`Full`] if there is no room.
    pub(crate) fn insert_static(
        &mut self,
        address: Addr,
        mac: Mac,
        now: Instant,
    ) -> Result<(), Full> {
        let fixed = Entry::fixed(mac, now);
        if let Some(entry) = self.table.get_mut(address) {
            *entry = fixed;
            return Ok(());
        }
        self.table.insert(address, fixed, |entry| entry.is_idle(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 2];

    fn at(ms: u64) -> Instant {
        Instant::from_millis(1_000_000 + ms)
    }

    fn hop(n: u32) -> Addr {
        let mut address = [0xfe; 16];
        address[12..].copy_from_slice(&n.to_be_bytes());
        Addr(address)
    }

    fn cache(limit: usize) -> Neighbours {
        Neighbours::new(limit, [9; 16])
    }

    fn send(cache: &mut Neighbours, n: u32, ms: u64) -> Lookup {
        cache.lookup(hop(n), Use::Sending, at(ms))
    }

    fn answer(cache: &mut Neighbours, n: u32, mac: Mac, ms: u64) -> bool {
        cache.learn(hop(n), Some(mac), Advice::Answer, at(ms))
    }

    #[test]
    fn rfc826_an_unknown_address_is_asked_for_and_then_known() {
        let mut cache = cache(8);
        assert_eq!(send(&mut cache, 1, 0), Lookup::AskNow);
        assert_eq!(send(&mut cache, 1, 1), Lookup::Pending);
        assert!(answer(&mut cache, 1, MAC, 2), "frames that wait may go");
        assert_eq!(send(&mut cache, 1, 3), Lookup::Known(MAC));
        assert_eq!(send(&mut cache, 2, 3), Lookup::AskNow);
    }

    #[test]
    fn an_announcement_makes_no_entry() {
        let mut cache = cache(8);
        for n in 0..100 {
            assert!(!answer(&mut cache, n, MAC, 0));
        }
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn rfc1812_3_3_2_group_and_zero_addresses_are_not_believed() {
        let mut cache = cache(8);
        send(&mut cache, 1, 0);
        for mac in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0; 6]] {
            assert!(!answer(&mut cache, 1, mac, 1));
        }
        assert_eq!(send(&mut cache, 1, 2), Lookup::Pending);
    }

    #[test]
    fn a_static_neighbour_never_changes_or_goes() {
        let mut cache = cache(2);
        assert_eq!(send(&mut cache, 1, 0), Lookup::AskNow);
        cache.insert_static(hop(1), MAC, at(0)).unwrap();
        cache.insert_static(hop(2), MAC, at(0)).unwrap();
        assert_eq!(cache.insert_static(hop(3), MAC, at(0)), Err(Full));
        assert!(!answer(&mut cache, 1, OTHER, 1));
        assert_eq!(send(&mut cache, 3, 1_000_000), Lookup::Unreachable);
        assert_eq!(cache.lookup(hop(1), Use::Doubt, at(1_000_000)), Lookup::Known(MAC));
        assert_eq!((cache.len(), cache.refused()), (2, 1));
    }

    #[test]
    fn a_spray_of_addresses_is_bounded_and_displaces_no_neighbour_in_use() {
        let mut cache = cache(64);
        send(&mut cache, 0, 0);
        answer(&mut cache, 0, MAC, 0);
        let mut asked = 0;
        for n in 1..=20_000 {
            // A new address each millisecond, for 20 seconds.
            asked += u32::from(send(&mut cache, n, n.into()) == Lookup::AskNow);
        }
        assert_eq!(send(&mut cache, 0, 20_000), Lookup::Known(MAC));
        assert_eq!(cache.len(), 64);
        // 63 entries, each free again after 3 s.
        assert!((63 * 6..=63 * 7).contains(&asked), "{asked} requests");
        assert_eq!(u64::from(20_000 - asked), cache.refused());
        assert_eq!(send(&mut cache, 30_000, 25_000), Lookup::AskNow, "and it recovers");
    }

    proptest! {
        #[test]
        fn requests_for_an_address_are_never_less_than_a_second_apart(
            calls in prop::collection::vec((0..6u32, 0..1_500u64, 0..8u8), 0..300)
        ) {
            let mut cache = cache(6);
            let (mut now, mut last) = (0, [None; 6]);
            for (n, later, kind) in calls {
                now += later;
                let mac = [2, 0, 0, 0, 0, (now % 3) as u8];
                let why = if kind == 7 { Use::Doubt } else { Use::Sending };
                match kind {
                    0 => _ = answer(&mut cache, n, mac, now),
                    1 => {
                        let advice = Advice::of(false, now % 2 == 0);
                        cache.learn(hop(n), Some(mac), advice, at(now));
                    }
                    2 => cache.confirm(hop(n), mac, at(now)),
                    _ => if cache.lookup(hop(n), why, at(now)) == Lookup::AskNow {
                        let before: Option<u64> = last[n as usize].replace(now);
                        prop_assert!(before.is_none_or(|b| now - b >= 1_000), "{before:?}, {now}");
                    }
                }
            }
        }
    }
}
