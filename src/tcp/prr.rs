//! Proportional rate reduction (RFC 9937, which replaces RFC 6937): what to send in a recovery.
//!
//! The window falls to the threshold in the course of a round trip, clocked by what the receiver
//! reports as delivered, instead of at once. The strict form limits sending to what was delivered
//! (conservative reduction bound); while the recovery goes well, a segment more for each ACK (slow
//! start reduction bound).

/// The state of one recovery. It lives only as long as the recovery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prr {
    ssthresh: u32,
    /// RecoverFS: what was in flight when the recovery began.
    recover_fs: u32,
    /// Delivered, and sent, since the recovery began.
    delivered: u32,
    out: u32,
    smss: u16,
}

impl Prr {
    /// A recovery begins (section 6.1). `ssthresh` is what the congestion control wants in flight
    /// at its end. `recover_fs`: SND.NXT − SND.UNA before this ACK, less what was reported as
    /// received before this ACK (section 6.1: what was delivered earlier doesn't count).
    pub fn new(ssthresh: u32, recover_fs: u32, smss: u16) -> Prr {
        Prr { ssthresh, recover_fs: recover_fs.max(1), delivered: 0, out: 0, smss: smss.max(1) }
    }

    /// An ACK that begins the recovery or belongs to it (section 6.2) reports `delivered` bytes as
    /// newly received, cumulatively or selectively; `in_flight` are estimated to be under way now.
    /// `safe`: SND.UNA advanced and no further loss shows. Returns how many bytes may be sent.
    pub fn on_ack(&mut self, delivered: u32, in_flight: u32, safe: bool) -> u32 {
        if delivered == 0 {
            return 0;
        }
        self.delivered = self.delivered.saturating_add(delivered);
        let mut count = if in_flight > self.ssthresh {
            let share = u64::from(self.delivered) * u64::from(self.ssthresh);
            // Rounded up to a segment, as the RFC's sums are: what goes out are whole ones.
            let share = share.div_ceil(self.recover_fs.into()).next_multiple_of(self.smss.into());
            u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            let conserved = self.delivered.saturating_sub(self.out).max(delivered);
            let more = if safe { self.smss.into() } else { 0 };
            conserved.saturating_add(more).min(self.ssthresh - in_flight)
        };
        if self.out == 0 {
            // The fast retransmission goes out whatever the sum says.
            count = count.max(self.smss.into());
        }
        count
    }

    /// `bytes` were sent, new or again (section 6.3).
    pub fn on_sent(&mut self, bytes: u32) {
        self.out = self.out.saturating_add(bytes);
    }

    /// What is to be in flight when the recovery ends (section 6.4): the congestion window then.
    pub fn ssthresh(&self) -> u32 {
        self.ssthresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const M: u32 = 1_000;

    /// The recovery of RFC 6937 section 3.1: 20 segments in flight and two sent by limited
    /// transmit; `acks` more ACKs arrive, each for a segment beyond the loss. Returns the segments
    /// sent and those in flight after each.
    fn recovery(lost: u32, acks: u32) -> Vec<(u32, u32)> {
        let mut prr = Prr::new(10 * M, 20 * M, M as u16);
        let mut in_flight = 22 - lost - 2;
        let ack = |_| {
            in_flight -= 1;
            // Whole segments only: what is over stays banked.
            let sent = prr.on_ack(M, in_flight * M, false) / M;
            prr.on_sent(sent * M);
            in_flight += sent;
            (sent, in_flight)
        };
        (0..acks).map(ack).collect()
    }

    #[test]
    fn the_state_takes_20_bytes() {
        assert_eq!(size_of::<Prr>(), 20);
    }

    #[test]
    fn rfc9937_8_one_loss_every_second_ack_sends_and_the_flight_ends_at_ssthresh() {
        let trace = recovery(1, 19);
        for (i, (sent, _)) in trace[..16].iter().enumerate() {
            assert_eq!(*sent, u32::from(i % 2 == 0), "ACK {}", i + 3);
        }
        let flights: Vec<u32> = trace.iter().map(|(_, in_flight)| *in_flight).collect();
        assert_eq!(flights[..6], [19, 18, 18, 17, 17, 16]);
        assert_eq!(flights[15..], [11, 10, 10, 10], "then the reduction bound holds it there");
    }

    #[test]
    fn rfc9937_8_a_burst_of_15_losses_is_repaired_by_what_is_delivered() {
        // In flight falls to 4 at the first ACK: one retransmission for each delivery (CRB), since
        // nothing has been acknowledged in order yet.
        assert_eq!(recovery(15, 3), [(1, 5), (1, 5), (1, 5)]);
    }

    #[test]
    fn rfc9937_6_2_while_recovery_goes_well_it_slow_starts_to_ssthresh() {
        let mut prr = Prr::new(10 * M, 20 * M, M as u16);
        let mut in_flight = 5 * M;
        for expected in [2, 2, 2, 2, 2, 1, 1] {
            in_flight -= M;
            let count = prr.on_ack(M, in_flight, true);
            prr.on_sent(count);
            in_flight += count;
            assert_eq!(count, expected * M, "{in_flight} in flight");
        }
        assert_eq!(in_flight, 10 * M);
    }

    #[test]
    fn rfc9937_6_2_the_fast_retransmission_is_sent_in_any_case() {
        let mut prr = Prr::new(2 * M, 40 * M, M as u16);
        assert_eq!(prr.on_ack(1, 2 * M, false), M);
        prr.on_sent(M);
        assert_eq!(prr.on_ack(M, 30 * M, false), 0);
    }

    #[test]
    fn rfc9937_6_2_an_ack_that_delivers_nothing_sends_nothing() {
        let mut prr = Prr::new(10 * M, 20 * M, M as u16);
        assert_eq!(prr.on_ack(0, M, true), 0);
    }

    #[test]
    fn rfc9937_7_what_was_not_sent_is_banked() {
        let mut prr = Prr::new(10 * M, 20 * M, M as u16);
        for i in 1..=8 {
            _ = prr.on_ack(M, (18 - i) * M, false);
        }
        // Eight deliveries, nothing sent: the application comes back, in flight are 9.
        assert_eq!(prr.on_ack(M, 9 * M, false), M, "as far as ssthresh");
        assert_eq!(prr.on_ack(M, 2 * M, false), 8 * M, "no further than ssthresh");
    }

    proptest! {
        /// RFC 6937 appendix A: the strong packet conservation bound.
        #[test]
        fn rfc9937_7_without_safe_acks_no_more_is_sent_than_delivered(
            ssthresh in 1u32..100, fs in 1u32..200,
            steps in prop::collection::vec((1u32..5, 0u32..200), 1..60)
        ) {
            let mut prr = Prr::new(ssthresh.min(fs) * M, fs * M, M as u16);
            let (mut delivered, mut sent) = (0, 0);
            for (acked, in_flight) in steps {
                delivered += acked * M;
                let count = prr.on_ack(acked * M, in_flight * M, false);
                prr.on_sent(count);
                // The latest delivery may always be answered in kind.
                prop_assert!(sent + count <= delivered.max(sent + acked * M));
                sent += count;
            }
        }
    }
}
