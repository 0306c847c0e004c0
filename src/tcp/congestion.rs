//! Congestion control: how many bytes may be in flight, and how fast they may leave.
//!
//! A controller is a small value in the connection, chosen by type or, through [`Control`], by a
//! `match`: no dynamic dispatch, no allocation, integers only. It keeps the window; the connection
//! detects losses and knows where a recovery ends. All amounts are in bytes. The calls, in the
//! order of a connection's life:
//!
//! ```text
//!  on_rtt, on_ecn, on_ack, on_rate_sample ◄─────────────┐   for each ACK that delivers data
//!        │ loss detected                                │
//!        ▼                                              │ all sent before the loss is ACKed
//!  on_congestion ─► [`Prr`] says what to send ──────► on_recovered         with SACK (RFC 9937)
//!  on_loss ─► inflate, on_partial_ack … ────────────► on_recovery_end      without (RFC 6582)
//!        │ it was no loss
//!        └────► undo
//!
//!  on_timeout   at any time; ends a recovery
//!  on_restart, on_idle   before sending after a pause
//! ```
//!
//! [`Prr`]: super::prr::Prr

mod bbr;
mod control;
mod cubic;
mod curve;
mod dctcp;
mod hystart;
mod new_reno;
#[cfg(test)]
mod testbed;
mod window;

pub use bbr::Bbr;
pub use control::{Algorithm, Control, UnknownAlgorithm};
pub use cubic::Cubic;
pub use dctcp::Dctcp;
pub use new_reno::NewReno;
pub use window::Prior;

use super::delivery_rate::{DeliveryRate, LostPacket, RateSample};
use crate::time::Instant;
use core::time::Duration;

/// A congestion control algorithm and its state for one connection.
pub trait CongestionControl: Sized {
    /// The state at the start of a connection whose full-sized segments carry `mss` bytes (SMSS in
    /// RFC 5681), with `initial_window` as [`initial_window`] gives it. An `mss` of zero is taken
    /// as one.
    fn new(mss: u16, initial_window: u32) -> Self;

    /// The congestion window: no more than this many bytes may be in flight.
    fn cwnd(&self) -> u32;

    /// The slow start threshold; `u32::MAX` until the first loss.
    fn ssthresh(&self) -> u32;

    /// The size of a full segment's payload.
    fn smss(&self) -> u32;

    /// The path's MTU changed: full segments now carry `mss` bytes. The window stays as it is.
    fn set_mss(&mut self, mss: u16);

    /// Sets the window within the bounds of a segment and of what TCP can use: for the recovery of
    /// RFC 6582, and for who computes a window elsewhere (RFC 9937, RFC 7661).
    fn set_cwnd(&mut self, cwnd: u32);

    /// Whether the window grows exponentially, towards a threshold it hasn't reached.
    fn in_slow_start(&self) -> bool {
        self.cwnd() < self.ssthresh()
    }

    /// How fast segments may leave, in bytes per second; `None` before there is any estimate.
    /// `srtt` is the smoothed round-trip time.
    ///
    /// A window-based controller spreads its window over less than a round trip, so that the window
    /// and not the pace is what limits: two windows a round trip in slow start (which doubles), one
    /// and a fifth otherwise.
    fn pacing_rate(&self, srtt: Duration) -> Option<u64> {
        let us = u64::try_from(srtt.as_micros()).ok().filter(|&us| us > 0)?;
        let tenths = if self.in_slow_start() { 20 } else { 12 };
        Some(u64::from(self.cwnd()) * tenths * 100_000 / us)
    }

    /// Whether PRR decides what is sent in a recovery: if not, [`cwnd`](Self::cwnd) goes on to.
    fn uses_prr(&self) -> bool {
        true
    }

    /// Whether [`on_rate_sample`](Self::on_rate_sample) and
    /// [`on_packet_lost`](Self::on_packet_lost) do anything: if not, the connection needn't keep
    /// what they are made of. Who wants them wants to be paced too.
    fn wants_rate_samples(&self) -> bool {
        false
    }

    /// Where the connection keeps what the samples are made of.
    fn delivery_rate(&mut self) -> Option<&mut DeliveryRate> {
        None
    }

    /// New data was acknowledged, and no loss is being repaired.
    ///
    /// `acked` bytes are newly acknowledged; `flight` were in flight before (FlightSize in RFC 5681
    /// section 2). `cwnd_limited`: in the last round trip the window was at some time what kept the
    /// sender from sending more; if not, nothing is known about a larger one. That is the rule of
    /// RFC 7661 section 4.3 (and of RFC 9438 section 4.2 for windows that the application doesn't
    /// fill); what a window left unused for long is worth is [`Validation`]'s to say. `rtt` is the
    /// smoothed round-trip time, zero before the first sample.
    ///
    /// [`Validation`]: super::validation::Validation
    fn on_ack(&mut self, acked: u32, flight: u32, cwnd_limited: bool, now: Instant, rtt: Duration);

    /// Whether [`on_rtt`](Self::on_rtt) does anything now: if not, nobody needs to measure more
    /// than the time-out takes.
    fn wants_rtt(&self) -> bool {
        false
    }

    /// A round trip was measured: the latest, not the smoothed one. Before or after
    /// [`on_ack`](Self::on_ack), always the same.
    fn on_rtt(&mut self, _rtt: Duration) {}

    /// The delivery rate that this ACK is a sample of; in a recovery too. After
    /// [`on_ack`](Self::on_ack). `cwnd_limited` as there.
    fn on_rate_sample(&mut self, _sample: &RateSample, _cwnd_limited: bool, _now: Instant) {}

    /// Makes the controller's random choices (when to probe) differ from other connections'.
    fn set_seed(&mut self, _seed: u32) {}

    /// One packet was marked as lost. After [`on_congestion`](Self::on_congestion), if a recovery
    /// begins with it, and before the ACK's other calls.
    fn on_packet_lost(&mut self, _lost: &LostPacket, _now: Instant) {}

    /// On an ECN connection, for each ACK: of `acked` bytes newly delivered, `marked` met
    /// congestion. AccECN counts them; with classic ECN an ACK with ECE marks all it acknowledges,
    /// and at least one (RFC 3168 section 6.1.2, RFC 8257 section 3.3). `flight` as in
    /// [`on_ack`](Self::on_ack), which comes after. Returns whether the window was reduced, so that
    /// classic ECN must answer with CWR: at most once in a window of data.
    fn on_ecn(&mut self, acked: u32, marked: u32, flight: u32) -> bool;

    /// A loss was detected without a time-out, and recovery begins: reduces both the threshold and
    /// the window. `flight` is what is in flight, without the segments sent under limited transmit
    /// (RFC 3042, RFC 5681 section 3.2 step 2). During the recovery PRR says what to send.
    fn on_congestion(&mut self, flight: u32);

    /// The same without SACK, by duplicate acknowledgements: the window is inflated by the three
    /// segments that caused them and have left the network (RFC 5681 section 3.2 step 3).
    fn on_loss(&mut self, flight: u32) {
        self.on_congestion(flight);
        self.set_cwnd(self.cwnd().saturating_add(3 * self.smss()));
    }

    /// In recovery without SACK, one more duplicate acknowledgement: a segment has left the network
    /// (RFC 5681 section 3.2 step 4).
    fn inflate(&mut self) {
        self.set_cwnd(self.cwnd().saturating_add(self.smss()));
    }

    /// In recovery without SACK, `acked` new bytes were acknowledged but not all that was sent
    /// before the loss: deflates by that, and lets one segment out for a whole one that left (RFC
    /// 6582 section 3.2 step 3).
    fn on_partial_ack(&mut self, acked: u32) {
        let kept = if acked >= self.smss() { self.smss() } else { 0 };
        self.set_cwnd(self.cwnd().saturating_sub(acked).saturating_add(kept));
    }

    /// With SACK: all that was sent before the loss is acknowledged. PRR has brought what is in
    /// flight to the threshold, which becomes the window (RFC 9937 section 6.4).
    fn on_recovered(&mut self) {
        self.set_cwnd(self.ssthresh());
    }

    /// Without SACK: the same; `flight` bytes remain in flight. With little in flight the whole
    /// threshold would be a burst (RFC 6582 section 3.2 step 3, option 1).
    fn on_recovery_end(&mut self, flight: u32) {
        let room = flight.max(self.smss()).saturating_add(self.smss());
        self.set_cwnd(self.ssthresh().min(room));
    }

    /// The retransmission timer expired with `flight` bytes in flight; `first` if the segment it
    /// was for had not been retransmitted by this timer before.
    fn on_timeout(&mut self, flight: u32, first: bool);

    /// What a reduction would change now: to be kept for [`undo`](Self::undo) before
    /// [`on_congestion`](Self::on_congestion), [`on_loss`](Self::on_loss) and the first
    /// [`on_timeout`](Self::on_timeout).
    fn prior(&self) -> Prior {
        Prior { cwnd: self.cwnd(), ssthresh: self.ssthresh(), w_max: 0 }
    }

    /// The last reduction was a mistake: nothing was lost (found by timestamps, RFC 4015; F-RTO,
    /// RFC 5682; or DSACK). Takes it back: before it, things were so.
    fn undo(&mut self, prior: &Prior);

    /// The window wasn't used for so long that it says little any more: it and the threshold become
    /// these (RFC 7661 section 4.4.3). For those that let [`Validation`] watch over it.
    ///
    /// [`Validation`]: super::validation::Validation
    fn decay(&mut self, _cwnd: u32, _ssthresh: u32) {}

    /// Nothing was sent for longer than a retransmission time-out, and now there is something to
    /// send.
    fn on_idle(&mut self);

    /// Nothing is in flight since the application had nothing to send, and now there is something.
    /// Before [`on_idle`](Self::on_idle), and however short the pause.
    fn on_restart(&mut self, _now: Instant) {}
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
