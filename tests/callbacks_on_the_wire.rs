//! What an application does, as its peer sees it: callbacks on one side, segments on the other.

mod packet;
mod segments;

use std::time::Duration;

use packet::Peer;
use segments::path::Family;
use sidestep::app::{App, Close, Notice, Peer as Remote, Refuse, Rx, RxBuf, Tx};

/// What the application is to do, and what happened to it.
#[derive(Default)]
struct Probe {
    refuses: bool,
    holds: bool,
    takes: usize,
    greeting: &'static [u8],
    after: Option<Duration>,
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
        Ok(Vec::new())
    }

    fn on_data(&mut self, held: &mut Vec<RxBuf>, rx: &mut Rx<'_>, _tx: &mut Tx<'_>) {
        self.offered.push(rx.len());
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
fn rfc9293_3_8_3_the_application_hears_of_the_third_retransmission() {
    both(
        || Probe { greeting: b"220 ready", ..Probe::default() },
        |mut peer| {
            peer.handshake();
            // Timeouts after 0.2, 0.6 and 1.4 seconds: the handshake took no time.
            for (wait_ms, notices) in [(1_300, 0), (200, 1), (60_000, 1)] {
                peer.wait(Duration::from_millis(wait_ms));
                let heard = vec![Notice::Stalled; notices];
                assert_eq!(peer.engine.app().notices, heard, "after {wait_ms} ms more");
            }
            assert_eq!(peer.engine.app().closed, []);
        },
    );
}
