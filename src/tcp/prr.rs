//! Proportional rate reduction: how much to send for each ACK during a recovery (RFC 9937 section
//! 6).

/// State of one recovery. All amounts are in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prr {
    /// What was in flight when the recovery began.
    recover_fs: u32,
    delivered: u32,
    out: u32,
}

/// What an ACK in a recovery tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Newly acknowledged or SACKed.
    pub(crate) bytes: u32,
    /// What is in flight now.
    pub(crate) in_flight: u32,
    /// SND.UNA advanced and nothing more was found lost.
    pub(crate) safe: bool,
}

impl Prr {
    pub(crate) fn new(in_flight: u32) -> Prr {
        Prr { recover_fs: in_flight.max(1), delivered: 0, out: 0 }
    }

    /// `bytes` were sent, first or again.
    pub(crate) fn sent(&mut self, bytes: u32) {
        self.out = self.out.saturating_add(bytes);
    }

    /// The congestion window after an ACK.
    pub(crate) fn on_ack(&mut self, delivery: &Delivery, ssthresh: u32, mss: u32) -> u32 {
        self.delivered = self.delivered.saturating_add(delivery.bytes);
        let quota = if delivery.in_flight > ssthresh {
            let fair = u64::from(self.delivered) * u64::from(ssthresh);
            let fair = fair.div_ceil(u64::from(self.recover_fs));
            u32::try_from(fair).unwrap_or(u32::MAX).saturating_sub(self.out)
        } else {
            let conserved = self.delivered.saturating_sub(self.out);
            let grown = conserved.max(delivery.bytes).saturating_add(mss);
            let quota = if delivery.safe { grown } else { conserved };
            quota.min(ssthresh - delivery.in_flight)
        };
        // The first retransmission goes out at once.
        let quota = if self.out == 0 { quota.max(mss) } else { quota };
        delivery.in_flight.saturating_add(quota)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn ack(bytes: u32, in_flight: u32, safe: bool) -> Delivery {
        Delivery { bytes, in_flight, safe }
    }

    #[test]
    fn rfc9937_6_above_ssthresh_it_sends_the_fraction_that_halves_the_flight() {
        // 20 in flight, ssthresh 10: one out for two delivered.
        let mut prr = Prr::new(20 * MSS);
        let mut in_flight = 20 * MSS;
        let mut sent = 0;
        for _ in 0..10 {
            in_flight -= MSS;
            let cwnd = prr.on_ack(&ack(MSS, in_flight, false), 10 * MSS, MSS);
            while in_flight + MSS <= cwnd {
                prr.sent(MSS);
                in_flight += MSS;
                sent += 1;
            }
        }
        assert_eq!(sent, 5);
    }

    #[test]
    fn rfc9937_6_below_ssthresh_it_sends_what_is_delivered_and_one_more_if_safe() {
        let mut prr = Prr::new(20 * MSS);
        prr.sent(MSS);
        let unsafe_cwnd = prr.on_ack(&ack(3 * MSS, 4 * MSS, false), 10 * MSS, MSS);
        assert_eq!(unsafe_cwnd, 6 * MSS, "three delivered, one out already");
        prr.sent(2 * MSS);
        let safe_cwnd = prr.on_ack(&ack(MSS, 5 * MSS, true), 10 * MSS, MSS);
        assert_eq!(safe_cwnd, 7 * MSS, "one delivered, and one more");
    }

    #[test]
    fn rfc9937_6_it_never_sends_beyond_ssthresh() {
        let mut prr = Prr::new(20 * MSS);
        assert_eq!(prr.on_ack(&ack(15 * MSS, 9 * MSS, true), 10 * MSS, MSS), 10 * MSS);
    }

    #[test]
    fn rfc9937_6_the_first_retransmission_goes_at_once() {
        let mut prr = Prr::new(20 * MSS);
        assert_eq!(prr.on_ack(&ack(0, 19 * MSS, false), 10 * MSS, MSS), 20 * MSS);
    }
}
