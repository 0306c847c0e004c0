//! What loss recovery reaches on a simulated path: the promises that `make bench-recovery` draws.

use std::time::Duration;

use sidestep::sim::{Bottleneck, Dumbbell, Exchange, Group, Receiver, TailLoss};
use sidestep::tcp::TcpConfig;
use sidestep::tcp::congestion::Algorithm;

const RTT: Duration = Duration::from_millis(20);

fn tail_loss(segments: u32, lost: u32) -> TailLoss {
    let exchange = Exchange { tcp: TcpConfig::default(), rtt: RTT, segments, lost };
    exchange.run().expect("no promise broken")
}

#[test]
fn the_lost_tail_of_a_response_is_repaired_in_under_two_round_trips() {
    for segments in [2, 3, 9, 10, 25] {
        let loss = tail_loss(segments, 1);
        assert!(loss.delay() < 2 * RTT, "{segments} segments: {loss:?}");
        assert_eq!((loss.timeouts, loss.probes), (0, 1), "{segments} segments");
    }
}

#[test]
fn a_longer_tail_is_repaired_by_the_probe_too_and_not_by_a_timeout() {
    for (segments, lost) in [(1, 1), (2, 2), (3, 3), (10, 2), (10, 3)] {
        let loss = tail_loss(segments, lost);
        assert!(loss.delay() < Duration::from_millis(100), "{lost} of {segments}: {loss:?}");
        assert_eq!((loss.timeouts, loss.probes), (0, 1), "{lost} of {segments}");
    }
}

/// Mbit/s of one flow over 100 Mbit/s and 20 ms where one packet in a hundred is lost.
fn goodput(tcp: TcpConfig, reassembles: bool) -> f64 {
    const SECONDS: u64 = 20;
    let mut path = Bottleneck::new(100_000_000, RTT);
    path.loss = 10_000;
    let tcp = TcpConfig { send_buffer: 1 << 20, receive_buffer: 1 << 20, ..tcp };
    let receiver = Receiver { tcp, reassembles };
    let mut dumbbell = Dumbbell::new(3, &path, receiver, &[Group { tcp, flows: 1 }]);
    dumbbell.run(Duration::from_secs(SECONDS)).expect("no promise broken");
    dumbbell.delivered()[0][0] as f64 * 8e-6 / SECONDS as f64
}

#[test]
fn rack_tlp_and_cubic_carry_three_times_as_much_as_go_back_n_and_newreno() {
    let rack = goodput(TcpConfig::default(), true);
    let old = TcpConfig { congestion: Algorithm::NewReno, sack: false, ..TcpConfig::default() };
    let go_back_n = goodput(old, false);
    assert!(rack >= 3.0 * go_back_n, "{rack:.2} and {go_back_n:.2} Mbit/s");
}
