//! Callbacks of the wire and of the clock.
//!
//! # Safety
//! Of every function here: `user` is the table's and was not freed; other pointers are valid, or
//! null where that is looked for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_longlong, c_uint, c_void};
use std::time::Duration;

use libc::{size_t, timeval};

use super::memory::{bytes, bytes_mut};
use super::{User, give_nothing, shared};

const MICROS: u64 = 1_000_000;

pub(super) unsafe extern "C" fn netdev_send(user: User, buf: *const c_void, n: size_t) -> c_int {
    // SAFETY: see above.
    let (shared, packet) = unsafe { (shared(user), bytes(buf, n)) };
    give_nothing(packet.and_then(|packet| shared.netdev_send(packet)))
}

/// Gives no bytes if nothing comes: packetdrill then says that it got no packet, and the script
/// fails.
pub(super) unsafe extern "C" fn netdev_receive(
    user: User,
    buf: *mut c_void,
    count: *mut size_t,
    time_usecs: *mut c_longlong,
) -> c_int {
    // SAFETY: see above.
    let sent = unsafe { shared(user) }.next_sent();
    // SAFETY: see above.
    let room = unsafe { *count };
    let (at, packet) = sent.unwrap_or_default();
    let n = packet.len().min(room);
    // SAFETY: `buf` has `count` bytes.
    give_nothing(unsafe { bytes_mut(buf, n) }.map(|buf| {
        buf.copy_from_slice(&packet[..n]);
        // SAFETY: see above.
        unsafe {
            *count = n;
            *time_usecs = (at.nanos() / 1_000) as c_longlong;
        }
    }))
}

pub(super) unsafe extern "C" fn usleep(user: User, micros: c_uint) -> c_int {
    // SAFETY: see above.
    unsafe { shared(user) }.usleep(Duration::from_micros(micros.into()));
    0
}

pub(super) unsafe extern "C" fn gettimeofday(
    user: User,
    time: *mut timeval,
    _zone: *mut c_void,
) -> c_int {
    // SAFETY: see above.
    let micros = unsafe { shared(user) }.now().nanos() / 1_000;
    if !time.is_null() {
        let value = timeval {
            tv_sec: (micros / MICROS) as libc::time_t,
            tv_usec: (micros % MICROS) as libc::suseconds_t,
        };
        // SAFETY: see above; null was excluded.
        unsafe { time.write(value) };
    }
    0
}
