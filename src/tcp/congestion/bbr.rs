//! BBRv3 (draft-ietf-ccwg-bbr, as of its revision 06): sends at the rate the path delivers, and
//! keeps in flight what that takes. Sections cited in this folder are those of the draft.
//!
//! It works on [`RateSample`]s and on each lost packet, in a recovery as outside of it: it needs
//! SACK, a pacer that obeys [`pacing_rate`](CongestionControl::pacing_rate), and no PRR. Its parts:
//! `model` is what it believes of the path, `states` what it is doing about it, `output` what
//! follows for window and pace.
//!
//! Where it deviates: the offload budget (section 5.5.8) is two segments, since nothing here is
//! sent or received in larger pieces; and CE marks count as losses do outside of probing (the draft
//! leaves the answer open, section 3.7).

mod model;
mod output;
mod rate;
mod states;
#[cfg(test)]
mod tests;

use super::CongestionControl;
use super::window::{MAX_CWND, Prior};
use crate::tcp::delivery_rate::{DeliveryRate, LostPacket, RateSample};
use crate::time::{Instant, Tick};
use bitflags::bitflags;
use core::time::Duration;
use rate::Rate;

/// No bound (Infinity in the draft), for volumes and times.
const UNBOUNDED: u32 = u32::MAX;

/// Sections 2.7 and 5.3: the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// What the samples that arrive now mean (BBR.ack_phase).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    ProbeStarting,
    ProbeFeedback,
    ProbeStopping,
}

bitflags! {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Facts: u16 {
        const FULL_BW_REACHED = 1;
        const FULL_BW_NOW = 1 << 1;
        const ROUND_START = 1 << 2;
        const LOSS_ROUND_START = 1 << 3;
        const LOSS_IN_ROUND = 1 << 4;
        const IDLE_RESTART = 1 << 5;
        const IS_BW_PROBE_SAMPLE = 1 << 6;
        const PREV_PROBE_TOO_HIGH = 1 << 7;
        const PREV_PROBE_PRECAUTIONARY = 1 << 8;
        const PROBE_RTT_EXPIRED = 1 << 9;
        /// `cycle_stamp` is when ProbeRTT may end.
        const PROBE_RTT_TIMED = 1 << 10;
        const PROBE_RTT_ROUND_DONE = 1 << 11;
        const IN_RECOVERY = 1 << 12;
        /// What was sent in ProbeRTT is still arriving: its rates say nothing.
        const LOW_SAMPLES = 1 << 13;
        /// Which slot of `max_bw` is the current cycle's (BBR.cycle_count).
        const ODD_CYCLE = 1 << 14;
    }
}

/// What a spurious recovery gives back (section 2.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Undo {
    bw_shortterm: Rate,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

/// The BBR algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bbr {
    /// What the samples are made of: the connection's, kept here since only BBR wants them.
    samples: DeliveryRate,
    cwnd: u32,
    /// The last good window before a recovery or ProbeRTT.
    prior_cwnd: u32,
    pacing: Rate,

    /// The largest delivery rates of this ProbeBW cycle and the one before.
    max_bw: [Rate; 2],
    bw_shortterm: Rate,
    bw_latest: Rate,
    full_bw: Rate,
    inflight_longterm: u32,
    inflight_shortterm: u32,
    inflight_latest: u32,

    min_rtt_us: u32,
    min_rtt_stamp: Tick,
    probe_rtt_min_us: u32,
    probe_rtt_min_stamp: Tick,
    /// When this ProbeBW cycle began; in ProbeRTT, when it may end.
    cycle_stamp: Tick,

    /// C.delivered at the last ACK; the ends of the round and of the loss round, in it.
    delivered: u32,
    next_round: u32,
    loss_round: u32,
    /// Acknowledged in ProbeBW_UP since `inflight_longterm` was raised.
    probe_up_acked: u32,
    probe_up_acked_per_inc: u32,

    extra_start_us: u32,
    extra_delivered: u32,
    /// BBR.extra_acked, in segments: the largest of the last five to ten rounds, in two halves.
    extra_acked: [u16; 2],
    extra_rounds: u8,

    probe_up_rounds: u8,
    rounds_since_probe_up: u8,
    drain_rounds: u8,
    full_bw_count: u8,
    /// Holes found in this round.
    loss_events: u8,
    initial_segments: u8,
    state: State,
    ack_phase: AckPhase,
    facts: Facts,
    smss: u16,
    probe_wait_ms: u16,
    random: u16,
    undo: Undo,
    /// The state that the loss ended, if it ended one.
    undo_state: Option<State>,
}

/// One ACK's sample with what follows from it at once.
struct Ack<'a> {
    rs: &'a RateSample,
    rate: Rate,
    is_app_limited: bool,
    cwnd_limited: bool,
    now: Instant,
}

impl Bbr {
    fn has(&self, fact: Facts) -> bool {
        self.facts.contains(fact)
    }

    fn smss(&self) -> u32 {
        self.smss.into()
    }

    fn initial_cwnd(&self) -> u32 {
        u32::from(self.initial_segments.max(1)) * self.smss()
    }

    /// The next random number, of 16 bits: xorshift, period 65,535.
    fn next_random(&mut self) -> u16 {
        let mut x = self.random;
        x ^= x << 7;
        x ^= x >> 9;
        x ^= x << 8;
        self.random = x;
        x
    }

    /// Section 5.6.4.4: the latest window unmodulated by recovery or ProbeRTT.
    fn save_cwnd(&mut self) {
        let modulated = self.has(Facts::IN_RECOVERY) || self.state == State::ProbeRtt;
        self.prior_cwnd = if modulated { self.prior_cwnd.max(self.cwnd) } else { self.cwnd };
    }

    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// Section 5.5.11.1.
    fn save_state_upon_loss(&mut self) {
        self.save_cwnd();
        self.undo = Undo {
            bw_shortterm: self.bw_shortterm,
            inflight_shortterm: self.inflight_shortterm,
            inflight_longterm: self.inflight_longterm,
        };
        self.undo_state = None;
    }
}

impl CongestionControl for Bbr {
    fn new(mss: u16, initial_window: u32) -> Bbr {
        let smss = mss.max(1);
        let cwnd = initial_window.clamp(smss.into(), MAX_CWND);
        Bbr {
            samples: DeliveryRate::default(),
            cwnd,
            prior_cwnd: 0,
            pacing: Rate::ZERO,
            max_bw: [Rate::ZERO; 2],
            bw_shortterm: Rate::INFINITE,
            bw_latest: Rate::ZERO,
            full_bw: Rate::ZERO,
            inflight_longterm: UNBOUNDED,
            inflight_shortterm: UNBOUNDED,
            inflight_latest: 0,
            min_rtt_us: UNBOUNDED,
            min_rtt_stamp: Tick(0),
            probe_rtt_min_us: UNBOUNDED,
            probe_rtt_min_stamp: Tick(0),
            cycle_stamp: Tick(0),
            delivered: 0,
            next_round: 0,
            loss_round: 0,
            probe_up_acked: 0,
            probe_up_acked_per_inc: UNBOUNDED,
            extra_start_us: 0,
            extra_delivered: 0,
            extra_acked: [0; 2],
            extra_rounds: 0,
            probe_up_rounds: 0,
            rounds_since_probe_up: 0,
            drain_rounds: 0,
            full_bw_count: 0,
            loss_events: 0,
            initial_segments: (cwnd / u32::from(smss)).min(255) as u8,
            state: State::Startup,
            ack_phase: AckPhase::Init,
            facts: Facts::empty(),
            smss,
            probe_wait_ms: 0,
            random: 0x5eed,
            undo: Undo {
                bw_shortterm: Rate::INFINITE,
                inflight_shortterm: UNBOUNDED,
                inflight_longterm: UNBOUNDED,
            },
            undo_state: None,
        }
    }

    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    /// There is none: always `u32::MAX`.
    fn ssthresh(&self) -> u32 {
        u32::MAX
    }

    fn smss(&self) -> u32 {
        self.smss.into()
    }

    fn set_mss(&mut self, mss: u16) {
        self.smss = mss.max(1);
        self.set_cwnd(self.cwnd);
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        self.cwnd = cwnd.clamp(self.smss(), MAX_CWND);
    }

    fn set_seed(&mut self, seed: u32) {
        self.random = ((seed >> 16) as u16 ^ seed as u16).max(1);
    }

    fn in_slow_start(&self) -> bool {
        self.state == State::Startup
    }

    /// Section 5.6.2: before the first sample, as if the initial window left in a round trip.
    fn pacing_rate(&self, srtt: Duration) -> Option<u64> {
        let pacing = if self.pacing > Rate::ZERO {
            self.pacing
        } else {
            let srtt_us = u32::try_from(srtt.as_micros()).ok().filter(|&us| us > 0)?;
            self.initial_pacing_rate(srtt_us)
        };
        Some(pacing.bytes_per_second())
    }

    fn uses_prr(&self) -> bool {
        false
    }

    fn wants_rate_samples(&self) -> bool {
        true
    }

    fn delivery_rate(&mut self) -> Option<&mut DeliveryRate> {
        Some(&mut self.samples)
    }

    fn on_ack(&mut self, _: u32, _: u32, _: bool, _: Instant, _: Duration) {}

    /// Section 5.2.3, in its order.
    fn on_rate_sample(&mut self, rs: &RateSample, cwnd_limited: bool, now: Instant) {
        if rs.newly_acked == 0 {
            return;
        }
        let rate = Rate::of(rs);
        let is_app_limited = rs.is_app_limited || self.has(Facts::LOW_SAMPLES);
        let ack = Ack { rs, rate, is_app_limited, cwnd_limited, now };
        self.delivered = rs.total_delivered;
        self.update_latest_delivery_signals(&ack);
        self.update_congestion_signals(&ack);
        self.update_ack_aggregation(&ack);
        self.check_full_bw_reached(&ack);
        self.check_startup_done(&ack);
        self.check_drain_done(&ack);
        self.update_probe_bw_cycle_phase(&ack);
        self.update_min_rtt(&ack);
        self.check_probe_rtt(&ack);
        self.advance_latest_delivery_signals(&ack);
        self.set_pacing_rate();
        self.set_cwnd_from_model(&ack);
    }

    fn on_packet_lost(&mut self, lost: &LostPacket, now: Instant) {
        self.handle_lost_packet(lost, now);
    }

    fn on_ecn(&mut self, _acked: u32, marked: u32, _flight: u32) -> bool {
        let news = marked > 0 && !self.has(Facts::LOSS_IN_ROUND);
        if news {
            self.note_loss(self.delivered);
        }
        news
    }

    /// Section 5.6.4.4, OnEnterFastRecovery.
    fn on_congestion(&mut self, _flight: u32) {
        self.save_state_upon_loss();
        self.facts |= Facts::IN_RECOVERY;
    }

    fn on_recovery_end(&mut self, _flight: u32) {
        self.on_recovered();
    }

    /// Section 5.6.4.4, upon exiting loss recovery.
    fn on_recovered(&mut self) {
        self.facts -= Facts::IN_RECOVERY;
        self.restore_cwnd();
    }

    /// Section 5.6.4.4, OnEnterRTO: room for one segment, whatever is left in flight.
    fn on_timeout(&mut self, _flight: u32, first: bool) {
        if first {
            self.save_state_upon_loss();
        }
        self.facts |= Facts::IN_RECOVERY;
        self.cwnd = self.smss();
    }

    /// What it was is kept here, as more than a window changes.
    fn undo(&mut self, _prior: &Prior) {
        self.facts -= Facts::IN_RECOVERY;
        self.handle_spurious_loss();
    }

    /// Section 5.4: the window stays; the pace is what limits a restart.
    fn on_idle(&mut self) {}

    fn on_restart(&mut self, now: Instant) {
        self.handle_restart_from_idle(now);
    }
}
