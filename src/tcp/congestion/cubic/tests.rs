use super::super::testbed::{Link, Testbed};
use super::super::{Control, NewReno, initial_window};
use super::*;
use proptest::prelude::*;

const M: u32 = 1_000;
const RTT: Duration = Duration::from_millis(100);

fn start() -> Cubic {
    Cubic::new(M as u16, initial_window(M as u16, 0))
}

/// In congestion avoidance after a loss with a window of `segments`.
fn reduced(segments: u32) -> Cubic {
    let mut cc = start();
    cc.set_cwnd(segments * M);
    cc.on_congestion(segments * M);
    cc
}

impl Cubic {
    /// A round trip's worth of ACKs of a full window, ending at `now_ms`; returns the time after.
    fn round(&mut self, now_ms: u64) -> u64 {
        let n = self.cwnd() / M;
        for i in 1..=u64::from(n) {
            let us = now_ms * 1_000 + i * 100_000 / u64::from(n);
            self.on_ack(M, self.cwnd(), true, Instant::from_micros(us), RTT);
        }
        now_ms + 100
    }

    fn avoidance(&self) -> Avoidance {
        match self.phase {
            Phase::Later(avoidance) => avoidance,
            Phase::Initial(_) => panic!("still in the initial slow start"),
        }
    }
}

#[test]
fn the_state_takes_40_bytes() {
    assert_eq!(size_of::<Cubic>(), 40);
}

#[test]
fn rfc9438_4_6_a_loss_leaves_seven_tenths_of_what_is_in_flight() {
    for (flight, ssthresh) in [(100, 70), (50, 35), (2, 2), (0, 2)] {
        let mut cc = start();
        cc.set_cwnd(100 * M);
        cc.on_congestion(flight * M);
        assert_eq!((cc.ssthresh(), cc.cwnd()), (ssthresh * M, ssthresh * M), "{flight}");
        assert_eq!(cc.avoidance().w_max, 100 * M);
    }
}

#[test]
fn rfc9438_4_7_fast_convergence_lowers_w_max_when_the_window_did_not_come_back() {
    let mut cc = reduced(100);
    cc.on_congestion(70 * M);
    assert_eq!(cc.avoidance().w_max, 70 * M * 17 / 20);
    cc.set_cwnd(60 * M);
    cc.on_congestion(60 * M);
    assert_eq!(cc.avoidance().w_max, 60 * M, "it came back to W_max");
}

#[test]
fn rfc9438_4_2_the_window_reaches_w_max_at_k() {
    let mut cc = reduced(1_000);
    // K = cbrt(300 / 0.4) = 9.086 s.
    let mut now_ms = 1_000;
    while now_ms < 1_000 + 9_000 {
        now_ms = cc.round(now_ms);
    }
    let percent = cc.cwnd() / (10 * M);
    assert!((99..=100).contains(&percent), "{} at K", cc.cwnd());
    // Around the plateau it hardly moves; a K later it is 300 segments up.
    while now_ms < 1_000 + 18_200 {
        now_ms = cc.round(now_ms);
    }
    assert!(cc.cwnd().abs_diff(1_300 * M) < 20 * M, "{} at 2 K", cc.cwnd());
}

#[test]
fn rfc9438_4_4_the_region_below_w_max_is_concave_and_above_it_convex() {
    let mut cc = reduced(1_000);
    let mut now_ms = 1_000;
    let mut gains = Vec::new();
    for _ in 0..180 {
        let before = cc.cwnd();
        now_ms = cc.round(now_ms);
        gains.push(cc.cwnd() - before);
    }
    assert!(gains[5] > 2 * gains[45] && gains[45] > 2 * gains[80], "concave: {gains:?}");
    assert!(gains[135] > 2 * gains[100] && gains[175] > gains[135], "convex: {gains:?}");
}

#[test]
fn rfc9438_4_2_no_round_trip_grows_the_window_by_more_than_half() {
    let mut cc = reduced(100);
    let mut now_ms = cc.round(1_000);
    // A gap that isn't idleness: the curve is far ahead of the window.
    now_ms += 60_000;
    let before = cc.cwnd();
    cc.round(now_ms);
    assert!(cc.cwnd() <= before + before / 2 + M, "{} from {before}", cc.cwnd());
}

#[test]
fn rfc9438_4_3_where_reno_would_be_faster_the_window_is_renos() {
    // With a short round trip and a small window the curve is slow: W_est rules, 9/17 of a segment
    // a round trip until it is where it was, then a whole one.
    let mut cc = reduced(20);
    let ack = |cc: &mut Cubic, ms: u64| {
        for _ in 0..cc.cwnd() / M {
            let rtt = Duration::from_millis(1);
            cc.on_ack(M, cc.cwnd(), true, Instant::from_millis(ms), rtt);
        }
    };
    (1..=10).for_each(|ms| ack(&mut cc, ms));
    assert!(cc.cwnd().abs_diff(14 * M + 10 * M * 9 / 17) < 300, "{}", cc.cwnd());
    (11..=12).for_each(|ms| ack(&mut cc, ms));
    cc.set_cwnd(20 * M);
    let Phase::Later(avoidance) = &mut cc.phase else { panic!() };
    avoidance.w_est = 20 * M;
    (13..=22).for_each(|ms| ack(&mut cc, ms));
    assert!(cc.cwnd().abs_diff(30 * M) < 500, "{}", cc.cwnd());
}

#[test]
fn rfc9438_4_8_after_a_timeout_the_window_is_one_segment_and_the_curve_starts_flat() {
    let mut cc = start();
    cc.set_cwnd(100 * M);
    cc.on_timeout(100 * M, true);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (M, 70 * M));
    cc.on_timeout(M, false);
    assert_eq!(cc.ssthresh(), 70 * M, "held when the same segment times out again");
    let mut now_ms = 1_000;
    while cc.in_slow_start() {
        now_ms = cc.round(now_ms);
    }
    cc.round(now_ms);
    let avoidance = cc.avoidance();
    assert_eq!(avoidance.w_max, 70 * M, "K = 0 and W_max = cwnd");
    assert!(avoidance.offset_us >= 0);
}

#[test]
fn rfc9438_4_9_a_spurious_recovery_gives_back_window_and_curve() {
    let mut cc = reduced(1_000);
    let mut now_ms = 1_000;
    for _ in 0..30 {
        now_ms = cc.round(now_ms);
    }
    let (mut twin, prior) = (cc, cc.prior());
    cc.on_congestion(cc.cwnd());
    assert!(cc.cwnd() < twin.cwnd());
    cc.undo(&prior);
    assert_eq!((cc.cwnd(), cc.avoidance().w_max), (twin.cwnd(), twin.avoidance().w_max));
    for _ in 0..30 {
        twin.round(now_ms);
        now_ms = cc.round(now_ms);
    }
    assert!(cc.cwnd().abs_diff(twin.cwnd()) < 5 * M, "{} and {}", cc.cwnd(), twin.cwnd());
}

#[test]
fn rfc9438_4_9_1_a_spurious_timeout_in_the_initial_slow_start_is_undone() {
    let mut cc = start();
    let prior = cc.prior();
    cc.on_timeout(10 * M, true);
    cc.undo(&prior);
    assert_eq!((cc.cwnd(), cc.ssthresh()), (10 * M, u32::MAX));
}

#[test]
fn rfc9438_5_8_time_without_a_full_window_does_not_move_the_curve() {
    let mut cc = reduced(1_000);
    let mut now_ms = 1_000;
    for _ in 0..20 {
        now_ms = cc.round(now_ms);
    }
    let (window, offset) = (cc.cwnd(), cc.avoidance().offset_us);
    for _ in 0..100 {
        now_ms += 100;
        cc.on_ack(M, M, false, Instant::from_millis(now_ms), RTT);
    }
    assert_eq!((cc.cwnd(), cc.avoidance().offset_us), (window, offset));
    cc.round(now_ms);
    assert!(cc.avoidance().offset_us - offset <= 100_000, "only the last round trip counts");
}

#[test]
fn rfc5681_4_1_and_rfc7661_4_4_3_after_idleness_it_slow_starts_back_to_its_curve() {
    let mut cc = reduced(1_000);
    let mut now_ms = cc.round(1_000);
    let window = cc.cwnd();
    cc.on_idle();
    assert_eq!(cc.cwnd(), 10 * M);
    assert!(cc.ssthresh() >= window / 4 * 3);
    now_ms += 60_000;
    while cc.in_slow_start() {
        now_ms = cc.round(now_ms);
    }
    cc.round(now_ms);
    assert!(cc.cwnd() < 1_000 * M && cc.avoidance().w_max == 1_000 * M, "{}", cc.cwnd());
}

#[test]
fn rfc3168_6_1_2_and_rfc9438_4_6_a_mark_is_answered_like_a_loss_once_a_window() {
    let mut cc = start();
    cc.set_cwnd(100 * M);
    assert!(cc.on_ecn(M, M, 100 * M));
    assert_eq!((cc.cwnd(), cc.avoidance().w_max), (70 * M, 100 * M));
    assert!(!cc.on_ecn(M, M, 99 * M));
    cc.on_congestion(98 * M);
    assert_eq!(cc.cwnd(), 70 * M, "nor to a loss in the same window");
}

/// Segments lost in the first five seconds on a path of 100 Mbit/s and 40 ms.
fn lost_in_slow_start<C: CongestionControl>(buffer_percent: u64) -> (u64, Testbed<C>) {
    let mut bed = Testbed::<C>::single(Link::new(100, 40, buffer_percent));
    bed.run(5_000, |_| {});
    (bed.flows[0].lost, bed)
}

#[test]
fn rfc9406_4_2_hystart_leaves_slow_start_before_the_buffer_overflows() {
    let (lost, bed) = lost_in_slow_start::<Cubic>(800);
    let cc = &bed.flows[0].cc;
    assert!(lost == 0 && !cc.in_slow_start() && cc.ssthresh() < u32::MAX, "{lost} lost");
    assert!(u64::from(cc.cwnd()) >= bed.link.bdp(), "not too early");
    let (lost, _) = lost_in_slow_start::<NewReno>(800);
    assert!(lost > 1_000, "without it the buffer overflows: {lost}");
}

#[test]
fn rfc9406_4_2_in_a_smaller_buffer_hystart_loses_less() {
    let (with, _) = lost_in_slow_start::<Cubic>(150);
    let (without, _) = lost_in_slow_start::<NewReno>(150);
    assert!(with * 2 < without, "{with} lost, without {without}");
}

#[test]
fn rfc9438_5_2_on_a_long_fat_path_it_keeps_the_link_busy() {
    let mut bed = Testbed::<Cubic>::single(Link::new(100, 100, 100));
    bed.run(10_000, |_| {});
    let before = bed.flows[0].delivered;
    bed.run(30_000, |_| {});
    let share = (bed.flows[0].delivered - before) * 100 / (bed.link.rate * 30);
    assert!(share >= 95, "{share} %");
    assert_eq!(bed.flows[0].timeouts, 0);
}

#[test]
fn rfc9438_5_2_with_rare_random_loss_it_beats_newreno_on_a_long_fat_path() {
    let link = Link { lose_one_in: 20_000, ..Link::new(400, 100, 100) };
    let mut cubic = Testbed::<Cubic>::single(link);
    let mut reno = Testbed::<NewReno>::single(link);
    cubic.run(30_000, |_| {});
    reno.run(30_000, |_| {});
    let (cubic, reno) = (cubic.flows[0].delivered, reno.flows[0].delivered);
    assert!(cubic * 10 > reno * 15, "CUBIC {cubic}, NewReno {reno}");
}

#[test]
fn rfc9438_5_1_beside_newreno_on_a_short_path_neither_starves() {
    let m = M as u16;
    let iw = initial_window(m, 0);
    let both = [Control::Cubic(Cubic::new(m, iw)), Control::NewReno(NewReno::new(m, iw))];
    let mut bed = Testbed::new(Link::new(20, 20, 100), both);
    bed.run(60_000, |_| {});
    let (cubic, reno) = (bed.flows[0].delivered, bed.flows[1].delivered);
    assert!(cubic < 3 * reno && reno < 3 * cubic, "CUBIC {cubic}, NewReno {reno}");
    assert!(cubic + reno > bed.link.rate * 60 * 9 / 10);
}

#[test]
fn rfc9438_5_6_four_flows_of_cubic_share_the_link() {
    let flows = (0..4).map(|_| start());
    let mut bed = Testbed::new(Link::new(40, 40, 100), flows);
    bed.run(60_000, |_| {});
    let before: Vec<u64> = bed.flows.iter().map(|f| f.delivered).collect();
    bed.run(60_000, |_| {});
    let got: Vec<u64> = bed.flows.iter().zip(before).map(|(f, b)| f.delivered - b).collect();
    // Jain's index, in percent.
    let (sum, squares) = (got.iter().sum::<u64>(), got.iter().map(|x| x * x).sum::<u64>());
    let jain = u128::from(sum) * u128::from(sum) * 100 / (4 * u128::from(squares));
    assert!(jain >= 90, "{jain} %: {got:?}");
}

proptest! {
    #[test]
    fn the_window_stays_between_a_segment_and_the_largest(
        mss: u16, iw: u32, calls in prop::collection::vec((0..10u8, any::<u32>()), 0..200)
    ) {
        let mut cc = Cubic::new(mss, iw);
        let (mut prior, mut now) = (cc.prior(), Instant::ZERO);
        for (call, n) in calls {
            if matches!(call, 4 | 6) {
                prior = cc.prior();
            }
            now = now + Duration::from_micros((n % 1_000_000).into());
            let rtt = Duration::from_micros((n / 2).into());
            match call {
                0..=2 => cc.on_ack(n, n / 2, n % 5 > 0, now, rtt),
                3 => cc.on_rtt(rtt),
                4 => cc.on_loss(n),
                5 => cc.on_recovery_end(n),
                6 => cc.on_timeout(n, n % 2 == 0),
                7 => cc.undo(&prior),
                8 => _ = cc.on_ecn(n, n / 3, n),
                _ => cc.on_idle(),
            }
            prop_assert!(cc.cwnd() >= u32::from(mss.max(1)) && cc.cwnd() <= 1 << 30);
            prop_assert!(cc.ssthresh() >= 2 * u32::from(mss.max(1)));
        }
    }
}
