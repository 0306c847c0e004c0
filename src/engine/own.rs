//! What single connections have of their own.

use core::time::Duration;

use super::counters::Counter;
use super::io::{Fields, Io};
use super::slots::{Has, Pending, Slot};
use crate::app::Wishes;
use crate::device::Device;
use crate::tcp::{Facts, Own, Settings};
use crate::time::Tick;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Options, Segment};

impl<C> Slot<C> {
    /// What the connection has of its own, if anything.
    #[inline]
    pub(super) fn own<'a, D>(&self, io: &'a Io<D>) -> Option<&'a Own> {
        if self.tcb.has(Facts::OWN) { io.own.get(self.id.slot()) } else { None }
    }

    /// The same, to be changed; it has a row afterwards.
    pub(super) fn own_mut<'a, D>(&mut self, io: &'a mut Io<D>) -> &'a mut Own {
        let row = io.own.row(self.id.slot());
        if !self.tcb.has(Facts::OWN) {
            self.tcb.facts |= Facts::OWN;
            *row = Own::default();
        }
        row
    }

    /// The settings of this connection: those of all, or, put into `space`, its own.
    #[inline]
    pub(super) fn settings<'a, D>(
        &self,
        io: &'a Io<D>,
        space: &'a mut Option<Settings>,
    ) -> &'a Settings {
        match self.own(io).and_then(|own| own.settings(&io.settings)) {
            Some(own) => space.insert(own),
            None => &io.settings,
        }
    }

    /// When the application's timer is due, if it is set.
    #[inline]
    pub(super) fn timer_at<D>(&self, io: &Io<D>) -> Option<Tick> {
        if self.has.contains(Has::TIMER) { io.timers.get(self.id.slot()).copied() } else { None }
    }

    /// Sets the application's timer, or cancels it.
    pub(super) fn set_timer<D>(&mut self, after: Option<Duration>, io: &mut Io<D>) {
        self.has.set(Has::TIMER, after.is_some());
        if let Some(after) = after {
            *io.timers.row(self.id.slot()) = io.now.tick().after(after);
        }
    }

    /// Bytes that the advertised window must leave out: unread ones, and those that the application
    /// holds.
    #[inline]
    pub(super) fn charged<D>(&self, io: &Io<D>) -> u32 {
        self.inbox.bytes() + self.held(io)
    }

    #[inline]
    fn held<D>(&self, io: &Io<D>) -> u32 {
        if !self.has.contains(Has::HELD) {
            return 0;
        }
        io.held.get(self.id.slot()).copied().unwrap_or(0)
    }

    fn set_held<D>(&mut self, held: u32, io: &mut Io<D>) {
        self.has.set(Has::HELD, held > 0);
        *io.held.row(self.id.slot()) = held;
    }

    /// The application has taken so many bytes out, to hold them.
    pub(super) fn hold<D>(&mut self, bytes: u32, io: &mut Io<D>) {
        self.set_held(self.held(io) + bytes, io);
    }

    /// It doesn't hold these any more.
    pub(super) fn give_back<D>(&mut self, bytes: u32, io: &mut Io<D>) {
        self.set_held(self.held(io).saturating_sub(bytes), io);
    }

    /// Where the peer's FIN is, if it lies behind a hole.
    pub(super) fn fin_to_come<D>(&self, io: &Io<D>) -> Option<Seq> {
        let known = self.tcb.has(Facts::PEER_FIN_KNOWN) && !self.tcb.state.peer_has_finished();
        if known { io.fins.get(self.id.slot()).copied().map(Seq) } else { None }
    }

    /// The peer's FIN lies there, behind a hole.
    pub(super) fn await_fin<D>(&self, fin: Seq, io: &mut Io<D>) {
        *io.fins.row(self.id.slot()) = fin.0;
    }

    /// Puts what the connection has of its own into a segment with so much payload.
    pub(super) fn own_fields<D>(&self, fields: &mut Fields, payload: usize, io: &Io<D>) {
        let Some(own) = self.own(io) else { return };
        fields.dscp = own.dscp;
        if let Some(pointer) = own.urgent_pointer(fields.seq) {
            fields.flags |= Flags::URG;
            fields.urgent = pointer;
        }
        let with = Options { user_timeout: own.advertise, ..fields.options };
        let longer = with.emitted_len() - fields.options.emitted_len();
        // What does not fit beside the payload goes with an ACK.
        if payload + longer <= usize::from(self.tcb.snd_mss) {
            fields.options = with;
        }
    }

    /// Whether there is something to tell the peer that needs no data.
    pub(super) fn has_news<D>(&self, io: &Io<D>) -> bool {
        self.own(io).is_some_and(|own| own.advertise.is_some())
    }

    /// A segment with these fields was sent.
    pub(super) fn told<D>(&mut self, fields: &Fields, io: &mut Io<D>) {
        if fields.options.user_timeout.is_some() {
            self.own_mut(io).advertise = None;
        }
    }

    /// What a segment that was accepted says beside its data.
    pub(super) fn own_arrives<D>(&mut self, segment: &Segment, urgent: bool, io: &mut Io<D>) {
        let all = io.settings;
        if let Some(timeout) = segment.options.user_timeout
            && all.config.user_timeout_option.is_some()
        {
            self.own_mut(io).hear_user_timeout(timeout, &all);
        }
        let read = self.read_to();
        if urgent && self.own_mut(io).take_urgent(segment.seq + u32::from(segment.urgent), read) {
            self.pending |= Pending::DATA;
        }
    }

    /// Sequence number of the first unread byte.
    fn read_to(&self) -> Seq {
        let fin = u32::from(self.tcb.state.peer_has_finished());
        self.tcb.rcv_nxt - (self.inbox.bytes() + fin)
    }

    /// From behind the unread bytes to behind the last urgent one, for [`Rx`](crate::app::Rx).
    pub(super) fn urgent_past<D>(&mut self, io: &mut Io<D>) -> Option<i32> {
        let read = self.read_to();
        let up = self.own_mut(io).urgent_to(read)?;
        Some(read.distance_to(up) as i32 - self.inbox.bytes() as i32)
    }

    /// Whether a segment that can't be accepted may be answered now. What carries data or FIN is
    /// sent again by a peer that missed our ACK, and ends when it is answered; everything else
    /// could go back and forth for ever (RFC 5961 section 7).
    pub(super) fn may_answer<D: Device>(&mut self, segment: &Segment, io: &mut Io<D>) -> bool {
        let (interval, now) = (io.settings.config.answer_interval, io.now);
        let ends = segment.seg_len() > 0 && !segment.flags.contains(Flags::SYN);
        if !ends && !self.own_mut(io).may_answer(interval, now) {
            io.counters.inc(Counter::DropReplyLimit);
            return false;
        }
        io.may_reply()
    }

    /// What a callback set for its connection.
    pub(super) fn fulfil<D>(&mut self, wishes: &Wishes, io: &mut Io<D>) {
        let (all, una) = (io.settings, self.tcb.snd_una);
        let own = self.own_mut(io);
        own.dscp = wishes.dscp.or(own.dscp);
        if let Some(bytes) = wishes.urgent {
            own.send_urgent(una + bytes);
            // It goes even where no data can.
            self.tcb.ack_at_once();
        }
        if let Some(on) = wishes.no_delay {
            own.set_no_delay(on);
        }
        if let Some(timeout) = wishes.user_timeout {
            own.set_user_timeout(timeout, &all);
        }
        if let Some(idle) = wishes.keep_alive {
            own.set_keep_alive(idle);
            let mut space = None;
            let settings = self.settings(io, &mut space);
            self.tcb.watch(settings, io.now);
        }
    }
}
