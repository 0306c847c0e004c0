//! The table that packetdrill has filled, and the function that fills it.
//!
//! Field order and signatures are those of `struct packetdrill_interface` in packetdrill's
//! `packetdrill.h`. Every callback gets `userdata` first, gives -1 and sets `errno` on failure.
#![allow(unsafe_code)]

mod calls;
mod events;
mod memory;
mod messages;
mod packets;

use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_ulong, c_void};

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t,
    timeval,
};

use crate::errno::{Errno, Outcome};
use crate::settings::Settings;
use crate::shared::Shared;

type User = *mut c_void;

/// packetdrill's table of callbacks.
///
/// `fcntl` and `ioctl` are variadic in C. Here they take the one argument that there can be: on
/// Linux's x86-64 and AArch64 a variadic call passes it as any other. It is read only where the
/// command has one.
#[repr(C)]
pub(crate) struct Interface {
    pub(crate) userdata: User,
    pub(crate) free: Option<unsafe extern "C" fn(User)>,
    pub(crate) socket: Option<unsafe extern "C" fn(User, c_int, c_int, c_int) -> c_int>,
    pub(crate) bind: Option<unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int>,
    pub(crate) listen: Option<unsafe extern "C" fn(User, c_int, c_int) -> c_int>,
    pub(crate) accept:
        Option<unsafe extern "C" fn(User, c_int, *mut sockaddr, *mut socklen_t) -> c_int>,
    pub(crate) connect:
        Option<unsafe extern "C" fn(User, c_int, *const sockaddr, socklen_t) -> c_int>,
    pub(crate) read: Option<unsafe extern "C" fn(User, c_int, *mut c_void, size_t) -> ssize_t>,
    pub(crate) readv: Option<unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t>,
    pub(crate) recv:
        Option<unsafe extern "C" fn(User, c_int, *mut c_void, size_t, c_int) -> ssize_t>,
    pub(crate) recvfrom: Option<RecvFrom>,
    pub(crate) recvmsg: Option<unsafe extern "C" fn(User, c_int, *mut msghdr, c_int) -> ssize_t>,
    pub(crate) write: Option<unsafe extern "C" fn(User, c_int, *const c_void, size_t) -> ssize_t>,
    pub(crate) writev: Option<unsafe extern "C" fn(User, c_int, *const iovec, c_int) -> ssize_t>,
    pub(crate) send:
        Option<unsafe extern "C" fn(User, c_int, *const c_void, size_t, c_int) -> ssize_t>,
    pub(crate) sendto: Option<SendTo>,
    pub(crate) sendmsg: Option<unsafe extern "C" fn(User, c_int, *const msghdr, c_int) -> ssize_t>,
    pub(crate) fcntl: Option<unsafe extern "C" fn(User, c_int, c_int, c_int) -> c_int>,
    pub(crate) ioctl: Option<unsafe extern "C" fn(User, c_int, c_ulong, *mut c_int) -> c_int>,
    pub(crate) close: Option<unsafe extern "C" fn(User, c_int) -> c_int>,
    pub(crate) shutdown: Option<unsafe extern "C" fn(User, c_int, c_int) -> c_int>,
    pub(crate) getsockopt: Option<GetSockOpt>,
    pub(crate) setsockopt: Option<SetSockOpt>,
    pub(crate) poll: Option<unsafe extern "C" fn(User, *mut pollfd, nfds_t, c_int) -> c_int>,
    pub(crate) netdev_send: Option<unsafe extern "C" fn(User, *const c_void, size_t) -> c_int>,
    pub(crate) netdev_receive: Option<NetdevReceive>,
    pub(crate) usleep: Option<unsafe extern "C" fn(User, c_uint) -> c_int>,
    pub(crate) gettimeofday: Option<unsafe extern "C" fn(User, *mut timeval, *mut c_void) -> c_int>,
    pub(crate) epoll_create: Option<unsafe extern "C" fn(User, c_int) -> c_int>,
    pub(crate) epoll_ctl: Option<EpollCtl>,
    pub(crate) epoll_wait: Option<EpollWait>,
    pub(crate) pipe: Option<unsafe extern "C" fn(User, *mut c_int) -> c_int>,
    pub(crate) splice: Option<Splice>,
}

type RecvFrom = unsafe extern "C" fn(
    User,
    c_int,
    *mut c_void,
    size_t,
    c_int,
    *mut sockaddr,
    *mut socklen_t,
) -> ssize_t;
type SendTo = unsafe extern "C" fn(
    User,
    c_int,
    *const c_void,
    size_t,
    c_int,
    *const sockaddr,
    socklen_t,
) -> ssize_t;
type GetSockOpt =
    unsafe extern "C" fn(User, c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
type SetSockOpt =
    unsafe extern "C" fn(User, c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
type NetdevReceive = unsafe extern "C" fn(User, *mut c_void, *mut size_t, *mut c_longlong) -> c_int;
type EpollCtl = unsafe extern "C" fn(User, c_int, c_int, c_int, *mut epoll_event) -> c_int;
type EpollWait = unsafe extern "C" fn(User, c_int, *mut epoll_event, c_int, c_int) -> c_int;
type Splice =
    unsafe extern "C" fn(User, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> c_int;

/// Fills packetdrill's table. `flags` is what `--so_flags` says, or null.
///
/// Called by the thread that runs the script. Wrong flags end the process, as packetdrill's own do.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn packetdrill_interface_init(
    flags: *const c_char,
    interface: *mut Interface,
) {
    let flags = if flags.is_null() {
        ""
    } else {
        // SAFETY: packetdrill gives its option's text, ended by NUL, which lives as long as it
        // does.
        unsafe { CStr::from_ptr(flags) }.to_str().unwrap_or("?")
    };
    let settings = Settings::parse(flags).unwrap_or_else(|error| {
        eprintln!("--so_flags: {error}");
        std::process::exit(1)
    });
    let userdata = Box::into_raw(Box::new(Shared::new(settings))).cast();
    // SAFETY: packetdrill gives a table of its own to be filled, which nobody else uses yet.
    unsafe { interface.write(table(userdata)) };
}

fn table(userdata: User) -> Interface {
    Interface {
        userdata,
        free: Some(free),
        socket: Some(calls::socket),
        bind: Some(calls::bind),
        listen: Some(calls::listen),
        accept: Some(calls::accept),
        connect: Some(calls::connect),
        read: Some(messages::read),
        readv: Some(messages::readv),
        recv: Some(messages::recv),
        recvfrom: Some(messages::recvfrom),
        recvmsg: Some(messages::recvmsg),
        write: Some(messages::write),
        writev: Some(messages::writev),
        send: Some(messages::send),
        sendto: Some(messages::sendto),
        sendmsg: Some(messages::sendmsg),
        fcntl: Some(calls::fcntl),
        ioctl: Some(calls::ioctl),
        close: Some(calls::close),
        shutdown: Some(calls::shutdown),
        getsockopt: Some(calls::getsockopt),
        setsockopt: Some(calls::setsockopt),
        poll: Some(events::poll),
        netdev_send: Some(packets::netdev_send),
        netdev_receive: Some(packets::netdev_receive),
        usleep: Some(packets::usleep),
        gettimeofday: Some(packets::gettimeofday),
        epoll_create: Some(events::epoll_create),
        epoll_ctl: Some(events::epoll_ctl),
        epoll_wait: Some(events::epoll_wait),
        pipe: Some(events::pipe),
        splice: Some(events::splice),
    }
}

/// # Safety
/// `user` is the table's, and no other call is under way or comes later.
unsafe extern "C" fn free(user: User) {
    // SAFETY: it came from `Box::into_raw` in `packetdrill_interface_init`, and comes back once.
    drop(unsafe { Box::from_raw(user.cast::<Shared>()) });
}

/// What `userdata` points to.
///
/// # Safety
/// `user` is the table's and was not freed.
unsafe fn shared<'a>(user: User) -> &'a Shared {
    // SAFETY: it points to the box made in `packetdrill_interface_init`, which lives until `free`;
    // `Shared` may be used by several threads.
    unsafe { &*user.cast::<Shared>() }
}

/// A call's result as C has it.
fn give(result: Outcome<impl TryInto<ssize_t>>) -> ssize_t {
    match result {
        Ok(value) => value.try_into().unwrap_or(ssize_t::MAX),
        Err(Errno(errno)) => {
            // SAFETY: the address of this thread's errno is valid for as long as the thread is.
            unsafe { *libc::__errno_location() = errno };
            -1
        }
    }
}

fn give_int(result: Outcome<i32>) -> c_int {
    give(result) as c_int
}

fn give_nothing(result: Outcome<()>) -> c_int {
    give_int(result.map(|()| 0))
}
