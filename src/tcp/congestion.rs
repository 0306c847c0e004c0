//! Congestion control: how many bytes may be in flight.
//!
//! A controller is a small value in the connection, chosen by type: no dynamic dispatch, no
//! allocation. It keeps the window; the connection detects losses, counts duplicate
//! acknowledgements and knows where a recovery ends. All amounts are in bytes. The calls, in the
//! order of a connection's life:
//!
//! ```text
//!      on_ack ◄──────────────────────────────┐
//!        │ third duplicate ACK               │ all sent before the loss is ACKed
//!        ▼                                   │
//!      on_loss ─► inflate, on_partial_ack … ─► on_recovery_end
//!
//! on_timeout   at any time; ends a recovery          on_idle   before sending after a pause
//! ```

mod new_reno;

pub use new_reno::NewReno;

use crate::time::Instant;
use core::time::Duration;

/// A congestion control algorithm and its state for one connection.
pub trait CongestionControl: Copy {
    /// The state at the start of a connection whose full-sized segments carry `mss` bytes (SMSS in
    /// RFC 5681), with `initial_window` as [`initial_window`] gives it. An `mss` of zero is taken
    /// as one.
    fn new(mss: u16, initial_window: u32) -> Self;

    /// The congestion window: no more than this many bytes may be in flight.
    fn cwnd(&self) -> u32;

    /// The slow start threshold; `u32::MAX` until the first loss.
    fn ssthresh(&self) -> u32;

    /// Whether the window grows exponentially, towards a threshold it hasn't reached.
    fn in_slow_start(&self) -> bool {
        self.cwnd() < self.ssthresh()
    }

    /// New data was acknowledged, and no loss is being repaired.
    ///
    /// `acked` bytes are newly acknowledged; `flight` were in flight before (FlightSize in RFC 5681
    /// section 2). `cwnd_limited`: in the last round trip the window was at some time what kept the
    /// sender from sending more; if not, nothing is known about a larger one. `rtt` is the smoothed
    /// round-trip time, zero before the first sample.
    fn on_ack(&mut self, acked: u32, flight: u32, cwnd_limited: bool, now: Instant, rtt: Duration);

    /// A loss was detected without a time-out; recovery begins. `flight` is what is in flight,
    /// without the segments sent under limited transmit (RFC 3042, RFC 5681 section 3.2 step 2).
    fn on_loss(&mut self, flight: u32);

    /// In recovery, one more duplicate acknowledgement: a segment has left the network.
    fn inflate(&mut self);

    /// In recovery, `acked` new bytes were acknowledged but not all that was sent before the loss.
    fn on_partial_ack(&mut self, acked: u32);

    /// All that was sent before the loss is acknowledged; `flight` bytes remain in flight.
    fn on_recovery_end(&mut self, flight: u32);

    /// The retransmission timer expired with `flight` bytes in flight; `first` if the segment it
    /// was for had not been retransmitted by this timer before.
    fn on_timeout(&mut self, flight: u32, first: bool);

    /// Nothing was sent for longer than a retransmission time-out, and now there is something to
    /// send.
    fn on_idle(&mut self);
}

/// The initial window for full-sized segments of `mss` bytes (RFC 6928 section 2), or one segment
/// if the SYN or SYN-ACK was retransmitted more than once (`syn_retransmits`).
///
/// One retransmission alone is forgiven, as RFC 6928 section 2 recommends where RFC 5681 section
/// 3.1 did not: it is more often a lost or slow handshake than congestion.
pub fn initial_window(mss: u16, syn_retransmits: u8) -> u32 {
    let mss = u32::from(mss.max(1));
    if syn_retransmits > 1 {
        return mss;
    }
    (10 * mss).min((2 * mss).max(14_600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6928_2_the_initial_window_is_ten_segments_or_14600_bytes_but_at_least_two() {
        for (mss, window) in [
            (1_460, 14_600),
            (536, 5_360),
            (1_220, 12_200),
            (4_000, 14_600),
            (8_960, 17_920),
            (1, 10),
            (0, 10),
            (u16::MAX, 131_070),
        ] {
            assert_eq!(initial_window(mss, 0), window, "for an MSS of {mss}");
        }
    }

    #[test]
    fn rfc5681_3_1_and_rfc6928_2_after_repeated_loss_of_the_syn_it_is_one_segment() {
        assert_eq!(initial_window(1_460, 1), 14_600);
        assert_eq!(initial_window(1_460, 2), 1_460);
    }
}
