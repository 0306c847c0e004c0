//! Handshakes of which nothing is kept, and when the driver is to help.
//!
//! Beyond a number of half-open connections a SYN is answered with a cookie, and the segment that
//! brings it back makes the connection. The device is told when that begins and ends: if its driver
//! can, it answers SYNs itself, so that they cost no frame. Cookies are accepted at any time, by
//! whoever they were made: another core, the driver, another machine with the same keys, or this
//! server before it was started again.

use std::sync::Arc;

use super::config::{EngineConfig, Overflow, SynCookies};
use super::counters::Counter;
use super::flow::{Flow, Hop};
use super::handshake::HalfOpenEntry;
use super::io::Io;
use super::listeners::ListenerId;
use super::send::syn_window;
use super::{Engine, Target};
use crate::app::App;
use crate::device::{Device, Frame, SynAckOffer};
use crate::tcp::HalfOpen;
use crate::tcp::cookie::{CookieKeys, Key, Tuple, step_at};
use crate::time::Instant;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

/// A flood counts as over when half-open connections are down to one part of so many of where it
/// began.
const CALM_DIVISOR: u32 = 2;
/// Counter steps after the last cookie in which one can come back.
const STEPS: u32 = 2;

pub(super) struct Cookies {
    keys: Arc<CookieKeys>,
    when: SynCookies,
    bad_ack: Overflow,
    /// Half-open connections from which on there are cookies.
    at: u32,
    /// The device was told of a flood.
    flooded: bool,
    /// The step in which the last cookie may have been sent.
    last_step: Option<u32>,
}

impl Cookies {
    pub(super) fn new(config: &EngineConfig) -> Cookies {
        let keys = config.cookies.keys.clone();
        let limits = &config.limits;
        Cookies {
            keys: keys.unwrap_or_else(|| CookieKeys::fixed(key_from(&config.secret))),
            when: config.cookies.when,
            bad_ack: config.cookies.bad_ack,
            at: limits.syn_cookies_at.min(limits.half_open),
            flooded: false,
            last_step: None,
        }
    }

    /// Timestamps of a connection's segments are the clock plus this. It is the same with and
    /// without a cookie, so that they grow from one connection of a four-tuple to the next (RFC
    /// 7323 section 7.1).
    pub(super) fn timestamp_offset(&self, tuple: &Tuple, now: Instant) -> u32 {
        let origin = self.keys.timestamp_origin(tuple, self.keys.unix_ms(now));
        origin.wrapping_add(self.keys.unix_ms_at_zero() as u32)
    }

    /// Whether a cookie was sent so recently that it may still come back.
    fn recently_sent(&self, now: Instant) -> bool {
        let step = step_at(self.keys.unix_ms(now));
        self.flooded || self.last_step.is_some_and(|last| step.wrapping_sub(last) < STEPS)
    }
}

/// One half of the secret hashed under the other: neither of the keys that they are elsewhere.
fn key_from(secret: &[u8; 32]) -> Key {
    use core::hash::Hasher;
    let (mut first, mut second) = ([0; 16], [0; 16]);
    first.copy_from_slice(&secret[..16]);
    second.copy_from_slice(&secret[16..]);
    let mut key = [0; 16];
    for (half, label) in key.chunks_exact_mut(8).zip([b"cookie 1", b"cookie 2"]) {
        let mut sip = siphasher::sip::SipHasher24::new_with_key(&first);
        sip.write(label);
        sip.write(&second);
        half.copy_from_slice(&sip.finish().to_le_bytes());
    }
    Key::new(key)
}

/// The flow by addresses.
pub(super) fn tuple<D>(flow: &Flow, io: &Io<D>) -> Tuple {
    Tuple {
        local: io.locals[usize::from(flow.local)].cidr.addr,
        remote: flow.remote,
        local_port: flow.local_port,
        remote_port: flow.remote_port,
    }
}

impl<A: App, D: Device> Engine<A, D> {
    /// Whether a SYN is to be answered with a cookie. After an earlier connection (`after`) that is
    /// the second choice: a cookie's sequence number can't be put above that connection's.
    pub(super) fn wants_cookie(&self, listener: ListenerId, after: Option<Seq>) -> bool {
        let listeners = &self.admission.listeners;
        let many = match self.cookies.when {
            SynCookies::Off => false,
            SynCookies::Auto => listeners.half_open(listener) >= self.cookies.at,
            SynCookies::Always => true,
        };
        many && (after.is_none() || listeners.half_open_is_full(listener))
    }

    /// Answers a SYN and forgets it.
    pub(super) fn send_cookie(&mut self, syn: &Segment, flow: &Flow, hop: Hop, after: Option<Seq>) {
        let io = &self.io;
        let tuple = tuple(flow, io);
        let keys = &self.cookies.keys;
        let state = HalfOpen::in_cookie(syn, keys, &tuple, &io.offer(flow.remote.is_v4()), io.now);
        if after.is_some_and(|after| !state.iss.after(after)) {
            // The client tries again, and finds room or another cookie.
            self.io.counters.inc(Counter::DropHalfOpenFull);
            return self.io.counters.inc(Counter::ListenDrops);
        }
        self.cookies.last_step = Some(step_at(keys.unix_ms(io.now)));
        self.io.counters.inc(Counter::SynCookiesSent);
        self.send_syn_ack(&HalfOpenEntry { flow: *flow, hop, state });
    }

    /// A segment for a listener, of no connection. Takes the frame if it brings a cookie back.
    pub(super) fn cookie_arrives(
        &mut self,
        frame: Frame,
        segment: &Segment,
        flow: &Flow,
        hop: Hop,
        hash: u64,
        listener: ListenerId,
    ) -> Option<Frame> {
        let flags = segment.flags & (Flags::ACK | Flags::SYN | Flags::RST);
        if self.cookies.when == SynCookies::Off || flags != Flags::ACK {
            return Some(frame);
        }
        let io = &self.io;
        let tuple = tuple(flow, io);
        let offer = io.offer(flow.remote.is_v4());
        let cookie = HalfOpen::from_cookie(segment, &self.cookies.keys, &tuple, &offer, io.now);
        let Some(state) = cookie else { return Some(frame) };
        if segment.payload_len > 0 && self.mailbox.has_others() && io.device.may_know(&tuple) {
            // The first data, sent again by another way: the connection is on another core.
            return Some(frame);
        }
        if let Some(counter) = self.newcomer_refusal(listener, flow.remote) {
            self.io.pool.release(frame);
            self.refuse(counter, segment, flow, hop);
            return None;
        }
        let entry = HalfOpenEntry { flow: *flow, hop, state };
        let Some(slot) = self.accepted_slot(&entry, segment, hop) else { return Some(frame) };
        if !self.know_flow(hash, Target::Connection(slot), flow) {
            self.give_slot_back(slot);
            return Some(frame);
        }
        self.io.counters.inc(Counter::SynCookiesReceived);
        self.enqueue(slot, Some(listener), flow.remote);
        self.first_arrives(slot, frame, segment, hop);
        None
    }

    /// An ACK for a listener brought no cookie back: whether it is dropped without a word.
    pub(super) fn cookie_fails(&mut self) -> bool {
        if self.cookies.when == SynCookies::Off || !self.cookies.recently_sent(self.io.now) {
            return false;
        }
        self.io.counters.inc(Counter::SynCookiesFailed);
        self.cookies.bad_ack == Overflow::Drop
    }

    /// Tells the device when floods begin and end.
    pub(super) fn look_for_floods(&mut self) {
        let cookies = &mut self.cookies;
        let calm = cookies.at / CALM_DIVISOR;
        let flooded = !self.draining
            && match cookies.when {
                SynCookies::Off => false,
                SynCookies::Always => true,
                // One listener can't have more than all together: most of the time that is enough.
                SynCookies::Auto if self.half_open.len() < calm.max(1) => false,
                SynCookies::Auto => {
                    let most = self.admission.listeners.most_half_open();
                    if cookies.flooded { most > calm } else { most >= cookies.at }
                }
            };
        if flooded == cookies.flooded {
            return;
        }
        cookies.last_step = Some(step_at(cookies.keys.unix_ms(self.io.now)));
        cookies.flooded = flooded;
        self.tell_device();
    }

    /// Tells the device whether there is a flood, and what to offer.
    pub(super) fn tell_device(&mut self) {
        let (v4, v6) = self.io.offers();
        let offer = SynAckOffer {
            mss_v4: v4.mss,
            mss_v6: v6.mss,
            window: syn_window(self.io.settings.config.receive_buffer),
            window_scale: v4.window_scale,
            sack: v4.sack,
            timestamps: v4.timestamps,
            classic_ecn: v4.ecn.agrees_to_classic(),
            accurate_ecn: v4.ecn.agrees_to_accurate(),
        };
        self.io.device.flood(self.cookies.flooded.then_some(&offer));
    }

    /// Enters a flow into the table, and has the driver pass its segments; false if there is no
    /// room.
    pub(super) fn know_flow(&mut self, hash: u64, target: Target, flow: &Flow) -> bool {
        let inserted = self.demux.insert(hash, target.to_bits()).is_ok();
        if inserted {
            let tuple = tuple(flow, &self.io);
            self.io.device.note_flow(&tuple, true);
        }
        inserted
    }

    /// Takes a flow out of the table again.
    pub(super) fn forget_flow(&mut self, hash: u64, target: Target, flow: &Flow) {
        if self.demux.remove(hash, target.to_bits()) {
            let tuple = tuple(flow, &self.io);
            self.io.device.note_flow(&tuple, false);
        }
    }
}
