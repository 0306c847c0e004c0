//! Sockets end.

use super::driver::Driver;
use super::peer::Peer;
use super::segments::path::Family;
use super::segments::segment::{ACK, FIN, PSH, RST, SYN};

#[test]
fn close_sends_fin() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    assert_eq!(driver.close(fd), Ok(0));
    assert_eq!(peer.flags(), (FIN | ACK, 0));
    assert_eq!(driver.close(fd), Err(libc::EBADF));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EBADF));
}

#[test]
fn close_with_unread_data_resets() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    peer.send(ACK | PSH, b"unread");
    assert_eq!(driver.close(fd), Ok(0));
    assert_eq!(peer.flags(), (RST | ACK, 0));
}

#[test]
fn data_after_close_resets() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    peer.send(ACK | PSH, b"read");
    assert_eq!(driver.read(fd, 4), Ok(b"read".to_vec()));
    assert_eq!(driver.close(fd), Ok(0));
    assert_eq!(peer.flags(), (FIN | ACK, 0));
    peer.send(ACK | PSH, b"too late");
    assert_eq!(peer.flags(), (RST | ACK, 0));
}

#[test]
fn no_time_to_linger_resets() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    assert_eq!(driver.setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0]), Ok(0));
    assert_eq!(driver.close(fd), Ok(0));
    assert_eq!(peer.flags(), (RST | ACK, 0));
}

#[test]
fn shutdown_ends_one_direction() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    assert_eq!(driver.shutdown(fd, libc::SHUT_WR), Ok(0));
    assert_eq!(peer.flags(), (FIN | ACK, 0));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
    peer.send(ACK | PSH, b"still");
    assert_eq!(driver.read(fd, 10), Ok(b"still".to_vec()));
    peer.send(FIN | ACK, &[]);
    assert_eq!(driver.read(fd, 10), Ok(Vec::new()));
    assert_eq!(driver.shutdown(fd, 7), Err(libc::ENOTCONN));
}

#[test]
fn a_reset_is_told_once() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    peer.send(RST | ACK, &[]);
    assert_eq!(driver.poll(fd, 0, 0), libc::POLLERR | libc::POLLHUP);
    assert_eq!(driver.read(fd, 1), Err(libc::ECONNRESET));
    assert_eq!(driver.read(fd, 1), Ok(Vec::new()));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
}

#[test]
fn a_reset_after_the_peers_fin_is_told_as_well() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    peer.send(FIN | ACK, &[]);
    peer.send(RST | ACK, &[]);
    assert_eq!(driver.write(fd, b"x"), Err(libc::ECONNRESET));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
}

#[test]
fn close_while_connecting_forgets_the_connection() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let fd = driver.socket(libc::AF_INET);
    assert_eq!(driver.bind(fd, peer.path.local), Ok(0));
    assert_eq!(driver.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK), Ok(0));
    assert_eq!(driver.connect(fd, peer.path.remote), Err(libc::EINPROGRESS));
    assert_eq!(peer.flags(), (SYN, 0));
    assert_eq!(driver.close(fd), Ok(0));
    driver.usleep(10_000_000);
    peer.send(SYN | ACK, &[]);
    assert_eq!(peer.flags(), (RST, 0), "and no second SYN before it");
}
