//! What an ACK tells of the path: how long segments took, and how fast they were delivered.

use core::time::Duration;

use super::io::Io;
use super::slots::Slot;
use crate::device::{FrameRef, Marks, Pool};
use crate::tcp::congestion::{Algorithm, CongestionControl};
use crate::tcp::delivery_rate::{RateSample, Snapshot};
use crate::tcp::{Facts, Settings};
use crate::wire::Seq;

/// What is kept for rate samples, by those that want them.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// For each frame what was known when it was sent. Empty as long as nobody asks.
    snapshots: Vec<Snapshot>,
    /// What the ACK in hand says.
    of_this_ack: RateSample,
}

impl Samples {
    /// Makes room for the snapshots, if connections may come that want them.
    pub(crate) fn prepare(&mut self, settings: &Settings, pool: &Pool) {
        if settings.config.congestion == Algorithm::Bbr {
            self.snapshots.resize(pool.frames() as usize, Snapshot::default());
        }
    }
}

impl<D> Io<D> {
    /// A piece of a frame in flight is in a frame of its own now.
    pub(super) fn copy_snapshot(&mut self, from: FrameRef, to: FrameRef) {
        let [from, to] = [from, to].map(|at| self.pool.position_of(at));
        if let Some(&snapshot) = self.samples.snapshots.get(from) {
            self.samples.snapshots[to] = snapshot;
        }
    }
}

impl<C> Slot<C> {
    /// Tells the congestion control how long the newest of the segments took that are acknowledged
    /// now, if it asks: the frames still lie in the queue. Nothing is to be learnt if one of them
    /// was sent twice (Karn's algorithm, RFC 6298 section 3), or SACKed before: then the newest
    /// arrived earlier.
    #[inline]
    pub(super) fn sample_round_trip<D>(&mut self, io: &Io<D>) {
        if self.tcb.wants_rtt() {
            self.take_round_trip(io);
        }
    }

    fn take_round_trip<D>(&mut self, io: &Io<D>) {
        let mut newest = None;
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            if self.ends_after_una(here, &io.pool) {
                break;
            }
            if io.pool.marks(here).intersects(Marks::SACKED | Marks::RETRANSMITTED) {
                return;
            }
            newest = Some(io.pool.sent_at(here));
            at = io.pool.next(here);
        }
        if let Some(sent_us) = newest {
            let rtt_us = io.now.micros32().wrapping_sub(sent_us);
            self.tcb.min_rtt_us = self.tcb.min_rtt_us.min(rtt_us.max(1));
            self.tcb.congestion.on_rtt(Duration::from_micros(rtt_us.into()));
        }
    }

    fn ends_after_una(&self, at: FrameRef, pool: &Pool) -> bool {
        (Seq(pool.seq(at)) + pool.queued_len(at)).after(self.tcb.snd_una)
    }

    /// A segment with payload was handed to the device, first or again; `pipe` bytes were in the
    /// network before.
    #[inline]
    pub(super) fn departed<D>(&mut self, at: FrameRef, len: u32, pipe: u32, io: &mut Io<D>) {
        if self.tcb.has(Facts::PACED) {
            self.pace(len, io);
        }
        if self.tcb.has(Facts::SAMPLED)
            && let Some(rate) = self.tcb.congestion.delivery_rate()
        {
            let position = io.pool.position_of(at);
            io.samples.snapshots[position] = rate.on_sent(len, pipe, io.now);
        }
    }

    /// Bytes that are in the network.
    pub(super) fn pipe<D>(&self, io: &Io<D>) -> u32 {
        self.outbox.in_flight.bytes().saturating_sub(self.left(io))
    }

    /// Samples what the ACK in hand acknowledges: its frames still lie in the queue.
    #[inline]
    pub(super) fn sample_acknowledged<D>(&mut self, io: &mut Io<D>) {
        if !self.tcb.has(Facts::SAMPLED) {
            return;
        }
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some().filter(|&here| !self.ends_after_una(here, &io.pool)) {
            if !io.pool.marks(here).contains(Marks::SACKED) {
                self.sample_delivered(here, io);
            }
            at = io.pool.next(here);
        }
    }

    /// The peer has this segment now.
    pub(super) fn sample_delivered<D>(&mut self, at: FrameRef, io: &mut Io<D>) {
        let Some(rate) = self.tcb.congestion.delivery_rate() else { return };
        let (len, now) = (io.pool.queued_len(at), io.now);
        let sample = &mut io.samples.of_this_ack;
        rate.on_delivered(&io.samples.snapshots[io.pool.position_of(at)], len, sample, now);
        let least = &mut self.tcb.min_rtt_us;
        if !io.pool.marks(at).contains(Marks::RETRANSMITTED) {
            let rtt_us = now.micros32().wrapping_sub(io.pool.sent_at(at));
            *least = (*least).min(rtt_us.max(1));
        } else if *least != u32::MAX {
            // It may be the first transmission that arrived: no round trip is so short.
            sample.rtt_us = sample.rtt_us.max(*least);
        }
    }

    /// This segment counts as lost; `adjacent` if the one before it does.
    pub(super) fn sample_lost<D>(&mut self, at: FrameRef, adjacent: bool, io: &Io<D>) {
        let congestion = &mut self.tcb.congestion;
        let Some(rate) = congestion.delivery_rate() else { return };
        let snapshot = &io.samples.snapshots[io.pool.position_of(at)];
        let lost = rate.on_lost(snapshot, io.pool.queued_len(at), adjacent);
        congestion.on_packet_lost(&lost, io.now);
    }

    /// All that the segment in hand says of deliveries is known.
    #[inline]
    pub(super) fn finish_sample<D>(&mut self, io: &mut Io<D>) {
        if !self.tcb.has(Facts::SAMPLED) {
            return;
        }
        let pipe = self.pipe(io);
        let mut sample = core::mem::take(&mut io.samples.of_this_ack);
        let congestion = &mut self.tcb.congestion;
        let Some(rate) = congestion.delivery_rate() else { return };
        rate.finish(&mut sample, pipe, self.tcb.min_rtt_us);
        let limited = self.tcb.facts.contains(Facts::CWND_LIMITED);
        congestion.on_rate_sample(&sample, limited, io.now);
    }

    /// Before something is sent: with nothing in flight the application has paused.
    pub(super) fn restart_samples<D>(&mut self, io: &Io<D>) {
        if !self.tcb.has(Facts::SAMPLED) || self.tcb.flight() > 0 {
            return;
        }
        let congestion = &mut self.tcb.congestion;
        if congestion.delivery_rate().is_some_and(|rate| rate.is_app_limited()) {
            congestion.on_restart(io.now);
        }
    }

    /// After sending: if all is sent and there would be room for more, the application is what
    /// limits the rate.
    pub(super) fn note_application_limited<D>(&mut self, io: &Io<D>) {
        if !self.tcb.has(Facts::SAMPLED) || !self.outbox.queue.is_empty() {
            return;
        }
        let pipe = self.pipe(io);
        let lost = self.outbox.in_flight.bytes() - pipe > self.sacked(io);
        if !lost
            && pipe < self.tcb.congestion.cwnd()
            && let Some(rate) = self.tcb.congestion.delivery_rate()
        {
            rate.on_app_limited(pipe);
        }
    }
}
