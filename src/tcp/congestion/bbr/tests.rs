use super::super::testbed::{Link, MSS, Testbed};
use super::super::{Algorithm, initial_window};
use super::*;
use proptest::prelude::*;

fn path() -> Link {
    // 500 segments.
    Link::new(100, 40, 150)
}

fn bed(link: Link) -> Testbed<Bbr> {
    Testbed::single(link)
}

impl Testbed<Bbr> {
    fn bbr(&self) -> &Bbr {
        &self.flows[0].cc
    }

    /// Runs until the flow is in `state`, at most `ms` milliseconds.
    fn until(&mut self, state: State, ms: u64) {
        // At 100 Mbit/s there are 80 µs between two ACKs.
        for _ in 0..ms * 20 {
            if self.bbr().state == state {
                return;
            }
            self.run_us(50, |_| {});
        }
        panic!("in {:?} and not in {state:?} after {ms} ms", self.bbr().state);
    }

    fn bw_percent(&self) -> u64 {
        self.bbr().max_bw().bytes_per_second() * 100 / self.link.rate
    }
}

#[test]
fn the_state_takes_152_bytes() {
    assert_eq!(size_of::<Bbr>(), 152);
}

#[test]
fn bbr_5_6_4_1_it_begins_with_the_initial_window_and_no_pace() {
    let cc = Bbr::new(1_460, 14_600);
    assert_eq!((cc.cwnd(), cc.pacing_rate(Duration::ZERO)), (14_600, None));
}

#[test]
fn bbr_5_3_1_2_startup_finds_the_bandwidth_and_ends_at_its_plateau() {
    let mut bed = bed(path());
    bed.until(State::Drain, 2_000);
    assert!((95..=105).contains(&bed.bw_percent()), "{} %", bed.bw_percent());
    assert!(bed.bbr().has(Facts::FULL_BW_REACHED | Facts::FULL_BW_NOW));
    assert_eq!(bed.bbr().full_bw_count, FULL_BW_COUNT);
    assert_eq!(bed.flows[0].lost, 0, "the window bounds the queue to one product");
}

/// Three rounds without growth.
const FULL_BW_COUNT: u8 = 3;

#[test]
fn bbr_5_3_2_drain_empties_the_queue() {
    let mut bed = bed(path());
    bed.until(State::Drain, 2_000);
    let queue = bed.queue();
    assert!(queue > bed.link.bdp() / 4, "{queue} waiting");
    // Down ends with the ACK that it begins with: there is nothing left to drain.
    bed.until(State::Cruise, 500);
    assert!(bed.queue() < bed.link.bdp() / 10, "{} waiting", bed.queue());
}

#[test]
fn bbr_5_3_3_the_cycle_goes_down_cruise_refill_up() {
    let mut bed = bed(path());
    bed.until(State::Cruise, 3_000);
    bed.until(State::Refill, 3_100);
    bed.until(State::Up, 200);
    bed.until(State::Down, 1_000);
    bed.until(State::Cruise, 1_000);
}

#[test]
fn bbr_3_1_it_fills_the_link_within_ten_percent_and_keeps_the_queue_short() {
    for (mbit, rtt_ms) in [(10, 100), (100, 40), (1_000, 10)] {
        let mut bed = bed(Link::new(mbit, rtt_ms, 200));
        bed.run(3_000, |_| {});
        let before = bed.flows[0].delivered;
        // Every tenth of a millisecond or so there is an ACK to look at the queue.
        let (mut sum, mut n) = (0, 0u64);
        bed.run(10_000, |bed| {
            sum += bed.queue();
            n += 1;
        });
        let share = (bed.flows[0].delivered - before) * 100 / (bed.link.rate * 10);
        assert!(share >= 90, "{share} % of {mbit} Mbit/s");
        assert!((90..=110).contains(&bed.bw_percent()), "{} %", bed.bw_percent());
        let queue = sum * 100 / n / bed.link.bdp();
        assert!(queue <= 25, "on average {queue} % of a product waits at {mbit} Mbit/s");
        assert_eq!(bed.flows[0].timeouts, 0);
    }
}

#[test]
fn bbr_5_3_4_after_five_seconds_it_probes_the_round_trip() {
    let mut bed = bed(path());
    bed.until(State::Cruise, 3_000);
    bed.until(State::ProbeRtt, 7_000);
    assert!(bed.now_ns >= 6_000_000_000, "not before");
    let from = bed.now_ns;
    bed.run(150, |_| {});
    assert_eq!(bed.bbr().state, State::ProbeRtt);
    assert!(bed.bbr().cwnd() <= bed.bbr().bdp(51), "half of what the path holds");
    bed.until(State::Cruise, 400);
    assert!(bed.now_ns - from >= 200_000_000, "for at least 200 ms");
    let rtt_us = bed.bbr().min_rtt_us;
    assert!((40_000..40_500).contains(&rtt_us), "{rtt_us} µs");
    assert!(bed.bbr().has(Facts::LOW_SAMPLES), "what was sent slowly is still arriving");
    bed.run(150, |_| {});
    assert!(!bed.bbr().has(Facts::LOW_SAMPLES) && bed.bw_percent() > 90);
}

#[test]
fn bbr_5_4_1_an_idle_flow_skips_probing_the_round_trip_and_keeps_its_window() {
    let mut bed = bed(path());
    bed.until(State::Cruise, 3_000);
    bed.set_busy(0, false);
    bed.run(6_000, |_| {});
    let (cwnd, in_flight) = (bed.bbr().cwnd(), bed.flows[0].in_flight);
    assert_eq!(in_flight, 0);
    bed.set_busy(0, true);
    bed.run(20, |_| {});
    assert!(bed.bbr().has(Facts::IDLE_RESTART));
    bed.run(60, |_| {});
    assert_ne!(bed.bbr().state, State::ProbeRtt);
    assert!(bed.bbr().cwnd() >= cwnd, "{} after {cwnd}", bed.bbr().cwnd());
}

#[test]
fn bbr_5_3_1_app_limited_samples_do_not_end_startup() {
    let mut bed = bed(path());
    for _ in 0..200 {
        // Ten segments' time in each ten milliseconds: a tenth of the bandwidth.
        bed.set_busy(0, true);
        bed.run(1, |_| {});
        bed.set_busy(0, false);
        bed.run(9, |_| {});
    }
    assert_eq!(bed.bbr().state, State::Startup);
}

#[test]
fn bbr_5_3_1_3_losses_in_many_places_for_a_round_end_startup() {
    // Growth goes on all the same: it is not the plateau that ends it.
    let link = Link { lose_one_in: 12, ..path() };
    let mut bed = bed(link);
    bed.until(State::Drain, 1_500);
    assert!(bed.bbr().inflight_longterm != UNBOUNDED, "and bound what is in flight");
    assert_eq!(bed.bbr().undo_state, Some(State::Startup));
}

#[test]
fn bbr_5_5_10_2_in_a_shallow_buffer_the_long_term_bound_holds_losses_down() {
    let mut bed = bed(Link::new(100, 40, 10));
    bed.run(10_000, |_| {});
    let (lost, delivered) = (bed.flows[0].lost, bed.flows[0].delivered);
    bed.run(20_000, |_| {});
    let lost = (bed.flows[0].lost - lost) * u64::from(MSS);
    let delivered = bed.flows[0].delivered - delivered;
    assert!(lost * 100 < delivered * 2, "{lost} lost, {delivered} delivered");
    assert!(delivered * 100 >= bed.link.rate * 20 * 80, "{delivered} delivered");
    assert!(bed.bbr().inflight_longterm < 2 * bed.link.bdp() as u32);
}

#[test]
fn bbr_5_5_10_3_loss_while_cruising_lowers_the_short_term_model_by_three_tenths_at_most() {
    let mut bed = bed(path());
    bed.until(State::Cruise, 3_000);
    let cc = &mut bed.flows[0].cc;
    let (bw, cwnd) = (cc.max_bw(), cc.cwnd());
    cc.reset_congestion_signals();
    cc.facts |= Facts::LOSS_IN_ROUND | Facts::LOSS_ROUND_START;
    let rs = RateSample { newly_acked: MSS, total_delivered: cc.delivered, ..Default::default() };
    let now = Instant::from_nanos(bed.now_ns);
    let rate = Rate::ZERO;
    let ack = Ack { rs: &rs, rate, is_app_limited: true, cwnd_limited: false, now };
    cc.update_congestion_signals(&ack);
    assert_eq!(cc.bw_shortterm, bw.percent(70));
    assert_eq!(cc.inflight_shortterm, model::beta(cwnd));
    assert_eq!(cc.bw(), bw.percent(70), "the pace follows");
    bed.until(State::Refill, 3_500);
    assert_eq!(bed.bbr().bw_shortterm, Rate::INFINITE, "until the next probe");
}

#[test]
fn bbr_5_5_11_2_a_spurious_recovery_is_taken_back() {
    let mut bed = bed(path());
    bed.until(State::Cruise, 3_000);
    bed.until(State::Up, 3_500);
    let before = *bed.bbr();
    let now = bed.now();
    let cc = &mut bed.flows[0].cc;
    let prior = cc.prior();
    cc.on_congestion(0);
    let lost = LostPacket {
        size: MSS,
        tx_in_flight: 10 * MSS,
        lost: MSS,
        total_delivered: cc.delivered,
        ..Default::default()
    };
    cc.on_packet_lost(&lost, now);
    assert_eq!(cc.state, State::Down);
    assert!(cc.inflight_longterm < before.inflight_longterm);
    cc.undo(&prior);
    assert_eq!(cc.state, State::Refill, "the probe is made again");
    assert_eq!(cc.inflight_longterm, before.inflight_longterm);
    assert!(cc.cwnd() >= before.cwnd());
}

#[test]
fn bbr_5_6_4_4_a_timeout_leaves_one_segment_and_recovery_ends_with_the_old_window() {
    let mut bed = bed(path());
    bed.until(State::Cruise, 3_000);
    let cc = &mut bed.flows[0].cc;
    let cwnd = cc.cwnd();
    cc.on_timeout(cwnd, true);
    assert_eq!(cc.cwnd(), MSS);
    cc.on_recovery_end(MSS);
    assert_eq!(cc.cwnd(), cwnd);
}

#[test]
fn bbr_5_5_5_the_bandwidth_follows_the_path_up_and_down() {
    let mut bed = bed(Link::new(10, 40, 200));
    bed.run(4_000, |_| {});
    bed.link.rate *= 10;
    bed.link.buffer *= 10;
    bed.run(12_000, |_| {});
    assert!((80..=110).contains(&bed.bw_percent()), "{} % of ten times more", bed.bw_percent());
    bed.link.rate /= 10;
    bed.link.buffer /= 10;
    bed.run(12_000, |_| {});
    assert!((90..=115).contains(&bed.bw_percent()), "{} % of ten times less", bed.bw_percent());
}

#[test]
fn bbr_5_6_4_3_four_segments_are_the_least_even_if_the_path_holds_less() {
    let mut bed = bed(Link { buffer: 50_000, ..Link::new(1, 2, 100) });
    bed.run(4_000, |_| {});
    assert!(bed.bbr().cwnd() >= 4 * MSS);
    assert!((90..=110).contains(&bed.bw_percent()), "{} %", bed.bw_percent());
}

#[test]
fn bbr_5_3_3_8_the_wait_between_probes_is_two_to_three_seconds_and_differs_by_seed() {
    let waits: Vec<u16> = (1..50u32)
        .map(|seed| {
            let mut cc = Bbr::new(1_460, 14_600);
            cc.set_seed(seed.wrapping_mul(0x1234_5671));
            cc.start_down(Instant::from_millis(5));
            cc.probe_wait_ms
        })
        .collect();
    assert!(waits.iter().all(|ms| (2_000..=3_000).contains(ms)));
    assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 500, "{waits:?}");
}

#[test]
fn rfc3168_5_marks_count_as_congestion_once_a_round() {
    let mut cc = Bbr::new(1_460, 14_600);
    assert!(!cc.on_ecn(1_460, 0, 14_600));
    assert!(cc.on_ecn(1_460, 1_460, 14_600));
    assert!(!cc.on_ecn(1_460, 1_460, 14_600));
}

#[test]
fn bbr_3_1_two_flows_come_to_share_the_link() {
    let iw = initial_window(MSS as u16, 0);
    let mut bed = Testbed::new(path(), [Bbr::new(MSS as u16, iw), Bbr::new(MSS as u16, iw)]);
    bed.run(20_000, |_| {});
    let before = [bed.flows[0].delivered, bed.flows[1].delivered];
    bed.run(40_000, |_| {});
    let [a, b] = [0, 1].map(|i| bed.flows[i].delivered - before[i]);
    assert!(a < 2 * b && b < 2 * a, "{a} and {b}");
}

#[test]
fn bbr_5_3_3_8_beside_cubic_neither_starves() {
    let (m, iw) = (MSS as u16, initial_window(MSS as u16, 0));
    let both = [Algorithm::Bbr, Algorithm::Cubic].map(|algorithm| algorithm.start(m, iw));
    let mut bed = Testbed::new(path(), both);
    bed.run(60_000, |_| {});
    let (bbr, cubic) = (bed.flows[0].delivered, bed.flows[1].delivered);
    assert!(bbr < 6 * cubic && cubic < 6 * bbr, "BBR {bbr}, CUBIC {cubic}");
}

proptest! {
    #[test]
    fn the_window_stays_between_a_segment_and_the_largest(
        mss: u16, iw: u32, seed: u32,
        calls in prop::collection::vec((0..10u8, any::<u32>()), 0..300)
    ) {
        let mut cc = Bbr::new(mss, iw);
        cc.set_seed(seed);
        let (mut now, mut delivered) = (Instant::from_millis(1), 0u32);
        for (call, n) in calls {
            now = now + Duration::from_micros((n % 3_000_000).into());
            match call {
                0..=4 => {
                    let prior_delivered = delivered.wrapping_sub(n % 100_000);
                    delivered = delivered.wrapping_add(n % 70_000);
                    let rs = RateSample {
                        total_delivered: delivered,
                        prior_delivered,
                        delivered: delivered.wrapping_sub(prior_delivered),
                        interval_us: n % 50_000,
                        rtt_us: n % 100_000,
                        newly_acked: n % 70_000,
                        lost: n % 3_000,
                        tx_in_flight: n % 1_000_000,
                        in_flight: n % 900_000,
                        is_app_limited: n % 7 == 0,
                        ..Default::default()
                    };
                    cc.on_rate_sample(&rs, n % 3 == 0, now);
                }
                5 => cc.on_congestion(n),
                6 => cc.on_recovery_end(n),
                7 => cc.on_timeout(n, n % 2 == 0),
                8 => cc.undo(&cc.prior()),
                _ => {
                    let lost = LostPacket {
                        size: n % 9_000,
                        tx_in_flight: n,
                        lost: n % 10_000,
                        total_delivered: delivered,
                        is_app_limited: n % 5 == 0,
                        adjacent: n % 2 == 0,
                    };
                    cc.on_packet_lost(&lost, now);
                }
            }
            prop_assert!(cc.cwnd() >= u32::from(mss.max(1)) && cc.cwnd() <= 1 << 30);
        }
    }
}
