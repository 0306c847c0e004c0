//! The neighbour cache: link-layer addresses of next hops, for ARP (RFC 826) and NDP (RFC 4861).
//!
//! ```text
//!             lookup                    learn
//!  (absent) ─────────► Incomplete ─────────────────► Reachable
//!                       │      ▲                      │     ▲
//!     3 × asked in vain │      │ hold over, or        │     │ learn (an answer)
//!                       ▼      │ 3 × probed in vain   ▼     │
//!                     Failed ──┴──────────────────── Stale ─┘   used and probed meanwhile
//!                                         30 s old, or another MAC announced
//! ```
//!
//! There are no timers: states change when they are looked at. Nobody can fill the table by talking
//! to us, since only looking up makes an entry; and what lookups make (answers to spoofed sources
//! on the link, say) is bounded in number and in requests a second, and never displaces a neighbour
//! in use.

use crate::engine::demux::{Demux, Full};
use crate::time::Instant;
use core::hash::Hasher;
use core::time::Duration;
use siphasher::sip::SipHasher24;

/// How long an answer is believed (RFC 4861 section 10, REACHABLE_TIME; for ARP, RFC 1122 section
/// 2.3.2.1 puts it "on the order of a minute").
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// Between two requests for one address (RFC 4861 section 10, RETRANS_TIMER; RFC 1122 section
/// 2.3.2.1 allows one a second).
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// Requests before an address is given up (RFC 4861 section 10, MAX_MULTICAST_SOLICIT), or an old
/// answer (MAX_UNICAST_SOLICIT).
const MAX_SOLICIT: u8 = 3;
/// How long nothing is asked about an address that was given up.
const FAILED_HOLD: Duration = Duration::from_secs(5);
/// Entries looked at to find one that can go, when the table is full.
const EVICTION_SCAN: usize = 16;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked `asked` times, last at `since`.
    Incomplete,
    /// Answered at `since`.
    Reachable,
    /// In doubt since it was last confirmed; probed `asked` times, last at `since`.
    Stale,
    /// Given up at `since`.
    Failed,
    /// Given by configuration: never changes.
    Static,
}

#[derive(Clone, Copy)]
struct Entry {
    address: [u8; 16],
    mac: Mac,
    state: State,
    asked: u8,
    since: Instant,
}

/// The neighbours of one interface, as one core sees them.
pub(crate) struct Neighbours {
    index: Demux,
    entries: Vec<Entry>,
    limit: usize,
    /// Where the next search for an entry to evict begins.
    hand: usize,
    refused: u64,
    keyed: SipHasher24,
}

impl Neighbours {
    /// A cache of up to `limit` neighbours; `key` is random, so that nobody can choose addresses
    /// that collide. All memory is taken here.
    ///
    /// # Panics
    /// If `limit` is zero, or over 2^30.
    pub(crate) fn new(limit: usize, key: [u8; 16]) -> Neighbours {
        assert!((1..=1 << 30).contains(&limit), "a cache of {limit} neighbours");
        Neighbours {
            index: Demux::new(limit),
            entries: Vec::with_capacity(limit),
            limit,
            hand: 0,
            refused: 0,
            keyed: SipHasher24::new_with_key(&key),
        }
    }

    /// How many neighbours there are, whatever is known of them.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How often an address was unreachable because the table was full of others in use.
    #[cfg(test)]
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Where to send a frame for the next hop `address`. Each answer that says to ask counts as
    /// asked.
    pub(crate) fn lookup(&mut self, address: [u8; 16], now: Instant) -> Lookup {
        if let Some(at) = self.position(&address) {
            return self.entries[at].lookup(now);
        }
        let state = State::Incomplete;
        let entry = Entry { address, mac: [0; 6], state, asked: 1, since: now };
        match self.insert(entry, now) {
            Ok(()) => Lookup::AskNow,
            Err(Full) => {
                self.refused += 1;
                Lookup::Unreachable
            }
        }
    }

    /// Takes in what an ARP packet or a neighbour advertisement says; whether an address that was
    /// asked about has become known, so that what waits for it can go.
    ///
    /// Addresses never looked up are ignored: announcing oneself makes no entry. A MAC that differs
    /// from the known one without having been asked for is used, but verified (RFC 826 asks for the
    /// first, RFC 4861 section 7.2.5 for both). A MAC that is not a station's is never believed
    /// (RFC 1812 section 3.3.2).
    pub(crate) fn learn(&mut self, address: [u8; 16], mac: Mac, now: Instant) -> bool {
        let is_group = mac[0] & 1 != 0;
        if is_group || mac == [0; 6] {
            return false;
        }
        let Some(at) = self.position(&address) else { return false };
        self.entries[at].learn(mac, now)
    }

    /// Sets a neighbour by configuration: it is never asked about, changed or evicted.
    ///
    /// # Errors
    /// [`Full`] if there is no room.
    pub(crate) fn insert_static(
        &mut self,
        address: [u8; 16],
        mac: Mac,
        now: Instant,
    ) -> Result<(), Full> {
        let entry = Entry { address, mac, state: State::Static, asked: 0, since: now };
        if let Some(at) = self.position(&address) {
            self.entries[at] = entry;
            return Ok(());
        }
        self.insert(entry, now)
    }

    /// Adds `entry`, in the place of one that nobody uses if need be.
    fn insert(&mut self, entry: Entry, now: Instant) -> Result<(), Full> {
        let at = if self.entries.len() < self.limit {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let at = self.victim(now).ok_or(Full)?;
            let old = self.hash(&self.entries[at].address);
            let removed = self.index.remove(old, at as u32);
            debug_assert!(removed, "every entry is in the index");
            self.entries[at] = entry;
            at
        };
        self.index.insert(self.hash(&entry.address), at as u32)
    }

    /// An entry that can go, among the next few.
    fn victim(&mut self, now: Instant) -> Option<usize> {
        for _ in 0..EVICTION_SCAN.min(self.limit) {
            let at = self.hand;
            self.hand = (at + 1) % self.limit;
            if self.entries[at].is_idle(now) {
                return Some(at);
            }
        }
        None
    }

    fn position(&self, address: &[u8; 16]) -> Option<usize> {
        let same = |at: u32| self.entries[at as usize].address == *address;
        self.index.find(self.hash(address), same).map(|at| at as usize)
    }

    fn hash(&self, address: &[u8; 16]) -> u64 {
        let mut sip = self.keyed;
        sip.write(address);
        sip.finish()
    }
}

impl Entry {
    fn lookup(&mut self, now: Instant) -> Lookup {
        let age = now.since(self.since);
        match self.state {
            State::Static => Lookup::Known(self.mac),
            State::Reachable if age < REACHABLE_TIME => Lookup::Known(self.mac),
            State::Reachable => self.verify(1, now),
            State::Stale if self.asked == 0 => self.verify(1, now),
            State::Stale if age < RETRANS_TIMER => Lookup::Known(self.mac),
            State::Stale if self.asked < MAX_SOLICIT => self.verify(self.asked + 1, now),
            State::Stale => self.ask(1, now),
            State::Incomplete if age < RETRANS_TIMER => Lookup::Pending,
            State::Incomplete if self.asked < MAX_SOLICIT => self.ask(self.asked + 1, now),
            State::Incomplete => {
                (self.state, self.since) = (State::Failed, now);
                Lookup::Unreachable
            }
            State::Failed if age < FAILED_HOLD => Lookup::Unreachable,
            State::Failed => self.ask(1, now),
        }
    }

    fn verify(&mut self, asked: u8, now: Instant) -> Lookup {
        (self.state, self.asked, self.since) = (State::Stale, asked, now);
        Lookup::Verify(self.mac)
    }

    fn ask(&mut self, asked: u8, now: Instant) -> Lookup {
        (self.state, self.asked, self.since) = (State::Incomplete, asked, now);
        Lookup::AskNow
    }

    fn learn(&mut self, mac: Mac, now: Instant) -> bool {
        let was_asked_for = match self.state {
            State::Static => return false,
            State::Incomplete | State::Failed => true,
            State::Stale => self.asked > 0,
            State::Reachable => false,
        };
        if was_asked_for {
            let was_unknown = self.state != State::Stale;
            (self.mac, self.state, self.asked, self.since) = (mac, State::Reachable, 0, now);
            return was_unknown;
        }
        if self.mac != mac {
            (self.mac, self.state, self.asked, self.since) = (mac, State::Stale, 0, now);
        }
        false
    }

    /// Whether nothing is lost when it goes: given up, abandoned while asking, or long not used.
    fn is_idle(&self, now: Instant) -> bool {
        let age = now.since(self.since);
        match self.state {
            State::Static => false,
            State::Failed => true,
            State::Incomplete => age >= RETRANS_TIMER * u32::from(MAX_SOLICIT),
            State::Reachable | State::Stale => age >= 2 * REACHABLE_TIME,
        }
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

    fn hop(n: u32) -> [u8; 16] {
        let mut address = [0xfe; 16];
        address[12..].copy_from_slice(&n.to_be_bytes());
        address
    }

    fn cache(limit: usize) -> Neighbours {
        Neighbours::new(limit, [9; 16])
    }

    /// A cache in which hop 1 answered at time zero.
    fn reachable() -> Neighbours {
        let mut cache = cache(8);
        assert_eq!(cache.lookup(hop(1), at(0)), Lookup::AskNow);
        assert!(cache.learn(hop(1), MAC, at(0)));
        cache
    }

    #[test]
    fn rfc826_an_unknown_address_is_asked_for_and_then_known() {
        let mut cache = cache(8);
        assert_eq!(cache.lookup(hop(1), at(0)), Lookup::AskNow);
        assert_eq!(cache.lookup(hop(1), at(1)), Lookup::Pending);
        assert!(cache.learn(hop(1), MAC, at(2)), "frames that wait may go");
        assert_eq!(cache.lookup(hop(1), at(3)), Lookup::Known(MAC));
        assert_eq!(cache.lookup(hop(2), at(3)), Lookup::AskNow);
    }

    #[test]
    fn rfc1122_2_3_2_1_requests_are_a_second_apart() {
        let mut cache = cache(8);
        let mut asked = Vec::new();
        for ms in 0..2_900 {
            if cache.lookup(hop(1), at(ms)) == Lookup::AskNow {
                asked.push(ms);
            }
        }
        assert_eq!(asked, [0, 1_000, 2_000]);
    }

    #[test]
    fn rfc4861_7_2_2_after_three_requests_the_address_is_given_up_for_a_while() {
        let mut cache = cache(8);
        for ms in [0, 1_000, 2_000] {
            assert_eq!(cache.lookup(hop(1), at(ms)), Lookup::AskNow);
        }
        assert_eq!(cache.lookup(hop(1), at(2_999)), Lookup::Pending);
        for ms in [3_000, 4_000, 7_999] {
            assert_eq!(cache.lookup(hop(1), at(ms)), Lookup::Unreachable);
        }
        assert_eq!(cache.lookup(hop(1), at(8_000)), Lookup::AskNow);
        assert_eq!(cache.lookup(hop(1), at(8_001)), Lookup::Pending);
    }

    #[test]
    fn a_late_answer_ends_the_hold() {
        let mut cache = cache(8);
        for ms in [0, 1_000, 2_000, 3_000] {
            cache.lookup(hop(1), at(ms));
        }
        assert!(cache.learn(hop(1), MAC, at(3_500)));
        assert_eq!(cache.lookup(hop(1), at(3_600)), Lookup::Known(MAC));
    }

    #[test]
    fn rfc4861_7_3_3_an_old_answer_is_used_while_it_is_verified() {
        let mut cache = reachable();
        assert_eq!(cache.lookup(hop(1), at(29_999)), Lookup::Known(MAC));
        assert_eq!(cache.lookup(hop(1), at(30_000)), Lookup::Verify(MAC));
        assert_eq!(cache.lookup(hop(1), at(30_500)), Lookup::Known(MAC));
        assert!(!cache.learn(hop(1), MAC, at(30_600)), "nothing was waiting");
        assert_eq!(cache.lookup(hop(1), at(60_599)), Lookup::Known(MAC));
        assert_eq!(cache.lookup(hop(1), at(60_600)), Lookup::Verify(MAC));
    }

    #[test]
    fn rfc4861_7_3_3_three_probes_without_an_answer_forget_the_mac() {
        let mut cache = reachable();
        for ms in [30_000, 31_000, 32_000] {
            assert_eq!(cache.lookup(hop(1), at(ms)), Lookup::Verify(MAC));
        }
        assert_eq!(cache.lookup(hop(1), at(33_000)), Lookup::AskNow);
        assert_eq!(cache.lookup(hop(1), at(33_001)), Lookup::Pending);
    }

    #[test]
    fn an_announcement_makes_no_entry() {
        let mut cache = cache(8);
        for n in 0..100 {
            assert!(!cache.learn(hop(n), MAC, at(0)));
        }
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn rfc4861_7_2_5_an_announced_change_is_used_and_verified() {
        let mut cache = reachable();
        for ms in [98, 99, 100] {
            assert!(!cache.learn(hop(1), OTHER, at(ms)), "saying it again is no answer");
        }
        assert_eq!(cache.lookup(hop(1), at(101)), Lookup::Verify(OTHER));
        assert!(!cache.learn(hop(1), OTHER, at(102)));
        assert_eq!(cache.lookup(hop(1), at(2_000)), Lookup::Known(OTHER));
    }

    #[test]
    fn rfc4861_7_2_5_an_announcement_does_not_prolong_what_is_known() {
        let mut cache = reachable();
        cache.learn(hop(1), MAC, at(20_000));
        assert_eq!(cache.lookup(hop(1), at(30_000)), Lookup::Verify(MAC));
    }

    #[test]
    fn rfc1812_3_3_2_group_and_zero_addresses_are_not_believed() {
        let mut cache = cache(8);
        cache.lookup(hop(1), at(0));
        for mac in [[0xff; 6], [0x01, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0; 6]] {
            assert!(!cache.learn(hop(1), mac, at(1)));
        }
        assert_eq!(cache.lookup(hop(1), at(2)), Lookup::Pending);
    }

    #[test]
    fn a_static_neighbour_never_changes_or_goes() {
        let mut cache = cache(2);
        assert_eq!(cache.lookup(hop(1), at(0)), Lookup::AskNow);
        cache.insert_static(hop(1), MAC, at(0)).unwrap();
        cache.insert_static(hop(2), MAC, at(0)).unwrap();
        assert_eq!(cache.insert_static(hop(3), MAC, at(0)), Err(Full));
        assert!(!cache.learn(hop(1), OTHER, at(1)));
        assert_eq!(cache.lookup(hop(3), at(1_000_000)), Lookup::Unreachable);
        assert_eq!(cache.lookup(hop(1), at(1_000_000)), Lookup::Known(MAC));
        assert_eq!((cache.len(), cache.refused()), (2, 1));
    }

    #[test]
    fn a_spray_of_addresses_is_bounded_and_displaces_no_neighbour_in_use() {
        let mut cache = cache(64);
        cache.lookup(hop(0), at(0));
        cache.learn(hop(0), MAC, at(0));
        let mut asked = 0;
        for n in 1..=20_000 {
            // A new address each millisecond, for 20 seconds.
            asked += u32::from(cache.lookup(hop(n), at(n.into())) == Lookup::AskNow);
        }
        assert_eq!(cache.lookup(hop(0), at(20_000)), Lookup::Known(MAC));
        assert_eq!(cache.len(), 64);
        // 63 entries, each free again after 3 s.
        assert!((63 * 6..=63 * 7).contains(&asked), "{asked} requests");
        assert_eq!(u64::from(20_000 - asked), cache.refused());
        assert_eq!(cache.lookup(hop(30_000), at(25_000)), Lookup::AskNow, "and it recovers");
    }

    proptest! {
        #[test]
        fn requests_for_an_address_are_never_less_than_a_second_apart(
            calls in prop::collection::vec((0..6u32, 0..1_500u64, 0..4u8), 0..300)
        ) {
            let mut cache = cache(6);
            let (mut now, mut last) = (0, [None; 6]);
            for (n, later, kind) in calls {
                now += later;
                if kind == 0 {
                    cache.learn(hop(n), [2, 0, 0, 0, 0, (now % 3) as u8], at(now));
                } else if matches!(cache.lookup(hop(n), at(now)), Lookup::AskNow) {
                    let before: Option<u64> = last[n as usize].replace(now);
                    prop_assert!(before.is_none_or(|b| now - b >= 1_000), "{before:?}, {now}");
                }
            }
        }

        #[test]
        fn the_table_stays_within_its_limit_and_finds_all_it_holds(
            calls in prop::collection::vec((0..40u32, 0..400u64, 0..5u8), 0..400)
        ) {
            let mut cache = cache(10);
            let mut now = 0;
            for (n, later, kind) in calls {
                now += later;
                match kind {
                    0 => _ = cache.learn(hop(n), MAC, at(now)),
                    1 if n < 5 => _ = cache.insert_static(hop(n), OTHER, at(now)),
                    _ => _ = cache.lookup(hop(n), at(now)),
                }
                prop_assert!(cache.len() <= 10 && cache.index.len() == cache.len());
                for (slot, entry) in cache.entries.iter().enumerate() {
                    prop_assert_eq!(cache.position(&entry.address), Some(slot));
                }
            }
        }
    }
}
