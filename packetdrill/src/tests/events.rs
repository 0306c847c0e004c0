//! poll and epoll.

use libc::{EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, EPOLLET, EPOLLIN, EPOLLONESHOT, EPOLLOUT};

use super::driver::Driver;
use super::peer::Peer;
use super::segments::path::Family;
use super::segments::segment::{ACK, FIN, PSH};

#[test]
fn poll_tells_of_connections_data_and_ends() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let listener = peer.listen();
    assert_eq!(driver.poll(listener, libc::POLLIN, 0), 0);
    peer.open();
    assert_eq!(driver.poll(listener, libc::POLLIN, 0), libc::POLLIN);
    let fd = driver.accept(listener).expect("a connection") as i32;
    assert_eq!(driver.poll(listener, libc::POLLIN, 0), 0);
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP;
    assert_eq!(driver.poll(fd, all, 0), libc::POLLOUT);
    peer.send(ACK | PSH, b"x");
    assert_eq!(driver.poll(fd, all, 0), libc::POLLIN | libc::POLLOUT);
    peer.send(FIN | ACK, &[]);
    assert_eq!(driver.poll(fd, all, 0), all);
    assert_eq!(driver.shutdown(fd, libc::SHUT_WR), Ok(0));
    assert_eq!(driver.poll(fd, 0, 0), libc::POLLHUP);
    assert_eq!(driver.poll(99, libc::POLLIN, 0), libc::POLLNVAL);
}

#[test]
fn a_level_is_reported_again_and_an_edge_once() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let (levels, edges) = (driver.epoll_create(), driver.epoll_create());
    assert_eq!(driver.epoll_ctl(levels, EPOLL_CTL_ADD, fd, EPOLLIN), Ok(0));
    assert_eq!(driver.epoll_ctl(edges, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET), Ok(0));
    assert!(driver.epoll_wait(levels, 0).is_empty() && driver.epoll_wait(edges, 0).is_empty());
    let event = vec![(EPOLLIN, fd as u64)];
    for _ in 0..2 {
        peer.send(ACK | PSH, b"more");
        assert_eq!(driver.epoll_wait(edges, 0), event);
        assert!(driver.epoll_wait(edges, 0).is_empty());
        assert_eq!(driver.epoll_wait(levels, 0), event);
        assert_eq!(driver.epoll_wait(levels, 0), event);
    }
    assert_eq!(driver.read(fd, 3), Ok(b"mor".to_vec()));
    assert!(driver.epoll_wait(edges, 0).is_empty(), "reading is no news");
}

#[test]
fn one_shot_is_reported_until_it_is_armed_again() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let epoll = driver.epoll_create();
    let bits = EPOLLOUT | EPOLLONESHOT;
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, bits), Ok(0));
    assert_eq!(driver.epoll_wait(epoll, 0), [(EPOLLOUT, fd as u64)]);
    assert!(driver.epoll_wait(epoll, 0).is_empty());
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, bits), Ok(0));
    assert_eq!(driver.epoll_wait(epoll, 0).len(), 1);
}

#[test]
fn wrong_interests_are_refused() {
    let driver = Driver::new("");
    let (epoll, fd) = (driver.epoll_create(), driver.socket(libc::AF_INET));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, EPOLLIN), Err(libc::ENOENT));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, EPOLLIN), Err(libc::ENOENT));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLIN), Ok(0));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLIN), Err(libc::EEXIST));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_ADD, 99, EPOLLIN), Err(libc::EBADF));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, 0), Ok(0));
    assert_eq!(driver.close(epoll), Ok(0));
    assert_eq!(driver.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, EPOLLIN), Err(libc::EBADF));
}
