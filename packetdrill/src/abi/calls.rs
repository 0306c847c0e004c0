//! Callbacks that open, close and set.
//!
//! # Safety
//! Of every function here: `user` is the table's and was not freed; other pointers are what the
//! system call of the same name asks for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong, c_void};

use libc::{sockaddr, socklen_t};

use super::memory::{address, bytes, bytes_mut, put_address};
use super::{User, give_int, give_nothing, shared};
use crate::errno::Errno;

pub(super) unsafe extern "C" fn socket(
    user: User,
    domain: c_int,
    kind: c_int,
    proto: c_int,
) -> c_int {
    // SAFETY: see above.
    give_int(unsafe { shared(user) }.socket(domain, kind, proto))
}

pub(super) unsafe extern "C" fn bind(
    user: User,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: see above.
    let (shared, addr) = unsafe { (shared(user), address(addr, len)) };
    give_nothing(addr.and_then(|addr| shared.bind(fd, addr)))
}

pub(super) unsafe extern "C" fn listen(user: User, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: see above.
    give_nothing(unsafe { shared(user) }.listen(fd, backlog))
}

pub(super) unsafe extern "C" fn accept(
    user: User,
    fd: c_int,
    addr: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: see above.
    let accepted = unsafe { shared(user) }.accept(fd);
    give_int(accepted.and_then(|(fd, peer, ipv6)| {
        // SAFETY: see above.
        unsafe { put_address(peer, ipv6, addr, len) }?;
        Ok(fd)
    }))
}

pub(super) unsafe extern "C" fn connect(
    user: User,
    fd: c_int,
    addr: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: see above.
    let (shared, addr) = unsafe { (shared(user), address(addr, len)) };
    give_nothing(addr.and_then(|addr| shared.connect(fd, addr)))
}

pub(super) unsafe extern "C" fn fcntl(user: User, fd: c_int, command: c_int, arg: c_int) -> c_int {
    // SAFETY: see above.
    give_int(unsafe { shared(user) }.fcntl(fd, command, arg))
}

pub(super) unsafe extern "C" fn ioctl(
    user: User,
    fd: c_int,
    request: c_ulong,
    value: *mut c_int,
) -> c_int {
    // SAFETY: see above.
    let number = unsafe { shared(user) }.ioctl(fd, request);
    give_nothing(number.and_then(|number| {
        if value.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: the requests that give a number are given where to put it.
        unsafe { *value = number };
        Ok(())
    }))
}

pub(super) unsafe extern "C" fn close(user: User, fd: c_int) -> c_int {
    // SAFETY: see above.
    give_nothing(unsafe { shared(user) }.close(fd))
}

pub(super) unsafe extern "C" fn shutdown(user: User, fd: c_int, how: c_int) -> c_int {
    // SAFETY: see above.
    give_nothing(unsafe { shared(user) }.shutdown(fd, how))
}

pub(super) unsafe extern "C" fn getsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: see above.
    let found = unsafe { shared(user) }.getsockopt(fd, level, name);
    give_nothing(found.and_then(|found| {
        if len.is_null() {
            return Err(Errno(libc::EFAULT));
        }
        // SAFETY: see above; `len` was checked.
        let n = found.len().min(unsafe { *len } as usize);
        // SAFETY: see above.
        unsafe { bytes_mut(value, n) }?.copy_from_slice(&found[..n]);
        // SAFETY: see above.
        unsafe { *len = n as socklen_t };
        Ok(())
    }))
}

pub(super) unsafe extern "C" fn setsockopt(
    user: User,
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: see above.
    let (shared, value) = unsafe { (shared(user), bytes(value, len as usize)) };
    give_nothing(value.and_then(|value| shared.setsockopt(fd, level, name, value)))
}
