//! Callbacks that read and write.
//!
//! # Safety
//! Of every function here: `user` is the table's and was not freed; other pointers are what the
//! system call of the same name asks for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use libc::{iovec, msghdr, size_t, sockaddr, socklen_t, ssize_t};

use super::memory::{bytes, gather, pieces, scatter, total};
use super::{User, give, shared};
use crate::errno::{Errno, Outcome};

/// # Safety
/// As above.
unsafe fn read_into(user: User, fd: c_int, pieces: &[iovec], flags: c_int) -> Outcome<usize> {
    let discard = flags & libc::MSG_TRUNC != 0;
    let hole = |piece: &iovec| piece.iov_base.is_null() && piece.iov_len > 0;
    if !discard && pieces.iter().any(hole) {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: see above.
    let data = unsafe { shared(user) }.read(fd, total(pieces), flags)?;
    if !discard {
        // SAFETY: see above.
        unsafe { scatter(&data, pieces) }?;
    }
    Ok(data.len())
}

pub(super) unsafe extern "C" fn read(
    user: User,
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
) -> ssize_t {
    // SAFETY: see above.
    unsafe { recv(user, fd, buf, n, 0) }
}

pub(super) unsafe extern "C" fn readv(
    user: User,
    fd: c_int,
    iov: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: see above.
    give(unsafe { vector(iov, count).and_then(|pieces| read_into(user, fd, pieces, 0)) })
}

pub(super) unsafe extern "C" fn recv(
    user: User,
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: see above.
    give(unsafe { read_into(user, fd, &[iovec { iov_base: buf, iov_len: n }], flags) })
}

pub(super) unsafe extern "C" fn recvfrom(
    user: User,
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    flags: c_int,
    _addr: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    if !len.is_null() {
        // SAFETY: see above. Of a connected stream there is no address to tell.
        unsafe { *len = 0 };
    }
    // SAFETY: see above.
    unsafe { recv(user, fd, buf, n, flags) }
}

pub(super) unsafe extern "C" fn recvmsg(
    user: User,
    fd: c_int,
    msg: *mut msghdr,
    flags: c_int,
) -> ssize_t {
    if msg.is_null() {
        return give(Err::<usize, _>(Errno(libc::EFAULT)));
    }
    // SAFETY: see above; null was excluded.
    let msg = unsafe { &mut *msg };
    // SAFETY: see above.
    let result = unsafe {
        pieces(msg.msg_iov, msg.msg_iovlen).and_then(|pieces| read_into(user, fd, pieces, flags))
    };
    if result.is_ok() {
        (msg.msg_namelen, msg.msg_controllen, msg.msg_flags) = (0, 0, 0);
    }
    give(result)
}

pub(super) unsafe extern "C" fn write(
    user: User,
    fd: c_int,
    buf: *const c_void,
    n: size_t,
) -> ssize_t {
    // SAFETY: see above.
    unsafe { send(user, fd, buf, n, 0) }
}

pub(super) unsafe extern "C" fn writev(
    user: User,
    fd: c_int,
    iov: *const iovec,
    count: c_int,
) -> ssize_t {
    // SAFETY: see above.
    let (shared, data) =
        unsafe { (shared(user), vector(iov, count).and_then(|pieces| gather(pieces))) };
    give(data.and_then(|data| shared.write(fd, &data, 0)))
}

pub(super) unsafe extern "C" fn send(
    user: User,
    fd: c_int,
    buf: *const c_void,
    n: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: see above.
    let (shared, data) = unsafe { (shared(user), bytes(buf, n)) };
    give(data.and_then(|data| shared.write(fd, data, flags)))
}

pub(super) unsafe extern "C" fn sendto(
    user: User,
    fd: c_int,
    buf: *const c_void,
    n: size_t,
    flags: c_int,
    _addr: *const sockaddr,
    _len: socklen_t,
) -> ssize_t {
    // SAFETY: see above. A connected stream takes no notice of an address.
    unsafe { send(user, fd, buf, n, flags) }
}

pub(super) unsafe extern "C" fn sendmsg(
    user: User,
    fd: c_int,
    msg: *const msghdr,
    flags: c_int,
) -> ssize_t {
    if msg.is_null() {
        return give(Err::<usize, _>(Errno(libc::EFAULT)));
    }
    // SAFETY: see above; null was excluded.
    let (shared, msg) = unsafe { (shared(user), &*msg) };
    // SAFETY: see above.
    let data = unsafe { pieces(msg.msg_iov, msg.msg_iovlen).and_then(|pieces| gather(pieces)) };
    give(data.and_then(|data| shared.write(fd, &data, flags)))
}

/// # Safety
/// As `readv` asks.
unsafe fn vector<'a>(iov: *const iovec, count: c_int) -> Outcome<&'a [iovec]> {
    let count = usize::try_from(count).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the caller promises it.
    unsafe { pieces(iov, count) }
}
