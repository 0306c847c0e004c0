//! Initial sequence numbers and timestamp offsets that outsiders can't predict (RFC 6528, RFC
//! 7323).
//!
//! ```text
//! ISN = M + F(local, remote, key)        M: a 4 µs clock        RFC 6528 section 3
//! ```
//!
//! The clock keeps a new connection of the same four-tuple clear of old segments of the one before
//! (RFC 9293 section 3.4.1); the keyed hash puts each four-tuple in a sequence space of its own, so
//! that the numbers of one's own connections say nothing about another's. The same hash gives each
//! four-tuple its own origin of timestamps (RFC 7323 section 7.1), so that they tell neither the
//! uptime nor, across addresses, which ones are one host.
//!
//! F is SipHash-2-4, a pseudorandom function: of its 64 bits the lower half goes to the ISN and the
//! upper half to the timestamps; neither can be computed from the other. Blind injection against
//! one connection is left with guessing: 2^32 for the exact number, and a segment need only hit the
//! window.

use crate::time::Instant;
use crate::wire::Addr;
use siphasher::sip::SipHasher24;

/// Nanoseconds in which the ISN clock advances by one (RFC 9293 section 3.4.1).
const ISN_CLOCK_NANOS: u64 = 4_000;

/// Makes initial sequence numbers and timestamp offsets from a secret key.
#[derive(Clone)]
pub struct IsnGenerator {
    keyed: SipHasher24,
}

impl IsnGenerator {
    /// A generator under `key`, which must be random, secret, and new at each start (RFC 6528
    /// section 3 asks that it is not to be learnt; the clock starts anew with the process).
    pub fn new(key: [u8; 16]) -> IsnGenerator {
        IsnGenerator { keyed: SipHasher24::new_with_key(&key) }
    }

    /// The initial sequence number for a connection that starts `now` (RFC 6528 section 3).
    ///
    /// Addresses are IPv6, or IPv4 in v4-mapped form.
    pub fn isn(
        &self,
        now: Instant,
        local: [u8; 16],
        local_port: u16,
        remote: [u8; 16],
        remote_port: u16,
    ) -> u32 {
        let clock = (now.nanos() / ISN_CLOCK_NANOS) as u32;
        clock.wrapping_add(self.hash(local, local_port, remote, remote_port) as u32)
    }

    /// What to add to the timestamp clock for this four-tuple (RFC 7323 section 7.1).
    ///
    /// It stays the same for all connections of a four-tuple, so that timestamps grow from one to
    /// the next and TIME-WAIT can be left early for a newer one (RFC 6191).
    pub fn timestamp_offset(
        &self,
        local: [u8; 16],
        local_port: u16,
        remote: [u8; 16],
        remote_port: u16,
    ) -> u32 {
        (self.hash(local, local_port, remote, remote_port) >> 32) as u32
    }

    fn hash(&self, local: [u8; 16], local_port: u16, remote: [u8; 16], remote_port: u16) -> u64 {
        if let (Some(local), Some(remote)) = (Addr(local).v4(), Addr(remote).v4()) {
            // Less to hash; the length, which is hashed too, tells the families apart.
            let [local, remote] = [local, remote].map(|v4| u128::from(u32::from_be_bytes(v4)));
            let ports = u128::from(local_port) << 16 | u128::from(remote_port);
            // In the words that the hash will read.
            let tuple = local << 96 | remote << 64 | ports << 32;
            return self.keyed.hash(&tuple.to_be_bytes()[..12]);
        }
        let mut tuple = [0; 36];
        tuple[..16].copy_from_slice(&local);
        tuple[16..18].copy_from_slice(&local_port.to_be_bytes());
        tuple[18..34].copy_from_slice(&remote);
        tuple[34..].copy_from_slice(&remote_port.to_be_bytes());
        self.keyed.hash(&tuple)
    }
}

impl core::fmt::Debug for IsnGenerator {
    /// Keeps the key to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("IsnGenerator").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use std::collections::HashSet;

    const LOCAL: [u8; 16] = [1; 16];
    const REMOTE: [u8; 16] = [2; 16];

    fn generator() -> IsnGenerator {
        IsnGenerator::new(*b"sixteen byte key")
    }

    type Call = (IsnGenerator, [u8; 16], u16, [u8; 16], u16);

    /// A call, and eight others: one field or the key differs in a bit, or the direction does.
    fn variants() -> Vec<Call> {
        let flip = |mut a: [u8; 16], at: usize| {
            a[at] ^= 1;
            a
        };
        vec![
            (generator(), LOCAL, 80, REMOTE, 4_000),
            (IsnGenerator::new(*b"sixteen-byte key"), LOCAL, 80, REMOTE, 4_000),
            (generator(), flip(LOCAL, 0), 80, REMOTE, 4_000),
            (generator(), flip(LOCAL, 15), 80, REMOTE, 4_000),
            (generator(), LOCAL, 81, REMOTE, 4_000),
            (generator(), LOCAL, 80, flip(REMOTE, 0), 4_000),
            (generator(), LOCAL, 80, flip(REMOTE, 15), 4_000),
            (generator(), LOCAL, 80, REMOTE, 4_001),
            (generator(), REMOTE, 4_000, LOCAL, 80),
        ]
    }

    #[test]
    fn rfc9293_3_4_1_the_isn_advances_by_one_every_four_microseconds() {
        let isn = |now| generator().isn(now, LOCAL, 80, REMOTE, 4_000);
        let start = Instant::from_millis(12_345);
        for (after_ns, ticks) in [(0, 0), (3_999, 0), (4_000, 1), (1_000_000_000, 250_000)] {
            let later = isn(start + Duration::from_nanos(after_ns));
            assert_eq!(later.wrapping_sub(isn(start)), ticks, "after {after_ns} ns");
        }
        // The clock's cycle: 2^32 times 4 µs, about 4.77 hours.
        let cycle = Duration::from_nanos(ISN_CLOCK_NANOS << 32);
        assert_eq!(isn(start + cycle), isn(start));
    }

    #[test]
    fn rfc6528_3_every_part_of_the_tuple_and_the_key_chooses_the_sequence_space() {
        let isns: HashSet<u32> = variants()
            .into_iter()
            .map(|(g, l, lp, r, rp)| g.isn(Instant::from_millis(5), l, lp, r, rp))
            .collect();
        assert_eq!(isns.len(), 9);
    }

    #[test]
    fn rfc7323_7_1_every_tuple_has_its_own_timestamp_origin() {
        let offsets: HashSet<u32> = variants()
            .into_iter()
            .map(|(g, l, lp, r, rp)| g.timestamp_offset(l, lp, r, rp))
            .collect();
        assert_eq!(offsets.len(), 9);
    }

    #[test]
    fn the_function_is_siphash_2_4_split_in_halves() {
        let mut tuple = [1u8; 36];
        tuple[16..18].copy_from_slice(&[0, 80]);
        tuple[18..34].fill(2);
        tuple[34..].copy_from_slice(&[0x0f, 0xa0]);
        let f = SipHasher24::new_with_key(b"sixteen byte key").hash(&tuple);
        assert_eq!(generator().isn(Instant::ZERO, LOCAL, 80, REMOTE, 4_000), f as u32);
        let offset = generator().timestamp_offset(LOCAL, 80, REMOTE, 4_000);
        assert_eq!(offset, (f >> 32) as u32);
    }

    #[test]
    fn of_ipv4_only_what_is_not_the_same_for_all_is_hashed() {
        let mapped = |last: u8| {
            let mut addr = [0; 16];
            addr[10..].copy_from_slice(&[0xff, 0xff, 10, 9, 0, last]);
            addr
        };
        let tuple = [10, 9, 0, 1, 10, 9, 0, 2, 0, 80, 0x0f, 0xa0];
        let f = SipHasher24::new_with_key(b"sixteen byte key").hash(&tuple);
        let isn = generator().isn(Instant::ZERO, mapped(1), 80, mapped(2), 4_000);
        assert_eq!(isn, f as u32);
        let mixed = generator().isn(Instant::ZERO, mapped(1), 80, REMOTE, 4_000);
        assert_ne!(isn, mixed);
    }

    #[test]
    fn debug_output_does_not_show_the_key() {
        assert_eq!(format!("{:?}", generator()), "IsnGenerator { .. }");
    }
}
