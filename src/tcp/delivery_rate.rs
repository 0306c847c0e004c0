//! Delivery rate samples: how fast the network delivered what an ACK acknowledges.
//!
//! draft-ietf-ccwg-bbr section 4.1 (before: draft-cheng-iccrg-delivery-rate-estimation). What was
//! known when a packet was sent is kept with it ([`Snapshot`]); when it is delivered, the bytes
//! delivered since then, over the longer of the times that sending and acknowledging them took, are
//! the rate. All counters are bytes modulo 2^32, all times microseconds modulo 2^32.

use crate::time::Instant;

/// The state of a connection (section 4.1.2.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryRate {
    delivered: u32,
    lost: u32,
    delivered_us: u32,
    first_sent_us: u32,
    /// The end of the bubble that the application left, while there is one.
    app_limited: Option<u32>,
}

/// What is kept with a packet from its transmission to its delivery (section 4.1.2.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    delivered: u32,
    lost: u32,
    delivered_us: u32,
    first_sent_us: u32,
    sent_us: u32,
    /// In flight with this packet.
    tx_in_flight: u32,
    is_app_limited: bool,
}

/// What one ACK says (section 4.1.2.1.3). Begins as the default; filled by
/// [`DeliveryRate::on_delivered`] for each packet and [`DeliveryRate::finish`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateSample {
    /// All that was ever delivered (C.delivered), modulo 2^32.
    pub total_delivered: u32,
    /// The same when the newest packet acknowledged was sent.
    pub prior_delivered: u32,
    /// Bytes delivered between these two.
    pub delivered: u32,
    /// The time that took, in microseconds; zero if it can't be relied on.
    pub interval_us: u32,
    /// From the transmission of the newest packet acknowledged to now, in microseconds.
    pub rtt_us: u32,
    /// Bytes delivered by this ACK, cumulatively or selectively.
    pub newly_acked: u32,
    /// Bytes found lost between the transmission of that packet and now.
    pub lost: u32,
    /// In flight when that packet was sent, itself included.
    pub tx_in_flight: u32,
    /// In flight now.
    pub in_flight: u32,
    /// The application, not the network, may have limited the rate.
    pub is_app_limited: bool,
    pub(super) sent_us: u32,
    pub(super) prior_us: u32,
    pub(super) send_elapsed_us: u32,
}

/// What is known of a packet found lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostPacket {
    /// Its bytes.
    pub size: u32,
    /// In flight when it was sent, itself included.
    pub tx_in_flight: u32,
    /// Bytes found lost since it was sent, its own included.
    pub lost: u32,
    /// All that was ever delivered (C.delivered), modulo 2^32.
    pub total_delivered: u32,
    /// It was sent while the application limited the rate.
    pub is_app_limited: bool,
    /// It follows directly, in sequence, on the packet found lost before it: one hole, not two.
    pub adjacent: bool,
}

impl RateSample {
    /// The delivery rate in bytes per second; zero if there is no reliable sample.
    pub fn bytes_per_second(&self) -> u64 {
        u64::from(self.delivered) * 1_000_000 / u64::from(self.interval_us.max(1))
            * u64::from(self.interval_us > 0)
    }
}

impl DeliveryRate {
    /// A packet of `len` bytes is sent with `in_flight` bytes in flight before it (section
    /// 4.1.2.2).
    pub fn on_sent(&mut self, len: u32, in_flight: u32, now: Instant) -> Snapshot {
        let now_us = now.micros32();
        if in_flight == 0 {
            (self.first_sent_us, self.delivered_us) = (now_us, now_us);
        }
        Snapshot {
            delivered: self.delivered,
            lost: self.lost,
            delivered_us: self.delivered_us,
            first_sent_us: self.first_sent_us,
            sent_us: now_us,
            tx_in_flight: in_flight.saturating_add(len),
            is_app_limited: self.app_limited.is_some(),
        }
    }

    /// A packet of `len` bytes was delivered (section 4.1.2.3): once for each.
    pub fn on_delivered(&mut self, p: &Snapshot, len: u32, rs: &mut RateSample, now: Instant) {
        let now_us = now.micros32();
        self.delivered = self.delivered.wrapping_add(len);
        self.delivered_us = now_us;
        // The newest packet speaks; of two sent at once the one reported later.
        let newest = rs.newly_acked == 0 || p.sent_us.wrapping_sub(rs.sent_us) as i32 >= 0;
        rs.newly_acked = rs.newly_acked.saturating_add(len);
        if newest {
            rs.prior_delivered = p.delivered;
            rs.prior_us = p.delivered_us;
            rs.is_app_limited = p.is_app_limited;
            rs.send_elapsed_us = p.sent_us.wrapping_sub(p.first_sent_us);
            rs.tx_in_flight = p.tx_in_flight;
            rs.lost = self.lost.wrapping_sub(p.lost);
            rs.sent_us = p.sent_us;
            rs.rtt_us = now_us.wrapping_sub(p.sent_us);
            self.first_sent_us = p.sent_us;
        }
    }

    /// A packet of `len` bytes was found lost.
    pub fn on_lost(&mut self, p: &Snapshot, len: u32, adjacent: bool) -> LostPacket {
        self.lost = self.lost.wrapping_add(len);
        LostPacket {
            size: len,
            tx_in_flight: p.tx_in_flight,
            lost: self.lost.wrapping_sub(p.lost),
            total_delivered: self.delivered,
            is_app_limited: p.is_app_limited,
            adjacent,
        }
    }

    /// All packets of the ACK are counted: `in_flight` bytes remain. `min_rtt_us` is the least
    /// round trip ever seen; a shorter interval is no measure (section 4.1.2.3).
    pub fn finish(&mut self, rs: &mut RateSample, in_flight: u32, min_rtt_us: u32) {
        if self.app_limited.is_some_and(|end| self.delivered.wrapping_sub(end) as i32 > 0) {
            self.app_limited = None;
        }
        rs.total_delivered = self.delivered;
        rs.in_flight = in_flight;
        if rs.newly_acked == 0 {
            return;
        }
        rs.delivered = self.delivered.wrapping_sub(rs.prior_delivered);
        let ack_elapsed_us = self.delivered_us.wrapping_sub(rs.prior_us);
        let interval_us = rs.send_elapsed_us.max(ack_elapsed_us);
        rs.interval_us = if interval_us < min_rtt_us { 0 } else { interval_us };
    }

    /// The application has nothing to send though the window has room (section 4.1.2.4): samples
    /// are marked until what is in flight now has been delivered.
    pub fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited = Some(self.delivered.wrapping_add(in_flight));
    }

    /// Whether the application limits the rate now.
    pub fn is_app_limited(&self) -> bool {
        self.app_limited.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u32 = 1_000;

    fn at(us: u64) -> Instant {
        Instant::from_micros(us)
    }

    fn ack(rate: &mut DeliveryRate, packets: &[Snapshot], in_flight: u32, us: u64) -> RateSample {
        let mut rs = RateSample::default();
        for p in packets {
            rate.on_delivered(p, M, &mut rs, at(us));
        }
        rate.finish(&mut rs, in_flight, 0);
        rs
    }

    #[test]
    fn bbr_4_1_2_3_the_rate_is_what_was_delivered_over_the_time_it_took() {
        let mut rate = DeliveryRate::default();
        let sent: Vec<_> = (0..10).map(|i| rate.on_sent(M, i * M, at(0))).collect();
        // One packet a millisecond from 10 ms on; all were sent at once.
        for (i, p) in sent.iter().enumerate() {
            let i = i as u32;
            let rs = ack(&mut rate, &[*p], (9 - i) * M, 10_000 + u64::from(i) * 1_000);
            assert_eq!(rs.delivered, (i + 1) * M);
            assert_eq!(rs.interval_us, 10_000 + i * 1_000);
        }
        let p = rate.on_sent(M, 0, at(30_000));
        let rs = ack(&mut rate, &[p], 0, 40_000);
        assert_eq!((rs.delivered, rs.bytes_per_second()), (M, 100_000), "idle time isn't counted");
    }

    #[test]
    fn bbr_4_1_1_2_2_compressed_acks_are_bounded_by_the_send_rate() {
        let mut rate = DeliveryRate::default();
        let sent: Vec<_> =
            (0..10).map(|i| rate.on_sent(M, i * M, at(u64::from(i) * 1_000))).collect();
        ack(&mut rate, &sent[..1], 9 * M, 10_000);
        let rs = ack(&mut rate, &sent[1..], 0, 10_001);
        assert_eq!(rs.rtt_us, 1_001);
        assert_eq!(rs.interval_us, 10_001, "from the first transmission, not the last ACK");
    }

    #[test]
    fn bbr_4_1_2_3_the_newest_packet_of_an_ack_speaks() {
        let mut rate = DeliveryRate::default();
        let old = rate.on_sent(M, 0, at(0));
        let new = rate.on_sent(M, M, at(500));
        for order in [[old, new], [new, old]] {
            let rs = ack(&mut rate.clone(), &order, 0, 1_000);
            assert_eq!((rs.rtt_us, rs.tx_in_flight, rs.newly_acked), (500, 2 * M, 2 * M));
        }
    }

    #[test]
    fn bbr_4_1_2_4_samples_are_app_limited_until_the_bubble_is_acked() {
        let mut rate = DeliveryRate::default();
        let before = rate.on_sent(M, 0, at(0));
        rate.on_app_limited(M);
        let within = rate.on_sent(M, M, at(100));
        assert!(!ack(&mut rate, &[before], M, 1_000).is_app_limited);
        assert!(rate.is_app_limited());
        assert!(ack(&mut rate, &[within], 0, 1_100).is_app_limited);
        assert!(!rate.is_app_limited(), "what was in flight then has been delivered");
    }

    #[test]
    fn bbr_4_1_2_3_an_interval_below_the_least_round_trip_is_no_measure() {
        let mut rate = DeliveryRate::default();
        let p = rate.on_sent(M, 0, at(0));
        let mut rs = RateSample::default();
        rate.on_delivered(&p, M, &mut rs, at(900));
        rate.finish(&mut rs, 0, 1_000);
        assert_eq!((rs.interval_us, rs.bytes_per_second()), (0, 0));
    }

    #[test]
    fn bbr_5_5_10_2_loss_is_counted_from_a_packets_transmission() {
        let mut rate = DeliveryRate::default();
        let sent: Vec<_> = (0..4).map(|i| rate.on_sent(M, i * M, at(0))).collect();
        assert_eq!(rate.on_lost(&sent[0], M, false).lost, M);
        let second = rate.on_lost(&sent[1], M, true);
        assert_eq!((second.lost, second.tx_in_flight, second.adjacent), (2 * M, 2 * M, true));
        assert_eq!(ack(&mut rate, &sent[3..], M, 1_000).lost, 2 * M);
    }
}
