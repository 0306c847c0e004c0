//! What an application does, as its peer sees it: callbacks on one side, segments on the other.

mod packet;
mod segments;

use std::time::Duration;

use packet::Peer;
use segments::path::Family;
use sidestep::app::{App, Close, Notice, Peer as Remote, Refuse, Rx, RxBuf, Tx};
use sidestep::device::PoolConfig;

/// What the application is to do, and what happened to it.
#[derive(Default)]
struct Probe {
    refuses: bool,
    holds: bool,
    takes: usize,
    greeting: &'static [u8],
    after: Option<Duration>,
    dscp: Option<u8>,
    urgent: bool,
    urgents: Vec<Option<usize>>,
    opened: u32,
    offered: Vec<usize>,
    notices: Vec<Notice>,
    closed: Vec<Close>,
}

impl App for Probe {
    type Conn = Vec<RxBuf>;
    type Message = ();

    fn on_open(&mut self, _peer: &Remote, tx: &mut Tx<'_>) -> Result<Vec<RxBuf>, Refuse> {
        self.opened += 1;
        if self.refuses {
            return Err(Refuse);
        }
        tx.write(self.greeting);
        tx.set_timer(self.after);
        if let Some(dscp) = self.dscp {
            tx.set_dscp(dscp);
        }
        if self.urgent {
            tx.urgent();
            tx.write(b", and this is not");
        }
        Ok(Vec::new())
    }

    fn on_data(&mut self, held: &mut Vec<RxBuf>, rx: &mut Rx<'_>, _tx: &mut Tx<'_>) {
        self.offered.push(rx.len());
        self.urgents.push(rx.urgent());
        if self.holds {
            held.extend(rx.hold(rx.len()));
        } else {
            rx.consume(self.takes.min(rx.len()));
        }
    }

    fn on_timer(&mut self, held: &mut Vec<RxBuf>, _tx: &mut Tx<'_>) {
        held.clear();
    }

    fn on_notice(&mut self, _held: &mut Vec<RxBuf>, what: Notice, _tx: &mut Tx<'_>) {
        self.notices.push(what);
    }

    fn on_close(&mut self, _held: Vec<RxBuf>, why: Close) {
        self.closed.push(why);
    }
}

fn both(app: impl Fn() -> Probe, test: impl Fn(Peer<Probe>)) {
    for family in Family::BOTH {
        test(Peer::new(family, app(), |config| config.tcp.receive_buffer = 2_000));
    }
}

#[test]
fn on_open_comes_after_the_handshake_and_not_before() {
    both(Probe::default, |mut peer| {
        peer.send("S 0:0(0) win 65535 <mss 1000>");
        peer.expect("S. 0:0(0) ack 1");
        assert_eq!(peer.engine.app().opened, 0);
        peer.send(". 1:1(0) ack 1 win 65535");
        assert_eq!(peer.engine.app().opened, 1);
        peer.expect_nothing();
    });
}

#[test]
fn what_is_written_in_on_open_goes_at_once() {
    both(
        || Probe { greeting: b"220 ready", ..Probe::default() },
        |mut peer| {
            peer.handshake();
            peer.expect("P. 1:10(9) ack 1");
        },
    );
}

#[test]
fn a_refused_connection_is_reset_and_has_no_on_close() {
    both(
        || Probe { refuses: true, ..Probe::default() },
        |mut peer| {
            peer.handshake();
            peer.expect("R 1:1(0)");
            peer.send(". 1:1(0) ack 1 win 65535");
            peer.expect("R 1:1(0)");
            assert_eq!((peer.engine.app().opened, peer.engine.app().closed.len()), (1, 0));
            assert_eq!(peer.engine.connections(), 0);
        },
    );
}

#[test]
fn unread_bytes_are_offered_again_with_the_next_and_keep_the_window_smaller() {
    both(
        || Probe { takes: 100, ..Probe::default() },
        |mut peer| {
            peer.handshake();
            peer.send("P. 1:301(300) ack 1 win 65535");
            peer.wait(Duration::from_millis(100));
            peer.expect(". 1:1(0) ack 301 win 1700");
            peer.send("P. 301:401(100) ack 1 win 65535");
            assert_eq!(peer.engine.app().offered, [300, 300]);
        },
    );
}

#[test]
fn held_bytes_stay_on_the_windows_charge_until_they_are_dropped() {
    let second = Some(Duration::from_secs(1));
    both(
        || Probe { holds: true, after: second, ..Probe::default() },
        |mut peer| {
            peer.handshake();
            peer.send(". 1:1001(1000) ack 1 win 65535");
            peer.send(". 1001:2001(1000) ack 1 win 65535");
            peer.expect(". 1:1(0) ack 2001 win 0");
            peer.wait(Duration::from_millis(900));
            peer.expect_nothing();
            peer.wait(Duration::from_millis(200));
            peer.expect(". 1:1(0) ack 2001 win 2000");
        },
    );
}

#[test]
fn on_close_names_a_reset_and_comes_once() {
    both(Probe::default, |mut peer| {
        peer.handshake();
        peer.send("R 1:1(0) win 0");
        peer.send("R 1:1(0) win 0");
        peer.expect_nothing();
        assert_eq!(peer.engine.app().closed, [Close::Reset]);
    });
}

#[test]
fn a_burst_that_fills_the_pool_is_kept_from_its_front() {
    let frames = PoolConfig { frames: 24, frame_size: 2_048, reserve: 8, huge_pages: false };
    for family in Family::BOTH {
        let app = Probe { takes: usize::MAX, ..Probe::default() };
        let mut peer = Peer::with_frames(frames, family, app, |_| {});
        peer.handshake();
        // While they are looked at, all frames are in hand or of the reserve.
        let segment = |i: u32| format!("P. {}:{}(10) ack 1 win 65535", 1 + 10 * i, 11 + 10 * i);
        peer.burst(&(0..16).map(segment).collect::<Vec<_>>());
        assert_eq!(peer.engine.app().offered, [160], "over {}", family.name());
    }
}

#[test]
fn rfc9293_3_8_3_the_application_hears_of_the_third_retransmission() {
    both(
        || Probe { greeting: b"220 ready", ..Probe::default() },
        |mut peer| {
            peer.handshake();
            // Timeouts after 0.2, 0.6 and 1.4 seconds: the handshake took no time.
            for (wait_ms, notices) in [(100, 0), (400, 0), (700, 0), (300, 1), (60_000, 1)] {
                peer.wait(Duration::from_millis(wait_ms));
                peer.expect("P. 1:10(9) ack 1");
                let heard = vec![Notice::Stalled; notices];
                assert_eq!(peer.engine.app().notices, heard, "after {wait_ms} ms more");
            }
            assert_eq!(peer.engine.app().closed, []);
        },
    );
}

#[test]
fn rfc9293_3_8_5_the_application_learns_of_urgent_data_and_how_much_there_is() {
    both(
        || Probe { takes: 40, ..Probe::default() },
        |mut peer| {
            peer.handshake();
            // The pointer before its data; its data, in two parts; the same pointer again.
            peer.send("U. 1:1(0) ack 1 win 65535 urg 60");
            peer.send("PU. 1:51(50) ack 1 win 65535 urg 60");
            peer.send("PU. 51:101(50) ack 1 win 65535 urg 10");
            peer.send("P. 101:111(10) ack 1 win 65535");
            let app = peer.engine.app();
            assert_eq!(app.urgents, [Some(60), Some(60), Some(20), None]);
            assert_eq!(app.offered, [0, 50, 60, 30]);
        },
    );
}

#[test]
fn rfc9293_3_8_5_a_pointer_that_does_not_advance_is_no_news() {
    both(Probe::default, |mut peer| {
        peer.handshake();
        peer.send("U. 1:1(0) ack 1 win 65535 urg 60");
        peer.send("U. 1:1(0) ack 1 win 65535 urg 60");
        peer.send("U. 1:1(0) ack 1 win 65535 urg 50");
        assert_eq!(peer.engine.app().urgents, [Some(60)]);
        peer.send("U. 1:1(0) ack 1 win 65535 urg 61");
        assert_eq!(peer.engine.app().urgents, [Some(60), Some(61)]);
    });
}

#[test]
fn rfc9293_3_8_5_only_what_is_urgent_is_said_to_be() {
    both(
        || Probe { greeting: b"this is urgent", urgent: true, ..Probe::default() },
        |mut peer| {
            peer.handshake();
            peer.expect("PU. 1:32(31) ack 1 urg 14");
        },
    );
}

/// Differentiated Services code point and hop limit.
fn class_and_hops(packet: &[u8]) -> (u8, u8) {
    match packet[0] >> 4 {
        4 => (packet[1] >> 2, packet[8]),
        _ => ((packet[0] << 4 | packet[1] >> 4) >> 2, packet[7]),
    }
}

#[test]
fn rfc9293_3_9_1_9_segments_carry_the_class_that_was_set_and_the_configured_hop_limit() {
    for family in Family::BOTH {
        let app = Probe { greeting: b"220 ready", dscp: Some(46), ..Probe::default() };
        let mut peer = Peer::new(family, app, |config| {
            config.tcp.dscp = 10;
            config.tcp.hop_limit = 77;
        });
        peer.send("S 0:0(0) win 65535 <mss 1000>");
        peer.expect("S. 0:0(0) ack 1");
        assert_eq!(class_and_hops(&peer.last), (10, 77), "of all");
        peer.send(". 1:1(0) ack 1 win 65535");
        peer.expect("P. 1:10(9) ack 1");
        assert_eq!(class_and_hops(&peer.last), (46, 77), "of this connection");
    }
}
