//! Flood mode, from the server's side: memory shared with the XDP program.
//!
//! Everything in it is an atomic of its own, stored by one thread or by read-modify-write; nothing
//! is ever locked, and no system call is made after the start. bpf/maps.h has the same layout.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::mapping::Mapping;
use crate::device::SynAckOffer;
use crate::tcp::cookie::{CookieKeys, Tuple};
use crate::wire::Addr;

const KEY_RING: usize = 8;
const MAX_QUEUES: usize = 256;
const FILTER_SECRETS: usize = 10;
/// log2 of the filter's counters.
const KNOWN_SHIFT: u32 = 21;
/// A counter that has reached this stays there: its flow is perhaps known for ever.
const STUCK: u8 = u8::MAX;

const OFFER_SCALES: u64 = 1 << 56;
const OFFER_SACK: u64 = 1 << 57;
const OFFER_TIMESTAMPS: u64 = 1 << 58;
const OFFER_CLASSIC_ECN: u64 = 1 << 61;
const OFFER_ACCURATE_ECN: u64 = 1 << 62;
const TAKES_PARTIAL: u64 = 1 << 59;
const ANSWERS: u64 = 1 << 60;

/// Milliseconds in 2^14 ns, times 2^34, rounded down.
const CLOCK_RATE: u64 = ((1u128 << 48) / 1_000_000) as u64;

#[repr(C)]
struct KeySlot {
    from_step: AtomicU32,
    zero: u32,
    words: [AtomicU64; 2],
}

#[repr(C)]
struct Clock {
    at_ns: AtomicU64,
    unix_ms: AtomicU64,
    rate: AtomicU64,
}

/// `struct flood_state`.
#[repr(C)]
struct State {
    newest_key: AtomicU32,
    newest_clock: AtomicU32,
    keys: [KeySlot; KEY_RING],
    clocks: [Clock; 2],
    offer: AtomicU64,
    filter_secrets: [AtomicU64; FILTER_SECRETS],
    flooded: [AtomicU8; MAX_QUEUES],
}

const _: () = assert!(size_of::<State>() == 592 && size_of::<State>() <= 4_096);

/// What the XDP program needs to stand before a queue that is flooded: keys, clock, what to offer,
/// which flows are known, and which queues want it.
#[derive(Debug)]
pub struct Shield {
    state: Mapping,
    known: Mapping,
    secrets: [u64; FILTER_SECRETS],
    answers: AtomicBool,
}

impl Shield {
    /// Maps the two maps of a loaded program. `answers`: XDP_TX works where it is attached.
    pub(super) fn new(
        flood: BorrowedFd<'_>,
        known: BorrowedFd<'_>,
        answers: bool,
    ) -> io::Result<Shield> {
        let shield = Shield {
            state: Mapping::of_file(flood, 0, 4_096)?,
            known: Mapping::of_file(known, 0, 1 << KNOWN_SHIFT)?,
            secrets: random()?,
            answers: AtomicBool::new(answers),
        };
        for (place, secret) in shield.state().filter_secrets.iter().zip(shield.secrets) {
            place.store(secret, Ordering::Relaxed);
        }
        Ok(shield)
    }

    fn state(&self) -> &State {
        // SAFETY: a page is mapped, aligned as such, for as long as `self` lives; it began as
        // zeros, and every bit pattern is a value of these atomics; the XDP program only reads.
        unsafe { self.state.at::<State>(0, 1).as_ref() }
    }

    fn counters(&self) -> &[AtomicU8] {
        let len = 1 << KNOWN_SHIFT;
        // SAFETY: so many bytes are mapped for as long as `self` lives, and nobody has them but as
        // atomics or, in the XDP program, to read.
        unsafe { core::slice::from_raw_parts(self.known.at::<AtomicU8>(0, len).as_ptr(), len) }
    }

    /// Whether the XDP program answers SYNs itself. If not, it leaves that to the engine, and only
    /// drops what is of no use: on the generic hook, and on veth, which takes what is sent back by
    /// XDP_TX for delivered even where the other end never looks at it.
    pub fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Overrides that, from the next flood on: veth delivers if an XDP program is attached to the
    /// driver's hook of the other end too.
    pub fn set_answers(&self, answers: bool) {
        self.answers.store(answers, Ordering::Relaxed);
    }

    /// Hands the XDP program the keys. To be called at the start and after each change, before it
    /// is in force; by one thread at a time.
    pub fn publish_keys(&self, keys: &CookieKeys) {
        let (newest, slots) = keys.published();
        let state = self.state();
        for (place, slot) in state.keys.iter().zip(slots) {
            for (word, value) in place.words.iter().zip(slot.words) {
                word.store(value, Ordering::Relaxed);
            }
            place.from_step.store(slot.from_step, Ordering::Relaxed);
        }
        state.newest_key.store(newest, Ordering::Release);
    }

    /// The clock that the XDP program reads: nanoseconds of the monotonic one.
    pub fn monotonic_ns() -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a plain structure that lives until the call returns; this clock always exists.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    /// Sets the XDP program's clock: `unix_ms` milliseconds of UNIX time at `at_ns` of the
    /// monotonic clock. To be called again within days, or whenever UNIX time was set; by one
    /// thread at a time.
    pub fn set_clock(&self, at_ns: u64, unix_ms: u64) {
        self.put_clock(at_ns, unix_ms, CLOCK_RATE);
    }

    /// Stops the XDP program's clock at this moment: for tests.
    pub fn stop_clock(&self, unix_ms: u64) {
        self.put_clock(0, unix_ms, 0);
    }

    fn put_clock(&self, at_ns: u64, unix_ms: u64, rate: u64) {
        let state = self.state();
        let next = state.newest_clock.load(Ordering::Relaxed).wrapping_add(1);
        let clock = &state.clocks[(next & 1) as usize];
        clock.at_ns.store(at_ns, Ordering::Relaxed);
        clock.unix_ms.store(unix_ms, Ordering::Relaxed);
        clock.rate.store(rate, Ordering::Relaxed);
        state.newest_clock.store(next, Ordering::Release);
    }

    /// Says whether the engine of `queue` is flooded, and what its SYN-ACKs offer.
    pub fn flood(&self, queue: u32, offer: Option<&SynAckOffer>, takes_partial: bool) {
        if let Some(offer) = offer {
            self.state().offer.store(self.offer_word(offer, takes_partial), Ordering::Relaxed);
        }
        if let Some(flooded) = self.state().flooded.get(queue as usize) {
            flooded.store(u8::from(offer.is_some()), Ordering::Release);
        }
    }

    fn offer_word(&self, offer: &SynAckOffer, takes_partial: bool) -> u64 {
        let flag = |on: bool, flag: u64| if on { flag } else { 0 };
        u64::from(offer.mss_v4)
            | u64::from(offer.mss_v6) << 16
            | u64::from(offer.window) << 32
            | u64::from(offer.window_scale.unwrap_or(0)) << 48
            | flag(offer.window_scale.is_some(), OFFER_SCALES)
            | flag(offer.sack, OFFER_SACK)
            | flag(offer.timestamps, OFFER_TIMESTAMPS)
            | flag(offer.classic_ecn, OFFER_CLASSIC_ECN)
            | flag(offer.accurate_ecn, OFFER_ACCURATE_ECN)
            | flag(takes_partial, TAKES_PARTIAL)
            | flag(self.answers(), ANSWERS)
    }

    /// Counts a flow in (`known`) or out of the filter. Any thread may do so, for its own flows.
    pub fn note(&self, tuple: &Tuple, known: bool) {
        let counter = &self.counters()[self.place(tuple)];
        let change = |count: u8| match (count, known) {
            (STUCK, _) | (0, false) => None,
            (count, true) => Some(count + 1),
            (count, false) => Some(count - 1),
        };
        let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Whether the filter has this flow, or one that looks like it.
    pub fn may_know(&self, tuple: &Tuple) -> bool {
        self.counters()[self.place(tuple)].load(Ordering::Relaxed) > 0
    }

    fn place(&self, tuple: &Tuple) -> usize {
        let words = |addr: &Addr| {
            let (chunks, _) = addr.0.as_chunks::<4>();
            [0, 1, 2, 3].map(|n| u64::from(u32::from_ne_bytes(chunks[n])))
        };
        let port = |port: u16| u32::from(u16::from_ne_bytes(port.to_be_bytes()));
        let ports = port(tuple.remote_port) | port(tuple.local_port) << 16;
        let (remote, local) = (words(&tuple.remote), words(&tuple.local));
        let secret = |n: usize, word: u64| self.secrets[n].wrapping_mul(word);
        let mut sum = self.secrets[0].wrapping_add(secret(1, ports.into()));
        sum = sum.wrapping_add(secret(2, remote[3])).wrapping_add(secret(3, local[3]));
        if !tuple.local.is_v4() {
            for n in 0..3 {
                sum = sum.wrapping_add(secret(4 + n, remote[n]));
                sum = sum.wrapping_add(secret(7 + n, local[n]));
            }
        }
        (sum >> (u64::BITS - KNOWN_SHIFT)) as usize
    }
}

/// What one queue's device tells the shield.
#[derive(Debug)]
pub(super) struct QueueShield {
    pub(super) shield: Arc<Shield>,
    pub(super) queue: u32,
    pub(super) takes_partial: bool,
}

impl Drop for QueueShield {
    /// Whoever listens next, or the kernel, is not flooded.
    fn drop(&mut self) {
        self.shield.flood(self.queue, None, self.takes_partial);
    }
}

fn random() -> io::Result<[u64; FILTER_SECRETS]> {
    let mut words = [0u64; FILTER_SECRETS];
    let len = size_of_val(&words);
    // SAFETY: the kernel writes at most `len` bytes to an array that has so many.
    let got = unsafe { libc::getrandom(words.as_mut_ptr().cast(), len, 0) };
    if got == len as isize { Ok(words) } else { Err(io::Error::last_os_error()) }
}
