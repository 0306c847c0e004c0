//! SYN-SENT: RFC 9293 section 3.10.7.3.

use super::negotiate::{Agreed, LocalOffer};
use super::outcome::{Answer, Drop, Event, Outcome};
use super::settings::Settings;
use super::tcb::{Age, Facts, State, Tcb};
use crate::time::Instant;
use crate::wire::tcp::{Flags, Segment};

impl Tcb {
    pub(super) fn syn_sent_arrives(
        &mut self,
        segment: &Segment,
        outcome: &mut Outcome,
        offer: &LocalOffer,
        settings: &Settings,
        now: Instant,
    ) {
        let flags = segment.flags;
        // First: check the ACK bit.
        let acks = flags.contains(Flags::ACK);
        if acks && !(segment.ack.after(self.snd_una) && segment.ack.at_or_before(self.snd_max)) {
            let answer = if flags.contains(Flags::RST) {
                Answer::Nothing
            } else {
                Answer::Reset { seq: segment.ack }
            };
            return outcome.refuse(Drop::BadAck, answer);
        }
        // Second: check the RST bit. Without an acceptable ACK it may come from anybody.
        if flags.contains(Flags::RST) {
            if acks {
                outcome.event = Event::Refused;
            } else {
                outcome.refuse(Drop::BadReset, Answer::Nothing);
            }
            return;
        }
        // Fourth: check the SYN bit.
        if !flags.contains(Flags::SYN) {
            return outcome.refuse(Drop::BadAck, Answer::Nothing);
        }
        let agreed = Agreed::new(offer, &segment.options, segment.dst.is_v4());
        self.agree(&agreed, offer, settings, segment.seq);
        self.ecn = if acks {
            self.ecn.answered(segment, self.tries)
        } else {
            self.ecn.crossing(segment, offer.ecn, self.tries)
        };
        self.take_timestamp_of_syn(segment, now);
        self.take_syn_window(segment);
        self.facts |= Facts::ACK_NOW;
        // Data and FIN on a SYN are not kept: our window was not known to the peer, who sends them
        // again (RFC 9293 section 3.10.7.3 leaves it open).
        outcome.drop = (segment.payload_len > 0).then_some(Drop::OutOfWindow);
        if !acks {
            // Simultaneous open: our SYN goes out again, with an ACK, until it is acknowledged.
            self.state = State::SynReceived;
            self.snd_nxt = self.snd_una;
            return;
        }
        self.acknowledge_syn(segment, settings, now);
        outcome.event = Event::Opened;
    }

    /// Our SYN is acknowledged: ESTABLISHED, as far as the ACK goes.
    pub(super) fn acknowledge_syn(&mut self, segment: &Segment, settings: &Settings, now: Instant) {
        self.snd_una = segment.ack;
        self.snd_nxt = self.snd_nxt.max(self.snd_una);
        self.state = State::Established;
        self.facts -= Facts::RETRANSMIT_ARMED;
        if self.has(Facts::TIMING) {
            let rtt = now.micros32().wrapping_sub(self.rtt_started_us);
            self.rtt.sample(rtt, &settings.rto);
            self.facts -= Facts::TIMING;
        } else if self.tries > 0 {
            self.rtt.after_syn_loss(&settings.rto);
        }
        // A peer that never says anything more may be gone: keep-alive starts here.
        self.heard(settings, now);
        // RFC 6582 section 3.2 step 1: the initial send sequence number.
        self.recover = self.snd_una - 1;
    }

    fn take_timestamp_of_syn(&mut self, segment: &Segment, now: Instant) {
        if let Some(timestamps) = segment.options.timestamps {
            self.ts_recent = timestamps.value;
            self.ts_recent_at = Age::at(now);
            self.facts |= Facts::TS_RECENT;
        }
    }
}
