//! What can be asked about a connection between turns, as `TCP_INFO` tells it on kernel sockets.

use core::time::Duration;

use super::Engine;
use crate::app::{App, ConnId};
use crate::device::Device;
use crate::tcp::congestion::CongestionControl;

/// The sending side of a connection as it is now. All amounts are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// The congestion window in force (during a recovery, that of RFC 9937).
    pub cwnd: u32,
    /// The slow start threshold; `u32::MAX` until the first loss.
    pub ssthresh: u32,
    /// Sent and not acknowledged.
    pub in_flight: u32,
    /// The window that the peer advertises.
    pub peer_window: u32,
    /// The smoothed round-trip time; `None` before the first measurement.
    pub srtt: Option<Duration>,
}

impl<A: App, D: Device> Engine<A, D> {
    /// What is known of a connection now; `None` if it is gone.
    pub fn conn_info(&self, id: ConnId) -> Option<ConnInfo> {
        let slot = self.slots.get(self.slots.find(id)?)?;
        let tcb = &slot.tcb;
        Some(ConnInfo {
            cwnd: tcb.cwnd(slot.recovery(&self.io)),
            ssthresh: tcb.congestion.ssthresh(),
            in_flight: tcb.flight(),
            peer_window: tcb.snd_wnd(),
            srtt: tcb.rtt.srtt(),
        })
    }
}
