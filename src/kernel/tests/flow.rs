//! Bytes, and what happens when one side doesn't take them.

use std::rc::Rc;

use super::{Script, write_on};
use crate::engine::Counter;
use crate::kernel::KernelConfig;
use crate::kernel::testing::{Host, pattern};

const MANY: usize = 24 << 20;

/// Writes `bytes` to every connection and finishes.
fn writer(bytes: &Rc<Vec<u8>>) -> Script {
    let mut script = Script::new();
    let (first, later) = (Rc::clone(bytes), Rc::clone(bytes));
    script.data = Box::new(move |conn, rx, tx| {
        rx.consume(rx.len());
        if conn.written == 0 {
            write_on(conn, &first, tx);
        }
    });
    script.space = Box::new(move |conn, (), tx| {
        assert_eq!(conn.spaces, conn.short_writes, "one on_space for each short write");
        write_on(conn, &later, tx);
        if conn.written == later.len() {
            tx.finish();
        }
    });
    script
}

#[test]
fn a_reader_that_stops_stops_the_writer_and_loses_nothing() {
    let bytes = Rc::new(pattern(MANY));
    let mut host = Host::start(writer(&bytes));
    let mut peer = host.connect();
    peer.take_little();
    peer.send(b"go");
    host.until_idle();
    // All buffers are full and nothing turns: the budget here, and what the kernel takes.
    let budget = u64::from(host.core.config.tcp.send_buffer);
    let sent = host.count(Counter::BytesSent);
    assert!(sent + budget < MANY as u64, "the kernel took {sent}");
    let frames = host.core.pool().frames() - host.core.pool().free();
    let segment = (host.core.pool().frame_size() - 128) as u64;
    assert!(
        u64::from(frames) <= budget.div_ceil(segment) + 1,
        "{frames} frames for {budget} bytes"
    );
    host.until("the peer has read to the end", |_| peer.read());
    assert!(peer.got == *bytes, "bytes were lost or changed");
    drop(peer);
    host.until("it is over", |host| host.app().closed.len() == 1);
    let conn = &host.app().closed[0].2;
    assert!(conn.short_writes > 10 && conn.spaces == conn.short_writes);
    host.finish();
}

#[test]
fn held_bytes_close_the_window_until_they_are_dropped() {
    let mut script = Script::new();
    script.data = Box::new(|conn, rx, tx| {
        for chunk in rx.chunks() {
            conn.got.extend_from_slice(chunk);
        }
        conn.kept.extend(rx.hold(rx.len()));
        if rx.fin() {
            tx.finish();
        }
    });
    script.message = Box::new(|conn, _, _| conn.kept.clear());
    let mut host = Host::start(script);
    let sent = pattern(MANY);
    let (mut peer, mut rest) = (host.connect(), &sent[..]);
    host.until_idle();
    let id = host.app().opened[0].0;
    let budget = u64::from(host.core.config.tcp.receive_buffer);
    let mut stops = 0;
    while !rest.is_empty() {
        peer.write(&mut rest);
        host.until_idle();
        let left = rest.len();
        if !peer.write(&mut rest) && rest.len() == left {
            // The peer can't write and we don't read: exactly the budget is held.
            stops += 1;
            assert_eq!(host.count(Counter::BytesReceived), stops * budget);
            host.mailbox.post(id, 0).expect("room");
        }
    }
    assert!(stops > 3, "stopped {stops} times");
    peer.finish();
    host.until("it is over", |host| {
        let _ = host.mailbox.post(id, 0);
        host.app().closed.len() == 1
    });
    assert!(host.app().closed[0].2.got == sent, "bytes were lost or changed");
    host.finish();
}

/// Writes back what it reads, and leaves unread what it can't write.
fn echo() -> Script {
    let mut script = Script::new();
    script.data = Box::new(|conn, rx, tx| {
        while let Some(chunk) = rx.chunks().next() {
            let (len, written) = (chunk.len(), tx.write(chunk));
            rx.consume(written);
            if written < len {
                conn.short_writes += 1;
                return;
            }
        }
        if rx.fin() {
            tx.finish();
        }
    });
    script
}

#[test]
fn unread_bytes_are_offered_again_after_on_space() {
    let mut host = Host::start(echo());
    let sent = pattern(MANY);
    let (mut peer, mut rest) = (host.connect(), &sent[..]);
    peer.take_little();
    // Writes without reading until nothing moves in either direction.
    loop {
        let left = rest.len();
        peer.write(&mut rest);
        host.until_idle();
        if rest.len() == left {
            break;
        }
    }
    assert!(!rest.is_empty(), "all of it disappeared in buffers");
    host.until("everything came back", |_| {
        if peer.write(&mut rest) {
            peer.finish();
            rest = &[];
        }
        peer.read()
    });
    assert!(peer.got == sent, "bytes were lost or changed");
    host.until("it is over", |host| host.app().closed.len() == 1);
    let conn = &host.app().closed[0].2;
    // A write that is short while an on_space is owed is not owed another.
    assert!(conn.spaces > 0 && conn.spaces <= conn.short_writes);
    host.finish();
}

#[test]
fn a_few_frames_serve_many_connections() {
    let mut config = KernelConfig::default();
    (config.pool.frames, config.pool.reserve) = (48, 8);
    let mut host = Host::configured("[::1]:0", config, echo());
    let sent = pattern(MANY);
    let mut peers: Vec<_> = (0..8).map(|_| (host.connect(), &sent[..])).collect();
    // All at once, and nobody reads what comes back.
    let mut moved = true;
    while moved {
        moved = false;
        for (peer, rest) in &mut peers {
            let left = rest.len();
            peer.write(rest);
            moved |= rest.len() < left;
        }
        host.until_idle();
    }
    assert!(host.core.hungry_readers.len() > 1, "frames are short");
    host.until("everything came back", |_| {
        let mut all = true;
        for (peer, rest) in &mut peers {
            if !peer.eof && peer.write(rest) {
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
fn small_segments_share_a_frame() {
    let mut script = Script::new();
    script.data = Box::new(|_, rx, tx| {
        if rx.fin() {
            rx.consume(rx.len());
            tx.finish();
        }
    });
    let mut host = Host::start(script);
    let mut peer = host.connect();
    for byte in 0..100 {
        peer.send(&[byte]);
        let want = u64::from(byte) + 1;
        host.until("the byte is here", |host| host.count(Counter::BytesReceived) == want);
    }
    assert_eq!(host.core.pool().frames() - host.core.pool().free(), 1);
    peer.finish();
    host.finish();
}
