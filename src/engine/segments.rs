//! A segment and the connection it belongs to: what TCP says is done to frames and queues.

use super::counters::Counter;
use super::flow::{Flow, Hop};
use super::io::Io;
use super::slots::{Has, Pending, Slot};
use super::{Engine, Target};
use crate::app::{App, Close};
use crate::device::{Device, Frame, FrameQueue, FrameRef, Place, Pool};
use crate::tcp::{self, Answer, Drop, Event, Facts, Outcome, Payload, State};
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

/// Payloads up to this long are copied behind the unread bytes before them if they fit there: many
/// small segments must not hold a frame each.
const COALESCE_BYTES: usize = 512;

impl<A: App, D: Device> Engine<A, D> {
    pub(super) fn segment_arrives(
        &mut self,
        frame: Frame,
        segment: &Segment,
        flow: &Flow,
        hop: Hop,
        hash: u64,
    ) {
        if !segment.src.is_unicast() {
            // RFC 9293 section 3.9.2.3, MUST-63: nothing from a group, and so no connection to one.
            self.io.counters.inc(Counter::DropNotOurs);
            return self.io.pool.release(frame);
        }
        match self.find_flow(flow, hash) {
            Some(Target::Connection(index)) => {
                self.connection_arrives(index, frame, segment, hop);
            }
            Some(Target::HalfOpen(index)) => {
                self.half_open_arrives(index, frame, segment, hop, hash);
            }
            Some(Target::TimeWait(index)) => {
                self.time_wait_arrives(index, frame, segment, hop, hash);
            }
            None => self.stateless_arrives(frame, segment, flow, hop, hash),
        }
    }

    /// Where a flow is kept; `hash` is its own.
    pub(super) fn find_flow(&self, flow: &Flow, hash: u64) -> Option<Target> {
        let is_meant = |bits| match Target::from_bits(bits) {
            Target::Connection(index) => {
                self.slots.get(index).is_some_and(|slot| slot.is_of(flow, &self.io))
            }
            Target::HalfOpen(index) => self.half_open.get(index).is_some_and(|h| h.flow == *flow),
            Target::TimeWait(index) => self.time_wait.is_of(index, flow),
        };
        self.demux.find(hash, is_meant).map(Target::from_bits)
    }

    /// SEGMENT ARRIVES for a connection in a slot; the frame is kept or released.
    // The long way: `process` has seen to the predicted ones.
    #[inline(never)]
    pub(super) fn connection_arrives(
        &mut self,
        index: u32,
        frame: Frame,
        segment: &Segment,
        hop: Hop,
    ) {
        let slot = self.slots.at(index);
        if slot.over.is_some() {
            self.io.counters.inc(Counter::DropAfterClose);
            self.io.pool.release(frame);
            return;
        }
        let io = &mut self.io;
        let offer = io.offer(slot.ends.is_v4());
        let before = slot.tcb.ecn.is_on().then(|| slot.before_marks(io));
        let mut space = None;
        let settings = slot.settings(io, &mut space);
        let mut outcome = Outcome::default();
        tcp::segment_arrives(&mut slot.tcb, segment, &mut outcome, &offer, settings, io.now);
        if outcome.drop.is_none() {
            // The way back follows the peer's, should its router change.
            slot.hop = hop;
        }
        if outcome.acked > 0 {
            slot.sample_round_trip(io);
            slot.sample_acknowledged(io);
            slot.note_acknowledged(io);
            slot.note_use(outcome.acked, io);
            slot.acknowledged(outcome.acked, io);
        }
        if slot.tcb.has(Facts::SACK) {
            slot.sacks_arrive(segment, outcome.acked > 0, io);
        } else {
            slot.plain_ack_arrives(segment, &outcome, io);
        }
        slot.finish_sample(io);
        if let Some(before) = before {
            slot.marks_arrive(segment, &outcome, before, io);
        }
        let fin = slot.find_fin(&mut outcome, io);
        slot.take_payload(frame, segment, outcome.payload, fin, io);
        if outcome.urgent || segment.options.user_timeout.is_some() && outcome.drop.is_none() {
            slot.own_arrives(segment, outcome.urgent, io);
        }
        let settings = space.as_ref().unwrap_or(&io.settings);
        let taken = fin.and_then(|fin| slot.tcb.take_fin(fin, settings, io.now));
        if taken.is_some() {
            slot.pending |= Pending::DATA;
            // Nothing of the stream lies behind its end.
            slot.drop_out_of_order(io);
        } else if let Some(fin) = fin {
            slot.await_fin(fin, io);
        }
        let event = taken.filter(|event| *event != Event::Nothing).unwrap_or(outcome.event);
        slot.answer(segment, &outcome, io);
        if outcome.retransmit && slot.tcb.has(Facts::RECOVERY) {
            slot.retransmit_first(io);
        }
        match event {
            Event::Opened => self.opened(index),
            Event::Reset => {
                self.io.counters.inc(Counter::ResetsReceived);
                self.slots.at(index).over = Some(Close::Reset);
            }
            Event::Refused => self.slots.at(index).over = Some(Close::Refused),
            Event::Closed => self.slots.at(index).over = Some(Close::Finished),
            Event::TimeWait | Event::Nothing => {}
        }
        if outcome.acked > 0 && self.slots.at(index).tcb.has(Facts::OWN) {
            self.path_acknowledged(index);
        }
        self.list(index);
    }
}

impl<C> Slot<C> {
    /// The connection's addresses and ports.
    #[inline]
    pub(super) fn flow<D>(&self, io: &Io<D>) -> Flow {
        io.far.flow(&self.ends)
    }

    /// Whether they are these.
    #[inline]
    pub(super) fn is_of<D>(&self, flow: &Flow, io: &Io<D>) -> bool {
        io.far.is(&self.ends, flow)
    }

    /// Whether the segment is the one that nearly every segment is: the next, on a connection where
    /// nothing is missing either way.
    #[inline]
    pub(super) fn is_predicted<D: Device>(&self, segment: &Segment, io: &Io<D>) -> bool {
        self.over.is_none()
            && self.tcb.is_usual()
            && self.tcb.predicts(segment)
            && !self.has.intersects(Has::UNUSUAL)
            && io.may_receive()
    }

    /// Whether a connection that was just made has nothing unusual, nor the segment that it was
    /// made by.
    pub(super) fn is_first_predicted<D: Device>(&self, segment: &Segment, io: &Io<D>) -> bool {
        self.tcb.is_usual() && self.tcb.predicts_first(segment) && io.may_receive()
    }

    /// A [predicted](Slot::is_predicted) segment arrives.
    #[inline]
    pub(super) fn predicted_arrives<D: Device>(
        &mut self,
        mut frame: Frame,
        segment: &Segment,
        hop: Hop,
        io: &mut Io<D>,
    ) {
        self.hop = hop;
        let acked = self.tcb.predicted_arrives(segment, &io.settings, io.now);
        if acked > 0 {
            self.sample_round_trip(io);
            self.note_use(acked, io);
            self.acknowledged(acked, io);
        }
        if segment.payload_len == 0 {
            return io.pool.release(frame);
        }
        frame.advance(usize::from(segment.payload_start));
        frame.truncate(usize::from(segment.payload_len));
        self.deliver(frame, io);
    }

    /// Releases what the peer has, and owes `on_space` if that is what the application waits for.
    #[inline(always)]
    fn acknowledged<D: Device>(&mut self, acked: u32, io: &mut Io<D>) {
        let in_flight = self.outbox.in_flight.bytes();
        let (first, taken) = (self.outbox.in_flight.front(), acked.min(in_flight));
        self.outbox.in_flight.consume(&io.pool, taken, Place::Sending);
        if !self.outbox.in_flight.is_empty() {
            let same = first == self.outbox.in_flight.front();
            self.trim_marks(if same { taken } else { 0 }, io);
        }
        if acked > in_flight {
            let rest = (acked - in_flight).min(self.outbox.queue.bytes());
            self.outbox.queue.consume(&io.pool, rest, Place::Sending);
        }
        if self.tcb.has(Facts::OWN) {
            let una = self.tcb.snd_una;
            self.own_mut(io).acknowledged(una);
        }
        self.check_space(io);
    }

    /// `on_space` is due when half of the budget is free again.
    #[inline]
    pub(super) fn check_space<D>(&mut self, io: &Io<D>) {
        if self.has.contains(Has::SPACE_OWED)
            && self.outbox.bytes() <= io.settings.config.send_buffer / 2
            // With nothing queued a held buffer may go, which needs no frame.
            && (io.pool.free_for_data() > 0 || self.outbox.bytes() == 0)
        {
            self.has -= Has::SPACE_OWED;
            self.pending |= Pending::SPACE;
        }
    }

    /// Where the peer's FIN is, if that is known: nothing of the segment's text lies behind it.
    fn find_fin<D>(&mut self, outcome: &mut Outcome, io: &Io<D>) -> Option<Seq> {
        let fin = outcome.fin.or_else(|| self.fin_to_come(io))?;
        self.tcb.cut_at_fin(fin, outcome);
        Some(fin)
    }

    /// Puts the payload where it belongs; the frame is kept or released. `fin` is where the peer's
    /// FIN is, if that is known.
    fn take_payload<D: Device>(
        &mut self,
        mut frame: Frame,
        segment: &Segment,
        payload: Option<Payload>,
        fin: Option<Seq>,
        io: &mut Io<D>,
    ) {
        let Some(Payload { skip, len, seq }) = payload else {
            io.pool.release(frame);
            return;
        };
        frame.advance(usize::from(segment.payload_start) + usize::from(skip));
        frame.truncate(usize::from(len));
        let waits = self.disorder(io).is_some_and(|disorder| !disorder.queue.is_empty());
        let needs_no_frame = waits || tail_for(&io.pool, &self.inbox, frame.len()).is_some();
        let fills = seq == self.tcb.rcv_nxt && needs_no_frame;
        if !io.may_receive() && !fills {
            // The last frames are for what frees others: the ACK counted, the payload comes again.
            // What fills a hole frees what lies behind it; what fits behind unread bytes is copied.
            io.counters.inc(Counter::DropNoRoom);
            io.pool.release(frame);
        } else if seq == self.tcb.rcv_nxt {
            if skip > 0 {
                // RFC 2883 section 4.2: a part of it came twice.
                self.report_duplicate(segment.seq, seq, io);
                self.tcb.ack_at_once();
            }
            if waits {
                // RFC 5681 section 4.2: at once, when all or part of a hole is filled.
                self.tcb.ack_at_once();
            }
            self.first_come_first_kept(&mut frame, seq, io);
            self.deliver(frame, io);
            self.join_out_of_order(fin, io);
        } else {
            self.tcb.owe_duplicate_ack();
            self.keep_out_of_order(frame, seq, io);
        }
    }

    /// Appends the next bytes of the stream to what the application reads.
    #[inline]
    pub(super) fn deliver<D: Device>(&mut self, frame: Frame, io: &mut Io<D>) {
        let len = frame.len() as u32;
        io.counters.add(Counter::BytesReceived, u64::from(len));
        let alone = self.inbox.is_empty();
        if alone || !append_copy(&io.pool, &mut self.inbox, &frame) {
            self.inbox.push_back(&io.pool, frame, Place::Received);
        } else {
            io.pool.release(frame);
        }
        self.tcb.delivered(len);
        self.pending |= Pending::DATA;
    }

    /// Sends what the RFC wants sent in answer, and counts what was dropped.
    fn answer<D: Device>(&mut self, segment: &Segment, outcome: &Outcome, io: &mut Io<D>) {
        if let Some(drop) = outcome.drop {
            io.counters.inc(drop_counter(drop));
            let end = segment.seq + u32::from(segment.payload_len);
            let is_text = segment.payload_len > 0 && !segment.flags.contains(Flags::SYN);
            let is_known = self.tcb.state != State::SynSent;
            if is_text && is_known && end.at_or_before(self.tcb.rcv_nxt) {
                self.report_duplicate(segment.seq, end, io);
            }
        }
        match outcome.answer {
            Answer::Nothing => {}
            Answer::Ack => {
                if self.may_answer(segment, io) {
                    self.tcb.ack_at_once();
                }
            }
            Answer::Challenge => {
                if self.may_answer(segment, io) {
                    io.counters.inc(Counter::ChallengeAcks);
                    self.tcb.ack_at_once();
                }
            }
            Answer::Reset { seq } => {
                if io.may_reply() {
                    io.send_reset(&self.flow(io), self.hop, seq, None, self.plain_options(io));
                }
            }
        }
    }

    /// Gives all frames back to the pool.
    pub(super) fn clear<D>(&mut self, io: &mut Io<D>) {
        self.drop_out_of_order(io);
        let pool = &io.pool;
        self.inbox.clear(pool, Place::Received);
        self.outbox.queue.clear(pool, Place::Sending);
        self.outbox.in_flight.clear(pool, Place::Sending);
    }
}

/// The frame of the last unread bytes, if a payload of this length is short and fits behind them.
fn tail_for(pool: &Pool, queue: &FrameQueue, len: usize) -> Option<FrameRef> {
    let tail = queue.back().some()?;
    (len <= COALESCE_BYTES && pool.queued_tailroom(tail) >= len as u32).then_some(tail)
}

/// Copies a short payload behind the last unread bytes, if it fits there: behind the bytes of a
/// received packet lies nothing of value.
fn append_copy(pool: &Pool, queue: &mut FrameQueue, frame: &Frame) -> bool {
    let Some(tail) = tail_for(pool, queue, frame.len()) else { return false };
    queue.edit(pool, tail, Place::Received, |last| {
        let before = last.len();
        pool.extend(last, frame.len());
        pool.bytes_mut(last)[before..].copy_from_slice(pool.bytes(frame));
    });
    true
}

pub(super) fn drop_counter(drop: Drop) -> Counter {
    match drop {
        Drop::OutOfWindow => Counter::DropOutOfWindow,
        Drop::Paws => Counter::DropPaws,
        Drop::BadAck => Counter::DropBadAck,
        Drop::BadReset => Counter::DropBadReset,
        Drop::AfterClose => Counter::DropAfterClose,
        Drop::Duplicate => Counter::DropDuplicate,
    }
}
