//! What follows from the model: the pace and the window (section 5.6).

use super::rate::Rate;
use super::{Ack, Bbr, Facts, State, UNBOUNDED};
use crate::tcp::congestion::window::MAX_CWND;

/// Section 2.5: BBR.StartupPacingGain = 4 ln 2, in percent.
const STARTUP_PACING_PERCENT: u32 = 277;
/// BBR.PacingMarginPercent: the pace stays 1 % below the bandwidth.
const PACING_MARGIN_PERCENT: u32 = 99;
/// BBR.MinPipeCwnd, in segments.
const MIN_PIPE_SEGMENTS: u32 = 4;
/// BBR.Headroom = 0.15, in percent.
const HEADROOM_PERCENT: u64 = 15;
/// Segments that are in the sender's hands at once (section 5.5.8): there is no offload.
const OFFLOAD_SEGMENTS: u32 = 2;

impl State {
    /// Section 5.6.1: the table of gains, in percent: of the pace …
    fn pacing_percent(self) -> u32 {
        match self {
            State::Startup => STARTUP_PACING_PERCENT,
            State::Drain => 50,
            State::Down => 90,
            State::Cruise | State::Refill | State::ProbeRtt => 100,
            State::Up => 125,
        }
    }

    /// … and of the window.
    fn cwnd_percent(self) -> u32 {
        match self {
            State::Up => 225,
            State::ProbeRtt => 50,
            _ => 200,
        }
    }
}

impl Bbr {
    pub(super) fn rtt_us(&self) -> u32 {
        self.min_rtt_us
    }

    fn min_pipe_cwnd(&self) -> u32 {
        MIN_PIPE_SEGMENTS * self.smss()
    }

    /// Section 5.6.4.2, BDPMultiple.
    pub(super) fn bdp(&self, percent: u32) -> u32 {
        if self.min_rtt_us == UNBOUNDED {
            return self.initial_cwnd();
        }
        let bdp = u64::from(self.bw().times_us(self.min_rtt_us));
        u32::try_from(bdp * u64::from(percent) / 100).unwrap_or(u32::MAX)
    }

    /// Section 5.6.4.2, QuantizationBudget.
    pub(super) fn quantized(&self, inflight: u32) -> u32 {
        let budget = OFFLOAD_SEGMENTS * self.smss();
        let least = inflight.max(budget).max(self.min_pipe_cwnd());
        let more = if self.state == State::Up { 2 * self.smss() } else { 0 };
        least.saturating_add(more)
    }

    /// Section 5.6.4.2, Inflight.
    pub(super) fn inflight(&self, percent: u32) -> u32 {
        self.quantized(self.bdp(percent))
    }

    /// Section 5.3.3.8, TargetInflight.
    pub(super) fn target_inflight(&self) -> u32 {
        self.bdp(100).min(self.cwnd)
    }

    /// Section 5.3.3.9: leaves room for others below the long-term bound.
    pub(super) fn inflight_with_headroom(&self) -> u32 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let part = u64::from(self.inflight_longterm) * HEADROOM_PERCENT / 100;
        let headroom = (part as u32).max(self.smss());
        self.inflight_longterm.saturating_sub(headroom).max(self.min_pipe_cwnd())
    }

    /// Section 5.6.4.5.
    pub(super) fn probe_rtt_cwnd(&self) -> u32 {
        self.bdp(State::ProbeRtt.cwnd_percent()).max(self.min_pipe_cwnd())
    }

    /// Section 5.6.2, InitPacingRate: when the first round trip is known.
    pub(super) fn init_pacing_rate(&mut self, rtt_us: u32) {
        self.pacing = self.pacing.max(self.initial_pacing_rate(rtt_us));
    }

    pub(super) fn initial_pacing_rate(&self, rtt_us: u32) -> Rate {
        Rate::over(self.initial_cwnd(), rtt_us).percent(STARTUP_PACING_PERCENT)
    }

    pub(super) fn set_pacing_rate(&mut self) {
        self.set_pacing_rate_with_gain(self.state.pacing_percent());
    }

    pub(super) fn set_pacing_rate_with_gain(&mut self, percent: u32) {
        let rate = self.bw().percent(percent).percent(PACING_MARGIN_PERCENT);
        let rate_is_known = rate > Rate::ZERO && self.has(Facts::FULL_BW_REACHED);
        if rate_is_known || rate > self.pacing {
            self.pacing = rate;
        }
    }

    /// Section 5.6.4.6.
    pub(super) fn set_cwnd_from_model(&mut self, ack: &Ack<'_>) {
        let grown = self.cwnd.saturating_add(ack.rs.newly_acked);
        let max_inflight = self.bdp(self.state.cwnd_percent()).saturating_add(self.extra_acked());
        let max_inflight = self.quantized(max_inflight);
        if self.has(Facts::FULL_BW_REACHED) {
            self.cwnd = grown.min(max_inflight);
        } else if self.cwnd < max_inflight || self.delivered < self.initial_cwnd() {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.max(self.min_pipe_cwnd());
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd_for_model();
        self.cwnd = self.cwnd.clamp(self.smss(), MAX_CWND);
    }

    /// Section 5.6.4.7.
    fn bound_cwnd_for_model(&mut self) {
        let cap = match self.state {
            State::Startup | State::Drain => UNBOUNDED,
            State::Down | State::Refill | State::Up => self.inflight_longterm,
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(),
        };
        let cap = cap.min(self.inflight_shortterm).max(self.min_pipe_cwnd());
        self.cwnd = self.cwnd.min(cap);
    }
}
