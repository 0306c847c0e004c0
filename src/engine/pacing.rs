//! Pacing: when the next segment of a connection may leave.
//!
//! The timer wheel looks at a connection every 131 µs at best. What is due before it can look again
//! leaves at once: bursts are of up to two ticks at the connection's rate, 3 kB at 100 Mbit/s, and
//! no rate is too high for the wheel.

use core::time::Duration;

use super::io::Io;
use super::slots::Slot;
use crate::tcp::Facts;
use crate::tcp::congestion::CongestionControl;
use crate::time::{Instant, Tick};

/// So much earlier than its time a segment may leave: the wheel may be so late.
const HORIZON: Duration = Duration::from_nanos(2 * Tick::NANOS);
/// The slowest pace is a segment a second.
const LONGEST_GAP_NS: u64 = 1_000_000_000;

impl<C> Slot<C> {
    /// Until when the next segment must wait, if it must.
    #[inline]
    pub(super) fn held_until<D>(&self, io: &Io<D>) -> Option<Tick> {
        if !self.tcb.has(Facts::PACED) {
            return None;
        }
        let departure = io.departures.get(self.id.slot()).copied().unwrap_or(Instant::ZERO);
        let wait = departure.since(io.now + HORIZON);
        (!wait.is_zero()).then(|| io.now.tick().after(wait))
    }

    /// A segment with so much payload has left: the next one may follow at the pace of the
    /// congestion control, if that has one already.
    pub(super) fn pace<D>(&self, len: u32, io: &mut Io<D>) {
        let srtt = self.tcb.rtt.srtt().unwrap_or_default();
        let Some(rate) = self.tcb.congestion.pacing_rate(srtt) else { return };
        let gap_ns = (u64::from(len) * 1_000_000_000 / rate.max(1)).min(LONGEST_GAP_NS);
        let row = io.departures.row(self.id.slot());
        *row = (*row).max(io.now) + Duration::from_nanos(gap_ns);
    }

    /// The connection is over: the next one in its slot is not to wait.
    pub(super) fn forget_pace<D>(&self, io: &mut Io<D>) {
        if self.tcb.has(Facts::PACED) {
            *io.departures.row(self.id.slot()) = Instant::ZERO;
        }
    }
}
