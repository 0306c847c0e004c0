//! Echo, discard and chargen.

use super::exchange;
use crate::apps::{Chargen, Discard, Echo};
use crate::kernel::KernelConfig;
use crate::kernel::testing::{Host, pattern};

/// A pattern with lines in it, none of which is `QUIT`.
fn lines(len: usize) -> Vec<u8> {
    let mut bytes = pattern(len);
    bytes.iter_mut().step_by(97).for_each(|byte| *byte = b'\n');
    bytes
}

#[test]
fn echo_gives_everything_back_to_a_peer_that_reads_late() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let mut host = Host::configured(at, KernelConfig::default(), Echo);
        let sent = lines(24 << 20);
        let (mut peer, mut rest) = (host.connect(), &sent[..]);
        peer.take_little();
        loop {
            let left = rest.len();
            peer.write(&mut rest);
            host.until_idle();
            if rest.len() == left {
                break;
            }
        }
        assert!(!rest.is_empty(), "all of it disappeared in buffers");
        exchange(&mut host, &mut peer, rest, true);
        assert!(peer.got == sent, "bytes were lost or changed");
        host.finish();
    }
}

#[test]
fn echo_works_with_few_frames() {
    let mut config = KernelConfig::default();
    (config.pool.frames, config.pool.reserve) = (24, 4);
    let mut host = Host::configured("127.0.0.1:0", config, Echo);
    let sent = lines(3 << 20);
    let mut peers: Vec<_> = (0..6).map(|_| (host.connect(), &sent[..])).collect();
    host.until("everything came back", |_| {
        let mut all = true;
        for (peer, rest) in &mut peers {
            if peer.write(rest) {
                peer.finish();
            }
            all &= peer.read();
        }
        all
    });
    assert!(peers.iter().all(|(peer, _)| peer.got == sent), "bytes were lost or changed");
    host.finish();
}

#[test]
fn echo_closes_after_quit_however_it_is_cut() {
    let text = b"one\nQUIT\r\nafter";
    for cut in 0..text.len() {
        let mut host = Host::start(Echo);
        let mut peer = host.connect();
        let (first, second) = text.split_at(cut);
        peer.send(first);
        host.until_idle();
        exchange(&mut host, &mut peer, second, false);
        assert_eq!((&peer.got[..], peer.error), (&b"one\nQUIT\r\n"[..], None), "cut at {cut}");
        // It goes on reading, so that nothing is reset.
        assert_eq!(host.core.connections(), 1);
        peer.finish();
        host.finish();
    }
}

#[test]
fn echo_closes_after_quit_behind_megabytes() {
    let mut host = Host::start(Echo);
    let mut sent = lines(6 << 20);
    sent.extend_from_slice(b"\nQUIT\n");
    let mut peer = host.connect();
    exchange(&mut host, &mut peer, &sent, false);
    assert!(peer.got == sent && peer.error.is_none(), "bytes were lost or changed");
    drop(peer);
    host.finish();
}

#[test]
fn discard_takes_everything_and_finishes() {
    let mut host = Host::start(Discard);
    let mut peer = host.connect();
    exchange(&mut host, &mut peer, &pattern(12 << 20), true);
    assert!(peer.got.is_empty() && peer.error.is_none());
    host.finish();
}

#[test]
fn chargen_sends_the_pattern_until_the_peer_finishes() {
    let mut host = Host::start(Chargen);
    let mut peer = host.connect();
    host.until("some pattern is here", |_| {
        peer.read();
        peer.got.len() > 1 << 20
    });
    exchange(&mut host, &mut peer, b"stop", true);
    let mut first = Vec::new();
    for line in 0..95 {
        first.extend((0..72).map(|column| b' ' + ((line + column) % 95) as u8));
        first.extend_from_slice(b"\r\n");
    }
    let same = peer.got.iter().eq(first.iter().cycle().take(peer.got.len()));
    assert!(same && peer.error.is_none(), "not the pattern of RFC 864");
    host.finish();
}
