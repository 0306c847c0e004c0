//! What loss recovery reaches on a simulated path: the promises that `make bench-recovery` draws.

use std::time::Duration;

use sidestep::sim::{Exchange, TailLoss};
use sidestep::tcp::TcpConfig;

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
