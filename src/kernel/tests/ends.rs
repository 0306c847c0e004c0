//! How connections end, and who hears of it.

use core::time::Duration;
use std::io::ErrorKind;

use super::{Script, read_all};
use crate::app::{Close, Refuse};
use crate::engine::Counter;
use crate::kernel::KernelConfig;
use crate::kernel::testing::Host;

#[test]
fn the_peer_finishes_first_and_still_hears_us() {
    let mut script = Script::new();
    script.data = Box::new(|conn, rx, tx| {
        read_all(conn, rx);
        if rx.fin() {
            tx.write(b"and so long");
            tx.finish();
        }
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    peer.send(b"that was all");
    peer.finish();
    host.until("the peer has read to the end", |_| peer.read());
    assert_eq!((&peer.got[..], peer.error), (&b"and so long"[..], None));
    host.until("it is over", |host| host.app().closed.len() == 1);
    let (_, why, conn) = &host.app().closed[0];
    assert_eq!((*why, &conn.got[..], conn.fins), (Close::Finished, &b"that was all"[..], 1));
    host.finish();
}

#[test]
fn we_finish_first_and_still_hear_the_peer() {
    let mut script = Script::new();
    script.open = Box::new(|_, tx| {
        tx.write(b"go on");
        tx.finish();
        assert_eq!(tx.space(), 0);
        Ok(())
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    host.until("the peer has read to the end", |_| peer.read());
    assert_eq!(peer.got, b"go on");
    for _ in 0..3 {
        peer.send(b"more");
        host.until_idle();
    }
    assert!(host.app().closed.is_empty());
    drop(peer);
    host.until("it is over", |host| host.app().closed.len() == 1);
    let (_, why, conn) = &host.app().closed[0];
    assert_eq!((*why, &conn.got[..]), (Close::Finished, &b"moremoremore"[..]));
    host.finish();
}

#[test]
fn a_fin_without_bytes_is_one_on_data() {
    let mut host = Host::start(Script::new());
    let mut peer = host.connect();
    host.until_idle();
    peer.finish();
    host.until("it is over", |host| host.app().closed.len() == 1);
    let (_, why, conn) = &host.app().closed[0];
    assert_eq!((*why, conn.datas, conn.fins), (Close::Finished, 1, 1));
    host.finish();
}

#[test]
fn an_abort_is_a_reset_and_drops_what_was_written() {
    let mut script = Script::new();
    script.data = Box::new(|_, _, tx| {
        tx.write(b"never sent");
        tx.abort();
        assert_eq!(tx.space(), 0);
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    peer.send(b"unread");
    host.until("the peer sees the end", |_| peer.read());
    assert_eq!((peer.error, peer.got.len()), (Some(ErrorKind::ConnectionReset), 0));
    assert_eq!(host.app().closes(), [Close::Aborted]);
    assert_eq!(host.count(Counter::ResetsSent), 1);
    host.finish();
}

#[test]
fn a_refused_connection_is_reset_and_never_closed() {
    let mut script = Script::new();
    script.open = Box::new(|_, tx| {
        tx.write(b"dropped");
        Err(Refuse)
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    host.until("the peer sees the end", |_| peer.read());
    assert_eq!((peer.error, peer.got.len()), (Some(ErrorKind::ConnectionReset), 0));
    assert!(host.app().opened.is_empty() && host.app().closed.is_empty());
    assert_eq!(host.count(Counter::ConnectionsRefused), 1);
    host.finish();
}

#[test]
fn an_abort_in_on_open_closes_once() {
    let mut script = Script::new();
    script.open = Box::new(|_, tx| {
        tx.abort();
        Ok(())
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    host.until("the peer sees the end", |_| peer.read());
    assert_eq!(host.app().closes(), [Close::Aborted]);
    host.finish();
}

#[test]
fn a_reset_by_the_peer_is_told_with_the_bytes_before_it_kept_out_of_the_pool() {
    for half_closed in [false, true] {
        let mut script = Script::new();
        // Leaves the bytes unread, and the connection open after the peer's FIN.
        script.data = Box::new(|_, _, _| {});
        let mut host = Host::start(script);
        let mut peer = host.connect();
        peer.send(b"unread");
        if half_closed {
            peer.finish();
        }
        host.until_idle();
        peer.reset();
        host.until("it is over", |host| host.app().closed.len() == 1);
        assert_eq!(host.app().closes(), [Close::Reset]);
        assert_eq!(host.count(Counter::ResetsReceived), 1);
        host.finish();
    }
}

#[test]
fn after_our_fin_a_silent_peer_is_asked_whether_it_lives() {
    let mut config = KernelConfig::default();
    config.tcp.keep_alive = None;
    config.tcp.fin_wait_2 = Duration::from_secs(7);
    let mut script = Script::new();
    script.open = Box::new(|_, tx| {
        tx.finish();
        Ok(())
    });
    let mut host = Host::configured("127.0.0.1:0", config, script);
    let mut peer = host.connect();
    host.until("the peer sees our FIN", |_| peer.read());
    let asks = host.core.with_stream(0, |stream| {
        let socket = socket2::SockRef::from(stream);
        (socket.keepalive().expect("a socket"), socket.tcp_keepalive_time().expect("a socket"))
    });
    assert_eq!(asks, (true, Duration::from_secs(7)));
    peer.finish();
    host.until("it is over", |host| host.app().closed.len() == 1);
    assert_eq!(host.app().closes(), [Close::Finished]);
    host.finish();
}

#[test]
fn when_time_is_up_all_are_reset() {
    let mut host = Host::start(Script::new());
    let mut peers: Vec<_> = (0..5).map(|_| host.connect()).collect();
    host.until("all are open", |host| host.core.connections() == 5);
    host.core.abort_all(Close::Drained);
    for peer in &mut peers {
        host.until("the peer sees the end", |_| peer.read());
        assert_eq!(peer.error, Some(ErrorKind::ConnectionReset));
    }
    assert_eq!(host.app().closes(), [Close::Drained; 5]);
    assert_eq!(host.core.counters().closed(Close::Drained), 5);
    host.finish();
}
