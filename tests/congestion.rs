//! What each congestion control reaches on a simulated bottleneck, paced and not.

use std::time::Duration;

use sidestep::engine::Counter;
use sidestep::sim::{Bottleneck, Dumbbell, Group};
use sidestep::tcp::TcpConfig;
use sidestep::tcp::congestion::Algorithm;

/// Percent of the bottleneck that one flow fills with its bytes, and what was sent twice.
fn share(path: &Bottleneck, tcp: TcpConfig, time: Duration) -> (u64, u64) {
    let mut dumbbell = Dumbbell::new(1, path, tcp.into(), &[Group { tcp, flows: 1 }]);
    dumbbell.run(time).expect("no promise broken");
    let bytes: u64 = dumbbell.delivered()[0].iter().sum();
    let share = u128::from(bytes) * 8 * 100 * 1_000 / (u128::from(path.rate) * time.as_millis());
    (share as u64, dumbbell.counter(0, Counter::Retransmissions))
}

fn settings(congestion: Algorithm, pacing: bool) -> TcpConfig {
    let buffer = 2 << 20;
    TcpConfig {
        congestion,
        pacing,
        send_buffer: buffer,
        receive_buffer: buffer,
        ..TcpConfig::default()
    }
}

#[test]
fn every_algorithm_fills_a_line_paced_or_not() {
    let path = Bottleneck::new(20_000_000, Duration::from_millis(20));
    for algorithm in Algorithm::ALL {
        for pacing in [false, true] {
            let tcp = settings(algorithm, pacing);
            let (share, again) = share(&path, tcp, Duration::from_secs(5));
            assert!(share >= 88, "{algorithm}, pacing {pacing}: {share} %, {again} sent again");
        }
    }
}

#[test]
fn pacing_does_not_hold_up_a_fast_line_whose_round_trip_is_a_tick() {
    let path =
        Bottleneck { queue: 60_000, ..Bottleneck::new(1_000_000_000, Duration::from_micros(131)) };
    for algorithm in Algorithm::ALL {
        let tcp = settings(algorithm, true);
        let (share, again) = share(&path, tcp, Duration::from_millis(200));
        assert!(share >= 85, "{algorithm}: {share} %, {again} sent again");
    }
}

#[test]
fn bbr_takes_little_notice_of_one_percent_of_random_loss() {
    let path =
        Bottleneck { loss: 10_000, ..Bottleneck::new(20_000_000, Duration::from_millis(40)) };
    let time = Duration::from_secs(10);
    let (bbr, _) = share(&path, settings(Algorithm::Bbr, false), time);
    let (cubic, _) = share(&path, settings(Algorithm::Cubic, false), time);
    assert!(bbr >= 60 && bbr > 3 * cubic, "BBR {bbr} %, CUBIC {cubic} %");
}

#[test]
fn bbr_keeps_the_queue_short_that_cubic_fills() {
    let path =
        Bottleneck { queue: 400_000, ..Bottleneck::new(20_000_000, Duration::from_millis(20)) };
    let round_trip = |algorithm| {
        let tcp = settings(algorithm, false);
        let mut dumbbell = Dumbbell::new(1, &path, tcp.into(), &[Group { tcp, flows: 1 }]);
        dumbbell.run(Duration::from_secs(4)).expect("no promise broken");
        dumbbell.flow(0, 0).and_then(|flow| flow.srtt).expect("an open connection")
    };
    let (bbr, cubic) = (round_trip(Algorithm::Bbr), round_trip(Algorithm::Cubic));
    assert!(bbr < Duration::from_millis(35) && cubic > 2 * bbr, "BBR {bbr:?}, CUBIC {cubic:?}");
}
