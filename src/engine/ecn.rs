//! Explicit congestion notification: what comes and goes on connections that have it.

use super::counters::Counter;
use super::io::{Fields, Io};
use super::slots::Slot;
use crate::device::Device;
use crate::tcp::output::Next;
use crate::tcp::{Accurate, EcnFacts, Event, Outcome, Progress, State};
use crate::wire::tcp::{Flags, Options, Segment};

/// What must be known from before a segment to tell what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    state: State,
    /// Bytes that the peer had beyond SND.UNA.
    sacked: u32,
}

impl<C> Slot<C> {
    pub(super) fn before_marks<D>(&self, io: &Io<D>) -> Before {
        Before { state: self.tcb.state, sacked: self.sacked(io) }
    }

    /// AccECN's counters begin, if it was agreed on.
    pub(super) fn start_counting<D>(&mut self, io: &mut Io<D>) {
        if self.is_accurate() {
            *io.accurate.row(self.id.slot()) = Accurate::default();
        }
    }

    fn is_accurate(&self) -> bool {
        self.tcb.ecn.contains(EcnFacts::ACCURATE)
    }

    /// The counters; AccECN has been agreed on.
    fn accurate<'a, D>(&self, io: &'a mut Io<D>) -> &'a mut Accurate {
        io.accurate.row(self.id.slot())
    }

    /// A segment came on a connection that had ECN before it, or had asked for it: what it says of
    /// the way here and of the way there. Its payload is not in the queues yet.
    pub(super) fn marks_arrive<D: Device>(
        &mut self,
        segment: &Segment,
        outcome: &Outcome,
        before: Before,
        io: &mut Io<D>,
    ) {
        if !self.tcb.ecn.is_on() || segment.flags.contains(Flags::RST) {
            return;
        }
        if segment.flags.contains(Flags::SYN) {
            if self.is_accurate() {
                self.accurate_syn_arrives(segment, outcome, before.state, io);
            }
            return;
        }
        let acceptable = outcome.drop.is_none();
        if (acceptable || outcome.acked > 0) && segment.ack == self.tcb.snd_una {
            let delivered = (outcome.acked + self.sacked(io)).saturating_sub(before.sacked);
            self.feedback_arrives(segment, outcome, delivered, io);
        }
        if acceptable && segment.is_marked() {
            io.counters.inc(Counter::CongestionMarksReceived);
        }
        if self.is_accurate() {
            self.counted_arrives(segment, acceptable, io);
        } else if acceptable && segment.payload_len > 0 {
            if self.tcb.owes_echo_of_the_past(segment) {
                self.send_ack(self.tcb.bare_seq(), &[], io);
            }
            self.tcb.classic_data_arrives(segment);
        }
    }

    /// What an ACK reports of what we sent.
    fn feedback_arrives<D>(
        &mut self,
        segment: &Segment,
        outcome: &Outcome,
        delivered: u32,
        io: &mut Io<D>,
    ) {
        let (marked, reports) = if self.is_accurate() {
            let mss = u32::from(self.tcb.snd_mss);
            let accepted = self.is_accepted();
            let progress = Progress { delivered, mss, accepted };
            let feedback = self.accurate(io).feedback(segment, &progress);
            if feedback.mangled {
                self.give_up_ect(io);
            }
            (feedback.marked, feedback.marked > 0)
        } else {
            let marked = self.tcb.classic_marked(segment, delivered);
            (marked, segment.flags.contains(Flags::ECE))
        };
        if marked > 0 {
            self.reduction_stands(io);
            io.counters.inc(Counter::CongestionMarksReported);
        }
        if self.tcb.take_marks(outcome, delivered, marked, reports, io.now) {
            io.counters.inc(Counter::CongestionMarkReductions);
        }
    }

    /// Counts what came (RFC 9768 section 3.2).
    fn counted_arrives<D>(&mut self, segment: &Segment, acceptable: bool, io: &mut Io<D>) {
        let unacknowledged = segment.payload_len > 0 || self.tcb.last_ack_sent != self.tcb.rcv_nxt;
        if acceptable {
            if self.accurate(io).arrives(segment, unacknowledged) {
                self.tcb.ack_at_once();
            }
        } else if segment.payload_len > 0 && self.accurate(io).repeated() {
            self.tcb.ecn |= EcnFacts::NO_OPTION;
        }
    }

    /// A SYN or SYN-ACK on a connection with AccECN.
    fn accurate_syn_arrives<D>(
        &mut self,
        segment: &Segment,
        outcome: &Outcome,
        before: State,
        io: &mut Io<D>,
    ) {
        let answers = segment.flags.contains(Flags::ACK);
        if before == State::SynSent && !answers {
            // A simultaneous open: we count as a listener does.
            self.start_counting(io);
        } else if before == State::SynSent && outcome.event == Event::Opened {
            *self.accurate(io) = Accurate::opener(segment);
            if segment.flags.contains(Flags::AE | Flags::CWR) {
                // RFC 9768 section 3.2.2.2: our SYN arrived marked, which is not in s.cep.
                io.counters.inc(Counter::CongestionMarksReported);
                self.tcb.take_marks(outcome, 1, 1, true, io.now);
            }
        } else if answers && outcome.drop.is_some() && segment.seq + 1 == self.tcb.rcv_nxt {
            // The SYN-ACK again: its ACK, too, reflects its ECN field.
            self.tcb.ecn = self.tcb.ecn.with_syn_ecn(segment.ecn);
            self.accurate(io).syn_ack_again(segment);
        }
    }

    /// The path does to the ECN field what it must not: nothing is sent as ECN-capable any more.
    fn give_up_ect<D>(&mut self, io: &Io<D>) {
        // Until the connection is open, that is counted with the handshake.
        if self.app.is_some() && !self.tcb.ecn.contains(EcnFacts::NO_ECT) {
            io.counters.inc(Counter::EcnFallbacks);
        }
        self.tcb.ecn |= EcnFacts::NO_ECT;
    }

    /// Whether the SYN-ACK's ECN field is to be fed back, by an ACK of its own (RFC 9768 section
    /// 3.2.2.1).
    pub(super) fn reflects_syn_ack<D>(&self, io: &Io<D>) -> bool {
        self.is_accurate()
            && io.accurate.get(self.id.slot()).is_some_and(|counters| counters.reflects)
    }

    /// The flags of an ACK with nothing else to say.
    pub(super) fn ecn_flags<D>(&self, io: &Io<D>) -> Flags {
        if !self.is_accurate() {
            return self.tcb.echo_flags();
        }
        io.accurate.get(self.id.slot()).map_or(Flags::empty(), Accurate::ace)
    }

    /// What every segment after the handshake reports of the way here, with so much payload.
    pub(super) fn report_marks<D>(&self, fields: &mut Fields, payload: usize, io: &Io<D>) {
        if !self.is_accurate() {
            fields.flags |= self.tcb.echo_flags();
            return;
        }
        let Some(counters) = io.accurate.get(self.id.slot()) else { return };
        let pure = payload == 0 && fields.flags == Flags::ACK && fields.options.sack.is_empty();
        fields.flags |= if counters.reflects && pure {
            self.tcb.ecn.handshake_encoding()
        } else {
            counters.ace()
        };
        if self.tcb.ecn.contains(EcnFacts::NO_OPTION) {
            return;
        }
        let Some(option) = counters.option() else { return };
        let with = Options { accecn: Some(option), ..fields.options };
        // RFC 9768 section 3.2.3.3: two SACK blocks come first. And options count (RFC 6691).
        let blocks = fields.options.sack_written().min(2);
        let longer = with.emitted_len() - self.plain_options(io).emitted_len();
        let fits = payload == 0 || payload + longer <= usize::from(self.tcb.snd_mss);
        if fits && with.sack_written() >= blocks {
            fields.options = with;
        }
    }

    /// New data is sent as ECN-capable; what is sent again has no AccECN option, which may be why
    /// it was lost (RFC 9768 section 3.2.3.2.2).
    pub(super) fn mark_data(&self, next: &Next, fields: &mut Fields) {
        if next.again {
            fields.options.accecn = None;
        } else if next.len > 0 {
            fields.ecn = self.tcb.ect();
            fields.flags |= self.tcb.cwr_flags();
        }
    }

    /// A segment with these fields was sent; `pure`: without payload, SYN and FIN.
    pub(super) fn told_marks<D>(&mut self, fields: &Fields, pure: bool, io: &mut Io<D>) {
        if !self.is_accurate() {
            if fields.flags.contains(Flags::CWR) {
                self.tcb.cwr_sent();
            }
        } else if !fields.flags.contains(Flags::SYN) {
            let reflected = pure && fields.options.sack.is_empty();
            self.accurate(io).told(fields.options.accecn.is_some(), reflected);
        }
    }

    /// The handshake is over: counts what came of it.
    pub(super) fn count_ecn<D>(&self, io: &Io<D>) {
        let ecn = self.tcb.ecn;
        if !ecn.is_on() {
            return;
        }
        io.counters.inc(Counter::EcnConnections);
        if self.is_accurate() {
            io.counters.inc(Counter::AccurateEcnConnections);
        }
        if ecn.contains(EcnFacts::NO_ECT) {
            io.counters.inc(Counter::EcnFallbacks);
        }
    }
}
