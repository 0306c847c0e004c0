//! Callbacks that wait for descriptors, and those that there is no use for.
//!
//! # Safety
//! Of every function here: `user` is the table's and was not freed; other pointers are what the
//! system call of the same name asks for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_uint};
use std::slice;

use libc::{epoll_event, loff_t, nfds_t, pollfd, size_t};

use super::{User, give_int, give_nothing, shared};
use crate::epolls::Interest;
use crate::errno::Errno;
use crate::ready::Polled;

pub(super) unsafe extern "C" fn poll(
    user: User,
    fds: *mut pollfd,
    count: nfds_t,
    timeout: c_int,
) -> c_int {
    let fds: &mut [pollfd] = match (fds.is_null(), count) {
        (_, 0) => &mut [],
        (true, _) => return give_int(Err(Errno(libc::EFAULT))),
        // SAFETY: see above; null was excluded.
        (false, _) => unsafe { slice::from_raw_parts_mut(fds, count as usize) },
    };
    let asked: Vec<Polled> = fds.iter().map(|fd| Polled { fd: fd.fd, events: fd.events }).collect();
    // SAFETY: see above.
    let found = unsafe { shared(user) }.poll(&asked, timeout);
    for (fd, events) in fds.iter_mut().zip(&found) {
        fd.revents = *events;
    }
    give_int(Ok(found.iter().filter(|events| **events != 0).count() as i32))
}

pub(super) unsafe extern "C" fn epoll_create(user: User, size: c_int) -> c_int {
    // SAFETY: see above.
    give_int(unsafe { shared(user) }.epoll_create(size))
}

pub(super) unsafe extern "C" fn epoll_ctl(
    user: User,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: see above; null is looked for.
    let event = unsafe { event.as_ref() };
    let interest = event.map(|event| Interest { events: event.events, data: event.u64 });
    // SAFETY: see above.
    give_nothing(unsafe { shared(user) }.epoll_ctl(epoll, operation, fd, interest))
}

pub(super) unsafe extern "C" fn epoll_wait(
    user: User,
    epoll: c_int,
    events: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    let Ok(most) = usize::try_from(most) else { return give_int(Err(Errno(libc::EINVAL))) };
    if events.is_null() {
        return give_int(Err(Errno(libc::EFAULT)));
    }
    // SAFETY: see above.
    let found = unsafe { shared(user) }.epoll_wait(epoll, most, timeout);
    give_int(found.map(|found| {
        for (at, Interest { events: bits, data }) in found.iter().enumerate() {
            // SAFETY: there is room for `most` events, of which `at` is one.
            unsafe { events.add(at).write(epoll_event { events: *bits, u64: *data }) };
        }
        found.len() as i32
    }))
}

pub(super) unsafe extern "C" fn pipe(_user: User, _fds: *mut c_int) -> c_int {
    give_int(Err(Errno(libc::ENOSYS)))
}

pub(super) unsafe extern "C" fn splice(
    _user: User,
    _from: c_int,
    _from_offset: *mut loff_t,
    _to: c_int,
    _to_offset: *mut loff_t,
    _len: size_t,
    _flags: c_uint,
) -> c_int {
    give_int(Err(Errno(libc::ENOSYS)))
}
