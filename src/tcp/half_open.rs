//! SYN-RECEIVED of a passive open, in as few bytes as it takes.

use core::time::Duration;

use super::cookie::{self, CookieKeys, Decoded, Remembered, Tuple};
use super::ecn::EcnFacts;
use super::negotiate::{Agreed, LocalOffer};
use super::outcome::{Answer, Drop};
use super::settings::Settings;
use super::tcb::{Facts, State, Tcb, timestamp_clock};
use crate::time::Instant;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Options, Segment, Timestamps};

/// A connection of which we have the SYN and whose SYN-ACK we have sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
    ts_recent: u32,
    pub(crate) ts_offset: u32,
    agreed: Agreed,
    /// When the first SYN-ACK was sent, in wrapping microseconds.
    sent_us: u32,
    /// SYN-ACK retransmissions.
    tries: u8,
    ecn: EcnFacts,
    /// Nobody knows when the SYN-ACK was sent: it held a cookie.
    from_cookie: bool,
}

/// What a segment means to a half-open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HalfOpenVerdict {
    /// The handshake is complete: make a [`Tcb`] and give it this segment.
    Accept,
    /// The SYN again: so goes the SYN-ACK.
    SendAgain,
    /// The peer takes it back.
    Forget,
    /// The peer contradicts itself: reset the connection.
    Reset,
    Refuse(Drop, Answer),
}

impl HalfOpen {
    /// From an acceptable SYN (RFC 9293 section 3.10.7.2).
    pub(crate) fn new(
        syn: &Segment,
        iss: Seq,
        ts_offset: u32,
        offer: &LocalOffer,
        now: Instant,
    ) -> HalfOpen {
        HalfOpen {
            sent_us: now.micros32(),
            iss,
            irs: syn.seq,
            ts_recent: syn.options.timestamps.map_or(0, |timestamps| timestamps.value),
            ts_offset,
            agreed: Agreed::new(offer, &syn.options, syn.dst.is_v4()),
            tries: 0,
            ecn: EcnFacts::answering(syn, offer.ecn),
            from_cookie: false,
        }
    }

    /// The same, for a SYN-ACK that holds a [cookie] and after which nothing is kept.
    pub(crate) fn in_cookie(
        syn: &Segment,
        keys: &CookieKeys,
        tuple: &Tuple,
        offer: &LocalOffer,
        now: Instant,
    ) -> HalfOpen {
        let is_v4 = syn.dst.is_v4();
        let ecn = EcnFacts::answering(syn, offer.ecn);
        let agreed = Agreed::new(offer, &syn.options, is_v4);
        let remembered = Remembered { ecn: ecn.in_cookie(), ..agreed.remembered() };
        let kept = remembered.kept(is_v4);
        let cookie = cookie::encode(keys, tuple, syn.seq, &remembered, keys.unix_ms(now));
        let value = cookie.timestamp.unwrap_or(0);
        let ts_offset = value.wrapping_sub(timestamp_clock(now));
        let agreed = Agreed::from_cookie(offer, &kept);
        let ecn = if kept.ecn == remembered.ecn { ecn } else { EcnFacts::empty() };
        HalfOpen { agreed, ecn, ..HalfOpen::new(syn, cookie.isn, ts_offset, offer, now) }
    }

    /// What the segment that brings a [cookie] back was preceded by; `None` if it brings none.
    pub(crate) fn from_cookie(
        segment: &Segment,
        keys: &CookieKeys,
        tuple: &Tuple,
        offer: &LocalOffer,
        now: Instant,
    ) -> Option<HalfOpen> {
        let timestamps = segment.options.timestamps;
        let (irs, iss) = (segment.seq - 1, segment.ack - 1);
        let (echo, at) = (timestamps.map(|timestamps| timestamps.echo), keys.unix_ms(now));
        let Decoded { remembered, timestamp_origin } =
            cookie::decode(keys, tuple, irs, iss, echo, at)?;
        let offset = timestamp_origin.wrapping_add(keys.unix_ms_at_zero() as u32);
        // The clock of the machine that made the cookie may be ahead of ours.
        let clock = Seq(timestamp_clock(now).wrapping_add(offset));
        let behind = echo.map_or(0, |echo| clock.distance_to(clock.max(Seq(echo))));
        Some(HalfOpen {
            iss,
            irs,
            ts_recent: timestamps.map_or(0, |timestamps| timestamps.value),
            ts_offset: offset.wrapping_add(behind),
            agreed: Agreed::from_cookie(offer, &remembered),
            sent_us: 0,
            tries: 0,
            ecn: EcnFacts::from_cookie(remembered.ecn, offer.ecn),
            from_cookie: true,
        })
    }

    /// Control bits of our SYN-ACK.
    pub(crate) fn flags(&self) -> Flags {
        Flags::SYN | Flags::ACK | self.ecn.syn_ack_flags(self.tries)
    }

    /// Control bits of an acknowledgement.
    pub(crate) fn ack_flags(&self) -> Flags {
        Flags::ACK | self.ecn.first_ack_flags()
    }

    /// The SYN has come again.
    pub(crate) fn syn_again(&mut self, syn: &Segment) {
        self.ecn.syn_again(syn);
    }

    /// Options of our SYN-ACK.
    pub(crate) fn options(&self, offer: &LocalOffer, now: Instant) -> Options {
        let accecn = self.ecn.syn_ack_option(self.tries);
        Options { accecn, ..offer.options(Some(&self.agreed), self.timestamps(now)) }
    }

    fn timestamps(&self, now: Instant) -> Timestamps {
        Timestamps {
            value: timestamp_clock(now).wrapping_add(self.ts_offset),
            echo: self.ts_recent,
        }
    }

    /// Timestamp option of an answer, if the connection has timestamps.
    pub(crate) fn answer_options(&self, now: Instant) -> Options {
        Options {
            timestamps: self.agreed.timestamps.then(|| self.timestamps(now)),
            ..Options::default()
        }
    }

    /// The SYN-ACK timer expired: how long to wait after sending it once more; `None` to give up.
    pub(crate) fn next_try(&mut self, settings: &Settings) -> Option<Duration> {
        if self.tries >= settings.config.syn_retries {
            return None;
        }
        self.tries += 1;
        let wait = settings.rto.initial().saturating_mul(1 << u32::from(self.tries.min(16)));
        Some(wait.min(settings.rto.max()))
    }

    /// SEGMENT ARRIVES in SYN-RECEIVED after a passive open (RFC 9293 section 3.10.7.4).
    pub(crate) fn segment_arrives(
        &self,
        segment: &Segment,
        window: u32,
        offer: &LocalOffer,
    ) -> HalfOpenVerdict {
        let (flags, rcv_nxt) = (segment.flags, self.irs + 1);
        if flags.contains(Flags::SYN) && !flags.intersects(Flags::ACK | Flags::RST) {
            return if segment.seq == self.irs && self.ecn.contradicts(segment, offer.ecn) {
                HalfOpenVerdict::Reset
            } else if segment.seq == self.irs {
                HalfOpenVerdict::SendAgain
            } else if segment.seq.within(rcv_nxt, window) {
                // Fourth: back to LISTEN; the peer's next SYN starts afresh.
                HalfOpenVerdict::Forget
            } else {
                HalfOpenVerdict::Refuse(Drop::OutOfWindow, Answer::Ack)
            };
        }
        if self.agreed.timestamps && !flags.contains(Flags::RST) {
            match segment.options.timestamps {
                // RFC 7323 section 3.2: without the option it is not of this connection.
                None => return HalfOpenVerdict::Refuse(Drop::Paws, Answer::Nothing),
                // Section 5.3, R1.
                Some(timestamps) if Seq(timestamps.value).before(Seq(self.ts_recent)) => {
                    return HalfOpenVerdict::Refuse(Drop::Paws, Answer::Ack);
                }
                Some(_) => {}
            }
        }
        let last = segment.seq + segment.seg_len().max(1) - 1;
        let window = window.max(1);
        if !segment.seq.within(rcv_nxt, window) && !last.within(rcv_nxt, window) {
            let reset = flags.contains(Flags::RST);
            let answer = if reset { Answer::Nothing } else { Answer::Ack };
            return HalfOpenVerdict::Refuse(Drop::OutOfWindow, answer);
        }
        if flags.contains(Flags::RST) {
            return if segment.seq == rcv_nxt {
                HalfOpenVerdict::Forget
            } else {
                HalfOpenVerdict::Refuse(Drop::BadReset, Answer::Challenge)
            };
        }
        if flags.contains(Flags::SYN) {
            return HalfOpenVerdict::Refuse(Drop::OutOfWindow, Answer::Challenge);
        }
        if !flags.contains(Flags::ACK) {
            return HalfOpenVerdict::Refuse(Drop::BadAck, Answer::Nothing);
        }
        if segment.ack != self.iss + 1 {
            return HalfOpenVerdict::Refuse(Drop::BadAck, Answer::Reset { seq: segment.ack });
        }
        HalfOpenVerdict::Accept
    }

    /// Makes of a [new](Tcb::connect) connection, where it lies, the one in ESTABLISHED, before the
    /// segment that completed the handshake is given to it. `syn_window` is what our SYN-ACK
    /// advertised.
    pub(crate) fn accept(
        &self,
        tcb: &mut Tcb,
        segment: &Segment,
        syn_window: u32,
        offer: &LocalOffer,
        settings: &Settings,
        now: Instant,
    ) {
        tcb.tries = self.tries;
        tcb.agree(&self.agreed, offer, settings, self.irs);
        tcb.ecn = self.ecn.completed(self.tries);
        tcb.advertised(syn_window);
        tcb.state = State::SynReceived;
        tcb.snd_max = self.iss + 1;
        tcb.snd_nxt = tcb.snd_max;
        if self.agreed.timestamps {
            tcb.ts_recent = self.ts_recent;
            tcb.facts |= Facts::TS_RECENT;
        }
        // Karn: the handshake is a measurement only if the SYN-ACK was sent once.
        tcb.facts.set(Facts::TIMING, self.tries == 0 && !self.from_cookie);
        tcb.rtt_started_us = self.sent_us;
        tcb.acknowledge_syn(segment, settings, now);
        tcb.take_window(segment);
    }
}
