//! What an ACK tells of the path: how long segments took.

use core::time::Duration;

use super::io::Io;
use super::slots::Slot;
use crate::device::Marks;
use crate::tcp::congestion::CongestionControl;
use crate::wire::Seq;

impl<C> Slot<C> {
    /// Tells the congestion control how long the newest of the segments took that are acknowledged
    /// now, if it asks: the frames still lie in the queue. Nothing is to be learnt if one of them
    /// was sent twice (Karn's algorithm, RFC 6298 section 3), or SACKed before: then the newest
    /// arrived earlier.
    pub(super) fn sample_round_trip<D>(&mut self, io: &Io<D>) {
        if !self.tcb.wants_rtt() {
            return;
        }
        let mut newest = None;
        let mut at = self.outbox.in_flight.front();
        while let Some(here) = at.some() {
            let end = Seq(io.pool.seq(here)) + io.pool.queued_len(here);
            if end.after(self.tcb.snd_una) {
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
}
