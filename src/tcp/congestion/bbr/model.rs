//! What BBR believes of the path: rounds, bandwidth, round trip, aggregation, loss (section 5.5).

use super::rate::Rate;
use super::{Ack, Bbr, Facts, State, UNBOUNDED};
use crate::tcp::delivery_rate::LostPacket;
use crate::time::Instant;
use core::time::Duration;

/// Section 2.8: the loss rate that probing tolerates, BBR.LossThresh = 2 %, as a divisor.
const LOSS_DIVISOR: u32 = 50;
/// BBR.Beta = 0.7, in percent.
const BETA_PERCENT: u32 = 70;
/// BBR.MinRTTFilterLen and BBR.ProbeRTTInterval.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// Half of BBR.ExtraAckedFilterLen = 10 rounds: the filter has two halves.
const EXTRA_ACKED_HALF: u8 = 5;

pub(super) fn beta(bytes: u32) -> u32 {
    (u64::from(bytes) * u64::from(BETA_PERCENT) / 100) as u32
}

/// Section 5.5.10.2, IsInflightTooHigh: more than 2 % of what was in flight got lost.
fn too_much_lost(lost: u32, in_flight: u32) -> bool {
    lost > in_flight / LOSS_DIVISOR
}

fn reached(delivered: u32, mark: u32) -> bool {
    delivered.wrapping_sub(mark) as i32 >= 0
}

impl Bbr {
    pub(super) fn max_bw(&self) -> Rate {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// BBR.bw (section 5.5.10.3, BoundBWForModel).
    pub(super) fn bw(&self) -> Rate {
        self.max_bw().min(self.bw_shortterm)
    }

    /// Section 5.5.1, StartRound.
    pub(super) fn start_round(&mut self) {
        self.next_round = self.delivered;
    }

    /// Section 5.5.1, UpdateRound.
    fn update_round(&mut self, ack: &Ack<'_>) {
        let starts = reached(ack.rs.prior_delivered, self.next_round);
        self.facts.set(Facts::ROUND_START, starts);
        if starts {
            self.start_round();
            self.rounds_since_probe_up = self.rounds_since_probe_up.saturating_add(1);
            self.drain_rounds = self.drain_rounds.saturating_add(1);
            self.extra_rounds = self.extra_rounds.saturating_add(1);
            if self.state != State::ProbeRtt {
                self.facts -= Facts::LOW_SAMPLES;
            }
        }
    }

    /// Sections 5.5.5 and 5.5.6: the maximum of this ProbeBW cycle and the one before.
    fn update_max_bw(&mut self, ack: &Ack<'_>) {
        self.update_round(ack);
        if ack.rate > Rate::ZERO && (ack.rate >= self.max_bw() || !ack.is_app_limited) {
            let slot = usize::from(self.has(Facts::ODD_CYCLE));
            self.max_bw[slot] = self.max_bw[slot].max(ack.rate);
        }
    }

    pub(super) fn advance_max_bw_filter(&mut self) {
        let slot = usize::from(!self.has(Facts::ODD_CYCLE));
        // A cycle without a single sample forgets nothing.
        if self.max_bw[1 - slot] > Rate::ZERO {
            self.facts.toggle(Facts::ODD_CYCLE);
            self.max_bw[slot] = Rate::ZERO;
        }
    }

    /// Section 5.5.10.3.
    pub(super) fn update_latest_delivery_signals(&mut self, ack: &Ack<'_>) {
        self.bw_latest = self.bw_latest.max(ack.rate);
        self.inflight_latest = self.inflight_latest.max(ack.rs.delivered);
        let starts = reached(ack.rs.prior_delivered, self.loss_round);
        self.facts.set(Facts::LOSS_ROUND_START, starts);
        if starts {
            self.loss_round = self.delivered;
        }
    }

    pub(super) fn advance_latest_delivery_signals(&mut self, ack: &Ack<'_>) {
        if self.has(Facts::LOSS_ROUND_START) {
            self.bw_latest = ack.rate;
            self.inflight_latest = ack.rs.delivered;
            self.loss_events = 0;
        }
    }

    pub(super) fn reset_congestion_signals(&mut self) {
        self.facts -= Facts::LOSS_IN_ROUND;
        self.bw_latest = Rate::ZERO;
        self.inflight_latest = 0;
    }

    pub(super) fn update_congestion_signals(&mut self, ack: &Ack<'_>) {
        self.update_max_bw(ack);
        if self.has(Facts::LOSS_ROUND_START) {
            self.adapt_lower_bounds();
            self.facts -= Facts::LOSS_IN_ROUND;
        }
    }

    /// Once a round: slows down towards what was delivered in it, if something was lost and the
    /// flow wasn't asking for it.
    fn adapt_lower_bounds(&mut self) {
        let probing = matches!(self.state, State::Startup | State::Refill | State::Up);
        if probing || !self.has(Facts::LOSS_IN_ROUND) {
            return;
        }
        if self.bw_shortterm == Rate::INFINITE {
            self.bw_shortterm = self.max_bw();
        }
        if self.inflight_shortterm == UNBOUNDED {
            self.inflight_shortterm = self.cwnd;
        }
        self.bw_shortterm = self.bw_latest.max(self.bw_shortterm.percent(BETA_PERCENT));
        self.inflight_shortterm = self.inflight_latest.max(beta(self.inflight_shortterm));
    }

    pub(super) fn reset_short_term_model(&mut self) {
        self.bw_shortterm = Rate::INFINITE;
        self.inflight_shortterm = UNBOUNDED;
    }

    /// Section 5.5.9: how much more than expected arrives at once.
    pub(super) fn update_ack_aggregation(&mut self, ack: &Ack<'_>) {
        let now_us = ack.now.micros32();
        let mut expected = self.bw().times_us(now_us.wrapping_sub(self.extra_start_us));
        if self.extra_delivered <= expected {
            self.extra_delivered = 0;
            self.extra_start_us = now_us;
            expected = 0;
        }
        self.extra_delivered = self.extra_delivered.saturating_add(ack.rs.newly_acked);
        let extra = (self.extra_delivered - expected).min(self.cwnd);
        let half = if self.has(Facts::FULL_BW_REACHED) { EXTRA_ACKED_HALF } else { 1 };
        if self.extra_rounds >= half {
            self.extra_acked = [0, self.extra_acked[0]];
            self.extra_rounds = 0;
        }
        let segments = u16::try_from(extra / self.smss()).unwrap_or(u16::MAX);
        self.extra_acked[0] = self.extra_acked[0].max(segments);
    }

    pub(super) fn extra_acked(&self) -> u32 {
        // In Startup the maximum is of one round.
        let older = if self.has(Facts::FULL_BW_REACHED) { self.extra_acked[1] } else { 0 };
        u32::from(self.extra_acked[0].max(older)).saturating_mul(self.smss())
    }

    /// Section 5.3.4.3, UpdateMinRTT (and 5.5.7).
    pub(super) fn update_min_rtt(&mut self, ack: &Ack<'_>) {
        let (now, rtt_us) = (ack.now.tick(), ack.rs.rtt_us.max(1));
        let is_first = self.probe_rtt_min_us == UNBOUNDED;
        let expired = !is_first && now.is_after(self.probe_rtt_min_stamp.after(PROBE_RTT_INTERVAL));
        self.facts.set(Facts::PROBE_RTT_EXPIRED, expired);
        if rtt_us < self.probe_rtt_min_us || expired {
            self.probe_rtt_min_us = rtt_us;
            self.probe_rtt_min_stamp = now;
        }
        let expired = !is_first && now.is_after(self.min_rtt_stamp.after(MIN_RTT_FILTER));
        if self.probe_rtt_min_us < self.min_rtt_us || expired {
            if is_first {
                self.init_pacing_rate(rtt_us);
            }
            self.min_rtt_us = self.probe_rtt_min_us;
            self.min_rtt_stamp = self.probe_rtt_min_stamp;
        }
    }

    pub(super) fn is_inflight_too_high(&self, ack: &Ack<'_>) -> bool {
        too_much_lost(ack.rs.lost, ack.rs.tx_in_flight)
    }

    /// Section 5.5.10.2, NoteLoss. Within a recovery the state to return to is that of its start.
    pub(super) fn note_loss(&mut self, delivered: u32) {
        if !self.has(Facts::LOSS_IN_ROUND) {
            self.loss_round = delivered;
            if !self.has(Facts::IN_RECOVERY) {
                self.save_state_upon_loss();
            }
        }
        self.facts |= Facts::LOSS_IN_ROUND;
    }

    /// Section 5.5.10.2, HandleLostPacket.
    pub(super) fn handle_lost_packet(&mut self, lost: &LostPacket, now: Instant) {
        self.delivered = lost.total_delivered;
        self.note_loss(lost.total_delivered);
        if !lost.adjacent {
            self.loss_events = self.loss_events.saturating_add(1);
        }
        if self.has(Facts::IS_BW_PROBE_SAMPLE) && too_much_lost(lost.lost, lost.tx_in_flight) {
            self.handle_inflight_too_high(inflight_at_loss(lost), lost.is_app_limited, now);
        }
    }

    fn handle_inflight_too_high(&mut self, in_flight: u32, is_app_limited: bool, now: Instant) {
        self.facts |= Facts::PREV_PROBE_TOO_HIGH;
        // One reaction to a probe.
        self.facts -= Facts::IS_BW_PROBE_SAMPLE;
        if !is_app_limited {
            self.inflight_longterm = in_flight.max(beta(self.target_inflight()));
        }
        if self.state == State::Up {
            self.undo_state = Some(State::Up);
            self.start_down(now);
        }
    }

    /// Section 5.5.11.2.
    pub(super) fn handle_spurious_loss(&mut self) {
        self.restore_cwnd();
        self.facts -= Facts::LOSS_IN_ROUND;
        self.reset_full_bw();
        let undo = self.undo;
        self.bw_shortterm = self.bw_shortterm.max(undo.bw_shortterm);
        self.inflight_shortterm = self.inflight_shortterm.max(undo.inflight_shortterm);
        self.inflight_longterm = self.inflight_longterm.max(undo.inflight_longterm);
        let elsewhere = self.state != State::ProbeRtt;
        match self.undo_state {
            Some(State::Startup) if self.state != State::Startup => {
                self.facts -= Facts::FULL_BW_REACHED;
                if elsewhere {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if self.state != State::Up && elsewhere => self.start_refill(),
            _ => {}
        }
        self.undo_state = None;
    }
}

/// Section 5.5.10.2, InflightAtLoss: how much was in flight when losses crossed the threshold,
/// perhaps within this packet.
fn inflight_at_loss(lost: &LostPacket) -> u32 {
    let inflight_prev = lost.tx_in_flight.saturating_sub(lost.size);
    let lost_prev = lost.lost.saturating_sub(lost.size);
    // (LossThresh × inflight_prev − lost_prev) / (1 − LossThresh), both multiplied by 50.
    let prefix = i64::from(inflight_prev) - i64::from(LOSS_DIVISOR) * i64::from(lost_prev);
    let at = i64::from(inflight_prev) + prefix / i64::from(LOSS_DIVISOR - 1);
    at.clamp(0, i64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bbr_5_5_10_2_more_than_two_percent_lost_is_too_much() {
        assert!(!too_much_lost(2_000, 100_000));
        assert!(too_much_lost(2_001, 100_000));
    }

    #[test]
    fn bbr_5_5_10_2_the_threshold_is_crossed_within_the_lost_packet() {
        let lost = |size, tx_in_flight, lost| {
            inflight_at_loss(&LostPacket { size, tx_in_flight, lost, ..Default::default() })
        };
        // 98,000 before it, none lost: at 2,000 of 100,000 the rate is 2 %.
        assert_eq!(lost(10_000, 108_000, 10_000), 100_000);
        // All was lost before it already: at the packet's begin or earlier.
        assert!(lost(1_000, 100_000, 50_000) < 99_000);
    }
}
