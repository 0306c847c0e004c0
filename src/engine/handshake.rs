//! LISTEN, half-open connections and TIME-WAIT: segments for what has no slot.

use super::config::Overflow;
use super::cookies::tuple;
use super::counters::Counter;
use super::flow::{Flow, Hop};
use super::io::{Fields, Io};
use super::listeners::ListenerId;
use super::segments::drop_counter;
use super::send::syn_window;
use super::slots::Slot;
use super::{Engine, Target};
use crate::app::App;
use crate::device::{Device, Frame};
use crate::tcp::{
    self, Answer, Drop, HalfOpen, HalfOpenVerdict, Tcb, TimeWait, TimeWaitVerdict, stateless,
};
use crate::time::Tick;
use crate::wire::Seq;
use crate::wire::tcp::{Options, Segment};

/// A half-open connection: 64 bytes and its timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct HalfOpenEntry {
    pub(super) flow: Flow,
    pub(super) hop: Hop,
    pub(super) state: HalfOpen,
}

impl<A: App, D: Device> Engine<A, D> {
    /// CLOSED or LISTEN.
    pub(super) fn stateless_arrives(
        &mut self,
        frame: Frame,
        segment: &Segment,
        flow: &Flow,
        hop: Hop,
        hash: u64,
    ) {
        let listener = self.listener(flow);
        let frame = if let Some(listener) = listener.filter(|_| !self.stray) {
            match self.cookie_arrives(frame, segment, flow, hop, hash, listener) {
                Some(frame) => frame,
                None => return,
            }
        } else {
            frame
        };
        let verdict = listener.map(|_| stateless::listen(segment));
        if let Some(listener) = listener.filter(|_| !self.stray)
            && verdict == Some(stateless::Listen::Syn)
        {
            self.io.pool.release(frame);
            return self.syn_arrives(segment, flow, hop, hash, listener, None);
        }
        if self.is_for_others(&frame) {
            return self.io.pool.release(frame);
        }
        self.io.pool.release(frame);
        let reset = match verdict {
            Some(stateless::Listen::Reset(_)) if self.cookie_fails() => return,
            Some(stateless::Listen::Reset(reset)) => Some(reset),
            Some(_) => None,
            None => stateless::closed(segment),
        };
        self.io.counters.inc(Counter::DropNoConnection);
        if let Some(reset) = reset
            && self.io.may_reply()
        {
            self.io.send_reset(flow, hop, reset.seq, reset.ack, Options::NONE);
        }
    }

    /// A SYN for a listener (RFC 9293 section 3.10.7.2, third step). `after` is the lowest sequence
    /// number that may be ours, if an earlier connection has to be told apart.
    fn syn_arrives(
        &mut self,
        syn: &Segment,
        flow: &Flow,
        hop: Hop,
        hash: u64,
        listener: ListenerId,
        after: Option<Seq>,
    ) {
        if self.is_broadcast(flow.remote) {
            // RFC 9293 section 3.9.2.3, MUST-63; the others are told from the address alone.
            return self.io.counters.inc(Counter::DropNotOurs);
        }
        self.io.counters.inc(Counter::SynsReceived);
        // Nobody is invited for whom there is no room.
        if let Some(counter) = self.newcomer_refusal(listener, flow.remote) {
            return self.refuse(counter, syn, flow, hop);
        }
        if self.wants_cookie(listener, after) {
            return self.send_cookie(syn, flow, hop, after);
        }
        if self.admission.listeners.half_open_is_full(listener) {
            return self.refuse(Counter::DropHalfOpenFull, syn, flow, hop);
        }
        let io = &self.io;
        let local = io.locals[usize::from(flow.local)].cidr.addr.0;
        let (port, remote, remote_port) = (flow.local_port, flow.remote.0, flow.remote_port);
        let mut iss = Seq(self.isn.isn(io.now, local, port, remote, remote_port));
        if let Some(after) = after.filter(|after| !iss.after(*after)) {
            // RFC 1122 section 4.2.2.13: above everything that the earlier connection used.
            iss = after + 1;
        }
        let ts_offset = self.cookies.timestamp_offset(&tuple(flow, io), io.now);
        let state = HalfOpen::new(syn, iss, ts_offset, &io.offer(flow.remote.is_v4()), io.now);
        let entry = HalfOpenEntry { flow: *flow, hop, state };
        let Some(index) = self.half_open.insert(entry) else {
            return self.refuse(Counter::DropHalfOpenFull, syn, flow, hop);
        };
        if !self.know_flow(hash, Target::HalfOpen(index), flow) {
            self.half_open.remove(index);
            return self.refuse(Counter::DropHalfOpenFull, syn, flow, hop);
        }
        self.admission.listeners.half_open_began(Some(listener));
        let wait = self.io.settings.rto.initial();
        self.half_open_wheel.arm(index, self.io.now.tick().after(wait));
        self.send_syn_ack(&entry);
    }

    pub(super) fn send_syn_ack(&mut self, entry: &HalfOpenEntry) {
        let offer = self.io.offer(entry.flow.remote.is_v4());
        let fields = Fields {
            seq: entry.state.iss,
            ack: entry.state.irs + 1,
            flags: entry.state.flags(),
            window: syn_window(self.io.settings.config.receive_buffer),
            ecn: 0,
            urgent: 0,
            dscp: None,
            options: entry.state.options(&offer, self.io.now),
        };
        self.io.send_control(&entry.flow, entry.hop, &fields);
    }

    pub(super) fn half_open_arrives(
        &mut self,
        index: u32,
        frame: Frame,
        segment: &Segment,
        hop: Hop,
        hash: u64,
    ) {
        let Some(entry) = self.half_open.get_mut(index) else {
            return self.io.pool.release(frame);
        };
        let window = u32::from(syn_window(self.io.settings.config.receive_buffer));
        let offer = self.io.offer(entry.flow.remote.is_v4());
        let verdict = entry.state.segment_arrives(segment, window, &offer);
        if verdict == HalfOpenVerdict::SendAgain {
            entry.state.syn_again(segment);
        }
        let entry = *entry;
        match verdict {
            HalfOpenVerdict::Accept => {
                return self.handshake_complete(index, &entry, frame, segment, hop, hash);
            }
            HalfOpenVerdict::SendAgain => {
                self.io.counters.inc(Counter::Retransmissions);
                self.send_syn_ack(&entry);
            }
            HalfOpenVerdict::Forget => self.forget_half_open(index, hash),
            HalfOpenVerdict::Reset => {
                self.forget_half_open(index, hash);
                if self.io.may_reply() {
                    // Exact for a peer in any state.
                    let (seq, ack) = (entry.state.iss + 1, Some(entry.state.irs + 1));
                    self.io.send_reset(&entry.flow, hop, seq, ack, Options::NONE);
                }
            }
            // The handshake may have gone on with another core's SYN-ACK.
            HalfOpenVerdict::Refuse(Drop::BadAck, _) if self.is_for_others(&frame) => {}
            HalfOpenVerdict::Refuse(drop, answer) => {
                self.io.counters.inc(drop_counter(drop));
                let fields = Fields {
                    seq: entry.state.iss + 1,
                    ack: entry.state.irs + 1,
                    flags: entry.state.ack_flags(),
                    window: window as u16,
                    ecn: 0,
                    urgent: 0,
                    dscp: None,
                    options: entry.state.answer_options(self.io.now),
                };
                self.answer(&entry.flow, entry.hop, answer, &fields);
            }
        }
        self.io.pool.release(frame);
    }

    fn answer(&mut self, flow: &Flow, hop: Hop, answer: Answer, ack: &Fields) {
        if answer == Answer::Nothing || !self.io.may_reply() {
            return;
        }
        match answer {
            Answer::Reset { seq } => {
                self.io.send_reset(flow, hop, seq, None, Options::NONE);
            }
            _ => {
                if answer == Answer::Challenge {
                    self.io.counters.inc(Counter::ChallengeAcks);
                }
                self.io.send_control(flow, hop, ack);
            }
        }
    }

    pub(super) fn forget_half_open(&mut self, index: u32, hash: u64) {
        self.half_open_wheel.cancel(index);
        if let Some(entry) = self.half_open.remove(index) {
            self.forget_flow(hash, Target::HalfOpen(index), &entry.flow);
            let listener = self.listener(&entry.flow);
            self.admission.listeners.half_open_ended(listener);
        }
    }

    /// The third segment: the half-open entry becomes a connection in the accept queue.
    fn handshake_complete(
        &mut self,
        index: u32,
        entry: &HalfOpenEntry,
        frame: Frame,
        segment: &Segment,
        hop: Hop,
        hash: u64,
    ) {
        let listener = self.listener(&entry.flow);
        if let Some(counter) = self.refusal(listener, entry.flow.remote) {
            self.io.pool.release(frame);
            self.refuse(counter, segment, &entry.flow, hop);
            if self.config.overflow == Overflow::Reset {
                self.forget_half_open(index, hash);
            }
            return;
        }
        let made = self.accepted_slot(entry, segment, hop);
        let Some(slot) = made else { return self.io.pool.release(frame) };
        let (old, new) = (Target::HalfOpen(index), Target::Connection(slot));
        self.demux.replace(hash, old.to_bits(), new.to_bits());
        self.half_open_wheel.cancel(index);
        self.half_open.remove(index);
        self.admission.listeners.half_open_ended(listener);
        self.enqueue(slot, listener, entry.flow.remote);
        self.first_arrives(slot, frame, segment, hop);
    }

    /// The segment that completed a handshake arrives at the connection that it made.
    pub(super) fn first_arrives(&mut self, index: u32, frame: Frame, segment: &Segment, hop: Hop) {
        let slot = self.slots.at(index);
        if slot.is_first_predicted(segment, &self.io) {
            return slot.predicted_arrives(frame, segment, hop, &mut self.io);
        }
        self.connection_arrives(index, frame, segment, hop);
    }

    /// A slot for the connection that `segment` completes.
    pub(super) fn accepted_slot(
        &mut self,
        entry: &HalfOpenEntry,
        segment: &Segment,
        hop: Hop,
    ) -> Option<u32> {
        let io = &self.io;
        let offer = io.offer(entry.flow.remote.is_v4());
        let window = u32::from(syn_window(io.settings.config.receive_buffer));
        let (iss, ts_offset) = (entry.state.iss, entry.state.ts_offset);
        let tcb = Tcb::connect(iss, ts_offset, &offer, &io.settings, io.now);
        let index = self.take_slot(tcb, &entry.flow, hop)?;
        let slot = self.slots.at(index);
        let io = &mut self.io;
        entry.state.accept(&mut slot.tcb, segment, window, &offer, &io.settings, io.now);
        slot.start_counting(io);
        Some(index)
    }

    pub(super) fn time_wait_arrives(
        &mut self,
        index: u32,
        frame: Frame,
        segment: &Segment,
        hop: Hop,
        hash: u64,
    ) {
        self.io.pool.release(frame);
        let Some(waiting) = self.time_wait.get(index) else { return };
        let drop = match waiting.state.segment_arrives(segment) {
            TimeWaitVerdict::Restart => {
                let expires = self.time_wait_end();
                self.time_wait.restart(index, expires);
                self.acknowledge_time_wait(index);
                return;
            }
            TimeWaitVerdict::Reuse => {
                let after = Some(waiting.state.snd_nxt);
                if let Some(flow) = self.time_wait.flow(index)
                    && let Some(listener) = self.listener(&flow)
                {
                    self.forget_time_wait(index, hash);
                    self.syn_arrives(segment, &flow, hop, hash, listener, after);
                    return;
                }
                tcp::Drop::OutOfWindow
            }
            TimeWaitVerdict::Answer(drop) => {
                if self.io.may_reply() {
                    self.acknowledge_time_wait(index);
                }
                drop
            }
            TimeWaitVerdict::Ignore(drop) => drop,
        };
        self.io.counters.inc(drop_counter(drop));
    }

    fn acknowledge_time_wait(&mut self, index: u32) {
        let Some(&waiting) = self.time_wait.get(index) else { return };
        let Some(flow) = self.time_wait.flow(index) else { return };
        let fields = Fields {
            seq: waiting.state.snd_nxt,
            ack: waiting.state.rcv_nxt,
            flags: waiting.state.flags(),
            window: waiting.state.window,
            ecn: 0,
            urgent: 0,
            dscp: None,
            options: waiting.state.options(self.io.now),
        };
        self.io.send_control(&flow, waiting.hop, &fields);
    }

    pub(super) fn forget_time_wait(&mut self, index: u32, hash: u64) {
        if let Some(flow) = self.time_wait.flow(index) {
            self.forget_flow(hash, Target::TimeWait(index), &flow);
            self.time_wait.remove(index);
        }
    }

    pub(super) fn forget_oldest_time_wait(&mut self) {
        if let Some(oldest) = self.time_wait.first()
            && let Some(flow) = self.time_wait.flow(oldest)
        {
            self.forget_time_wait(oldest, self.hash(&flow));
        }
    }

    fn time_wait_end(&self) -> Tick {
        self.io.now.tick().after(self.io.settings.config.time_wait)
    }

    /// A connection has left its slot, `index`, for TIME-WAIT; `hash` is that of its flow. If the
    /// table is full, the oldest makes room.
    pub(super) fn enter_time_wait(
        &mut self,
        index: u32,
        flow: &Flow,
        hop: Hop,
        state: TimeWait,
        hash: u64,
    ) {
        let old = Target::Connection(index).to_bits();
        if self.time_wait.is_full() && self.time_wait.len() > 0 {
            self.io.counters.inc(Counter::TimeWaitEvictions);
            self.forget_oldest_time_wait();
        }
        let expires = self.time_wait_end();
        match self.time_wait.insert(flow, hop, state, expires) {
            Some(new) => {
                self.demux.replace(hash, old, Target::TimeWait(new).to_bits());
            }
            None => self.forget_flow(hash, Target::Connection(index), flow),
        }
    }

    /// The SYN-ACK timer of a half-open connection.
    pub(super) fn half_open_timer(&mut self, index: u32) {
        let Some(entry) = self.half_open.get_mut(index) else { return };
        match entry.state.next_try(&self.io.settings) {
            Some(wait) => {
                let entry = *entry;
                self.half_open_wheel.arm(index, self.io.now.tick().after(wait));
                self.io.counters.inc(Counter::Retransmissions);
                self.send_syn_ack(&entry);
            }
            None => {
                let flow = entry.flow;
                let hash = self.hash(&flow);
                self.forget_half_open(index, hash);
            }
        }
    }
}

impl<C> Slot<C> {
    /// What is left of the connection in TIME-WAIT.
    pub(super) fn time_wait<D>(&self, io: &Io<D>) -> TimeWait {
        let (window, _) = self.tcb.window_to_advertise(io.settings.config.receive_buffer, 0);
        TimeWait::new(&self.tcb, window, self.ecn_flags(io))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::slab::Slab;

    #[test]
    fn a_half_open_entry_takes_at_most_64_bytes() {
        let bytes = Slab::<HalfOpenEntry>::ENTRY_BYTES;
        assert!(bytes <= 64, "{bytes}");
    }
}
