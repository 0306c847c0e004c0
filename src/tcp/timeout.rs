//! What happens when time passes: retransmission, zero-window probes, keep-alive, the waits.

use core::time::Duration;

use super::congestion::{CongestionControl, Prior};
use super::settings::Settings;
use super::tcb::{Facts, State, Tcb};
use crate::time::{Instant, Tick};
use crate::wire::Seq;

/// TLP.max_ack_delay: how long a peer may sit on the ACK of a single segment. Most wait 40 ms; for
/// one that was seen to wait longer it is 200 ms.
const MAX_ACK_DELAY_US: u32 = 50_000;
const LATE_ACK_DELAY_US: u32 = 200_000;

/// Retransmissions after which the application hears of it (RFC 9293 section 3.8.3).
const R1: u8 = 3;

/// What an expired timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Nothing,
    /// Send from SND.UNA again. `first`: that segment had not timed out before; `forward`: no
    /// recovery was under way, so that F-RTO may look whether it was lost (RFC 5682).
    /// `prior`: what the reduction that goes with it changed.
    Retransmit {
        first: bool,
        forward: bool,
        prior: Prior,
    },
    /// Send a tail loss probe.
    TailProbe,
    /// Send one byte into the closed window.
    Probe,
    /// Send what fits into a small window.
    Output,
    /// Send a keep-alive.
    KeepAlive,
    /// The peer is gone: give the connection up.
    GiveUp,
    /// TIME-WAIT is over.
    Closed,
}

impl Tcb {
    /// The earliest deadline of the connection, if it has one; but for the recovery's.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let if_armed = |fact, at| self.has(fact).then_some(at);
        let first = if_armed(Facts::IDLE_ARMED, self.idle_at);
        let first = Tick::earlier(first, if_armed(Facts::RETRANSMIT_ARMED, self.retransmit_at));
        Tick::earlier(first, if_armed(Facts::ACK_DELAYED, self.ack_at))
    }

    /// Whether [`next_deadline`](Tcb::next_deadline) is one, and before `at`.
    #[inline]
    pub(crate) fn is_due_before(&self, at: Tick) -> bool {
        (self.has(Facts::RETRANSMIT_ARMED) && at.is_after(self.retransmit_at))
            || (self.has(Facts::IDLE_ARMED) && at.is_after(self.idle_at))
            || (self.has(Facts::ACK_DELAYED) && at.is_after(self.ack_at))
    }

    #[inline]
    pub(super) fn arm_retransmit(&mut self, now: Instant) {
        if self.is_impatient() {
            return;
        }
        self.arm(self.probe_timeout_us(), now);
    }

    /// Arms it for a probe so many microseconds ahead, or for a time-out if that is earlier.
    #[inline]
    pub(super) fn arm(&mut self, probe_us: Option<u32>, now: Instant) {
        let rto = self.rtt.rto_us();
        let probe = probe_us.filter(|probe| *probe < rto);
        self.facts.set(Facts::PROBE_TIMER, probe.is_some());
        self.retransmit_at = now.tick().after_micros(probe.unwrap_or(rto));
        self.facts |= Facts::RETRANSMIT_ARMED;
    }

    /// RFC 6582 section 3.2 step 3: in a recovery without SACK only the first partial ACK starts
    /// the timer anew. With many losses a timeout is quicker than one of them a round trip.
    #[inline]
    fn is_impatient(&self) -> bool {
        let partial = Facts::RECOVERY | Facts::PARTIAL | Facts::RETRANSMIT_ARMED;
        self.facts.contains(partial) && !self.has(Facts::SACK)
    }

    /// PTO (RFC 8985 section 7.2) for what is sent now, in microseconds; `None` where a probe would
    /// tell nothing.
    #[inline]
    fn probe_timeout_us(&self) -> Option<u32> {
        if self.may_probe() { self.probe_after_us(self.flight()) } else { None }
    }

    /// The same where a probe would tell something, with so many bytes in flight.
    #[inline]
    pub(super) fn probe_after_us(&self, flight: u32) -> Option<u32> {
        let one_segment = flight <= u32::from(self.snd_mss);
        let ack_delay = match one_segment {
            true if self.has(Facts::LATE_ACKS) => LATE_ACK_DELAY_US,
            true => MAX_ACK_DELAY_US,
            false => 0,
        };
        Some(self.overdue_after_us()? + ack_delay)
    }

    /// The timer was armed for a single segment, and now there are more.
    pub(super) fn arm_probe(&mut self, now: Instant) {
        if let Some(probe_us) = self.probe_timeout_us() {
            self.probe_by(now.tick().after_micros(probe_us));
        }
    }

    /// Whether a probe could tell something.
    #[inline]
    fn may_probe(&self) -> bool {
        let no = Facts::RECOVERY | Facts::TIMED_OUT | Facts::PROBE_OUT | Facts::REORDER_ARMED;
        self.has(Facts::SACK)
            && !self.facts.intersects(no)
            && self.state.is_synchronized()
            && self.snd_field > 0
    }

    /// How long after its transmission a segment's ACK is overdue; `None` before the first sample.
    /// The RFC's default is two round trips, which is more than it takes where they hardly vary:
    /// then it is one and a half.
    #[inline]
    fn overdue_after_us(&self) -> Option<u32> {
        let srtt = self.rtt.srtt_us()?;
        Some(srtt + self.rtt.margin_us().clamp(srtt / 2, srtt))
    }

    /// What the last ACK left in flight was last sent at `sent_us`. Its own ACK is overdue that
    /// much earlier than if it had been sent now, as [`arm_retransmit`](Self::arm_retransmit)
    /// assumes. A single segment left over is waited for no longer than several (the RFC's
    /// TLP.max_ack_delay may be added) until the peer has shown that it delays such ACKs.
    pub(crate) fn hasten_probe(&mut self, sent_us: u32, now: Instant) {
        let one_segment = self.flight() <= u32::from(self.snd_mss);
        if !self.may_probe() || one_segment && self.has(Facts::LATE_ACKS) {
            return;
        }
        let Some(overdue) = self.overdue_after_us() else { return };
        let ago = now.micros32().wrapping_sub(sent_us);
        // The ACKs of a burst may be as far apart as its segments.
        let least = self.rtt.srtt_us().unwrap_or(0) / 4;
        self.probe_by(now.tick().after_micros(overdue.saturating_sub(ago).max(least)));
    }

    fn probe_by(&mut self, at: Tick) {
        if self.retransmit_at.is_after(at) {
            self.retransmit_at = at;
            self.facts |= Facts::PROBE_TIMER;
        }
    }

    /// A tail loss probe is about to be sent, a retransmission or new data.
    pub(crate) fn probe_sent(&mut self, again: bool) {
        self.facts |= Facts::PROBE_OUT;
        self.facts.set(Facts::PROBE_AGAIN, again);
        self.facts.set(Facts::OVERRIDE, !again);
        self.probe_end = self.snd_max;
    }

    /// `Duration::MAX` is never.
    pub(super) fn arm_idle(&mut self, now: Instant, after: Duration) {
        if after == Duration::MAX {
            self.facts -= Facts::IDLE_ARMED;
            return;
        }
        self.idle_at = now.tick().after(after);
        self.facts |= Facts::IDLE_ARMED;
    }

    /// The peer lives: keep-alive starts over (RFC 9293 section 3.8.4).
    #[inline]
    pub(super) fn heard(&mut self, settings: &Settings, now: Instant) {
        if self.state == State::TimeWait {
            return;
        }
        if settings.config.keep_alive.is_some() || self.state == State::FinWait2 {
            self.watch(settings, now);
        }
        self.tries = 0;
        if self.snd_field == 0 {
            // A peer that answers probes may keep its window shut for ever (MUST-37): its silence
            // is counted from the next probe on, however far away that is.
            let armed = self.has(Facts::RETRANSMIT_ARMED);
            self.stalled_since = if armed { self.retransmit_at } else { now.tick() };
        }
    }

    /// Arms the keep-alive timer as the settings say, from now on, or stops it.
    pub(crate) fn watch(&mut self, settings: &Settings, now: Instant) {
        match self.state {
            State::TimeWait => {}
            State::FinWait2 => self.arm_idle(now, settings.config.fin_wait_2),
            _ => self.arm_idle(now, settings.config.keep_alive.unwrap_or(Duration::MAX)),
        }
    }

    /// The window was zero and is not: what is sent next is no probe.
    pub(super) fn window_opened(&mut self, settings: &Settings, now: Instant) {
        self.rtt.reset_backoff(&settings.rto);
        if self.snd_nxt == self.snd_una {
            self.facts -= Facts::RETRANSMIT_ARMED;
        } else {
            // What was sent before the window shut goes again soon, not when a probe was due.
            self.arm_retransmit(now);
        }
    }

    pub(super) fn enter_fin_wait_2(&mut self, settings: &Settings, now: Instant) {
        self.state = State::FinWait2;
        self.arm_idle(now, settings.config.fin_wait_2);
    }

    pub(super) fn enter_time_wait(&mut self, settings: &Settings, now: Instant) {
        self.state = State::TimeWait;
        self.facts -= Facts::RETRANSMIT_ARMED;
        self.arm_idle(now, settings.config.time_wait);
    }

    /// The delayed ACK is due.
    pub(crate) fn ack_timer(&mut self, now: Instant) {
        if self.has(Facts::ACK_DELAYED) && !self.ack_at.is_after(now.tick()) {
            self.facts |= Facts::ACK_NOW;
        }
    }

    /// The retransmission timer, if it is due (RFC 6298 section 5, RFC 9293 sections 3.8.1,
    /// 3.8.6.1). `waiting`: bytes queued and not sent.
    pub(crate) fn retransmit_timer(
        &mut self,
        waiting: bool,
        settings: &Settings,
        now: Instant,
    ) -> Expiry {
        if !self.has(Facts::RETRANSMIT_ARMED) || self.retransmit_at.is_after(now.tick()) {
            return Expiry::Nothing;
        }
        self.facts -= Facts::RETRANSMIT_ARMED | Facts::TIMING;
        if !self.state.is_synchronized() {
            return self.syn_timer(settings);
        }
        if self.flight() == 0 && !waiting {
            return Expiry::Nothing;
        }
        if self.has(Facts::PROBE_TIMER) && self.snd_nxt != self.snd_una && self.snd_field > 0 {
            self.facts -= Facts::PROBE_TIMER;
            return Expiry::TailProbe;
        }
        if self.has_stalled_for(settings.config.user_timeout, now) {
            return Expiry::GiveUp;
        }
        if self.snd_field == 0 && !self.fin_alone() {
            self.rtt.back_off(&settings.rto);
            self.arm_retransmit(now);
            return Expiry::Probe;
        }
        if self.snd_nxt == self.snd_una && self.flight() <= 1 {
            // Nothing but a probe was sent: what waits, waits for a larger window.
            self.facts |= Facts::OVERRIDE;
            return Expiry::Output;
        }
        let first = !self.has(Facts::RESENT);
        let forward = !self.facts.intersects(Facts::RECOVERY | Facts::TIMED_OUT);
        self.rtt.back_off(&settings.rto);
        let prior = self.congestion.prior();
        self.congestion.on_timeout(self.flight(), first);
        self.window_reduced();
        self.facts -= Facts::RECOVERY | Facts::PROBE_OUT;
        self.facts |= Facts::TIMED_OUT | Facts::RESENT;
        self.recover = self.snd_max - 1;
        self.dup_acks = 0;
        Expiry::Retransmit { first, forward, prior }
    }

    /// What is in flight from `from` on is to be sent again: without a scoreboard, or when only a
    /// FIN is out.
    pub(crate) fn go_back(&mut self, from: Seq) {
        self.snd_nxt = from;
    }

    /// Only our FIN is unacknowledged: it needs no window.
    pub(crate) fn fin_alone(&self) -> bool {
        self.has(Facts::FIN_SENT) && self.flight() == 1
    }

    fn syn_timer(&mut self, settings: &Settings) -> Expiry {
        if self.tries >= settings.config.connect_retries {
            return Expiry::GiveUp;
        }
        self.tries += 1;
        self.rtt.back_off(&settings.rto);
        self.snd_nxt = self.snd_una;
        let prior = self.congestion.prior();
        Expiry::Retransmit { first: false, forward: false, prior }
    }

    /// R1 is reached with the retransmission to be sent now (RFC 9293 section 3.8.3, SHLD-10).
    pub(crate) fn reaches_r1(&self) -> bool {
        self.state.is_synchronized() && self.rtt.backoff() == R1
    }

    /// R2 is reached (RFC 9293 section 3.8.3).
    fn has_stalled_for(&self, limit: Duration, now: Instant) -> bool {
        if limit == Duration::MAX {
            return false;
        }
        let end = self.stalled_since.after(limit);
        !end.is_after(now.tick())
    }

    /// The idle timer, if it is due: keep-alive, FIN-WAIT-2, TIME-WAIT.
    pub(crate) fn idle_timer(&mut self, settings: &Settings, now: Instant) -> Expiry {
        if !self.has(Facts::IDLE_ARMED) || self.idle_at.is_after(now.tick()) {
            return Expiry::Nothing;
        }
        self.facts -= Facts::IDLE_ARMED;
        match self.state {
            State::TimeWait => Expiry::Closed,
            _ if self.flight() > 0 => {
                // The retransmission timer finds out whether the peer lives.
                self.arm_idle(now, settings.config.keep_alive_interval);
                Expiry::Nothing
            }
            _ if self.tries >= settings.config.keep_alive_probes => Expiry::GiveUp,
            _ => {
                self.tries += 1;
                self.arm_idle(now, settings.config.keep_alive_interval);
                Expiry::KeepAlive
            }
        }
    }
}
