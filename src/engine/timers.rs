//! What is due: the wheel looks at a connection, the connection knows which of its timers that is.

use super::Engine;
use super::counters::Counter;
use super::flow::Hop;
use super::slots::{Pending, Slot};
use super::wheel::Wheel;
use crate::app::{App, Close};
use crate::device::Device;
use crate::tcp::{Expiry, Facts};
use crate::time::Tick;

impl<A: App, D: Device> Engine<A, D> {
    /// Fires what is due, up to the budget of a turn; the rest comes in the next one.
    pub(super) fn fire_timers(&mut self) -> bool {
        let now = self.io.now.tick();
        let budget = self.config.limits.timers_per_turn;
        let mut any = false;
        self.wheel.advance(now);
        for _ in 0..budget {
            let Some(index) = self.wheel.pop_expired() else { break };
            any = true;
            self.connection_timer(index);
        }
        self.half_open_wheel.advance(now);
        for _ in 0..budget {
            let Some(index) = self.half_open_wheel.pop_expired() else { break };
            any = true;
            self.half_open_timer(index);
        }
        for _ in 0..budget {
            if self.time_wait.deadline(now).is_none_or(|expires| expires.is_after(now)) {
                break;
            }
            any = true;
            self.forget_oldest_time_wait();
        }
        any
    }

    fn connection_timer(&mut self, index: u32) {
        let (io, slot) = (&mut self.io, self.slots.at(index));
        if slot.over.is_some() {
            return;
        }
        let now = io.now.tick();
        slot.tcb.ack_timer(io.now);
        if slot.timer_at(io).is_some_and(|at| !at.is_after(now)) {
            slot.set_timer(None, io);
            slot.pending |= Pending::TIMER;
        }
        slot.reorder_timer(io);
        let waiting = !slot.outbox.queue.is_empty();
        let mut space = None;
        let settings = slot.settings(io, &mut space);
        match slot.tcb.retransmit_timer(waiting, settings, io.now) {
            Expiry::Retransmit { first, forward, prior } => {
                slot.pending.set(Pending::STALLED, slot.tcb.reaches_r1());
                io.counters.inc(Counter::RetransmissionTimeouts);
                slot.validate_anew(io);
                self.path_timed_out(index);
                let (io, slot) = (&mut self.io, self.slots.at(index));
                slot.timed_out(first, forward, prior, io);
                let again = slot.tcb.rtt.backoff() > 1;
                if slot.hop == Hop::UNKNOWN {
                    self.resolve(index);
                } else if again {
                    self.doubt_hop(index);
                }
            }
            Expiry::TailProbe => slot.send_tail_probe(io),
            Expiry::Probe => slot.send_probe(io),
            Expiry::GiveUp => {
                slot.send_abort(io);
                slot.over = Some(slot.silence());
            }
            Expiry::Nothing | Expiry::Output | Expiry::KeepAlive | Expiry::Closed => {}
        }
        let (io, slot) = (&mut self.io, self.slots.at(index));
        if slot.over.is_none() {
            let settings = space.as_ref().unwrap_or(&io.settings);
            match slot.tcb.idle_timer(settings, io.now) {
                Expiry::KeepAlive => slot.send_keep_alive(io),
                Expiry::Closed => slot.over = Some(Close::Finished),
                Expiry::GiveUp => {
                    slot.send_abort(io);
                    slot.over = Some(slot.silence());
                }
                _ => {}
            }
        }
        self.list(index);
    }
}

impl<C> Slot<C> {
    /// Why a connection ends that the peer no longer answers.
    fn silence(&self) -> Close {
        // Who never learned the next hop's hardware address has no way either.
        let told = self.tcb.has(Facts::UNREACHABLE) || self.hop == Hop::UNKNOWN;
        if told { Close::Unreachable } else { Close::TimedOut }
    }
}

/// Arms the wheel for the connection's earliest deadline, `other` included, which lies elsewhere. A
/// wheel armed too early is left alone: it finds nothing due, and is armed anew. Most deadlines are
/// moved away many times before they are due.
#[inline]
pub(super) fn schedule<C>(slot: &Slot<C>, index: u32, other: Option<Tick>, wheel: &mut Wheel) {
    if let Some(armed) = wheel.deadline(index)
        && !slot.tcb.is_due_before(armed)
        && !other.is_some_and(|other| armed.is_after(other))
    {
        return;
    }
    if let Some(first) = Tick::earlier(slot.tcb.next_deadline(), other) {
        wheel.arm(index, first);
    }
}
