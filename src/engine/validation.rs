//! Congestion window validation (RFC 7661): what a window is worth that isn't used.
//!
//! A window no larger than the initial one needs none: a restart leaves it as it is. The state of
//! the others lies in a table, so that quiet connections don't carry it.

use super::io::Io;
use super::slots::Slot;
use crate::tcp::congestion::{Algorithm, CongestionControl, initial_window};
use crate::tcp::validation::Validation;

impl<C> Slot<C> {
    /// New bytes were acknowledged: so much of the window is used.
    #[inline]
    pub(super) fn note_use<D>(&mut self, acked: u32, io: &mut Io<D>) {
        if self.rare.is_some() || self.tcb.cwnd_is_large() {
            self.note_use_of_large(acked, io);
        }
    }

    fn note_use_of_large<D>(&mut self, acked: u32, io: &mut Io<D>) {
        if !self.tcb.cwnd_is_large() || self.tcb.congestion.algorithm() == Algorithm::Bbr {
            // BBR's window follows from what was delivered lately, and needs no other validation.
            return self.drop_validation(io);
        }
        let Some(validation) = self.need_validation(io) else { return };
        let mut state = *validation;
        let srtt = self.tcb.rtt.srtt().unwrap_or_default();
        state.on_ack(acked, self.tcb.congestion.cwnd(), io.now, srtt);
        self.decay(&mut state, io);
        self.keep_validation(state, io);
    }

    /// Before something is sent: if it comes after a pause, the window may be too large for what is
    /// known of the path.
    #[inline]
    pub(super) fn restart_if_idle<D>(&mut self, io: &mut Io<D>) {
        if self.tcb.was_idle(io.now) {
            self.restart(io);
        }
    }

    fn restart<D>(&mut self, io: &mut Io<D>) {
        match self.validation_mut(io) {
            Some(validation) => {
                let mut state = *validation;
                self.decay(&mut state, io);
                self.keep_validation(state, io);
            }
            // RFC 5681 section 4.1.
            None => self.tcb.congestion.on_idle(),
        }
    }

    /// RFC 7661 section 4.4.3: a window that wasn't used for five minutes.
    fn decay<D>(&mut self, state: &mut Validation, io: &Io<D>) {
        let congestion = &mut self.tcb.congestion;
        let initial = initial_window(self.tcb.snd_mss, 0);
        let (cwnd, ssthresh) = (congestion.cwnd(), congestion.ssthresh());
        if let Some((cwnd, ssthresh)) = state.decay(cwnd, ssthresh, initial, io.now) {
            congestion.decay(cwnd, ssthresh);
        }
    }

    /// A loss was found with so much in flight: what the reaction must start from (RFC 7661 section
    /// 4.4.2). The measure begins anew.
    pub(super) fn used_window<D>(&mut self, in_flight: u32, io: &mut Io<D>) -> u32 {
        let Some(validation) = self.validation_mut(io) else { return in_flight };
        let cwnd = self.tcb.congestion.cwnd();
        let validated = validation.is_validated(cwnd);
        let used = validation.used_window(in_flight).min(cwnd.max(in_flight));
        self.validate_anew(io);
        if validated { in_flight } else { used }
    }

    /// Congestion was answered.
    pub(super) fn validate_anew<D>(&mut self, io: &mut Io<D>) {
        let now = io.now;
        if let Some(validation) = self.validation_mut(io) {
            validation.on_congestion(now);
        }
    }

    fn keep_validation<D>(&self, state: Validation, io: &mut Io<D>) {
        if let Some(validation) = self.validation_mut(io) {
            *validation = state;
        }
    }
}
