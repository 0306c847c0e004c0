//! One neighbour: the states of RFC 4861 section 7.3.2, for ARP as for NDP.
//!
//! ```text
//!             lookup                    an answer
//!  (absent) ─────────► Incomplete ─────────────────► Reachable ◄──────────────┐
//!                       │      ▲                        │ 30 s old,           │ an answer, or
//!     3 × asked in vain │      │ hold over, or          │ or a doubt          │ TCP gets through
//!                       ▼      │ 3 × probed in vain     ▼      5 s            │
//!                     Failed ──┴─────────────── Stale ─► Delay ──────► Probe ─┘
//!                                                 ▲  used      or a doubt
//!                                                 └── another MAC announced
//! ```
//!
//! There are no timers: states change when they are looked at.

use core::time::Duration;

use super::{Advice, Lookup, Mac, Use};
use crate::time::Instant;

/// How long an answer is believed (RFC 4861 section 10, REACHABLE_TIME; for ARP, RFC 1122 section
/// 2.3.2.1 puts it "on the order of a minute").
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// How long what is above may tell that the neighbour is there before it is asked (section 10,
/// DELAY_FIRST_PROBE_TIME).
const DELAY_FIRST_PROBE_TIME: Duration = Duration::from_secs(5);
/// Between two requests for one address (section 10, RETRANS_TIMER; RFC 1122 section 2.3.2.1
/// allows one a second).
const RETRANS_TIMER: Duration = Duration::from_secs(1);
/// Requests before an address is given up (section 10, MAX_MULTICAST_SOLICIT), or an old answer
/// (MAX_UNICAST_SOLICIT).
const MAX_SOLICIT: u8 = 3;
/// How long nothing is asked about an address that was given up.
const FAILED_HOLD: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All were asked `asked` times, last at `since`.
    Incomplete,
    /// Confirmed at `since`.
    Reachable,
    /// In doubt, and not used.
    Stale,
    /// In doubt, and used since `since`.
    Delay,
    /// It was itself asked `asked` times, last at `since`.
    Probe,
    /// Given up at `since`.
    Failed,
    /// Given by configuration: never changes.
    Static,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    mac: Mac,
    state: State,
    asked: u8,
    since: Instant,
}

impl Entry {
    /// All are being asked about it.
    pub(super) fn asked_for(now: Instant) -> Entry {
        Entry { mac: [0; 6], state: State::Incomplete, asked: 1, since: now }
    }

    pub(super) fn fixed(mac: Mac, now: Instant) -> Entry {
        Entry { mac, state: State::Static, asked: 0, since: now }
    }

    pub(super) fn is_fixed(&self) -> bool {
        self.state == State::Static
    }

    pub(super) fn lookup(&mut self, why: Use, now: Instant) -> Lookup {
        let age = now.since(self.since);
        let doubted = why == Use::Doubt;
        match self.state {
            State::Static => Lookup::Known(self.mac),
            State::Reachable if age < RETRANS_TIMER => Lookup::Known(self.mac),
            State::Reachable | State::Stale | State::Delay if doubted => self.probe(1, now),
            State::Reachable if age < REACHABLE_TIME => Lookup::Known(self.mac),
            State::Reachable | State::Stale => {
                (self.state, self.since) = (State::Delay, now);
                Lookup::Known(self.mac)
            }
            State::Delay if age < DELAY_FIRST_PROBE_TIME => Lookup::Known(self.mac),
            State::Delay => self.probe(1, now),
            State::Probe if age < RETRANS_TIMER => Lookup::Known(self.mac),
            State::Probe if self.asked < MAX_SOLICIT => self.probe(self.asked + 1, now),
            State::Probe => self.ask(1, now),
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

    fn probe(&mut self, asked: u8, now: Instant) -> Lookup {
        (self.state, self.asked, self.since) = (State::Probe, asked, now);
        Lookup::Verify(self.mac)
    }

    fn ask(&mut self, asked: u8, now: Instant) -> Lookup {
        (self.state, self.asked, self.since) = (State::Incomplete, asked, now);
        Lookup::AskNow
    }

    /// Section 7.2.5 for advertisements, 7.2.3 for the senders of solicitations; ARP's replies are
    /// answers and its requests announcements. Whether the address has become known.
    pub(super) fn learn(&mut self, mac: Option<Mac>, advice: Advice, now: Instant) -> bool {
        let same = mac.is_none_or(|mac| mac == self.mac);
        match self.state {
            State::Static => false,
            State::Incomplete | State::Failed => {
                let Some(mac) = mac else { return false };
                let answer = advice == Advice::Answer || advice == Advice::WeakAnswer;
                let state = if answer { State::Reachable } else { State::Stale };
                *self = Entry { mac, state, asked: 0, since: now };
                true
            }
            _ if !same && !advice.overrides() => {
                // Of two that claim the address the known one is kept, but not trusted.
                if self.state == State::Reachable {
                    (self.state, self.since) = (State::Stale, now);
                }
                false
            }
            // An answer counts only if it was asked for: anybody can claim to answer.
            State::Probe if advice.answers() => {
                self.mac = mac.unwrap_or(self.mac);
                (self.state, self.asked, self.since) = (State::Reachable, 0, now);
                !same
            }
            _ if !same => {
                self.mac = mac.unwrap_or(self.mac);
                (self.state, self.asked, self.since) = (State::Stale, 0, now);
                false
            }
            _ => false,
        }
    }

    /// What is sent to `mac` gets through (section 7.3.1: upper-layer advice).
    pub(super) fn confirm(&mut self, mac: Mac, now: Instant) {
        let known = !matches!(self.state, State::Static | State::Incomplete | State::Failed);
        if known && self.mac == mac {
            (self.state, self.asked, self.since) = (State::Reachable, 0, now);
        }
    }

    /// Whether nothing is lost when it goes: given up, abandoned while asking, or long not used.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let age = now.since(self.since);
        match self.state {
            State::Static => false,
            State::Failed => true,
            State::Incomplete => age >= RETRANS_TIMER * u32::from(MAX_SOLICIT),
            _ => age >= 2 * REACHABLE_TIME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 1];
    const OTHER: Mac = [2, 0, 0, 0, 0, 2];

    fn at(ms: u64) -> Instant {
        Instant::from_millis(1_000_000 + ms)
    }

    fn send(entry: &mut Entry, ms: u64) -> Lookup {
        entry.lookup(Use::Sending, at(ms))
    }

    fn doubt(entry: &mut Entry, ms: u64) -> Lookup {
        entry.lookup(Use::Doubt, at(ms))
    }

    /// A neighbour that answered at time zero.
    fn reachable() -> Entry {
        let mut entry = Entry::asked_for(at(0));
        assert!(entry.learn(Some(MAC), Advice::Answer, at(0)));
        entry
    }

    #[test]
    fn rfc1122_2_3_2_1_requests_are_a_second_apart() {
        let mut entry = Entry::asked_for(at(0));
        let asked = |ms: &u64| send(&mut entry, *ms) == Lookup::AskNow;
        assert_eq!((1..2_900).filter(asked).collect::<Vec<_>>(), [1_000, 2_000]);
    }

    #[test]
    fn rfc4861_7_2_2_after_three_requests_the_address_is_given_up_for_a_while() {
        let mut entry = Entry::asked_for(at(0));
        for ms in [1_000, 2_000] {
            assert_eq!(send(&mut entry, ms), Lookup::AskNow);
        }
        assert_eq!(send(&mut entry, 2_999), Lookup::Pending);
        for ms in [3_000, 4_000, 7_999] {
            assert_eq!(send(&mut entry, ms), Lookup::Unreachable);
        }
        assert_eq!(send(&mut entry, 8_000), Lookup::AskNow);
        assert_eq!(send(&mut entry, 8_001), Lookup::Pending);
    }

    #[test]
    fn a_late_answer_ends_the_hold() {
        let mut entry = Entry::asked_for(at(0));
        for ms in [1_000, 2_000, 3_000] {
            send(&mut entry, ms);
        }
        assert!(entry.learn(Some(MAC), Advice::Answer, at(3_500)));
        assert_eq!(send(&mut entry, 3_600), Lookup::Known(MAC));
    }

    #[test]
    fn rfc4861_7_3_3_what_is_stale_is_used_and_asked_after_a_delay() {
        let mut entry = reachable();
        assert_eq!(send(&mut entry, 29_999), Lookup::Known(MAC));
        assert_eq!(send(&mut entry, 30_000), Lookup::Known(MAC), "DELAY begins");
        assert_eq!(send(&mut entry, 34_999), Lookup::Known(MAC));
        assert_eq!(send(&mut entry, 35_000), Lookup::Verify(MAC), "PROBE");
        assert_eq!(send(&mut entry, 35_500), Lookup::Known(MAC));
        assert!(!entry.learn(Some(MAC), Advice::Answer, at(35_600)), "nothing has changed");
        assert_eq!(send(&mut entry, 65_599), Lookup::Known(MAC));
        assert_eq!(send(&mut entry, 65_600), Lookup::Known(MAC), "DELAY again");
    }

    #[test]
    fn rfc4861_7_3_1_advice_from_above_saves_the_probe() {
        let mut entry = reachable();
        send(&mut entry, 30_000);
        entry.confirm(MAC, at(31_000));
        assert_eq!(send(&mut entry, 36_000), Lookup::Known(MAC), "REACHABLE, not PROBE");
        assert_eq!(send(&mut entry, 60_999), Lookup::Known(MAC));
        entry.confirm(OTHER, at(60_999));
        send(&mut entry, 61_000);
        assert_eq!(send(&mut entry, 66_000), Lookup::Verify(MAC), "of another it says nothing");
    }

    #[test]
    fn rfc4861_7_3_3_three_probes_without_an_answer_forget_the_mac() {
        let mut entry = reachable();
        for ms in [30_000, 31_000, 32_000] {
            assert_eq!(doubt(&mut entry, ms), Lookup::Verify(MAC));
        }
        assert_eq!(doubt(&mut entry, 33_000), Lookup::AskNow);
        assert_eq!(doubt(&mut entry, 33_001), Lookup::Pending);
    }

    #[test]
    fn rfc1122_4_2_3_5_a_doubt_is_probed_at_once() {
        let mut entry = reachable();
        assert_eq!(doubt(&mut entry, 999), Lookup::Known(MAC), "it has just answered");
        assert_eq!(doubt(&mut entry, 1_000), Lookup::Verify(MAC));
        assert_eq!(doubt(&mut entry, 1_500), Lookup::Known(MAC));
    }

    #[test]
    fn rfc4861_7_2_5_without_override_a_known_mac_is_kept_and_doubted() {
        let mut entry = reachable();
        for advice in [Advice::WeakAnnouncement, Advice::WeakAnswer] {
            assert!(!entry.learn(Some(OTHER), advice, at(100)));
            assert_eq!(send(&mut entry, 101), Lookup::Known(MAC));
        }
        assert_eq!(send(&mut entry, 5_101), Lookup::Verify(MAC), "it was STALE");
    }

    #[test]
    fn rfc4861_7_2_5_with_override_a_new_mac_is_used_and_verified() {
        let mut entry = reachable();
        for ms in [98, 99, 100] {
            let advice = [Advice::Announcement, Advice::Answer][ms % 2];
            assert!(!entry.learn(Some(OTHER), advice, at(ms as u64)), "nobody asked");
        }
        assert_eq!(send(&mut entry, 101), Lookup::Known(OTHER));
        assert_eq!(send(&mut entry, 5_101), Lookup::Verify(OTHER));
        assert!(!entry.learn(None, Advice::Answer, at(5_102)), "the same, without its MAC");
        assert_eq!(send(&mut entry, 35_101), Lookup::Known(OTHER));
    }

    #[test]
    fn an_answer_with_another_mac_makes_the_address_known_anew() {
        let mut entry = reachable();
        assert_eq!(doubt(&mut entry, 1_000), Lookup::Verify(MAC));
        assert!(entry.learn(Some(OTHER), Advice::Answer, at(1_001)));
        assert_eq!(send(&mut entry, 1_002), Lookup::Known(OTHER));
    }

    #[test]
    fn rfc4861_7_2_5_an_announcement_does_not_prolong_what_is_known() {
        let mut entry = reachable();
        entry.learn(Some(MAC), Advice::Announcement, at(20_000));
        send(&mut entry, 30_000);
        assert_eq!(send(&mut entry, 35_000), Lookup::Verify(MAC));
    }

    #[test]
    fn rfc4861_7_2_5_an_answer_without_a_mac_does_not_complete() {
        let mut entry = Entry::asked_for(at(0));
        assert!(!entry.learn(None, Advice::Answer, at(1)));
        assert_eq!(send(&mut entry, 2), Lookup::Pending);
    }
}
