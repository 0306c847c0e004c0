//! Sockets begin.

use std::ffi::c_int;

use super::driver::Driver;
use super::peer::Peer;
use super::segments::path::Family;
use super::segments::segment::{ACK, FIN, RST, SYN};

#[test]
fn a_passive_open_is_accepted_in_both_families() {
    for family in Family::BOTH {
        let driver = Driver::new("local=192.0.2.1,local=2001:db8::1");
        let mut peer = Peer::new(&driver, family);
        let listener = peer.listen();
        assert_eq!(driver.accept(listener), Err(libc::EAGAIN), "before the connection is there");
        peer.open();
        let (fd, addr) = driver.accept_from(listener);
        assert!(fd.is_ok_and(|fd| fd as c_int != listener));
        let port = u16::from_be_bytes([addr[2], addr[3]]);
        assert_eq!(port, peer.path.remote.port());
        assert_eq!(addr.len(), if family == Family::V4 { 16 } else { 28 });
    }
}

#[test]
fn an_ipv6_socket_sees_ipv4_peers_as_mapped() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let listener = driver.socket(libc::AF_INET6);
    let mapped = format!("[::ffff:192.0.2.1]:{}", peer.path.local.port());
    assert_eq!(driver.bind(listener, mapped.parse().expect("an address")), Ok(0));
    assert_eq!(driver.listen(listener), Ok(0));
    peer.open();
    let (fd, addr) = driver.accept_from(listener);
    assert!(fd.is_ok());
    assert_eq!(addr[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 2]);
}

#[test]
fn an_active_open_says_how_far_it_is() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let fd = driver.socket(libc::AF_INET);
    assert_eq!(driver.bind(fd, peer.path.local), Ok(0));
    assert_eq!(driver.fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK), Ok(0));
    assert_eq!(driver.connect(fd, peer.path.remote), Err(libc::EINPROGRESS));
    assert_eq!(peer.flags(), (SYN, 0));
    assert_eq!(driver.connect(fd, peer.path.remote), Err(libc::EALREADY));
    assert_eq!(driver.poll(fd, libc::POLLOUT, 0), 0);
    peer.send(SYN | ACK, &[]);
    assert_eq!(peer.flags(), (ACK, 0));
    assert_eq!(driver.poll(fd, libc::POLLOUT, 0), libc::POLLOUT);
    assert_eq!(driver.getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR), Ok(0));
    assert_eq!(driver.connect(fd, peer.path.remote), Ok(0));
    assert_eq!(driver.connect(fd, peer.path.remote), Err(libc::EISCONN));
}

#[test]
fn a_refused_open_is_told_once() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let fd = driver.socket(libc::AF_INET);
    assert_eq!(driver.bind(fd, peer.path.local), Ok(0));
    assert_eq!(driver.fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK), Ok(0));
    assert_eq!(driver.connect(fd, peer.path.remote), Err(libc::EINPROGRESS));
    assert_eq!(peer.flags(), (SYN, 0));
    peer.send(RST | ACK, &[]);
    let name = libc::SO_ERROR;
    assert_eq!(driver.getsockopt(fd, libc::SOL_SOCKET, name), Ok(libc::ECONNREFUSED));
    assert_eq!(driver.getsockopt(fd, libc::SOL_SOCKET, name), Ok(0));
}

#[test]
fn a_closed_listener_answers_with_reset_and_ends_what_nobody_accepted() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let listener = peer.listen();
    peer.open();
    assert_eq!(driver.close(listener), Ok(0));
    assert_eq!(peer.flags(), (RST | ACK, 0), "of the connection");
    let mut other = Peer::new(&driver, Family::V4);
    other.path.remote.set_port(40_001);
    other.send(SYN, &[]);
    assert_eq!(other.flags(), (RST | ACK, 0), "of the new SYN");
}

#[test]
fn what_sockets_there_are_not_is_said() {
    let driver = Driver::new("");
    let stream = libc::SOCK_STREAM;
    assert_eq!(driver.socket_of(libc::AF_UNIX, stream, 0), Err(libc::EAFNOSUPPORT));
    let udp = driver.socket_of(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP);
    assert_eq!(udp, Err(libc::EPROTONOSUPPORT));
    assert_eq!(driver.pipe(), Err(libc::ENOSYS));
    for given in [driver.listen(99), driver.accept(99), driver.close(99), driver.shutdown(99, 1)] {
        assert_eq!(given, Err(libc::EBADF));
    }
    let fd = driver.socket(libc::AF_INET);
    assert_eq!(driver.listen(fd), Err(libc::EINVAL), "not bound");
    assert_eq!(driver.read(fd, 1), Err(libc::ENOTCONN));
    assert_eq!(driver.write(fd, b"x"), Err(libc::EPIPE));
}

#[test]
fn descriptors_are_real_and_may_be_closed_by_number() {
    let driver = Driver::new("");
    let (listener, fd) = Peer::new(&driver, Family::V4).accepted();
    for fd in [listener, fd] {
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        assert_eq!(target.expect("an open descriptor").to_str(), Some("/dev/null"));
    }
    driver.close_by_number(fd);
    driver.close_by_number(listener);
    // The numbers have new owners by the time the table is freed.
    let open = |_| std::fs::File::open("/dev/null").expect("a descriptor");
    let others: Vec<_> = (0..64).map(open).collect();
    drop(driver);
    assert!(others.iter().all(|file| file.metadata().is_ok()), "closed again");
}

#[test]
fn nonblocking_is_inherited_by_nobody() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let listener = peer.listen();
    assert_eq!(driver.fcntl(listener, libc::F_SETFL, libc::O_NONBLOCK), Ok(0));
    let flags = (libc::O_RDWR | libc::O_NONBLOCK) as usize;
    assert_eq!(driver.fcntl(listener, libc::F_GETFL, 0), Ok(flags));
    peer.open();
    let fd = driver.accept(listener).expect("a connection") as c_int;
    assert_eq!(driver.fcntl(fd, libc::F_GETFL, 0), Ok(libc::O_RDWR as usize));
    peer.send(FIN | ACK, &[]);
    assert_eq!(driver.read(fd, 1), Ok(Vec::new()));
}
