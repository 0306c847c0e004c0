//! Sleeping on descriptors.
#![allow(unsafe_code)]

use core::ptr;
use core::time::Duration;
use std::io;
use std::os::fd::RawFd;

/// A descriptor and the events to wait for.
pub(super) fn polled(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Sleeps until an event or the end of `timeout` (`None`: no limit).
///
/// # Errors
/// What `ppoll` answered; an interruption by a signal is one.
pub(super) fn poll(polled: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().min(1 << 30) as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let count = polled.len() as libc::nfds_t;
    // SAFETY: `count` writable entries, and a timeout that is null or lives until the call returns.
    let answer = unsafe { libc::ppoll(polled.as_mut_ptr(), count, timeout, ptr::null()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
