//! CUBIC (RFC 9438), counting bytes, with HyStart++ (RFC 9406) in the initial slow start.
//!
//! The curve is kept as W_max and the time to its flat point, t − K. That time runs only between
//! ACKs of a flow that fills its window: what section 5.8 asks for applications that pause falls
//! out of it. A curve is known from W_max and the window alone, so one that is left and found again
//! (after idleness, or an undone reduction) is computed anew instead of remembered.

use super::CongestionControl;
use super::curve;
use super::hystart::{Growth, HyStart};
use super::window::{Prior, Window};
use crate::time::Instant;
use core::time::Duration;

/// Section 4.6: beta_cubic = 0.7.
const BETA_10: u64 = 7;
/// Section 4.3: alpha_cubic = 3 (1 − beta) / (1 + beta) = 9 / 17 makes the Reno-friendly window as
/// aggressive as Reno with its beta of a half.
const ALPHA: (u64, u64) = (9, 17);

/// How the next congestion avoidance begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// With the window's place on the curve of W_max (section 4.2).
    Pending,
    /// With a new curve, flat here: after a time-out (section 4.8) or a slow start that ended
    /// without a loss (section 4.10).
    PendingFlat,
    /// It has begun; no ACK has started its clock since the last pause.
    Paused,
    /// It has begun, and the clock runs.
    Running,
}

/// The state of congestion avoidance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Avoidance {
    w_max: u32,
    /// t − K in microseconds.
    offset_us: i32,
    /// When the last ACK came that the window limited.
    last_ack_us: u32,
    /// What Reno would have: W_est, and 256ths of a byte of it.
    w_est: u32,
    w_est_fraction: u8,
    /// 65536ths of a byte of the window.
    cwnd_fraction: u16,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The initial slow start (RFC 9406 section 4.3: only there).
    Initial(HyStart),
    /// Everything after.
    Later(Avoidance),
}

/// The CUBIC algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cubic {
    window: Window,
    /// The window before the last reduction (cwnd_prior in section 4.1.2).
    prior_cwnd: u32,
    phase: Phase,
}

/// The window that an ACK finds, and the one before the last reduction.
#[derive(Clone, Copy, Debug)]
struct Before {
    cwnd: u32,
    prior_cwnd: u32,
    smss: u32,
}

impl Avoidance {
    fn pending(w_max: u32, stage: Stage) -> Avoidance {
        Avoidance {
            w_max,
            offset_us: 0,
            last_ack_us: 0,
            w_est: 0,
            w_est_fraction: 0,
            cwnd_fraction: 0,
            stage,
        }
    }

    /// A congestion avoidance stage begins (sections 4.2, 4.3, 4.8, 4.10).
    fn begin(&mut self, cwnd: u32, smss: u32) {
        if self.stage == Stage::PendingFlat || self.w_max == 0 {
            self.w_max = cwnd;
        }
        self.offset_us = curve::offset_us(cwnd, self.w_max, smss);
        self.w_est = cwnd;
        self.w_est_fraction = 0;
        self.cwnd_fraction = 0;
        self.stage = Stage::Paused;
    }

    /// The window leaves its place on the curve, to find it again by itself.
    fn leave(&mut self) {
        if matches!(self.stage, Stage::Paused | Stage::Running) {
            self.stage = Stage::Pending;
        }
    }

    fn advance(&mut self, now_us: u32) {
        if self.stage == Stage::Running {
            let gap = now_us.wrapping_sub(self.last_ack_us);
            self.offset_us = self.offset_us.saturating_add_unsigned(gap);
        }
        self.last_ack_us = now_us;
        self.stage = Stage::Running;
    }

    /// Section 4.3, figure 4: the window that Reno would have by now.
    fn grow_w_est(&mut self, acked: u64, cwnd: u64, prior_cwnd: u32, smss: u64) {
        let caught_up = self.w_est >= prior_cwnd;
        let (n, d) = if caught_up { (1, 1) } else { ALPHA };
        let grown = (acked * smss * n * 256) / (cwnd * d) + u64::from(self.w_est_fraction);
        self.w_est = self.w_est.saturating_add((grown >> 8) as u32);
        self.w_est_fraction = (grown & 0xff) as u8;
    }

    /// An ACK in congestion avoidance (section 4.2): the new window.
    fn on_ack(&mut self, acked: u32, window: Before, now_us: u32, rtt_us: u32) -> u32 {
        let Before { cwnd, prior_cwnd, smss } = window;
        if matches!(self.stage, Stage::Pending | Stage::PendingFlat) {
            self.begin(cwnd, smss);
        }
        self.advance(now_us);
        let acked = u64::from(acked.min(cwnd));
        self.grow_w_est(acked, cwnd.into(), prior_cwnd, smss.into());
        let w_cubic = curve::window(self.w_max, self.offset_us, smss);
        if w_cubic < self.w_est {
            // Section 4.3: the Reno-friendly region.
            return cwnd.max(self.w_est);
        }
        // Sections 4.4 and 4.5: towards the curve's place one round trip ahead, by no more than
        // half in a round trip.
        let ahead = self.offset_us.saturating_add_unsigned(rtt_us);
        let target =
            curve::window(self.w_max, ahead, smss).clamp(cwnd, cwnd.saturating_add(cwnd / 2));
        cwnd.saturating_add(self.step(u64::from(target - cwnd) * acked, cwnd.into()))
    }

    /// `product` / `cwnd`, with the fraction kept for the next ACK.
    fn step(&mut self, product: u64, cwnd: u64) -> u32 {
        if product >= 1 << 47 {
            return (product / cwnd) as u32;
        }
        let grown = (product << 16) / cwnd + u64::from(self.cwnd_fraction);
        self.cwnd_fraction = (grown & 0xffff) as u16;
        (grown >> 16) as u32
    }
}

impl Cubic {
    /// … and the time that passes meanwhile doesn't count (section 5.8).
    #[inline]
    pub(super) fn pause(&mut self) {
        if let Phase::Later(Avoidance { stage: stage @ Stage::Running, .. }) = &mut self.phase {
            *stage = Stage::Paused;
        }
    }

    fn w_max(&self) -> u32 {
        match self.phase {
            Phase::Initial(_) => 0,
            Phase::Later(avoidance) => avoidance.w_max,
        }
    }

    /// Sections 4.6 and 4.7: remembers where it happened, and gives the new threshold.
    fn reduction(&mut self, flight: u32, stage: Stage) -> u32 {
        let cwnd = self.window.cwnd;
        let w_max = self.w_max();
        self.prior_cwnd = cwnd;
        // Fast convergence: the window didn't come as far as last time, so someone else has grown;
        // the flow makes room.
        let fast = cwnd < w_max;
        let w_max = if fast { tenths(cwnd, 10 + BETA_10) / 2 } else { cwnd };
        self.phase = Phase::Later(Avoidance::pending(w_max, stage));
        tenths(flight, BETA_10)
    }
}

fn tenths(of: u32, tenths: u64) -> u32 {
    (u64::from(of) * tenths / 10) as u32
}

impl CongestionControl for Cubic {
    fn new(mss: u16, initial_window: u32) -> Cubic {
        Cubic {
            window: Window::new(mss, initial_window),
            prior_cwnd: 0,
            phase: Phase::Initial(HyStart::new()),
        }
    }

    fn cwnd(&self) -> u32 {
        self.window.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.window.ssthresh
    }

    fn smss(&self) -> u32 {
        self.window.smss()
    }

    fn set_mss(&mut self, mss: u16) {
        self.window.set_mss(mss);
    }

    fn set_cwnd(&mut self, cwnd: u32) {
        self.window.set_cwnd(cwnd);
    }

    fn wants_rtt(&self) -> bool {
        matches!(self.phase, Phase::Initial(_))
    }

    fn on_rtt(&mut self, rtt: Duration) {
        if let Phase::Initial(hystart) = &mut self.phase {
            hystart.on_rtt(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        }
    }

    fn on_ack(&mut self, acked: u32, flight: u32, cwnd_limited: bool, now: Instant, rtt: Duration) {
        let smss = self.window.smss();
        match &mut self.phase {
            // Section 4.2: a window that the application doesn't fill doesn't grow …
            _ if !cwnd_limited => self.pause(),
            Phase::Initial(hystart) => match hystart.on_ack(acked, flight, smss) {
                Growth::By(by) => self.window.grow(by),
                Growth::Done => {
                    self.window.ssthresh = self.window.cwnd;
                    self.phase = Phase::Later(Avoidance::pending(0, Stage::PendingFlat));
                }
            },
            // Section 4.10: slow start is Reno's.
            Phase::Later(_) if self.window.in_slow_start() => {
                self.window.slow_start(acked);
            }
            Phase::Later(avoidance) => {
                let rtt_us = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
                let (cwnd, prior_cwnd) = (self.window.cwnd, self.prior_cwnd);
                let window = Before { cwnd, prior_cwnd, smss };
                let cwnd = avoidance.on_ack(acked, window, now.micros32(), rtt_us);
                self.window.set_cwnd(cwnd);
            }
        }
    }

    fn on_ecn(&mut self, acked: u32, marked: u32, flight: u32) -> bool {
        let news = self.window.mark_is_news(acked, marked, flight);
        if news {
            let cwnd = self.window.cwnd;
            let ssthresh = self.reduction(cwnd, Stage::Pending);
            self.window.reduce(ssthresh);
        }
        news
    }

    fn on_congestion(&mut self, flight: u32) {
        if self.window.loss_is_news(flight) {
            let ssthresh = self.reduction(flight, Stage::Pending);
            self.window.reduce(ssthresh);
        } else {
            self.prior_cwnd = self.window.cwnd;
        }
    }

    fn on_timeout(&mut self, flight: u32, first: bool) {
        if first {
            // Section 4.8: like Reno, but with CUBIC's beta; the curve starts afresh afterwards.
            let ssthresh = self.reduction(flight, Stage::PendingFlat);
            self.window.reduce(ssthresh);
        }
        self.window.collapse();
    }

    fn prior(&self) -> Prior {
        let Window { cwnd, ssthresh, .. } = self.window;
        Prior { cwnd, ssthresh, w_max: self.w_max() }
    }

    fn undo(&mut self, prior: &Prior) {
        // Section 4.9: all that the reduction changed is restored. K and the epoch follow from the
        // window and W_max; W_est begins anew at the window.
        self.window.restore(prior);
        let stage = if prior.w_max == 0 { Stage::PendingFlat } else { Stage::Pending };
        self.phase = Phase::Later(Avoidance::pending(prior.w_max, stage));
    }

    fn decay(&mut self, cwnd: u32, ssthresh: u32) {
        self.window.decay(cwnd, ssthresh);
        if let Phase::Later(avoidance) = &mut self.phase {
            avoidance.leave();
        }
    }

    fn on_idle(&mut self) {
        // RFC 7661 section 4.4.3: three quarters of what the path carried is the way back's end.
        if let Phase::Later(avoidance) = &mut self.phase {
            let reached = self.window.cwnd / 4 * 3;
            self.window.ssthresh = self.window.ssthresh.max(reached);
            avoidance.leave();
        }
        self.window.restart();
    }
}

#[cfg(test)]
mod tests;
