//! Segments in the synchronized states and SYN-RECEIVED: RFC 9293 section 3.10.7.4, step by step.

use super::congestion::CongestionControl;
use super::negotiate::LocalOffer;
use super::outcome::{Answer, Drop, Event, Outcome};
use super::settings::Settings;
use super::tcb::{Age, Facts, State, Tcb};
use crate::time::{Instant, Tick};
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

/// A timestamp this old no longer protects anything: 24 days (RFC 7323 section 5.5); our tick wraps
/// earlier, so it is given up after a day and a half.
const TS_RECENT_LIFETIME: u16 = (Tick::MAX_AHEAD / Age::UNIT) as u16;
/// A round trip by timestamps is no longer than this: 4 minutes.
const MAX_ECHO_MS: u32 = 240_000;
/// Duplicate ACKs that mean a loss (RFC 5681 section 3.2).
const DUP_ACK_THRESHOLD: u8 = 3;

/// SEGMENT ARRIVES, for every state that keeps a [`Tcb`].
///
/// What comes of it is written to `outcome`, which must be new: it is too large to be handed on by
/// value.
pub(crate) fn segment_arrives(
    tcb: &mut Tcb,
    segment: &Segment,
    outcome: &mut Outcome,
    offer: &LocalOffer,
    settings: &Settings,
    now: Instant,
) {
    if tcb.state == State::SynSent {
        return tcb.syn_sent_arrives(segment, outcome, offer, settings, now);
    }
    // A SYN of a simultaneous open comes before the window and carries an ACK that counts.
    if tcb.state == State::SynReceived
        && segment.flags.contains(Flags::SYN)
        && segment.seq + 1 == tcb.rcv_nxt
    {
        let mut segment = *segment;
        segment.flags -= Flags::SYN;
        segment.seq += 1;
        return tcb.synchronized_arrives(&segment, outcome, settings, now);
    }
    tcb.synchronized_arrives(segment, outcome, settings, now);
}

impl Tcb {
    fn synchronized_arrives(
        &mut self,
        segment: &Segment,
        outcome: &mut Outcome,
        settings: &Settings,
        now: Instant,
    ) {
        if let Err((drop, answer)) = self.check_sequence(segment, now) {
            return outcome.refuse(drop, answer);
        }
        let flags = segment.flags;
        // Second: check the RST bit (RFC 5961 section 3.2: only an exact one counts).
        if flags.contains(Flags::RST) {
            return self.reset_arrives(segment, outcome);
        }
        // Fourth: check the SYN bit (RFC 5961 section 4.2).
        if flags.contains(Flags::SYN) {
            return outcome.refuse(Drop::OutOfWindow, Answer::Challenge);
        }
        // Fifth: check the ACK field.
        if !flags.contains(Flags::ACK) {
            return outcome.refuse(Drop::BadAck, Answer::Nothing);
        }
        let mut opened = false;
        if self.state == State::SynReceived {
            if !(segment.ack.after(self.snd_una) && segment.ack.at_or_before(self.snd_max)) {
                return outcome.refuse(Drop::BadAck, Answer::Reset { seq: segment.ack });
            }
            self.acknowledge_syn(segment, settings, now);
            self.take_window(segment);
            opened = true;
        }
        if !self.ack_arrives(segment, outcome, settings, now) {
            return;
        }
        // Only now: a forged timestamp must not make us refuse the real peer's.
        self.take_timestamp(segment, now);
        if opened {
            outcome.event = Event::Opened;
        }
        if outcome.event != Event::Closed {
            // Sixth, the URG bit: the data is delivered in line all the same (RFC 6093 section 4).
            outcome.urgent = flags.contains(Flags::URG) && !self.state.peer_has_finished();
            self.text_arrives(segment, outcome);
        }
    }

    /// First: check the sequence number; before it, the timestamp (RFC 7323 section 5.3).
    fn check_sequence(&self, segment: &Segment, now: Instant) -> Result<(), (Drop, Answer)> {
        let is_reset = segment.flags.contains(Flags::RST);
        if self.has(Facts::TIMESTAMPS) && !is_reset {
            let Some(timestamps) = segment.options.timestamps else {
                // RFC 7323 section 3.2: without the option it is not of this connection.
                return Err((Drop::Paws, Answer::Nothing));
            };
            let fresh = self.ts_recent_at.units(now) < TS_RECENT_LIFETIME;
            let old = Seq(timestamps.value).before(Seq(self.ts_recent));
            if self.has(Facts::TS_RECENT) && fresh && old {
                return Err((Drop::Paws, Answer::Ack));
            }
        }
        if self.is_acceptable(segment) {
            return Ok(());
        }
        let answer = if is_reset { Answer::Nothing } else { Answer::Ack };
        Err((Drop::OutOfWindow, answer))
    }

    /// The four cases of RFC 9293 section 3.10.7.4, table 6, and the allowance for ACKs, URGs and
    /// RSTs when the window is zero: such a segment's text is cut away later.
    fn is_acceptable(&self, segment: &Segment) -> bool {
        let (window, len) = (self.rcv_wnd(), segment.seg_len());
        if segment.seq == self.rcv_nxt {
            return true;
        }
        if len == 0 {
            return segment.seq.within(self.rcv_nxt, window)
                // An ACK at the right edge: what a peer sends that has filled our window.
                || segment.seq == self.rcv_adv;
        }
        window > 0
            && (segment.seq.within(self.rcv_nxt, window)
                || (segment.seq + (len - 1)).within(self.rcv_nxt, window))
            || self.overlaps_all(segment, window)
    }

    /// The segment begins before the window and ends after it.
    fn overlaps_all(&self, segment: &Segment, window: u32) -> bool {
        window > 0
            && segment.seq.before(self.rcv_nxt)
            && (segment.seq + segment.seg_len()).after(self.rcv_adv)
    }

    fn reset_arrives(&self, segment: &Segment, outcome: &mut Outcome) {
        if segment.seq != self.rcv_nxt {
            let in_window = segment.seq.within(self.rcv_nxt, self.rcv_wnd());
            let answer = if in_window { Answer::Challenge } else { Answer::Nothing };
            return outcome.refuse(Drop::BadReset, answer);
        }
        outcome.event = match self.state {
            State::SynReceived => Event::Refused,
            // Everything was delivered both ways: a late RST takes nothing back.
            State::TimeWait => Event::Closed,
            _ => Event::Reset,
        };
    }

    #[inline]
    fn ack_arrives(
        &mut self,
        segment: &Segment,
        outcome: &mut Outcome,
        settings: &Settings,
        now: Instant,
    ) -> bool {
        let ack = segment.ack;
        // RFC 5961 section 5.2: not older than the largest window ever, not of what was never sent.
        if ack.after(self.snd_max) {
            outcome.refuse(Drop::BadAck, Answer::Ack);
            return false;
        }
        if ack.before(self.snd_una) && ack.distance_to(self.snd_una) > self.max_wnd().max(1) {
            outcome.refuse(Drop::BadAck, Answer::Challenge);
            return false;
        }
        self.heard(settings, now);
        if self.has(Facts::PROBE_OUT) {
            self.probe_answered(segment);
        }
        if ack.after(self.snd_una) {
            self.new_ack(segment, outcome, settings, now);
        } else if ack == self.snd_una && !self.has(Facts::SACK) && self.is_duplicate_ack(segment) {
            self.duplicate_ack(outcome);
        }
        // SND.WL2 =< SEG.ACK, since SND.WL2 =< SND.UNA.
        if self.snd_wl1.at_or_before(segment.seq) && ack.at_or_after(self.snd_una) {
            let was_shut = self.snd_field == 0;
            self.take_window(segment);
            if was_shut && self.snd_field > 0 {
                self.window_opened(settings, now);
            }
        }
        if self.fin_is_acked() {
            match self.state {
                State::FinWait1 => self.enter_fin_wait_2(settings, now),
                State::Closing => {
                    self.enter_time_wait(settings, now);
                    outcome.event = Event::TimeWait;
                }
                State::LastAck => outcome.event = Event::Closed,
                _ => {}
            }
        }
        true
    }

    /// RFC 5681 section 2: what counts as a duplicate acknowledgement.
    fn is_duplicate_ack(&self, segment: &Segment) -> bool {
        self.flight() > 0
            && segment.payload_len == 0
            && !segment.flags.intersects(Flags::SYN | Flags::FIN)
            && u32::from(segment.window) << self.snd_scale == self.snd_wnd()
            && self.snd_field > 0
    }

    fn duplicate_ack(&mut self, outcome: &mut Outcome) {
        outcome.duplicate = true;
        if self.has(Facts::RECOVERY) {
            self.congestion.inflate();
            return;
        }
        self.dup_acks = self.dup_acks.saturating_add(1);
        // RFC 6582 section 3.2 steps 2 and 4: not for what was sent before the last timeout.
        let fresh = !self.has(Facts::TIMED_OUT);
        if self.dup_acks == DUP_ACK_THRESHOLD && fresh {
            // What limited transmit sent does not count (RFC 5681 section 3.2 step 2).
            outcome.reduced = Some(self.congestion.prior());
            self.congestion.on_loss(self.flight().min(self.congestion.cwnd()));
            self.window_reduced();
            self.recover = self.snd_max - 1;
            self.facts |= Facts::RECOVERY;
            self.facts -= Facts::TIMING | Facts::PARTIAL;
            outcome.retransmit = true;
        }
    }

    /// SND.UNA advances.
    #[inline]
    pub(super) fn new_ack(
        &mut self,
        segment: &Segment,
        outcome: &mut Outcome,
        settings: &Settings,
        now: Instant,
    ) {
        let ack = segment.ack;
        let acked = self.snd_una.distance_to(ack);
        let flight = self.flight();
        let fin = self.has(Facts::FIN_SENT) && ack == self.snd_max;
        outcome.acked = acked - u32::from(fin);
        self.measure_rtt(segment, settings, now);
        self.snd_una = ack;
        self.snd_nxt = self.snd_nxt.max(ack);
        self.dup_acks = 0;
        self.stalled_since = now.tick();
        self.facts -= Facts::RESENT | Facts::UNREACHABLE;
        if self.facts.contains(Facts::RECOVERY | Facts::SACK) {
            // The scoreboard decides, when it has seen the blocks.
        } else if self.has(Facts::RECOVERY) {
            if ack.after(self.recover) {
                self.facts -= Facts::RECOVERY;
                self.congestion.on_recovery_end(self.flight());
            } else {
                // RFC 6582 section 3.2 step 3: a partial ACK; the next hole begins here.
                self.congestion.on_partial_ack(acked);
                outcome.retransmit = true;
            }
        } else {
            if !self.has(Facts::SACK) && ack.after(self.recover) {
                self.facts -= Facts::TIMED_OUT;
            }
            outcome.grows = self.ecn.is_on();
            if !outcome.grows {
                self.grow(acked, flight, now);
            }
        }
        self.facts.set(Facts::TAIL, self.flight() > 0);
        // RFC 6298 section 5.2 and 5.3.
        if self.flight() == 0 {
            self.facts -= Facts::RETRANSMIT_ARMED;
        } else {
            self.arm_retransmit(now);
        }
        self.facts.set(Facts::PARTIAL, self.has(Facts::RECOVERY));
    }

    /// The congestion window grows by what was acknowledged; `flight` were on the way before.
    #[inline]
    pub(super) fn grow(&mut self, acked: u32, flight: u32, now: Instant) {
        if self.has(Facts::CWND_LIMITED) {
            self.grow_limited(acked, flight, now);
        } else {
            self.congestion.on_unlimited_ack();
        }
    }

    fn grow_limited(&mut self, acked: u32, flight: u32, now: Instant) {
        let rtt = self.rtt.srtt().unwrap_or_default();
        let (una, end) = (self.snd_una, self.limited_end);
        self.congestion.on_ack(acked, flight, (una - acked).before(end), now, rtt);
        if una.at_or_after(end) {
            self.facts -= Facts::CWND_LIMITED;
        }
    }

    /// TLP_process_ack (RFC 8985 section 7.4.2), before SND.UNA moves. A probe that was a
    /// retransmission may have repaired a loss, of which the congestion control must hear; but not
    /// before it is clear that original and probe did not both arrive.
    fn probe_answered(&mut self, segment: &Segment) {
        let (ack, end) = (segment.ack, self.probe_end);
        if ack.before(end) {
            return;
        }
        if self.has(Facts::PROBE_AGAIN) {
            // A FIN may be what lies between.
            let reported = reported_duplicate(segment)
                .is_some_and(|(_, right)| right.at_or_before(end) && right.distance_to(end) <= 1);
            if reported || self.repeats_last_ack(segment) {
                self.facts |= Facts::LATE_ACKS;
            } else if ack.after(end) {
                self.congestion.on_congestion(self.flight());
                self.congestion.on_recovered();
                self.window_reduced();
            } else {
                return; // The ACK of the original may have crossed the probe.
            }
        }
        self.facts -= Facts::PROBE_OUT;
    }

    /// A peer that does not speak of duplicates says as much by the same ACK once more.
    fn repeats_last_ack(&self, segment: &Segment) -> bool {
        segment.ack == self.snd_una
            && segment.options.sack.is_empty()
            && segment.payload_len == 0
            && !segment.flags.intersects(Flags::SYN | Flags::FIN)
            && u32::from(segment.window) << self.snd_scale == self.snd_wnd()
    }

    /// Karn's algorithm: only a segment sent once is timed (RFC 6298 section 3), unless a timestamp
    /// says which transmission was acknowledged: of interest while the time-out is backed off,
    /// since the sample ends that.
    #[inline]
    pub(super) fn measure_rtt(&mut self, segment: &Segment, settings: &Settings, now: Instant) {
        if self.has(Facts::TIMING) && segment.ack.at_or_after(self.rtt_seq) {
            let rtt = now.micros32().wrapping_sub(self.rtt_started_us);
            if self.has(Facts::SPURIOUS) {
                self.facts -= Facts::SPURIOUS;
                self.rtt.sample_after_spurious(rtt, &settings.rto);
            } else {
                self.rtt.sample(rtt, &settings.rto);
            }
            self.min_rtt_us = self.min_rtt_us.min(rtt.max(1));
            self.facts -= Facts::TIMING;
        } else if self.rtt.backoff() > 0
            && let Some(rtt_us) = self.echoed_us(segment, now)
        {
            self.rtt.sample(rtt_us, &settings.rto);
        }
    }

    /// How long ago the segment was sent whose timestamp is echoed, to the millisecond (RFC 7323
    /// section 4.1).
    fn echoed_us(&self, segment: &Segment, now: Instant) -> Option<u32> {
        let echo = segment.options.timestamps.filter(|_| self.has(Facts::TIMESTAMPS))?.echo;
        let ms = Seq(echo).distance_to(Seq(self.raw_timestamps(now).value));
        // A longer one is an echo of nothing that we sent.
        (ms <= MAX_ECHO_MS).then(|| ms.max(1) * 1_000)
    }
}

/// The first SACK block, if it reports something that came twice: it lies below the ACK, or inside
/// of the second (RFC 2883 section 4).
pub(crate) fn reported_duplicate(segment: &Segment) -> Option<(Seq, Seq)> {
    let mut blocks = segment.options.sack.iter();
    let (left, right) = blocks.next()?;
    let inside = |(l, r): (Seq, Seq)| left.at_or_after(l) && right.at_or_before(r);
    let twice = right.at_or_before(segment.ack) || blocks.next().is_some_and(inside);
    twice.then_some((left, right))
}
