//! Full tables, pauses, the end of service.

use core::time::Duration;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::Command;

use super::Script;
use crate::app::Close;
use crate::engine::{Counter, Overflow};
use crate::kernel::KernelConfig;
use crate::kernel::testing::Host;

#[test]
fn who_finds_no_place_waits_for_one() {
    let mut config = KernelConfig::default();
    config.limits.connections = 2;
    let mut host = Host::configured("127.0.0.1:0", config, Script::new());
    let mut peers: Vec<_> = (0..5).map(|_| host.connect()).collect();
    for left in (0..5).rev() {
        host.until_idle();
        assert_eq!(host.core.connections(), 2.min(left + 1));
        drop(peers.remove(0));
    }
    host.until("all are over", |host| host.app().closed.len() == 5);
    // Reported once each time the table filled up, not every turn.
    assert!((1..=4).contains(&host.count(Counter::DropConnectionsFull)));
    host.finish();
}

#[test]
fn who_finds_no_place_is_reset_if_that_is_the_policy() {
    let mut config = KernelConfig { overflow: Overflow::Reset, ..KernelConfig::default() };
    config.limits.connections = 2;
    let mut host = Host::configured("127.0.0.1:0", config, Script::new());
    let mut peers: Vec<_> = (0..5).map(|_| host.connect()).collect();
    host.until("three were reset", |host| host.count(Counter::DropConnectionsFull) == 3);
    for peer in &mut peers[2..] {
        host.until("the peer sees the end", |_| peer.read());
        assert_eq!(peer.error, Some(ErrorKind::ConnectionReset));
    }
    assert_eq!(host.core.connections(), 2);
    drop(peers);
    host.finish();
}

#[test]
fn a_pause_keeps_newcomers_waiting() {
    let mut script = Script::new();
    script.turn = Box::new(|core| core.pause_accepting(true));
    let mut host = Host::start(script);
    host.turn();
    let peer = host.connect();
    host.until_idle();
    assert_eq!(host.core.connections(), 0);
    host.app().turn = Box::new(|core| core.pause_accepting(false));
    host.until("it is open", |host| host.core.connections() == 1);
    drop(peer);
    host.finish();
}

#[test]
fn a_drain_takes_who_is_through_the_handshake_and_nobody_after() {
    let mut script = Script::new();
    script.turn = Box::new(|core| assert!(core.draining()));
    let mut host = Host::start(script);
    // Through the handshake in the kernel, not accepted.
    let peer = host.connect();
    host.core.drain();
    host.turn();
    assert_eq!(host.core.connections(), 1);
    let late = TcpStream::connect(host.at).expect_err("nobody listens");
    assert_eq!(late.kind(), ErrorKind::ConnectionRefused);
    drop(peer);
    host.until("it is over", |host| host.app().closed.len() == 1);
    assert_eq!(host.app().closed[0].2.drains, 1);
    host.finish();
}

#[test]
fn a_drain_is_told_to_each_connection_once() {
    let mut script = Script::new();
    script.drain = Box::new(|_, (), tx| {
        tx.write(b"bye");
        tx.finish();
    });
    let mut host = Host::start(script);
    let mut peers: Vec<_> = (0..3).map(|_| host.connect()).collect();
    host.until("all are open", |host| host.core.connections() == 3);
    host.core.drain();
    host.core.drain();
    for peer in &mut peers {
        host.until("the peer has read to the end", |_| peer.read());
        assert_eq!((&peer.got[..], peer.error), (&b"bye"[..], None));
    }
    drop(peers);
    host.until("all are over", |host| host.app().closed.len() == 3);
    assert!(
        host.app().closed.iter().all(|(_, why, conn)| (*why, conn.drains) == (Close::Finished, 1))
    );
    host.finish();
}

#[test]
fn a_pause_from_outside_is_as_good_as_the_applications() {
    let mut host = Host::start(Script::new());
    host.core.pause_accepting(true);
    let peer = host.connect();
    host.until_idle();
    assert_eq!(host.core.connections(), 0);
    host.core.pause_accepting(false);
    host.until("it is open", |host| host.core.connections() == 1);
    drop(peer);
    host.finish();
}

#[test]
fn a_listener_has_no_more_connections_than_it_may() {
    let mut config = KernelConfig::default();
    config.limits.connections_per_listener = 1;
    let mut host = Host::configured("127.0.0.1:0", config, Script::new());
    let mut peers: Vec<_> = (0..3).map(|_| host.connect()).collect();
    for left in (0..3).rev() {
        host.until_idle();
        assert_eq!(host.core.connections(), 1.min(left + 1));
        drop(peers.remove(0));
    }
    host.until("all are over", |host| host.app().closed.len() == 3);
    assert!((1..=3).contains(&host.count(Counter::ListenDrops)));
    host.finish();
}

#[test]
fn a_source_has_no_more_connections_than_it_may() {
    let mut config = KernelConfig::default();
    config.limits.connections_per_source = 1;
    let mut host = Host::configured("127.0.0.1:0", config, Script::new());
    let first = host.connect();
    host.until("it is open", |host| host.core.connections() == 1);
    let mut second = host.connect();
    host.until("the peer sees the end", |_| second.read());
    assert_eq!(second.error, Some(ErrorKind::ConnectionReset));
    assert_eq!((host.count(Counter::DropSourceFull), host.count(Counter::ListenDrops)), (1, 1));
    drop(first);
    host.until("it is over", |host| host.core.connections() == 0);
    let third = host.connect();
    host.until("it is open", |host| host.core.connections() == 1);
    drop(third);
    host.finish();
}

#[test]
fn nobody_comes_in_when_frames_are_few_and_nobody_spins() {
    let mut config = KernelConfig::default();
    config.pool.frames = 1_024;
    let mut host = Host::configured("127.0.0.1:0", config, Script::new());
    let frames = host.core.pool().frames();
    let taken: Vec<_> = core::iter::from_fn(|| {
        let pool = host.core.pool();
        (pool.free() > pool.reserve()).then(|| pool.alloc(crate::device::Class::Control))?
    })
    .collect();
    assert!(taken.len() as u32 > frames / 2);
    let peer = host.connect();
    host.until_idle();
    assert_eq!((host.core.connections(), host.count(Counter::DropNewcomerFrames)), (0, 1));
    for frame in taken {
        host.core.pool().release(frame);
    }
    host.until("it is open", |host| host.core.connections() == 1);
    drop(peer);
    host.finish();
}

const FEW: &str = "SIDESTEP_TEST_FEW_DESCRIPTORS";

/// In a process of its own, because the limit is the process's.
#[test]
fn without_descriptors_nobody_is_accepted_and_nobody_spins() {
    if std::env::var_os(FEW).is_some() {
        return run_out_of_descriptors();
    }
    let name = "kernel::tests::limits::without_descriptors_nobody_is_accepted_and_nobody_spins";
    let test = std::env::current_exe().expect("this test");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(test)
        .arg(name)
        .env(FEW, "1")
        .output()
        .expect("sh");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

fn run_out_of_descriptors() {
    let mut host = Host::start(Script::new());
    let mut peers = Vec::new();
    while let Ok(stream) = TcpStream::connect(host.at) {
        peers.push(stream);
    }
    peers.pop();
    host.until("it was reported", |host| host.count(Counter::DropConnectionsFull) > 0);
    assert_eq!(host.core.connections(), 1);
    // Waits for the retry instead of trying all the time.
    host.ahead = Duration::from_secs(3_600);
    let now = host.now();
    host.core.turn(now);
    let refused = host.count(Counter::DropConnectionsFull);
    for _ in 0..100 {
        let turn = host.core.turn(now);
        assert!(!turn.worked && turn.next_deadline.is_some_and(|at| at > now));
    }
    assert_eq!(host.count(Counter::DropConnectionsFull), refused);
    // Every peer that goes makes room for one that waits.
    let all = peers.len() as u64;
    drop(peers);
    host.until("all were accepted", |host| host.app().closed.len() as u64 == all + 1);
    host.finish();
}
