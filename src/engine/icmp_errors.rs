//! ICMP errors: to whom they belong, and what they do there.

use super::counters::Counter;
use super::flow::Flow;
use super::{Engine, Target};
use crate::app::{App, Close};
use crate::device::{Device, Frame};
use crate::tcp::path_error::{ErrorVerdict, PathError, error_arrives_half_open};
use crate::wire::{Addr, Quoted, protocol};

impl<A: App, D: Device> Engine<A, D> {
    /// An error that came to our address `dst` (RFC 9293 section 3.9.2.2, MUST-54).
    pub(super) fn icmp_error_arrives(
        &mut self,
        frame: &Frame,
        dst: Addr,
        error: PathError,
        quoted: &Quoted,
    ) {
        self.io.counters.inc(Counter::IcmpErrors);
        let local = self.io.local_index(quoted.src).filter(|_| quoted.src == dst);
        let Some(local) = local.filter(|_| quoted.protocol == protocol::TCP) else {
            return self.io.counters.inc(Counter::DropIcmpUnmatched);
        };
        let flow = Flow {
            remote: quoted.dst,
            remote_port: quoted.dst_port,
            local_port: quoted.src_port,
            local,
        };
        let hash = self.hash(&flow);
        match self.find_flow(&flow, hash) {
            Some(Target::Connection(index)) => self.connection_error(index, error, quoted),
            Some(Target::HalfOpen(index)) => self.half_open_error(index, error, quoted, hash),
            // Nothing of it is in flight.
            Some(Target::TimeWait(_)) => self.io.counters.inc(Counter::DropIcmpNotInFlight),
            None => {
                if !self.is_for_others(frame) {
                    self.io.counters.inc(Counter::DropIcmpUnmatched);
                }
            }
        }
    }

    fn connection_error(&mut self, index: u32, error: PathError, quoted: &Quoted) {
        let slot = self.slots.at(index);
        if slot.over.is_some() {
            return self.io.counters.inc(Counter::DropIcmpNotInFlight);
        }
        match slot.tcb.error_arrives(error, quoted.seq) {
            ErrorVerdict::NotInFlight => self.io.counters.inc(Counter::DropIcmpNotInFlight),
            ErrorVerdict::Noted => self.io.counters.inc(Counter::IcmpErrorsNoted),
            ErrorVerdict::Refused => {
                self.io.counters.inc(Counter::IcmpErrorsHard);
                slot.over = Some(Close::Refused);
                self.list(index);
            }
            ErrorVerdict::TooBig { mtu } => self.packet_too_big(index, mtu, quoted),
        }
    }

    fn half_open_error(&mut self, index: u32, error: PathError, quoted: &Quoted, hash: u64) {
        let Some(entry) = self.half_open.get(index) else { return };
        match error_arrives_half_open(error, quoted.seq, entry.state.iss) {
            ErrorVerdict::NotInFlight => self.io.counters.inc(Counter::DropIcmpNotInFlight),
            ErrorVerdict::Refused => {
                self.io.counters.inc(Counter::IcmpErrorsHard);
                self.forget_half_open(index, hash);
            }
            ErrorVerdict::Noted | ErrorVerdict::TooBig { .. } => {
                self.io.counters.inc(Counter::IcmpErrorsNoted);
            }
        }
    }
}
