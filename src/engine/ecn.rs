//! Explicit congestion notification: what comes and goes on connections that have it.

use super::counters::Counter;
use super::io::{Fields, Io};
use super::slots::Slot;
use crate::device::Device;
use crate::tcp::{EcnFacts, Outcome};
use crate::wire::tcp::{Flags, Segment};

impl<C> Slot<C> {
    /// A segment came on a connection that had ECN before it, or had asked for it: what it says of
    /// the way here and of the way there. `sacked`: bytes that were beyond SND.UNA before.
    pub(super) fn marks_arrive<D: Device>(
        &mut self,
        segment: &Segment,
        outcome: &Outcome,
        sacked: u32,
        io: &mut Io<D>,
    ) {
        if segment.flags.intersects(Flags::SYN | Flags::RST) || !self.tcb.ecn.is_on() {
            return;
        }
        let acceptable = outcome.drop.is_none();
        if (acceptable || outcome.acked > 0) && segment.ack == self.tcb.snd_una {
            let delivered = (outcome.acked + self.sacked(io)).saturating_sub(sacked);
            let reports = segment.flags.contains(Flags::ECE);
            let marked = self.tcb.classic_marked(segment, delivered);
            if marked > 0 {
                self.reduction_stands(io);
                io.counters.inc(Counter::CongestionMarksReported);
            }
            if self.tcb.take_marks(outcome, delivered, marked, reports, io.now) {
                io.counters.inc(Counter::CongestionMarkReductions);
            }
        }
        if acceptable && segment.payload_len > 0 {
            self.marked_data_arrives(segment, io);
        }
    }

    /// Payload came, which the queues have not seen yet.
    fn marked_data_arrives<D: Device>(&mut self, segment: &Segment, io: &mut Io<D>) {
        if segment.is_marked() {
            io.counters.inc(Counter::CongestionMarksReceived);
        }
        if self.tcb.owes_echo_of_the_past(segment) {
            self.send_ack(self.tcb.bare_seq(), &[], io);
        }
        self.tcb.classic_data_arrives(segment);
    }

    /// What every segment after the handshake reports of the way here.
    pub(super) fn report_marks(&self, fields: &mut Fields) {
        fields.flags |= self.tcb.echo_flags();
    }

    /// New data is sent as ECN-capable.
    pub(super) fn mark_new_data(&self, fields: &mut Fields) {
        fields.ecn = self.tcb.ect();
        fields.flags |= self.tcb.cwr_flags();
    }

    /// The handshake is over: counts what came of it.
    pub(super) fn count_ecn<D>(&self, io: &Io<D>) {
        let ecn = self.tcb.ecn;
        if !ecn.is_on() {
            return;
        }
        io.counters.inc(Counter::EcnConnections);
        if ecn.contains(EcnFacts::ACCURATE) {
            io.counters.inc(Counter::AccurateEcnConnections);
        }
        if ecn.contains(EcnFacts::NO_ECT) {
            io.counters.inc(Counter::EcnFallbacks);
        }
    }
}
