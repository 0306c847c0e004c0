//! Time passes when somebody waits for it, and a blocked call returns at its moment.

use std::thread;

use super::driver::Driver;
use super::peer::Peer;
use super::segments::path::Family;
use super::segments::segment::{ACK, PSH, SYN};

/// Longer than the engine takes to do what is due, in microseconds of virtual time.
const SOON: i64 = 100;

/// Runs `blocked` on a thread of its own and `script` on this one, which comes second: it waits
/// until the call is blocked.
fn beside<T: Send>(
    driver: &Driver,
    blocked: impl FnOnce() -> T + Send,
    script: impl FnOnce(),
) -> (T, i64) {
    thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let call = scope.spawn(move || {
            tell.send(own_task()).expect("the script listens");
            let result = blocked();
            (result, driver.now())
        });
        let task = told.recv().expect("the thread has started");
        while !call.is_finished() && !is_sleeping(&task) {
            thread::yield_now();
        }
        script();
        call.join().expect("the call")
    })
}

/// This thread's folder in proc.
fn own_task() -> std::path::PathBuf {
    let task = std::fs::read_link("/proc/thread-self").expect("proc");
    std::path::Path::new("/proc").join(task)
}

/// As packetdrill itself finds out whether its other thread is blocked.
fn is_sleeping(task: &std::path::Path) -> bool {
    let stat = std::fs::read_to_string(task.join("stat")).expect("a thread that lives");
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

#[test]
fn sleep_moves_time_and_so_does_every_look_at_it() {
    let driver = Driver::new("");
    let start = driver.now();
    assert_eq!(driver.now(), start + 1);
    driver.usleep(5_000_000);
    assert_eq!(driver.now(), start + 5_000_002);
}

#[test]
fn waiting_for_a_packet_jumps_to_the_moment_when_it_is_sent() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let start = driver.now();
    assert_eq!(driver.write(fd, b"x"), Ok(1));
    let (first, _) = peer.receive().expect("the segment");
    let (again, _) = peer.receive().expect("its retransmission");
    assert_eq!(first, start);
    let waited = again - first;
    assert!((200_000..1_100_000).contains(&waited), "sent again after {waited} µs");
    assert_eq!(driver.now(), again + 1);
}

#[test]
fn silence_ends_the_wait() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    peer.accepted();
    let start = driver.now();
    assert!(peer.receive().is_none());
    assert!(driver.now() - start >= 7_200_000_000, "not before a keep-alive would have come");
}

#[test]
fn a_blocked_accept_returns_when_the_handshake_is_complete() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let listener = peer.listen();
    let start = driver.now();
    let (fd, at) = beside(
        &driver,
        || driver.accept(listener),
        || {
            driver.usleep(100_000);
            peer.open();
            driver.usleep(100_000);
        },
    );
    assert!(fd.is_ok());
    assert!((100_000..100_000 + SOON).contains(&(at - start)), "after {} µs", at - start);
}

#[test]
fn a_blocked_read_returns_what_came_when_it_came() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let start = driver.now();
    let (read, at) = beside(
        &driver,
        || driver.read(fd, 100),
        || {
            driver.usleep(30_000);
            peer.send(ACK | PSH, b"at last");
            assert_eq!(peer.flags(), (ACK, 0), "time passes while the acknowledgement is awaited");
        },
    );
    assert_eq!(read, Ok(b"at last".to_vec()));
    assert!((30_000..30_000 + SOON).contains(&(at - start)), "after {} µs", at - start);
}

#[test]
fn a_blocked_write_goes_on_as_space_comes() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    assert_eq!(driver.setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &[4_000]), Ok(0));
    let sent: Vec<u8> = (0..20_000).map(|at| (at / 7) as u8).collect();
    let mut got = Vec::new();
    let (written, _) = beside(
        &driver,
        || driver.write(fd, &sent),
        || {
            while got.len() < sent.len() {
                let (_, segment) = peer.receive().expect("a segment");
                got.extend(segment.payload);
                peer.send(ACK, &[]);
            }
        },
    );
    assert_eq!(written, Ok(20_000));
    assert_eq!(got, sent);
}

#[test]
fn a_blocked_connect_gives_up_in_virtual_time() {
    let driver = Driver::new("tcp_syn_retries=2");
    let mut peer = Peer::new(&driver, Family::V4);
    let fd = driver.socket(libc::AF_INET);
    assert_eq!(driver.bind(fd, peer.path.local), Ok(0));
    let (start, remote) = (driver.now(), peer.path.remote);
    let (connected, at) = beside(
        &driver,
        || driver.connect(fd, remote),
        || {
            for _ in 0..3 {
                assert_eq!(peer.flags(), (SYN, 0));
            }
            driver.usleep(30_000_000);
        },
    );
    assert_eq!(connected, Err(libc::ETIMEDOUT));
    let waited = at - start;
    assert!((7_000_000..7_002_000).contains(&waited), "1 + 2 + 4 s, not {waited} µs");
}

#[test]
fn a_blocked_poll_gives_up_in_virtual_time() {
    let driver = Driver::new("");
    let mut peer = Peer::new(&driver, Family::V4);
    let (_, fd) = peer.accepted();
    let start = driver.now();
    let (events, at) =
        beside(&driver, || driver.poll(fd, libc::POLLIN, 250), || driver.usleep(1_000_000));
    assert_eq!(events, 0);
    assert!((250_000..250_000 + SOON).contains(&(at - start)), "after {} µs", at - start);
}

#[test]
fn a_blocked_call_moves_time_itself_when_the_script_is_over() {
    let driver = Driver::new("");
    let start = driver.now();
    let listener = Peer::new(&driver, Family::V4).listen();
    let (events, at) = beside(&driver, || driver.poll(listener, libc::POLLIN, 90_000), || {});
    assert_eq!(events, 0);
    assert!(at - start >= 90_000_000);
}
