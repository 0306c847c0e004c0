//! Segments that came to the wrong core.
//!
//! A flow changes its receive queue when its sender hashes anew, as Linux does after a
//! retransmission timeout. So a segment of no connection here may be of one on another core: it
//! must not be answered with RST. It is copied to the other cores; the one that has the connection
//! takes it, and nobody else says anything. The same goes for ICMP errors, whose queue has nothing
//! to do with that of the segment they quote. That is for the rare packet, not for a way of
//! steering.

use super::Engine;
use super::counters::Counter;
use super::flow::{Flow, Hop};
use super::turn::{Arrival, Arrived};
use crate::app::App;
use crate::device::{Class, Device, Frame};
use crate::wire::Body;

impl<A: App, D: Device> Engine<A, D> {
    /// Whether a segment that nothing here wants was dealt with: passed on, or dropped if it was
    /// passed on to us. If not, there is only this core, and the RFC's answer is the right one.
    pub(super) fn is_for_others(&mut self, frame: &Frame) -> bool {
        if self.stray {
            self.io.counters.inc(Counter::DropStray);
        } else if self.mailbox.has_others() {
            self.io.counters.inc(Counter::StraysPassedOn);
            self.mailbox.pass_on(self.io.pool.bytes(frame));
        } else {
            return false;
        }
        true
    }

    /// Takes what other cores passed on, up to the budget of a turn.
    pub(super) fn take_strays(&mut self) -> bool {
        if !self.mailbox.has_others() {
            return false;
        }
        for taken in 0..self.config.limits.messages_per_turn {
            let Some(packet) = self.mailbox.pop_stray() else { return taken > 0 };
            self.take_stray(&packet);
        }
        true
    }

    fn take_stray(&mut self, packet: &[u8]) {
        let Some(mut frame) = self.io.pool.alloc(Class::Data) else {
            return self.io.counters.inc(Counter::DropNoRoom);
        };
        if packet.len() > self.io.pool.tailroom(&frame) {
            self.io.counters.inc(Counter::DropStray);
            return self.io.pool.release(frame);
        }
        self.io.pool.extend(&mut frame, packet.len());
        self.io.pool.bytes_mut(&mut frame).copy_from_slice(packet);
        self.stray = true;
        let mut arrival = Arrival::NOTHING;
        self.parse(&frame, &mut arrival);
        let Arrival { what, parsed, local, hash, .. } = &arrival;
        match (what, &parsed.body) {
            (Arrived::Segment, Body::Tcp(segment)) => {
                let flow = Flow::of(segment, *local);
                self.segment_arrives(frame, segment, &flow, Hop::back(&parsed.link), *hash);
            }
            (Arrived::Rejected(_) | Arrived::NotOurs, _) => {
                self.io.counters.inc(Counter::DropStray);
                self.io.pool.release(frame);
            }
            _ => self.link_local_arrives(frame, parsed),
        }
        self.stray = false;
    }
}
