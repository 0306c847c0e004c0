//! What BBR does about the path: Startup, Drain, the ProbeBW cycle and ProbeRTT (section 5.3).

use super::{Ack, AckPhase, Bbr, Facts, State, UNBOUNDED};
use crate::time::{Instant, Tick};
use core::time::Duration;

/// Section 5.3.1.2: growth by a quarter is growth; three rounds without it are a plateau.
const FULL_BW_GROWTH_PERCENT: u32 = 125;
const FULL_BW_ROUNDS: u8 = 3;
/// Section 5.3.1.3: holes in a round that end Startup (BBRStartupFullLossCnt).
const STARTUP_FULL_LOSS_COUNT: u8 = 6;
/// Section 5.3.2: rounds after which Drain is given up.
const MAX_DRAIN_ROUNDS: u8 = 3;
/// Section 5.3.3.8: rounds after which Reno would have probed.
const MAX_RENO_ROUNDS: u32 = 63;
/// Section 2.16.2: BBR.ProbeRTTDuration.
const PROBE_RTT_DURATION: Duration = Duration::from_millis(200);

impl State {
    fn is_probe_bw(self) -> bool {
        matches!(self, State::Down | State::Cruise | State::Refill | State::Up)
    }
}

impl Bbr {
    /// Section 5.3.1.2.
    pub(super) fn reset_full_bw(&mut self) {
        self.full_bw = super::Rate::ZERO;
        self.full_bw_count = 0;
        self.facts -= Facts::FULL_BW_NOW;
    }

    pub(super) fn check_full_bw_reached(&mut self, ack: &Ack<'_>) {
        if self.has(Facts::FULL_BW_NOW) || !self.has(Facts::ROUND_START) || ack.is_app_limited {
            return;
        }
        if ack.rate >= self.full_bw.percent(FULL_BW_GROWTH_PERCENT) {
            self.reset_full_bw();
            self.full_bw = ack.rate;
            return;
        }
        self.full_bw_count += 1;
        if self.full_bw_count >= FULL_BW_ROUNDS {
            self.facts |= Facts::FULL_BW_NOW | Facts::FULL_BW_REACHED;
        }
    }

    pub(super) fn check_startup_done(&mut self, ack: &Ack<'_>) {
        if self.state != State::Startup {
            return;
        }
        self.check_startup_high_loss(ack);
        if self.has(Facts::FULL_BW_REACHED) {
            self.state = State::Drain;
            self.drain_rounds = 0;
        }
    }

    /// Section 5.3.1.3: a whole round in recovery, in which too much was lost in many places.
    fn check_startup_high_loss(&mut self, ack: &Ack<'_>) {
        let a_round_in_recovery = self.has(Facts::IN_RECOVERY | Facts::LOSS_ROUND_START);
        if !self.has(Facts::FULL_BW_REACHED)
            && a_round_in_recovery
            && self.loss_events >= STARTUP_FULL_LOSS_COUNT
            && self.is_inflight_too_high(ack)
        {
            self.undo_state = Some(State::Startup);
            self.facts |= Facts::FULL_BW_REACHED;
            self.inflight_longterm = self.bdp(100).max(self.inflight_latest);
        }
    }

    /// Section 5.3.2.
    pub(super) fn check_drain_done(&mut self, ack: &Ack<'_>) {
        if self.state == State::Drain
            && (ack.rs.in_flight <= self.inflight(100) || self.drain_rounds > MAX_DRAIN_ROUNDS)
        {
            self.start_down(ack.now);
        }
    }

    /// Section 5.3.3.9.
    pub(super) fn start_down(&mut self, now: Instant) {
        self.reset_congestion_signals();
        self.probe_up_acked_per_inc = UNBOUNDED;
        // Section 5.3.3.8, PickProbeWait: two to three seconds, and a round more or less.
        let random = self.next_random();
        self.rounds_since_probe_up = (random & 1) as u8;
        self.probe_wait_ms = 2_000 + (random >> 1) % 1_001;
        self.cycle_stamp = now.tick();
        self.ack_phase = AckPhase::ProbeStopping;
        self.start_round();
        self.state = State::Down;
    }

    pub(super) fn start_refill(&mut self) {
        self.reset_short_term_model();
        self.probe_up_rounds = 0;
        self.probe_up_acked = 0;
        self.facts -= Facts::PREV_PROBE_PRECAUTIONARY;
        self.ack_phase = AckPhase::Refilling;
        self.start_round();
        self.state = State::Refill;
    }

    fn start_up(&mut self, ack: &Ack<'_>) {
        self.ack_phase = AckPhase::ProbeStarting;
        self.start_round();
        self.reset_full_bw();
        self.full_bw = ack.rate;
        self.state = State::Up;
        self.raise_inflight_longterm_slope();
    }

    /// The ProbeBW cycle, on each ACK.
    pub(super) fn update_probe_bw_cycle_phase(&mut self, ack: &Ack<'_>) {
        if !self.has(Facts::FULL_BW_REACHED) || self.adapt_long_term_model(ack) {
            return;
        }
        match self.state {
            State::Down if self.is_time_to_probe_bw(ack) => self.start_refill(),
            State::Down if self.is_time_to_cruise(ack) => self.state = State::Cruise,
            State::Cruise if self.is_time_to_probe_bw(ack) => self.start_refill(),
            State::Refill if self.has(Facts::ROUND_START) => {
                self.facts |= Facts::IS_BW_PROBE_SAMPLE;
                self.start_up(ack);
            }
            State::Up => self.go_down_in_time(ack),
            _ => {}
        }
    }

    /// Section 5.3.3.8: after some seconds, or when Reno would have grown by as much.
    fn is_time_to_probe_bw(&self, ack: &Ack<'_>) -> bool {
        let wait = Duration::from_millis(self.probe_wait_ms.into());
        let elapsed = ack.now.tick().is_after(self.cycle_stamp.after(wait));
        let reno_rounds = (self.target_inflight() / self.smss()).min(MAX_RENO_ROUNDS);
        elapsed || u32::from(self.rounds_since_probe_up) >= reno_rounds
    }

    fn is_time_to_cruise(&self, ack: &Ack<'_>) -> bool {
        ack.rs.in_flight <= self.inflight_with_headroom()
            && ack.rs.in_flight <= self.quantized(self.max_bw().times_us(self.rtt_us()))
    }

    fn go_down_in_time(&mut self, ack: &Ack<'_>) {
        if self.is_time_to_go_down(ack) {
            self.facts -= Facts::PREV_PROBE_TOO_HIGH;
            self.start_down(ack.now);
        }
    }

    fn is_time_to_go_down(&mut self, ack: &Ack<'_>) -> bool {
        let at_limit = ack.rs.in_flight >= self.inflight_longterm;
        if self.has(Facts::PREV_PROBE_TOO_HIGH) && at_limit {
            // Section 5.3.3.6: this much was too much last time.
            self.facts |= Facts::PREV_PROBE_PRECAUTIONARY;
            return true;
        }
        if ack.cwnd_limited && self.cwnd >= self.inflight_longterm {
            // The bound, not the path, limits the rate.
            self.reset_full_bw();
            self.full_bw = ack.rate;
            return false;
        }
        self.has(Facts::FULL_BW_NOW)
    }

    fn raise_inflight_longterm_slope(&mut self) {
        let growth_this_round = 1 << self.probe_up_rounds;
        self.probe_up_rounds = (self.probe_up_rounds + 1).min(30);
        self.probe_up_acked_per_inc = (self.cwnd / growth_this_round).max(self.smss());
    }

    fn probe_inflight_longterm_upward(&mut self, ack: &Ack<'_>) {
        if !ack.cwnd_limited || self.cwnd < self.inflight_longterm {
            return;
        }
        self.probe_up_acked = self.probe_up_acked.saturating_add(ack.rs.newly_acked);
        let steps = self.probe_up_acked / self.probe_up_acked_per_inc;
        self.probe_up_acked -= steps * self.probe_up_acked_per_inc;
        let raise = steps.saturating_mul(self.smss());
        self.inflight_longterm = self.inflight_longterm.saturating_add(raise).min(UNBOUNDED - 1);
        if self.has(Facts::ROUND_START) {
            self.raise_inflight_longterm_slope();
        }
    }

    /// Section 5.3.3.9, AdaptLongTermModel. Whether it decided the next state.
    fn adapt_long_term_model(&mut self, ack: &Ack<'_>) -> bool {
        let round_start = self.has(Facts::ROUND_START);
        if self.ack_phase == AckPhase::ProbeStarting && round_start {
            self.ack_phase = AckPhase::ProbeFeedback;
        }
        if self.ack_phase == AckPhase::ProbeStopping && round_start {
            self.facts -= Facts::IS_BW_PROBE_SAMPLE;
            self.ack_phase = AckPhase::Init;
            if self.state.is_probe_bw() && !ack.is_app_limited {
                self.advance_max_bw_filter();
            }
            // Section 5.3.3.6: the cautious probe went well, so a full one follows.
            if self.state.is_probe_bw()
                && self.has(Facts::PREV_PROBE_PRECAUTIONARY)
                && !self.has(Facts::PREV_PROBE_TOO_HIGH)
            {
                self.start_refill();
                return true;
            }
        }
        if !self.is_inflight_too_high(ack) && self.inflight_longterm != UNBOUNDED {
            self.inflight_longterm = self.inflight_longterm.max(ack.rs.tx_in_flight);
            if self.state == State::Up {
                self.probe_inflight_longterm_upward(ack);
            }
        }
        false
    }

    /// Section 5.3.4.3.
    pub(super) fn check_probe_rtt(&mut self, ack: &Ack<'_>) {
        if self.state != State::ProbeRtt
            && self.has(Facts::PROBE_RTT_EXPIRED)
            && !self.has(Facts::IDLE_RESTART)
        {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.facts -= Facts::PROBE_RTT_TIMED;
            self.ack_phase = AckPhase::ProbeStopping;
            self.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(ack);
        }
        if ack.rs.delivered > 0 {
            self.facts -= Facts::IDLE_RESTART;
        }
    }

    fn handle_probe_rtt(&mut self, ack: &Ack<'_>) {
        self.facts |= Facts::LOW_SAMPLES;
        if !self.has(Facts::PROBE_RTT_TIMED) {
            if ack.rs.in_flight <= self.probe_rtt_cwnd() {
                self.cycle_stamp = ack.now.tick().after(PROBE_RTT_DURATION);
                self.facts |= Facts::PROBE_RTT_TIMED;
                self.facts -= Facts::PROBE_RTT_ROUND_DONE;
                self.start_round();
            }
            return;
        }
        if self.has(Facts::ROUND_START) {
            self.facts |= Facts::PROBE_RTT_ROUND_DONE;
        }
        if self.has(Facts::PROBE_RTT_ROUND_DONE) {
            self.check_probe_rtt_done(ack.now);
        }
    }

    fn check_probe_rtt_done(&mut self, now: Instant) {
        let tick: Tick = now.tick();
        if self.has(Facts::PROBE_RTT_TIMED) && tick.is_after(self.cycle_stamp) {
            self.probe_rtt_min_stamp = tick;
            self.restore_cwnd();
            self.facts -= Facts::PROBE_RTT_TIMED;
            self.exit_probe_rtt(now);
        }
    }

    /// Section 5.3.4.4.
    fn exit_probe_rtt(&mut self, now: Instant) {
        self.reset_short_term_model();
        if self.has(Facts::FULL_BW_REACHED) {
            self.start_down(now);
            self.state = State::Cruise;
        } else {
            self.start_round();
            self.state = State::Startup;
        }
    }

    /// Section 5.4.1.
    pub(super) fn handle_restart_from_idle(&mut self, now: Instant) {
        self.facts |= Facts::IDLE_RESTART;
        self.extra_start_us = now.micros32();
        if self.state.is_probe_bw() {
            self.set_pacing_rate_with_gain(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(now);
        }
    }
}
