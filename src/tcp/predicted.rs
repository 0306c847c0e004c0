//! The common case, told by one look at the connection: nothing lost, nothing ending, everything
//! open.
//!
//! Header prediction (Jacobson, "4BSD TCP header prediction", CCR, April 1990): most segments are
//! just the next one. What is asked here is asked for them all; whatever isn't so goes the way of
//! the RFC, step by step, and comes to the same.

use super::congestion::CongestionControl;
use super::tcb::{Facts, State, Tcb};

/// Facts of which each one alone makes a connection unusual.
const UNUSUAL: Facts = Facts::FIN_QUEUED
    .union(Facts::FIN_SENT)
    .union(Facts::PEER_FIN_KNOWN)
    .union(Facts::RECOVERY)
    .union(Facts::TIMED_OUT)
    .union(Facts::OVERRIDE)
    .union(Facts::REORDER_ARMED)
    .union(Facts::PROBE_OUT)
    .union(Facts::SAMPLED)
    .union(Facts::PACED)
    .union(Facts::OWN);

impl Tcb {
    /// Established, all that was sent was sent once, and nothing is marked.
    #[inline]
    pub(crate) fn is_usual(&self) -> bool {
        self.state == State::Established
            && !self.facts.intersects(UNUSUAL)
            && !self.ecn.is_on()
            && self.snd_nxt == self.snd_max
    }

    /// Whether the peer's window and the congestion window have room for so many new bytes.
    #[inline]
    pub(crate) fn has_room_for(&self, len: u32) -> bool {
        let in_flight = self.flight() + len;
        in_flight <= self.snd_wnd && in_flight <= self.congestion.cwnd()
    }
}
