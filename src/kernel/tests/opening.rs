//! Opening connections, timers, and messages.

use core::time::Duration;
use std::net::TcpListener;

use super::Script;
use crate::app::{Close, Role};
use crate::engine::Counter;
use crate::kernel::KernelConfig;
use crate::kernel::testing::{Host, Peer};

#[test]
fn both_families_are_accepted_with_their_addresses_and_the_options_of_the_listener() {
    for at in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"] {
        let mut script = Script::new();
        let (sender, peers) = std::sync::mpsc::channel();
        script.open = Box::new(move |peer, _| {
            sender.send(*peer).expect("the test listens");
            Ok(())
        });
        let mut config = KernelConfig::default();
        config.tcp.keep_alive = Some(Duration::from_secs(7_200));
        let mut host = Host::configured(at, config, script);
        let peer = host.connect();
        host.until("it is open", |host| host.core.connections() == 1);
        let seen = peers.try_recv().expect("opened");
        assert_eq!(Ok(seen.remote), peer.stream.local_addr().map_err(|e| e.kind()));
        assert_eq!(Ok(seen.local), peer.stream.peer_addr().map_err(|e| e.kind()));
        assert_eq!(seen.role, Role::Accepted);
        let slot = host.core.slots.get(seen.id.slot()).expect("open");
        let stream = slot.stream.as_ref().expect("open");
        let socket = socket2::SockRef::from(stream);
        assert!(socket.tcp_nodelay().expect("a socket") && socket.keepalive().expect("a socket"));
        let user_timeout = socket.tcp_user_timeout().expect("a socket");
        assert_eq!(user_timeout, Some(host.core.config.tcp.user_timeout));
        drop(peer);
        host.finish();
    }
}

#[test]
fn a_timer_fires_once_is_moved_and_is_cancelled() {
    let mut script = Script::new();
    script.open = Box::new(|_, tx| {
        tx.set_timer(Some(Duration::from_secs(3_600)));
        tx.set_timer(Some(Duration::from_millis(3)));
        Ok(())
    });
    script.timer = Box::new(|conn, (), tx| match conn.timers {
        1 => tx.set_timer(Some(Duration::from_millis(1))),
        2 => {
            tx.set_timer(Some(Duration::from_millis(1)));
            tx.set_timer(None);
            tx.write(b"twice");
        }
        _ => tx.abort(),
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    host.until("it fired twice", |_| {
        peer.read();
        peer.got == b"twice"
    });
    std::thread::sleep(Duration::from_millis(5));
    host.until_idle();
    drop(peer);
    host.until("it is over", |host| host.app().closed.len() == 1);
    let (_, why, conn) = &host.app().closed[0];
    assert_eq!((*why, conn.timers), (Close::Finished, 2));
    host.finish();
}

#[test]
fn messages_reach_their_connection_and_no_later_one() {
    let mut script = Script::new();
    script.message = Box::new(|_, message, tx| {
        tx.write(&[message as u8]);
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    host.until("it is open", |host| host.core.connections() == 1);
    let (mailbox, id) = (host.mailbox.clone(), host.app().opened[0].0);
    let poster =
        std::thread::spawn(move || (0..50).for_each(|n| mailbox.post(id, n).expect("room")));
    host.until("all were answered", |_| {
        peer.read();
        peer.got.len() == 50
    });
    poster.join().expect("posted");
    assert!(peer.got.iter().copied().eq(0..50), "in order");
    drop(peer);
    host.until("it is over", |host| host.app().closed.len() == 1);

    let mut peer = host.connect();
    host.until("the next is open", |host| host.core.connections() == 1);
    let next = host.app().opened[1].0;
    assert_eq!((next.slot(), next == id), (id.slot(), false));
    host.mailbox.post(id, 1).expect("room");
    host.mailbox.post(next, 2).expect("room");
    host.until("the one for the living came", |_| {
        peer.read();
        !peer.got.is_empty()
    });
    assert_eq!((&peer.got[..], host.count(Counter::DropMessages)), (&[2][..], 1));
    drop(peer);
    host.finish();
}

#[test]
fn unread_bytes_are_offered_again_after_a_timer_and_a_message() {
    let mut script = Script::new();
    // Reads one byte at a time.
    script.data = Box::new(|conn, rx, tx| {
        if let Some(byte) = rx.chunks().next().and_then(|chunk| chunk.first()) {
            conn.got.push(*byte);
        }
        rx.consume(rx.len().min(1));
        if conn.got.len() == 2 {
            tx.set_timer(Some(Duration::from_millis(1)));
        }
        if rx.fin() {
            tx.finish();
        }
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    peer.send(b"abc");
    host.until_idle();
    assert_eq!(host.count(Counter::BytesReceived), 3);
    let id = host.app().opened[0].0;
    host.mailbox.post(id, 0).expect("room");
    host.until("the timer brought the last byte", |host| {
        let slot = host.core.slots.get(id.slot()).expect("open");
        slot.state.as_ref().expect("open").got.len() == 3
    });
    peer.finish();
    host.until("it is over", |host| host.app().closed.len() == 1);
    let conn = &host.app().closed[0].2;
    assert_eq!((&conn.got[..], conn.messages.len()), (&b"abc"[..], 1));
    host.finish();
}

#[test]
fn we_connect_and_learn_when_nobody_is_there() {
    for family in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(family).expect("a free port");
        let there = listener.local_addr().expect("bound");
        let nobody = TcpListener::bind(family).and_then(|gone| gone.local_addr()).expect("bound");
        let mut script = Script::new();
        script.open = Box::new(|_, tx| {
            tx.write(b"hello");
            tx.finish();
            Ok(())
        });
        let mut asked = false;
        script.turn = Box::new(move |core| {
            if !core::mem::replace(&mut asked, true) {
                core.connect(there, None, 7).expect("room");
                core.connect(nobody, None, 8).expect("room");
                // An address that is not ours.
                let foreign = "192.0.2.1:0".parse().expect("valid");
                core.connect("192.0.2.2:9".parse().expect("valid"), Some(foreign), 9)
                    .expect("room");
            }
        });
        let mut host = Host::configured(family, KernelConfig::default(), script);
        host.until("two failed", |host| host.app().failed.len() == 2);
        host.until("one is open", |host| host.core.connections() == 1);
        let mut failed = host.app().failed.clone();
        failed.sort_by_key(|(token, _)| *token);
        assert_eq!(failed, [(8, Close::Refused), (9, Close::NoResources)]);
        assert_eq!(host.app().opened[0].1, Role::Connected { token: 7 });
        assert_eq!(host.count(Counter::ConnectionsConnected), 1);
        let mut peer = Peer::new(listener.accept().expect("connected").0);
        host.until("the peer has read to the end", |_| peer.read());
        assert_eq!(peer.got, b"hello");
        drop(peer);
        host.finish();
    }
}
