//! From a connection's queue to the device: what [`tcp::output`](crate::tcp) decides is built and
//! sent.

use super::counters::Counter;
use super::io::{Fields, Io};
use super::slots::{Has, Slot};
use crate::app::{Outbox, split_frame};
use crate::device::{Class, Device, FrameRef, Marks, Place};
use crate::tcp::output::{Next, Unsent};
use crate::tcp::{Facts, LocalOffer, Recovery, State};
use crate::time::Tick;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Options};

/// Whether everything that may be sent was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The device had no room: try again next turn.
    Blocked,
    /// It is too early for the rest: try again then.
    Held(Tick),
}

impl<C> Slot<C> {
    /// Sends what may be sent now, acknowledges what must be, arms what must be armed.
    #[inline]
    pub(crate) fn output<D: Device>(&mut self, io: &mut Io<D>) -> Sent {
        if self.send_usual(io) { Sent::All } else { self.output_any(io) }
    }

    /// The common case of [`output`](Slot::output): new data, for all of which there is room. False
    /// if something else remains to be done, or may remain.
    #[inline]
    fn send_usual<D: Device>(&mut self, io: &mut Io<D>) -> bool {
        let usual = self.tcb.is_usual()
            && !self.outbox.queue.is_empty()
            && !self.has.intersects(Has::UNUSUAL)
            && io.settings.config.no_delay;
        if !usual {
            return false;
        }
        self.restart_if_idle(io);
        while !self.outbox.queue.is_empty() {
            let Some(mut frame) = self.outbox.queue.lend_front(&io.pool) else { return false };
            let len = frame.len() as u32;
            if !self.tcb.has_room_for(len) {
                return false;
            }
            let mut flags = Flags::ACK;
            flags.set(Flags::PSH, self.outbox.queue.bytes() == len);
            let seq = self.tcb.snd_nxt;
            let fields = self.plain_fields(seq, flags, io);
            if !io.send_usual(&mut frame, &self.ends, self.hop, &fields) {
                return false;
            }
            let Outbox { queue, in_flight, .. } = &mut self.outbox;
            queue.forward(frame, in_flight, &io.pool, (seq.0, io.now.micros32()));
            self.advertised(&fields, io);
            self.tcb.usual_sent(len, io.now);
            io.counters.add(Counter::BytesSent, u64::from(len));
        }
        // What was sent acknowledges, and armed the timer.
        true
    }

    fn output_any<D: Device>(&mut self, io: &mut Io<D>) -> Sent {
        if !self.outbox.queue.is_empty() {
            self.restart_if_idle(io);
            self.restart_samples(io);
        }
        // Segments with payload have no space for blocks.
        let report_first = !self.outbox.queue.is_empty() || !self.outbox.in_flight.is_empty();
        let report_first = report_first && self.has_blocks() || self.reflects_syn_ack(io);
        if report_first && self.tcb.has(Facts::ACK_NOW) {
            self.acknowledge(io);
        }
        let mut result = self.repair(io);
        if self.tcb.has(Facts::OWN) {
            self.send_path_probe(io);
        }
        while let Some(next) = self.next_segment(io) {
            if self.is_held(io) {
                break;
            }
            if next.len > 0
                && let Some(at) = self.held_until(io)
            {
                result = Sent::Held(at);
                break;
            }
            if !self.transmit(&next, io) {
                result = blocked_by(io);
                break;
            }
        }
        if !self.acknowledge(io) {
            // If it is frames that lack, the delayed ACK's timer tries again.
            self.tcb.delay_ack();
            result = blocked_by(io);
        }
        self.note_application_limited(io);
        let waiting = !self.outbox.queue.is_empty();
        self.tcb.settle(waiting, &io.settings, io.now);
        if !waiting && self.tcb.has(Facts::TAIL) {
            self.hasten_probe(io);
        }
        result
    }

    pub(super) fn next_segment<D>(&mut self, io: &Io<D>) -> Option<Next> {
        let first = self.outbox.queue.front().some().map_or(0, |at| io.pool.queued_len(at));
        // Longer ones are from before the path was known.
        let first = first.min(u32::from(self.tcb.snd_mss));
        let recovery = self.recovery(io);
        let left = recovery.map_or(0, Recovery::left);
        let cwnd = self.tcb.cwnd(recovery);
        let unsent = Unsent { bytes: self.outbox.queue.bytes(), first, left, cwnd };
        let mut space = None;
        let settings = self.settings(io, &mut space);
        self.tcb.next_segment(unsent, settings)
    }

    /// False if there is no room or no frame. What lacked a frame goes when the timer armed by
    /// [`Tcb::settle`](crate::tcp) expires, or earlier if anything else happens.
    pub(super) fn transmit<D: Device>(&mut self, next: &Next, io: &mut Io<D>) -> bool {
        let mut fields = self.fields(next.seq, next.flags, next.len as usize, io);
        if self.tcb.ecn.is_on() {
            self.mark_data(next, &mut fields);
        }
        if next.len == 0 {
            if !io.send_control_to(&self.ends, self.hop, &fields, &[]) {
                return false;
            }
        } else if !self.transmit_front(next, &fields, io) {
            return false;
        }
        self.advertised(&fields, io);
        self.told(&fields, io);
        self.tcb.sent(next, io.now);
        if self.tcb.ecn.is_on() {
            self.told_marks(&fields, false, io);
        }
        if next.again {
            self.note_resent(&fields, next.len, io);
        } else {
            io.counters.add(Counter::BytesSent, u64::from(next.len));
            self.note_sent(next.len, io);
        }
        true
    }

    /// Moves the front of the send queue to the queue of what is in flight.
    fn transmit_front<D: Device>(&mut self, next: &Next, fields: &Fields, io: &mut Io<D>) -> bool {
        let queue = &mut self.outbox.queue;
        let front = queue.front();
        // Sent before, and the device has not even finished that.
        if io.pool.is_posted(front) || io.device.room() == 0 {
            return false;
        }
        if next.len < io.pool.queued_len(front) {
            // From the reserve: what is sent is what will free frames. But not all of it.
            let split = split_frame(
                &io.pool,
                queue,
                FrameRef::NONE,
                next.len as usize,
                SENDING,
                Class::Cut,
            );
            if split.is_none() {
                return false;
            }
        }
        let Some(mut frame) = queue.pop_front(&io.pool, SENDING) else { return false };
        let sent = io.send_to(&mut frame, &self.ends, self.hop, fields);
        if sent {
            let at = self.outbox.in_flight.push_back(&io.pool, frame, SENDING);
            io.pool.note_sent(at, next.seq.0, io.now.micros32());
            if next.again {
                io.pool.set_marks(at, Marks::RETRANSMITTED);
            }
            let pipe = self.outbox.in_flight.bytes() - next.len;
            self.departed(at, next.len, pipe, io);
        } else {
            queue.insert_after(&io.pool, FrameRef::NONE, frame, SENDING);
        }
        sent
    }

    /// Sends the segment at SND.UNA again, whatever the windows say (RFC 5681 section 3.2).
    pub(crate) fn retransmit_first<D: Device>(&mut self, io: &mut Io<D>) {
        let at = self.outbox.in_flight.front();
        if at == FrameRef::NONE {
            if self.tcb.has(Facts::FIN_SENT) && self.outbox.queue.is_empty() {
                self.tcb.snd_nxt = self.tcb.snd_una;
            }
            return;
        }
        let Some(at) = self.cut_to_segment(at, io) else { return };
        if !io.pool.is_posted(at) && self.send_again(at, io) {
            io.counters.inc(Counter::FastRetransmits);
        }
    }

    /// Sends the ACKs that must go now. False if there was no room for them.
    fn acknowledge<D: Device>(&mut self, io: &mut Io<D>) -> bool {
        if matches!(self.tcb.state, State::SynSent | State::SynReceived) {
            return true;
        }
        let due = self.tcb.has(Facts::ACK_NOW)
            || self.has_news(io)
            || self.tcb.window_update_due(io.settings.config.receive_buffer, self.charged(io))
                && !self.tcb.state.peer_has_finished();
        if !due {
            return true;
        }
        for _ in 0..self.tcb.dup_acks_owed.max(1) {
            if !self.send_ack(self.tcb.bare_seq(), &[], io) {
                return false;
            }
        }
        true
    }

    /// An ACK, a keep-alive or a probe: no sequence number of its own.
    pub(super) fn send_ack<D: Device>(&mut self, seq: Seq, payload: &[u8], io: &mut Io<D>) -> bool {
        let fields = self.fields(seq, Flags::ACK, payload.len(), io);
        let sent = io.send_control_to(&self.ends, self.hop, &fields, payload);
        if sent {
            self.advertised(&fields, io);
            self.told(&fields, io);
            if self.tcb.ecn.is_on() {
                self.told_marks(&fields, payload.is_empty(), io);
            }
            self.tcb.ack_sent();
        }
        sent
    }

    /// RFC 9293 section 3.8.4: a segment that is just not acceptable, so that it is answered.
    pub(crate) fn send_keep_alive<D: Device>(&mut self, io: &mut Io<D>) {
        if self.send_ack(self.tcb.snd_nxt - 1, &[], io) {
            io.counters.inc(Counter::KeepAliveProbes);
        }
    }

    /// RFC 9293 section 3.8.6.1: one byte of data into the closed window. It is a copy: the frame
    /// it lies in goes later, when there is a window for more.
    pub(crate) fn send_probe<D: Device>(&mut self, io: &mut Io<D>) {
        let queues = [&self.outbox.in_flight, &self.outbox.queue];
        let byte = queues.into_iter().find_map(|queue| {
            queue.chunks(&io.pool).next().and_then(|chunk| chunk.first().copied())
        });
        let Some(byte) = byte else { return };
        if self.send_ack(self.tcb.snd_una, &[byte], io) {
            self.tcb.probed();
            io.counters.inc(Counter::ZeroWindowProbes);
        }
    }

    /// RST from our side: ABORT (RFC 9293 section 3.10.5).
    pub(crate) fn send_abort<D: Device>(&mut self, io: &mut Io<D>) {
        if self.tcb.state == State::SynSent {
            return;
        }
        let (seq, ack) = (self.tcb.bare_seq(), Some(self.tcb.rcv_nxt));
        io.send_reset(&self.flow(io), self.hop, seq, ack, self.plain_options(io));
    }

    /// The header of a segment that carries so many bytes.
    #[inline]
    pub(super) fn fields<D: Device>(
        &self,
        seq: Seq,
        flags: Flags,
        payload: usize,
        io: &Io<D>,
    ) -> Fields {
        let special = flags.contains(Flags::SYN)
            || self.has_blocks()
            || self.tcb.has(Facts::OWN)
            || self.tcb.ecn.is_on();
        if special {
            return self.special_fields(seq, flags, payload, io);
        }
        self.plain_fields(seq, flags, io)
    }

    #[inline(never)]
    fn special_fields<D: Device>(
        &self,
        seq: Seq,
        flags: Flags,
        payload: usize,
        io: &Io<D>,
    ) -> Fields {
        let buffer = io.settings.config.receive_buffer;
        if flags.contains(Flags::SYN) {
            let offer = io.offer(self.ends.is_v4());
            return Fields {
                seq,
                ack: if flags.contains(Flags::ACK) { self.tcb.rcv_nxt } else { Seq(0) },
                flags: flags | self.tcb.syn_ecn_flags(flags),
                window: syn_window(buffer),
                ecn: 0,
                urgent: 0,
                dscp: None,
                options: self.syn_options(flags, &offer, io),
            };
        }
        let mut fields = self.plain_fields(seq, flags, io);
        if let Some(disorder) = self.disorder(io).filter(|_| self.has_blocks()) {
            let sack = disorder.blocks(&io.pool, fields.options.timestamps.is_some());
            let with = Options { sack, ..fields.options };
            // Options count (RFC 6691): a full segment with blocks is one that the link refuses.
            let longer = with.emitted_len() - fields.options.emitted_len();
            if payload + longer <= usize::from(self.tcb.snd_mss) {
                fields.options = with;
            }
        }
        if self.tcb.has(Facts::OWN) {
            self.own_fields(&mut fields, payload, io);
        }
        if self.tcb.ecn.is_on() {
            self.report_marks(&mut fields, payload, io);
        }
        fields
    }

    /// The same without a report of what came out of order or twice, and without what the
    /// connection has of its own.
    #[inline]
    fn plain_fields<D>(&self, seq: Seq, flags: Flags, io: &Io<D>) -> Fields {
        let buffer = io.settings.config.receive_buffer;
        let (window, _) = self.tcb.window_to_advertise(buffer, self.charged(io));
        let (ack, options) = (self.tcb.rcv_nxt, self.plain_options(io));
        Fields { seq, ack, flags, window, urgent: 0, dscp: None, ecn: 0, options }
    }

    /// Whether there is something to report that an ACK number can't say.
    fn has_blocks(&self) -> bool {
        self.tcb.has(Facts::SACK) && self.has.contains(Has::DISORDER)
    }

    /// The options of every segment after the handshake.
    #[inline]
    pub(super) fn plain_options<D>(&self, io: &Io<D>) -> Options {
        Options { timestamps: self.tcb.timestamps(io.now), ..Options::default() }
    }

    fn syn_options<D: Device>(&self, flags: Flags, offer: &LocalOffer, io: &Io<D>) -> Options {
        let mut timestamps = self.tcb.raw_timestamps(io.now);
        if !flags.contains(Flags::ACK) {
            timestamps.echo = 0;
            return offer.options(None, timestamps);
        }
        let scale = offer.window_scale.filter(|_| self.tcb.has(Facts::WINDOW_SCALING));
        let timestamps = self.tcb.has(Facts::TIMESTAMPS).then_some(timestamps);
        Options {
            mss: Some(offer.mss),
            window_scale: scale,
            timestamps,
            sack_permitted: self.tcb.has(Facts::SACK),
            accecn: self.tcb.syn_ack_option(),
            ..Options::default()
        }
    }

    #[inline]
    pub(super) fn advertised<D>(&mut self, fields: &Fields, io: &mut Io<D>) {
        if fields.flags.contains(Flags::ACK) {
            let syn = fields.flags.contains(Flags::SYN);
            let scale = if syn { 0 } else { self.tcb.rcv_scale };
            self.tcb.advertised(u32::from(fields.window) << scale);
            if self.has.contains(Has::DISORDER) {
                self.duplicate_reported(io);
            }
        }
    }
}

fn blocked_by<D: Device>(io: &Io<D>) -> Sent {
    if io.device.room() == 0 { Sent::Blocked } else { Sent::All }
}

const SENDING: Place = Place::Sending;

/// The window in a SYN or SYN-ACK, which is never scaled (RFC 7323 section 2.2).
pub(crate) fn syn_window(buffer: u32) -> u16 {
    buffer.min(u32::from(u16::MAX)) as u16
}
