//! What the counters say of retransmissions that were needless, as the peer sees them.

mod packet;
mod segments;

use std::time::Duration;

use packet::Peer;
use segments::path::Family;
use sidestep::app::{App, Close, Peer as Remote, Refuse, Rx, Tx};
use sidestep::engine::Counter;

/// Writes so many segments of 1,000 bytes as soon as a connection is open.
struct Writer(usize);

impl App for Writer {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Remote, tx: &mut Tx<'_>) -> Result<(), Refuse> {
        for _ in 0..self.0 {
            tx.write(&[7; 1_000]);
        }
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Rx<'_>, _: &mut Tx<'_>) {}

    fn on_close(&mut self, (): (), _: Close) {}
}

/// A connection with so many segments to send. The timestamp of the SYN-ACK, if there are any, is
/// called 100, that of the first segment 200.
fn opened(segments: usize, options: &str) -> Peer<Writer> {
    let mut peer = Peer::new(Family::V4, Writer(segments), |_| {});
    let with = options.contains("TS");
    let [mss, named, echo, again] = if with {
        [
            "1012",
            " <mss 1460,TS val 100 ecr 1>",
            " <nop,nop,TS val 2 ecr 100>",
            " <nop,nop,TS val 200 ecr 2>",
        ]
    } else {
        ["1000", "", "", ""]
    };
    peer.send(&format!("S 0:0(0) win 65535 <mss {mss}{options}>"));
    peer.expect(&format!("S. 0:0(0) ack 1{named}"));
    // The clock goes on, so that the two timestamps differ.
    peer.wait(Duration::from_millis(1));
    peer.send(&format!(". 1:1(0) ack 1 win 65535{echo}"));
    peer.expect(&format!("{} 1:1001(1000) ack 1{again}", if segments > 1 { "." } else { "P." }));
    peer
}

/// Retransmission timeouts, spurious ones, and reductions taken back.
fn counts(peer: &Peer<Writer>) -> [u64; 3] {
    let counters = peer.engine.counters();
    [Counter::RetransmissionTimeouts, Counter::SpuriousTimeouts, Counter::UndoneReductions]
        .map(|counter| counters.get(counter))
}

#[test]
fn rfc5682_a_spurious_timeout_is_counted_once() {
    let mut peer = opened(40, "");
    peer.wait(Duration::from_millis(250));
    assert_eq!(counts(&peer), [1, 0, 0]);
    peer.send(". 1:1(0) ack 1001 win 65535");
    assert_eq!(counts(&peer), [1, 0, 0], "one ACK says nothing yet");
    peer.send(". 1:1(0) ack 2001 win 65535");
    assert_eq!(counts(&peer), [1, 1, 1]);
    peer.send(". 1:1(0) ack 3001 win 65535");
    assert_eq!(counts(&peer), [1, 1, 1]);
}

#[test]
fn rfc5682_a_real_timeout_is_not_counted_as_spurious() {
    let mut peer = opened(40, "");
    peer.wait(Duration::from_millis(250));
    for ack in [1_001, 1_001, 2_001, 3_001, 4_001] {
        peer.send(&format!(". 1:1(0) ack {ack} win 65535"));
    }
    assert_eq!(counts(&peer), [1, 0, 0]);
}

#[test]
fn rfc3522_a_needless_fast_retransmission_is_no_spurious_timeout() {
    let mut peer = opened(10, ",TS val 1 ecr 0");
    peer.wait(Duration::from_millis(10));
    for _ in 0..3 {
        peer.send(". 1:1(0) ack 1 win 65535 <nop,nop,TS val 2 ecr 100>");
    }
    peer.send(". 1:1(0) ack 4001 win 65535 <nop,nop,TS val 2 ecr 200>");
    assert_eq!(counts(&peer), [0, 0, 1]);
}

#[test]
fn rfc3708_2_a_timeout_whose_retransmissions_all_came_twice_was_spurious() {
    let mut peer = opened(1, ",sackOK");
    // A tail loss probe, then the timeout: two retransmissions.
    peer.wait(Duration::from_millis(400));
    peer.send(". 1:1(0) ack 1001 win 65535");
    peer.send(". 1:1(0) ack 1001 win 65535 <nop,nop,sack 1:1001>");
    assert_eq!(counts(&peer), [1, 0, 0]);
    peer.send(". 1:1(0) ack 1001 win 65535 <nop,nop,sack 1:1001>");
    assert_eq!(counts(&peer), [1, 1, 1]);
}
