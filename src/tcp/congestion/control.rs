//! The choice of the algorithm at run time, without dynamic dispatch.

use super::{Bbr, CongestionControl, Cubic, Dctcp, NewReno, Prior};
use crate::tcp::delivery_rate::{DeliveryRate, LostPacket, RateSample};
use crate::time::Instant;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// A congestion control algorithm by name, for configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406): `cubic`.
    #[default]
    Cubic,
    /// NewReno (RFC 5681, 6582): `newreno` or `reno`.
    NewReno,
    /// DCTCP (RFC 8257), for data centres that mark: `dctcp`.
    Dctcp,
    /// BBRv3 (draft-ietf-ccwg-bbr): `bbr`. Connections to peers without SACK, which it needs, have
    /// CUBIC instead.
    Bbr,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 4] =
        [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Dctcp, Algorithm::Bbr];

    /// The state at the start of a connection: as [`CongestionControl::new`].
    #[inline]
    pub fn start(self, mss: u16, initial_window: u32) -> Control {
        match self {
            Algorithm::Cubic => Control::Cubic(Cubic::new(mss, initial_window)),
            Algorithm::NewReno => Control::NewReno(NewReno::new(mss, initial_window)),
            Algorithm::Dctcp => Control::Dctcp(Dctcp::new(mss, initial_window)),
            Algorithm::Bbr => Control::Bbr(Box::new(Bbr::new(mss, initial_window))),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Algorithm::Cubic => "cubic",
            Algorithm::NewReno => "newreno",
            Algorithm::Dctcp => "dctcp",
            Algorithm::Bbr => "bbr",
        })
    }
}

/// No algorithm has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no congestion control is called {0:?}: there are cubic, newreno, dctcp and bbr")]
pub struct UnknownAlgorithm(String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Names in any case; an unknown one is the error.
    fn from_str(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
        match name.to_ascii_lowercase().as_str() {
            "cubic" => Ok(Algorithm::Cubic),
            "newreno" | "reno" => Ok(Algorithm::NewReno),
            "dctcp" => Ok(Algorithm::Dctcp),
            "bbr" => Ok(Algorithm::Bbr),
            _ => Err(UnknownAlgorithm(name.to_owned())),
        }
    }
}

/// One of the algorithms with its state for one connection. BBR's is so much larger than the others
/// that it lies elsewhere, allocated when the connection begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// See [`Cubic`].
    Cubic(Cubic),
    /// See [`NewReno`].
    NewReno(NewReno),
    /// See [`Dctcp`].
    Dctcp(Dctcp),
    /// See [`Bbr`].
    Bbr(Box<Bbr>),
}

impl Control {
    /// Which algorithm this is.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Control::Cubic(_) => Algorithm::Cubic,
            Control::NewReno(_) => Algorithm::NewReno,
            Control::Dctcp(_) => Algorithm::Dctcp,
            Control::Bbr(_) => Algorithm::Bbr,
        }
    }

    /// [`on_ack`](CongestionControl::on_ack) of what the window did not limit: only CUBIC's clock
    /// hears of it.
    #[inline]
    pub(crate) fn on_unlimited_ack(&mut self) {
        if let Control::Cubic(cubic) = self {
            cubic.pause();
        }
    }
}

/// Calls the same method of whichever algorithm it is.
macro_rules! each {
    ($self:ident, $c:ident => $call:expr) => {
        match $self {
            Control::Cubic($c) => $call,
            Control::NewReno($c) => $call,
            Control::Dctcp($c) => $call,
            Control::Bbr($c) => $call,
        }
    };
}

impl CongestionControl for Control {
    fn new(mss: u16, initial_window: u32) -> Control {
        Algorithm::default().start(mss, initial_window)
    }

    fn cwnd(&self) -> u32 {
        each!(self, c => c.cwnd())
    }

    fn ssthresh(&self) -> u32 {
        each!(self, c => c.ssthresh())
    }

    fn smss(&self) -> u32 {
        each!(self, c => c.smss())
    }

    fn set_mss(&mut self, mss: u16) {
        each!(self, c => c.set_mss(mss))
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        each!(self, c => c.set_cwnd(cwnd))
    }

    fn set_seed(&mut self, seed: u32) {
        each!(self, c => c.set_seed(seed))
    }

    fn in_slow_start(&self) -> bool {
        each!(self, c => c.in_slow_start())
    }

    fn pacing_rate(&self, srtt: Duration) -> Option<u64> {
        each!(self, c => c.pacing_rate(srtt))
    }

    fn uses_prr(&self) -> bool {
        each!(self, c => c.uses_prr())
    }

    fn wants_rate_samples(&self) -> bool {
        each!(self, c => c.wants_rate_samples())
    }

    fn delivery_rate(&mut self) -> Option<&mut DeliveryRate> {
        each!(self, c => c.delivery_rate())
    }

    fn on_ack(&mut self, acked: u32, flight: u32, cwnd_limited: bool, now: Instant, rtt: Duration) {
        each!(self, c => c.on_ack(acked, flight, cwnd_limited, now, rtt))
    }

    fn wants_rtt(&self) -> bool {
        each!(self, c => c.wants_rtt())
    }

    fn on_rtt(&mut self, rtt: Duration) {
        each!(self, c => c.on_rtt(rtt))
    }

    fn on_rate_sample(&mut self, sample: &RateSample, cwnd_limited: bool, now: Instant) {
        each!(self, c => c.on_rate_sample(sample, cwnd_limited, now))
    }

    fn on_packet_lost(&mut self, lost: &LostPacket, now: Instant) {
        each!(self, c => c.on_packet_lost(lost, now))
    }

    fn on_ecn(&mut self, acked: u32, marked: u32, flight: u32) -> bool {
        each!(self, c => c.on_ecn(acked, marked, flight))
    }

    fn on_congestion(&mut self, flight: u32) {
        each!(self, c => c.on_congestion(flight))
    }

    fn on_loss(&mut self, flight: u32) {
        each!(self, c => c.on_loss(flight))
    }

    fn inflate(&mut self) {
        each!(self, c => c.inflate())
    }

    fn on_partial_ack(&mut self, acked: u32) {
        each!(self, c => c.on_partial_ack(acked))
    }

    fn on_recovered(&mut self) {
        each!(self, c => c.on_recovered())
    }

    fn on_recovery_end(&mut self, flight: u32) {
        each!(self, c => c.on_recovery_end(flight))
    }

    fn on_timeout(&mut self, flight: u32, first: bool) {
        each!(self, c => c.on_timeout(flight, first))
    }

    fn prior(&self) -> Prior {
        each!(self, c => c.prior())
    }

    fn undo(&mut self, prior: &Prior) {
        each!(self, c => c.undo(prior))
    }

    fn decay(&mut self, cwnd: u32, ssthresh: u32) {
        each!(self, c => c.decay(cwnd, ssthresh))
    }

    fn on_idle(&mut self) {
        each!(self, c => c.on_idle())
    }

    fn on_restart(&mut self, now: Instant) {
        each!(self, c => c.on_restart(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for algorithm in Algorithm::ALL {
            let name = algorithm.to_string();
            assert_eq!(name.parse(), Ok(algorithm));
            assert_eq!(name.to_uppercase().parse(), Ok(algorithm));
            assert_eq!(algorithm.start(1_460, 14_600).algorithm(), algorithm);
        }
        assert_eq!("reno".parse(), Ok(Algorithm::NewReno));
        let error = "vegas".parse::<Algorithm>().unwrap_err();
        assert!(error.to_string().contains("vegas"));
    }

    #[test]
    fn the_default_is_cubic() {
        assert_eq!(Algorithm::default(), Algorithm::Cubic);
        assert_eq!(Control::new(1_460, 14_600).algorithm(), Algorithm::Cubic);
    }

    #[test]
    fn every_algorithm_starts_with_the_initial_window_and_is_reached_by_each_call() {
        for algorithm in Algorithm::ALL {
            let mut c = algorithm.start(1_000, 10_000);
            assert_eq!((c.cwnd(), c.smss(), c.in_slow_start()), (10_000, 1_000, true));
            let is_bbr = algorithm == Algorithm::Bbr;
            assert_eq!((c.wants_rate_samples(), c.uses_prr()), (is_bbr, !is_bbr));
            let prior = c.prior();
            c.on_timeout(10_000, true);
            assert_eq!(c.cwnd(), 1_000, "{algorithm}");
            c.undo(&prior);
            assert_eq!(c.cwnd(), 10_000, "{algorithm}");
        }
    }

    #[test]
    fn the_largest_state_decides_the_size() {
        let sizes = [size_of::<Cubic>(), size_of::<NewReno>(), size_of::<Dctcp>()];
        assert_eq!(sizes, [40, 20, 32]);
        assert_eq!(size_of::<Control>(), 40);
    }
}
