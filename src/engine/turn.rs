//! One turn of an engine, and the passes over the batch that it received.

use super::counters::Counter;
use super::flow::{Flow, Hop};
use super::{Engine, Target, list};
use crate::app::{App, Core};
use crate::device::{Device, Frame};
use crate::time::{Instant, Tick};
use crate::wire::{self, Body, Checks, Parsed, Reject};

/// What a turn did, and when the next one is needed at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Whether anything was done: if so, there may be more to do at once.
    pub worked: bool,
    /// When the next timer is due; now, if something was done. `None` if no timer is armed.
    pub next_deadline: Option<Instant>,
}

/// What a received frame is, as far as the first pass came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrived {
    /// TCP to an address of ours.
    Segment,
    /// TCP to somebody else.
    NotOurs,
    Other,
    Rejected(Reject),
}

/// A received frame, read. One for each frame of a batch lies ready, to be written in place.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) what: Arrived,
    pub(super) parsed: Parsed,
    /// These mean something for a segment to us: which of our addresses it is to, and the hash of
    /// its flow.
    pub(super) local: u16,
    pub(super) hash: u64,
    /// The slot that the table names first for this hash: almost always the right one.
    first: u32,
}

impl Arrival {
    pub(super) const NOTHING: Arrival = Arrival {
        what: Arrived::Other,
        parsed: Parsed::NOTHING,
        local: 0,
        hash: 0,
        first: NO_SLOT,
    };
}

impl<A: App, D: Device> Engine<A, D> {
    /// One turn: receive, fire timers, deliver messages, call back, send, kick.
    pub fn turn(&mut self, now: Instant) -> Turn {
        self.io.now = now;
        self.io.counters.inc(Counter::Turns);
        let received = self.receive() | self.take_strays();
        let fired = self.fire_timers();
        let delivered = self.deliver_messages();
        let returned = self.take_returned();
        if !self.blocked.is_empty() {
            self.ready.append(&mut self.blocked);
        }
        self.feed_starved();
        self.watch();
        self.look_for_floods();
        let accepted = self.accept();
        let called = self.call_back();
        let connected = self.run_on_turn();
        self.io.device.flush();
        self.io.counters.set_gauges(self.slots.used(), self.half_open.len(), self.time_wait.len());
        // The application may have resumed accepting just now.
        let accepts = accepted || self.may_accept();
        let worked = received || fired || delivered || returned || accepts || called || connected;
        if worked {
            return Turn { worked, next_deadline: Some(now) };
        }
        self.io.counters.inc(Counter::IdleTurns);
        Turn { worked, next_deadline: self.next_deadline() }
    }

    fn receive(&mut self) -> bool {
        self.io.device.receive(&mut self.batch);
        if self.batch.frames().is_empty() {
            return false;
        }
        let mut batch = core::mem::replace(&mut self.batch, crate::device::Batch::new(0));
        let mut arrivals = core::mem::take(&mut self.arrivals);
        arrivals.resize_with(arrivals.len().max(batch.frames().len()), || Arrival::NOTHING);
        // Parse all; hash all, and ask the cache for the table's lines.
        for (frame, arrival) in batch.frames().iter().zip(&mut arrivals) {
            self.parse(frame, arrival);
            if matches!(arrival.what, Arrived::Segment) {
                self.demux.prefetch(arrival.hash);
            }
        }
        // Look up all, and ask the cache for the connections.
        for arrival in arrivals.iter_mut().take(batch.frames().len()) {
            if matches!(arrival.what, Arrived::Segment) {
                arrival.first = self.prefetch_target(arrival.hash);
            }
        }
        // Process all.
        self.io.unprocessed = batch.frames().len() as u32;
        for (frame, arrival) in batch.drain().zip(&arrivals) {
            self.io.unprocessed -= 1;
            self.process(frame, arrival);
        }
        (self.batch, self.arrivals) = (batch, arrivals);
        true
    }

    #[inline]
    pub(super) fn parse(&self, frame: &Frame, arrival: &mut Arrival) {
        arrival.what = self.parse_into(frame, arrival);
    }

    #[inline(always)]
    fn parse_into(&self, frame: &Frame, arrival: &mut Arrival) -> Arrived {
        let checks =
            Checks { verify: true, accept_partial: self.io.device.link().accept_partial_checksums };
        let parsed = &mut arrival.parsed;
        if let Err(reject) = wire::parse_into(self.io.pool.bytes(frame), checks, parsed) {
            return Arrived::Rejected(reject);
        }
        let Body::Tcp(segment) = &parsed.body else { return Arrived::Other };
        let Some(local) = self.io.local_index(segment.dst) else { return Arrived::NotOurs };
        if parsed.link.dst.is_multicast() {
            // RFC 9293 section 3.9.2.3, MUST-63: nothing to a group.
            return Arrived::NotOurs;
        }
        let (local_port, remote_port) = (segment.dst_port, segment.src_port);
        arrival.local = local;
        arrival.hash = self.hash.hash(&segment.dst.0, local_port, &segment.src.0, remote_port);
        Arrived::Segment
    }

    /// The first entry with this fingerprint is almost always the one: its slot, if it names one.
    fn prefetch_target(&self, hash: u64) -> u32 {
        if let Some(bits) = self.demux.find(hash, |_| true)
            && let Target::Connection(index) = Target::from_bits(bits)
        {
            self.slots.prefetch(index);
            self.wheel.prefetch(index);
            return index;
        }
        NO_SLOT
    }

    fn process(&mut self, frame: Frame, arrival: &Arrival) {
        match (&arrival.parsed.body, arrival.what) {
            (Body::Tcp(segment), Arrived::Segment) => {
                self.io.counters.inc(Counter::SegmentsReceived);
                let (index, hop) = (arrival.first, Hop::back(&arrival.parsed.link));
                if let Some(slot) = self.slots.get_mut(index)
                    && self.io.far.is_from(&slot.ends, segment, arrival.local)
                {
                    if slot.is_predicted(segment, &self.io) {
                        slot.predicted_arrives(frame, segment, hop, &mut self.io);
                        return list(slot, index, &mut self.ready);
                    }
                    return self.connection_arrives(index, frame, segment, hop);
                }
                let flow = Flow::of(segment, arrival.local);
                self.segment_arrives(frame, segment, &flow, hop, arrival.hash);
            }
            (_, Arrived::Rejected(reject)) => {
                self.io.counters.reject(reject);
                self.io.pool.release(frame);
            }
            (_, Arrived::NotOurs) => {
                self.io.counters.inc(Counter::DropNotOurs);
                self.io.pool.release(frame);
            }
            (_, Arrived::Other | Arrived::Segment) => {
                self.link_local_arrives(frame, &arrival.parsed);
            }
        }
    }

    /// Takes what applications gave back off the charge of the connections that received it.
    fn take_returned(&mut self) -> bool {
        let mut any = false;
        while let Some((owner, bytes)) = self.io.pool.take_returned() {
            any = true;
            let id = crate::app::ConnId::from_bits(owner);
            if let Some(index) = self.slots.find(id) {
                self.slots.at(index).give_back(bytes, &mut self.io);
                // The window may have opened.
                self.list(index);
            }
        }
        any
    }

    fn run_on_turn(&mut self) -> bool {
        self.app.on_turn(&mut Core {
            id: self.config.core,
            now: self.io.now,
            connections: self.slots.used(),
            draining: self.draining,
            commands: &mut self.commands,
        });
        let connected = !self.commands.connects.is_empty();
        self.open_connections();
        connected
    }

    /// When the next timer is due. O(levels of the wheels).
    fn next_deadline(&self) -> Option<Instant> {
        let now = self.io.now;
        let ticks = [
            self.wheel.next_deadline(),
            self.half_open_wheel.next_deadline(),
            self.time_wait.deadline(now.tick()),
            self.watch.deadline(),
        ];
        let first = ticks.into_iter().flatten().reduce(Tick::min)?;
        let ahead = u64::from(now.tick().until(first));
        let start_of_tick = now.nanos() >> Tick::SHIFT << Tick::SHIFT;
        Some(Instant::from_nanos((start_of_tick + ahead * Tick::NANOS).max(now.nanos())))
    }
}

/// No slot has this index.
const NO_SLOT: u32 = u32::MAX;
