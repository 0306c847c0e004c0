//! The keys of cookies: which one is in force in which step, readable by any thread at any time.
//!
//! A key comes into force at the beginning of a step, the same for everyone who reads, and the key
//! of a step never changes afterwards. So a cookie needs not say which key made it; a cookie of the
//! step before a change is still checked with the key of that step; and it doesn't matter at which
//! moment a reader learns of a new key, as long as that is before its step begins.
//!
//! The keys are in a ring. The one writer fills a slot that no reader looks at, then publishes its
//! number: no reader ever waits, tries again or sees half a key. The slot is written anew [`RING`]
//! changes later, and readers look at the newest [`LOOK_BACK`] only: a reader would have to stand
//! still for two changes in the middle of a look-up to see a torn key, and then one handshake would
//! fail.

#[cfg(not(all(loom, test)))]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;

#[cfg(all(loom, test))]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use siphasher::sip::SipHasher24;

use super::{Tuple, step_at};
use crate::time::Instant;
use crate::wire::{Addr, Seq};

/// Keys kept.
const RING: u32 = 8;
/// Keys that a reader looks at: two may be to come, one is in force, one was in the step before.
const LOOK_BACK: u32 = 6;

/// A secret of 128 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl Key {
    /// From bytes that must be random and secret.
    pub const fn new(bytes: [u8; 16]) -> Key {
        Key(bytes)
    }

    /// The low half of the hash that protects a cookie.
    pub(super) fn mac(&self, tuple: &Tuple, irs: Seq, step: u32, options: u16) -> u32 {
        let mut input = [0; 48];
        let at = addresses(tuple, &mut input);
        let first = ports(tuple) << 32 | u64::from(irs.0);
        let second = u64::from(step) | u64::from(options) << 32;
        input[at..at + 8].copy_from_slice(&first.to_be_bytes());
        input[at + 8..at + 16].copy_from_slice(&second.to_le_bytes());
        self.hash(&input[..at + 14])
    }

    /// Origin of the timestamps of this four-tuple.
    pub(super) fn origin(&self, tuple: &Tuple) -> u32 {
        let mut input = [0; 48];
        let at = addresses(tuple, &mut input);
        input[at..at + 8].copy_from_slice(&(ports(tuple) << 32).to_be_bytes());
        self.hash(&input[..at + 4])
    }

    fn hash(&self, input: &[u8]) -> u32 {
        SipHasher24::new_with_key(&self.0).hash(input) as u32
    }

    /// As two words, the way SipHash takes them.
    fn words(&self) -> [u64; 2] {
        let (low, high) = self.0.split_at(8);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
        [word(low), word(high)]
    }

    fn from_words([low, high]: [u64; 2]) -> Key {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[8..].copy_from_slice(&high.to_le_bytes());
        Key(bytes)
    }
}

impl core::fmt::Debug for Key {
    /// Keeps the key to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Writes them as they lie in packets of the client; returns how many bytes that are. In the words
/// that the hash reads, as all of its input: a word of parts just written has to wait for them.
fn addresses(tuple: &Tuple, out: &mut [u8; 48]) -> usize {
    let (remote, local) = (&tuple.remote.0, &tuple.local.0);
    if tuple.local.is_v4() {
        let word = |addr: Addr| u64::from(u32::from_be_bytes(addr.low()));
        let both = word(tuple.remote) << 32 | word(tuple.local);
        out[..8].copy_from_slice(&both.to_be_bytes());
        return 8;
    }
    out[..16].copy_from_slice(remote);
    out[16..32].copy_from_slice(local);
    32
}

/// Both, as they lie in packets of the client.
fn ports(tuple: &Tuple) -> u64 {
    u64::from(tuple.remote_port) << 16 | u64::from(tuple.local_port)
}

/// One slot of the ring, as it is mirrored elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// The first step in which the key is in force.
    pub from_step: u32,
    /// The key as two little-endian words.
    pub words: [u64; 2],
}

#[derive(Debug, Default)]
struct Slot {
    from_step: AtomicU32,
    words: [AtomicU64; 2],
}

/// The keys as readers see them.
pub struct CookieKeys {
    /// Number of the newest key; its slot is this modulo [`RING`].
    newest: AtomicU32,
    slots: [Slot; RING as usize],
    unix_ms_at_zero: AtomicU64,
}

impl core::fmt::Debug for CookieKeys {
    /// Keeps the keys to itself.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CookieKeys").field("newest", &self.newest).finish_non_exhaustive()
    }
}

impl CookieKeys {
    /// One key, in force in every step, and a clock that says zero at [`Instant::ZERO`]: for
    /// engines that share nothing with others.
    pub fn fixed(key: Key) -> Arc<CookieKeys> {
        KeyWriter::new(key).keys()
    }

    /// The key in force in `step`.
    pub fn key_at(&self, step: u32) -> Key {
        let newest = self.newest.load(Ordering::Acquire);
        let back = (0..LOOK_BACK).find(|back| self.slot(newest, *back).from_step <= step);
        Key::from_words(self.slot(newest, back.unwrap_or(LOOK_BACK - 1)).words)
    }

    fn slot(&self, newest: u32, back: u32) -> PublishedKey {
        let slot = &self.slots[(newest.wrapping_sub(back) % RING) as usize];
        PublishedKey {
            from_step: slot.from_step.load(Ordering::Relaxed),
            words: [0, 1].map(|n| slot.words[n].load(Ordering::Relaxed)),
        }
    }

    /// Origin of the timestamps of a connection that is opened now: what a cookie's would be.
    pub(crate) fn timestamp_origin(&self, tuple: &Tuple, unix_ms: u64) -> u32 {
        self.key_at(step_at(unix_ms)).origin(tuple)
    }

    /// UNIX time in milliseconds at a moment of the engine's clock.
    pub fn unix_ms(&self, now: Instant) -> u64 {
        now.millis() + self.unix_ms_at_zero.load(Ordering::Relaxed)
    }

    /// What to add to the engine's millisecond clock to get UNIX time.
    pub fn unix_ms_at_zero(&self) -> u64 {
        self.unix_ms_at_zero.load(Ordering::Relaxed)
    }

    /// The whole ring for whoever keeps a copy: the number of the newest, and the slots in place.
    pub fn published(&self) -> (u32, [PublishedKey; RING as usize]) {
        let newest = self.newest.load(Ordering::Acquire);
        (newest, core::array::from_fn(|n| self.slot(n as u32, 0)))
    }
}

/// A key was to come into force no later than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("keys change once a step at most, and in order: the newest is in force from step {newest}")]
pub struct TooSoon {
    /// First step of the newest key.
    pub newest: u32,
}

/// The one who changes the keys.
#[derive(Debug)]
pub struct KeyWriter(Arc<CookieKeys>);

impl KeyWriter {
    /// Starts with one key, in force in every step.
    pub fn new(key: Key) -> KeyWriter {
        let keys = CookieKeys {
            newest: AtomicU32::new(0),
            slots: Default::default(),
            unix_ms_at_zero: AtomicU64::new(0),
        };
        // Before anyone can read: all slots hold it, so that none is ever empty.
        for slot in &keys.slots {
            fill(slot, 0, key);
        }
        KeyWriter(Arc::new(keys))
    }

    /// What readers share.
    pub fn keys(&self) -> Arc<CookieKeys> {
        Arc::clone(&self.0)
    }

    /// Says what UNIX time it was, in milliseconds, at [`Instant::ZERO`].
    pub fn set_clock(&mut self, unix_ms_at_zero: u64) {
        self.0.unix_ms_at_zero.store(unix_ms_at_zero, Ordering::Relaxed);
    }

    /// The first step of the newest key.
    pub fn newest_step(&self) -> u32 {
        let newest = self.0.newest.load(Ordering::Relaxed);
        self.0.slot(newest, 0).from_step
    }

    /// Puts `key` into force from `from_step` on. Cookies made before it go on being accepted for
    /// their two steps. `from_step` should lie two steps ahead, so that everyone who has a copy
    /// learns of it in time; and no further, as readers look past two coming keys at most.
    ///
    /// # Errors
    /// [`TooSoon`] if `from_step` is not after that of the newest key; nothing changes then.
    pub fn rotate(&mut self, key: Key, from_step: u32) -> Result<(), TooSoon> {
        let newest_step = self.newest_step();
        if from_step <= newest_step {
            return Err(TooSoon { newest: newest_step });
        }
        let next = self.0.newest.load(Ordering::Relaxed).wrapping_add(1);
        fill(&self.0.slots[(next % RING) as usize], from_step, key);
        self.0.newest.store(next, Ordering::Release);
        Ok(())
    }
}

fn fill(slot: &Slot, from_step: u32, key: Key) {
    for (place, word) in slot.words.iter().zip(key.words()) {
        place.store(word, Ordering::Relaxed);
    }
    slot.from_step.store(from_step, Ordering::Relaxed);
}

#[cfg(all(loom, test))]
mod loom_tests {
    use super::*;

    #[test]
    fn loom_two_changes_during_a_look_up_tear_no_key() {
        loom::model(|| {
            let mut writer = KeyWriter::new(Key::new([0; 16]));
            // The ring has gone round: the changes to come overwrite keys that were in force.
            for n in 1..=7 {
                writer.rotate(Key::new([n; 16]), u32::from(n) * 10).expect("in order");
            }
            let keys = writer.keys();
            let reader = loom::thread::spawn(move || (keys.key_at(72), keys.key_at(45)));
            writer.rotate(Key::new([8; 16]), 80).expect("in order");
            writer.rotate(Key::new([9; 16]), 90).expect("in order");
            let (newest, older) = reader.join().expect("no panic");
            assert!(newest == Key::new([7; 16]) && older == Key::new([4; 16]));
        });
    }

    #[test]
    fn loom_a_key_is_whole_from_its_step_on() {
        loom::model(|| {
            let mut writer = KeyWriter::new(Key::new([0; 16]));
            let keys = writer.keys();
            let reader = loom::thread::spawn(move || keys.key_at(10));
            writer.rotate(Key::new([1; 16]), 10).expect("in order");
            let seen = reader.join().expect("no panic");
            assert!(seen == Key::new([0; 16]) || seen == Key::new([1; 16]));
        });
    }
}
