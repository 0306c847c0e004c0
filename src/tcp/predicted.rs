//! The common case, told by one look at the connection: nothing lost, nothing ending, everything
//! open.
//!
//! Header prediction (Jacobson, "4BSD TCP header prediction", CCR, April 1990): most segments are
//! just the next one. What is asked here is asked for them all; whatever isn't so goes the way of
//! the RFC, step by step, and comes to the same.

use super::congestion::CongestionControl;
use super::settings::Settings;
use super::tcb::{Facts, State, Tcb};
use crate::time::Instant;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

/// Facts of which each one alone makes a connection unusual.
const UNUSUAL: Facts = Facts::FIN_QUEUED
    .union(Facts::FIN_SENT)
    .union(Facts::PEER_FIN_KNOWN)
    .union(Facts::SYN_WINDOW)
    .union(Facts::RECOVERY)
    .union(Facts::TIMED_OUT)
    .union(Facts::OVERRIDE)
    .union(Facts::REORDER_ARMED)
    .union(Facts::PROBE_OUT)
    .union(Facts::SAMPLED)
    .union(Facts::PACED)
    .union(Facts::OWN);

impl Tcb {
    /// Established, all that was sent was sent once, and nothing is marked.
    #[inline]
    pub(crate) fn is_usual(&self) -> bool {
        self.state == State::Established
            && !self.facts.intersects(UNUSUAL)
            && !self.ecn.is_on()
            && self.snd_nxt == self.snd_max
    }

    /// Whether the peer's window and the congestion window have room for so many new bytes, on a
    /// connection that [is usual](Tcb::is_usual).
    #[inline]
    pub(crate) fn has_room_for(&self, len: u32) -> bool {
        let in_flight = self.flight() + len;
        let window = u32::from(self.snd_field) << self.snd_scale;
        in_flight <= window && in_flight <= self.congestion.cwnd()
    }

    /// Whether a segment for a connection that [is usual](Tcb::is_usual) is just the next one: new
    /// bytes within the window, an ACK of something in flight, or both, and no other news.
    #[inline]
    pub(crate) fn predicts(&self, segment: &Segment) -> bool {
        let acked = self.snd_una.distance_to(segment.ack);
        self.has_no_other_news(segment) && (acked > 0 || segment.payload_len > 0)
    }

    /// The same of the segment that ends a handshake: nothing is in flight, and it may be bare.
    pub(crate) fn predicts_first(&self, segment: &Segment) -> bool {
        self.has_no_other_news(segment) && self.flight() == 0
    }

    #[inline]
    fn has_no_other_news(&self, segment: &Segment) -> bool {
        let acked = self.snd_una.distance_to(segment.ack);
        segment.seq == self.rcv_nxt
            && (segment.flags - Flags::PSH) == Flags::ACK
            && acked <= self.flight()
            && u32::from(segment.payload_len) <= self.rcv_wnd()
            && segment.window != 0
            && self.snd_field != 0
            && !self.snd_wl1.after(segment.seq)
            && segment.options.is_plain()
            && self.predicts_timestamps(segment)
    }

    #[inline]
    fn predicts_timestamps(&self, segment: &Segment) -> bool {
        if !self.has(Facts::TIMESTAMPS) {
            return true;
        }
        let newer = |value| Seq(value).at_or_after(Seq(self.ts_recent));
        let timestamps = segment.options.timestamps;
        self.has(Facts::TS_RECENT) && timestamps.is_some_and(|given| newer(given.value))
    }

    /// SEGMENT ARRIVES for a [predicted](Tcb::predicts) one, but for its text: all of that is next.
    /// Returns the bytes that it acknowledges.
    #[inline]
    pub(crate) fn predicted_arrives(
        &mut self,
        segment: &Segment,
        settings: &Settings,
        now: Instant,
    ) -> u32 {
        // Before the windows that lie beside it are written: it is read together with one.
        self.rcv_mss = self.rcv_mss.max(segment.payload_len);
        self.heard(settings, now);
        let acked = self.snd_una.distance_to(segment.ack);
        if acked > 0 {
            self.predicted_ack(acked, segment, settings, now);
        }
        self.take_next_window(segment);
        self.take_timestamp(segment, now);
        acked
    }

    /// SND.UNA advances, where nothing was lost.
    #[inline]
    fn predicted_ack(&mut self, acked: u32, segment: &Segment, settings: &Settings, now: Instant) {
        let flight = self.flight();
        self.measure_rtt(segment, settings, now);
        self.snd_una = segment.ack;
        self.dup_acks = 0;
        self.stalled_since = now.tick();
        self.grow(acked, flight, now);
        let over = Facts::RESENT | Facts::UNREACHABLE | Facts::PARTIAL;
        if acked == flight {
            self.facts -= over | Facts::TAIL | Facts::RETRANSMIT_ARMED;
        } else {
            self.facts = (self.facts - over) | Facts::TAIL;
            self.arm_retransmit(now);
        }
    }
}

impl Tcb {
    /// [`sent`](Tcb::sent) of new bytes with an ACK, on a connection that
    /// [is usual](Tcb::is_usual) and whose window is open.
    #[inline]
    pub(crate) fn usual_sent(&mut self, len: u32, now: Instant) {
        let before = self.flight();
        self.snd_nxt += len;
        self.snd_max = self.snd_nxt;
        if before == 0 {
            self.stalled_since = now.tick();
        }
        if !self.has(Facts::TIMING) {
            self.facts |= Facts::TIMING;
            self.rtt_seq = self.snd_nxt;
            self.rtt_started_us = now.micros32();
        }
        let probe = self.facts.contains(Facts::TAIL | Facts::PROBE_TIMER);
        if !self.has(Facts::RETRANSMIT_ARMED) || probe {
            // As `arm_retransmit` does: nothing but a lack of SACK speaks against a probe here.
            let probe =
                if self.has(Facts::SACK) { self.probe_after_us(before + len) } else { None };
            self.arm(probe, now);
        } else if before <= u32::from(self.snd_mss) {
            self.arm_probe(now);
        }
        self.facts -= Facts::TAIL;
        self.ack_sent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::outcome::{Answer, Event, Outcome, Payload};
    use crate::tcp::output::Next;
    use crate::tcp::{LocalOffer, TcpConfig, segment_arrives};
    use crate::wire::Addr;
    use crate::wire::tcp::Options;
    use proptest::prelude::*;

    const NOW: Instant = Instant::from_millis(5_000);

    fn settings() -> Settings {
        Settings::new(TcpConfig::default())
    }

    fn offer() -> LocalOffer {
        LocalOffer::new(&TcpConfig::default(), 1_500, true)
    }

    /// An established connection somewhere in its life.
    fn connections() -> impl Strategy<Value = Tcb> {
        let flight = prop_oneof![4 => 0..20_000u32, 1 => Just(0)];
        let numbers = (any::<u32>(), any::<u32>(), flight, 1..35_000u16, 0..70_000u32);
        let facts = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..3_000u32);
        (numbers, facts).prop_map(|((una, nxt, flight, window, rcv_wnd), facts)| {
            let (timestamps, sack, timing, delayed, unacknowledged) = facts;
            let mut tcb = Tcb::connect(Seq(una), 7, &offer(), &settings(), Instant::ZERO);
            tcb.state = State::Established;
            (tcb.snd_nxt, tcb.snd_max) = (Seq(una) + flight, Seq(una) + flight);
            (tcb.rcv_nxt, tcb.rcv_adv) = (Seq(nxt), Seq(nxt) + rcv_wnd);
            tcb.last_ack_sent = Seq(nxt) - unacknowledged;
            tcb.snd_wl1 = Seq(nxt) - 1;
            (tcb.snd_field, tcb.max_field, tcb.snd_scale) = (window, window, 1);
            tcb.recover = Seq(una) - 1;
            tcb.ts_recent = nxt / 2;
            tcb.facts.set(Facts::TIMESTAMPS | Facts::TS_RECENT, timestamps);
            tcb.facts.set(Facts::SACK, sack);
            tcb.facts.set(Facts::TIMING, timing && flight > 0);
            tcb.rtt_seq = Seq(una) + flight / 2;
            tcb.facts.set(Facts::ACK_DELAYED, delayed);
            tcb.facts.set(Facts::RETRANSMIT_ARMED, flight > 0);
            tcb
        })
    }

    fn segment_for(tcb: &Tcb, acked: u32, len: u16, window: u16, later: u32) -> Segment {
        let offered = Options::timestamps(tcb.ts_recent.wrapping_add(later), 1);
        Segment {
            seq: tcb.rcv_nxt,
            ack: tcb.snd_una + acked,
            flags: Flags::ACK | Flags::PSH,
            window,
            payload_len: len,
            options: if tcb.has(Facts::TIMESTAMPS) { offered } else { Options::NONE },
            src: Addr::UNSPECIFIED_V4,
            dst: Addr::UNSPECIFIED_V4,
            src_port: 1,
            dst_port: 2,
            urgent: 0,
            payload_start: 0,
            ecn: 0,
        }
    }

    proptest! {
        /// The short way and the long one come to the same, to the last field.
        #[test]
        fn a_predicted_segment_does_what_the_rfc_says_step_by_step(
            before in connections(),
            (acked, window, later) in (0..20_000u32, 0..2_000u16, 0..9u32),
            len in prop_oneof![4 => 0..1_461u16, 1 => Just(0)],
        ) {
            let segment = segment_for(&before, acked.min(before.flight()), len, window, later);
            let predicted = before.predicts(&segment) || before.predicts_first(&segment);
            prop_assume!(before.is_usual() && predicted);
            let (mut short, mut long) = (before.clone(), before);
            let got = short.predicted_arrives(&segment, &settings(), NOW);
            let mut expected = Outcome::default();
            segment_arrives(&mut long, &segment, &mut expected, &offer(), &settings(), NOW);
            prop_assert_eq!(format!("{short:?}"), format!("{long:?}"));
            prop_assert_eq!(got, expected.acked);
            let text = Payload { skip: 0, len, seq: segment.seq };
            prop_assert_eq!(expected.payload, (len > 0).then_some(text));
            prop_assert_eq!((expected.event, expected.answer), (Event::Nothing, Answer::Nothing));
            prop_assert!(expected.drop.is_none() && !expected.retransmit);
        }
    }

    proptest! {
        /// The short way of what is sent, and the long one.
        #[test]
        fn usual_bytes_are_noted_as_all_others_are(
            before in connections(), len in 1..1_461u32, sampled: bool, late: bool, tail: bool
        ) {
            prop_assume!(before.is_usual() && before.snd_field > 0);
            let mut short = before;
            if sampled {
                short.rtt.sample(1_000, &settings().rto);
            }
            short.facts.set(Facts::LATE_ACKS, late);
            short.facts.set(Facts::TAIL | Facts::PROBE_TIMER, tail);
            let mut long = short.clone();
            short.usual_sent(len, NOW);
            let seq = long.snd_nxt;
            long.sent(&Next { seq, len, flags: Flags::ACK, again: false }, NOW);
            prop_assert_eq!(format!("{short:?}"), format!("{long:?}"));
        }
    }

    #[test]
    fn what_carries_other_news_is_not_predicted() {
        let mut tcb = Tcb::connect(Seq(100), 7, &offer(), &settings(), Instant::ZERO);
        tcb.state = State::Established;
        (tcb.snd_max, tcb.snd_nxt) = (Seq(200), Seq(200));
        (tcb.rcv_nxt, tcb.rcv_adv) = (Seq(500), Seq(2_000));
        (tcb.snd_wl1, tcb.snd_field) = (Seq(400), 1_000);
        let usual = segment_for(&tcb, 50, 10, 1_000, 0);
        assert!(tcb.is_usual() && tcb.predicts(&usual));
        let but = |change: fn(&mut Segment)| {
            let mut segment = usual;
            change(&mut segment);
            tcb.predicts(&segment)
        };
        assert!(!but(|s| s.flags |= Flags::FIN), "a FIN");
        assert!(!but(|s| s.flags |= Flags::URG), "urgent data");
        assert!(!but(|s| s.flags -= Flags::ACK), "no ACK");
        assert!(!but(|s| s.seq += 1), "not the next");
        assert!(!but(|s| s.ack = Seq(201)), "an ACK of what was not sent");
        assert!(!but(|s| s.ack = Seq(99)), "an old ACK");
        assert!(!but(|s| s.payload_len = 1_501), "more than the window");
        assert!(!but(|s| s.window = 0), "a window that closes");
        assert!(!but(|s| (s.ack, s.payload_len) = (Seq(100), 0)), "a duplicate ACK");
        let mut idle = tcb.clone();
        idle.snd_una = idle.snd_max;
        let bare = segment_for(&idle, 0, 0, 1_000, 0);
        assert!(idle.predicts_first(&bare) && !idle.predicts(&bare), "a bare ACK");
        assert!(!tcb.predicts_first(&segment_for(&tcb, 0, 0, 1_000, 0)), "a duplicate ACK");
        assert!(!but(|s| s.options.sack_permitted = true), "an option");
    }
}
