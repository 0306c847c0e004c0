//! Bytes go through.

use super::driver::Driver;
use super::peer::{MSS, Peer};
use super::segments::path::Family;
use super::segments::segment::{ACK, PSH};

fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 31 + at / 256) as u8).collect()
}

#[test]
fn what_is_read_is_what_came() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let sent = bytes(900);
    peer.send(ACK | PSH, &sent);
    assert_eq!(driver.unread(fd), Ok(900));
    assert_eq!(driver.recv(fd, 50, libc::MSG_PEEK), Ok(sent[..50].to_vec()));
    assert_eq!(driver.read(fd, 100), Ok(sent[..100].to_vec()));
    let pieces = driver.readv(fd, [100, 200]).expect("readv");
    assert_eq!(pieces.concat(), sent[100..400]);
    assert_eq!(driver.recvmsg(fd, 10_000), Ok(sent[400..].to_vec()));
    assert_eq!(driver.unread(fd), Ok(0));
    assert_eq!(driver.read(fd, 1), Err(libc::EAGAIN));
}

#[test]
fn what_is_written_arrives() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V6);
    let (_, fd) = peer.accepted();
    let sent = bytes(2_500);
    let (a, b) = (sent[1_000..1_200].to_vec(), sent[1_200..2_000].to_vec());
    assert_eq!(driver.write(fd, &sent[..1_000]), Ok(1_000));
    assert_eq!(driver.writev(fd, [a, b]), Ok(1_000));
    assert_eq!(driver.sendmsg(fd, sent[2_000..2_400].to_vec()), Ok(400));
    assert_eq!(driver.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &[1]), Ok(0));
    assert_eq!(driver.send(fd, &sent[2_400..], libc::MSG_DONTWAIT), Ok(100));
    let mut got = Vec::new();
    while got.len() < sent.len() {
        let (_, segment) = peer.receive().expect("a segment");
        assert!(segment.payload.len() <= usize::from(MSS));
        got.extend(segment.payload);
    }
    assert_eq!(got, sent);
}

#[test]
fn small_segments_wait_unless_told_not_to() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    assert_eq!(driver.write(fd, b"first"), Ok(5));
    assert_eq!(driver.write(fd, b"second"), Ok(6));
    assert_eq!(peer.flags(), (ACK | PSH, 5));
    assert_eq!(driver.setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &[1]), Ok(0));
    assert_eq!(driver.getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
    assert_eq!(driver.write(fd, b"third"), Ok(5));
    assert_eq!(peer.flags(), (ACK | PSH, 11), "the Nagle algorithm held the second one back");
}

#[test]
fn large_segments_arrive_in_pieces() {
    let driver = Driver::new("mtu=1500");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let sent = bytes(20_000);
    peer.send(ACK | PSH, &sent);
    assert_eq!(driver.read(fd, 30_000), Ok(sent));
}

#[test]
fn a_full_send_buffer_takes_a_part_and_then_nothing() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    assert_eq!(driver.setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &[5_000]), Ok(0));
    assert_eq!(driver.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK), Ok(0));
    assert_eq!(driver.write(fd, &bytes(8_000)), Ok(5_000));
    assert_eq!(driver.write(fd, &bytes(1)), Err(libc::EAGAIN));
    assert_eq!(driver.poll(fd, libc::POLLOUT, 0), 0);
    for _ in 0..5 {
        assert!(peer.receive().is_some());
    }
    peer.send(ACK, &[]);
    assert_eq!(driver.poll(fd, libc::POLLOUT, 0), libc::POLLOUT);
    assert_eq!(driver.write(fd, &bytes(3_000)), Ok(3_000));
}

#[test]
fn buffers_and_flags_are_checked_before_anything_is_taken() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    peer.send(ACK | PSH, b"kept");
    assert_eq!(driver.read_to_null(fd, 4), Err(libc::EFAULT));
    assert_eq!(driver.recv(fd, 4, libc::MSG_OOB), Err(libc::EOPNOTSUPP));
    assert_eq!(driver.send(fd, b"x", libc::MSG_OOB), Err(libc::EOPNOTSUPP));
    assert_eq!(driver.read(fd, 4), Ok(b"kept".to_vec()));
    assert_eq!(driver.write(fd, b""), Ok(0));
}
