//! Calls through the table, with Rust's types.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::ptr;

use libc::{epoll_event, iovec, msghdr, pollfd, sockaddr, socklen_t, ssize_t, timeval};

use crate::abi::{Interface, packetdrill_interface_init};

/// What a call gives: a value or its errno.
pub(super) type Given = Result<usize, i32>;

/// A table filled by [`packetdrill_interface_init`], freed with it.
pub(super) struct Driver(Interface);

// SAFETY: packetdrill calls the table's functions from two threads as well; that is what they are
// for.
unsafe impl Sync for Driver {}

impl Drop for Driver {
    fn drop(&mut self) {
        let free = self.0.free.expect("free");
        // SAFETY: nobody calls any more, and this is called once.
        unsafe { free(self.0.userdata) };
    }
}

/// Calls one function of the table with these arguments.
macro_rules! call {
    ($driver:expr, $name:ident $(, $argument:expr)*) => {{
        let function = $driver.0.$name.expect(stringify!($name));
        // SAFETY: the arguments are what the call of this name asks for, or null.
        given(unsafe { function($driver.0.userdata $(, $argument)*) } as ssize_t)
    }};
}

fn given(result: ssize_t) -> Given {
    usize::try_from(result).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

impl Driver {
    pub(super) fn new(flags: &str) -> Driver {
        let flags = CString::new(flags).expect("no NUL");
        let mut table = MaybeUninit::uninit();
        packetdrill_interface_init(flags.as_ptr(), table.as_mut_ptr());
        // SAFETY: filled by the call.
        Driver(unsafe { table.assume_init() })
    }

    pub(super) fn socket(&self, domain: c_int) -> c_int {
        let fd = call!(self, socket, domain, libc::SOCK_STREAM, libc::IPPROTO_TCP);
        fd.expect("a socket") as c_int
    }

    pub(super) fn socket_of(&self, domain: c_int, kind: c_int, protocol: c_int) -> Given {
        call!(self, socket, domain, kind, protocol)
    }

    pub(super) fn bind(&self, fd: c_int, at: SocketAddr) -> Given {
        let addr = raw(at);
        call!(self, bind, fd, addr.as_ptr().cast(), addr.len() as socklen_t)
    }

    pub(super) fn listen(&self, fd: c_int) -> Given {
        call!(self, listen, fd, 1)
    }

    pub(super) fn accept(&self, fd: c_int) -> Given {
        call!(self, accept, fd, ptr::null_mut(), ptr::null_mut())
    }

    /// The new socket, and the address as written into 32 bytes.
    pub(super) fn accept_from(&self, fd: c_int) -> (Given, Vec<u8>) {
        let mut addr = [0u8; 32];
        let mut len = addr.len() as socklen_t;
        let at: *mut sockaddr = addr.as_mut_ptr().cast();
        let given = call!(self, accept, fd, at, &raw mut len);
        (given, addr[..len as usize].to_vec())
    }

    pub(super) fn connect(&self, fd: c_int, to: SocketAddr) -> Given {
        let addr = raw(to);
        call!(self, connect, fd, addr.as_ptr().cast(), addr.len() as socklen_t)
    }

    pub(super) fn read(&self, fd: c_int, most: usize) -> Result<Vec<u8>, i32> {
        self.recv(fd, most, 0)
    }

    pub(super) fn recv(&self, fd: c_int, most: usize, flags: c_int) -> Result<Vec<u8>, i32> {
        let mut buf = vec![0u8; most];
        let n = call!(self, recv, fd, buf.as_mut_ptr().cast(), most, flags)?;
        buf.truncate(n);
        Ok(buf)
    }

    pub(super) fn read_to_null(&self, fd: c_int, most: usize) -> Given {
        call!(self, read, fd, ptr::null_mut(), most)
    }

    /// Reads into two pieces.
    pub(super) fn readv(&self, fd: c_int, sizes: [usize; 2]) -> Result<[Vec<u8>; 2], i32> {
        let mut bufs = sizes.map(|size| vec![0u8; size]);
        let pieces: Vec<iovec> = bufs.iter_mut().map(piece).collect();
        call!(self, readv, fd, pieces.as_ptr(), 2)?;
        Ok(bufs)
    }

    pub(super) fn recvmsg(&self, fd: c_int, most: usize) -> Result<Vec<u8>, i32> {
        let mut buf = vec![0u8; most];
        let mut pieces = [piece(&mut buf)];
        let mut message = message(&mut pieces);
        let n = call!(self, recvmsg, fd, &raw mut message, 0)?;
        buf.truncate(n);
        Ok(buf)
    }

    pub(super) fn write(&self, fd: c_int, bytes: &[u8]) -> Given {
        call!(self, write, fd, bytes.as_ptr().cast(), bytes.len())
    }

    pub(super) fn send(&self, fd: c_int, bytes: &[u8], flags: c_int) -> Given {
        call!(self, send, fd, bytes.as_ptr().cast(), bytes.len(), flags)
    }

    /// Writes two pieces.
    pub(super) fn writev(&self, fd: c_int, mut bufs: [Vec<u8>; 2]) -> Given {
        let pieces: Vec<iovec> = bufs.iter_mut().map(piece).collect();
        call!(self, writev, fd, pieces.as_ptr(), 2)
    }

    pub(super) fn sendmsg(&self, fd: c_int, mut bytes: Vec<u8>) -> Given {
        let mut pieces = [piece(&mut bytes)];
        let message = message(&mut pieces);
        call!(self, sendmsg, fd, &raw const message, 0)
    }

    pub(super) fn fcntl(&self, fd: c_int, command: c_int, argument: c_int) -> Given {
        call!(self, fcntl, fd, command, argument)
    }

    /// Bytes to be read.
    pub(super) fn unread(&self, fd: c_int) -> Result<c_int, i32> {
        let mut value = -1;
        call!(self, ioctl, fd, libc::FIONREAD, &raw mut value)?;
        Ok(value)
    }

    pub(super) fn close(&self, fd: c_int) -> Given {
        call!(self, close, fd)
    }

    /// Closes a descriptor behind the table's back, as packetdrill does at the end.
    pub(super) fn close_by_number(&self, fd: c_int) {
        // SAFETY: the descriptor's owner does not close it after this.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    }

    pub(super) fn shutdown(&self, fd: c_int, how: c_int) -> Given {
        call!(self, shutdown, fd, how)
    }

    pub(super) fn getsockopt(&self, fd: c_int, level: c_int, name: c_int) -> Result<c_int, i32> {
        let mut value: c_int = -1;
        let mut len = size_of::<c_int>() as socklen_t;
        let at: *mut c_void = (&raw mut value).cast();
        call!(self, getsockopt, fd, level, name, at, &raw mut len)?;
        Ok(value)
    }

    pub(super) fn setsockopt(
        &self,
        fd: c_int,
        level: c_int,
        name: c_int,
        value: &[c_int],
    ) -> Given {
        let len = size_of_val(value) as socklen_t;
        call!(self, setsockopt, fd, level, name, value.as_ptr().cast(), len)
    }

    /// The events of one descriptor.
    pub(super) fn poll(&self, fd: c_int, events: i16, timeout: c_int) -> i16 {
        let mut fds = [pollfd { fd, events, revents: -1 }];
        let count = call!(self, poll, fds.as_mut_ptr(), 1, timeout).expect("poll");
        assert_eq!(count, usize::from(fds[0].revents != 0));
        fds[0].revents
    }

    pub(super) fn epoll_create(&self) -> c_int {
        call!(self, epoll_create, 1).expect("epoll_create") as c_int
    }

    pub(super) fn epoll_ctl(
        &self,
        epoll: c_int,
        operation: c_int,
        fd: c_int,
        bits: c_int,
    ) -> Given {
        let mut event = epoll_event { events: bits as u32, u64: fd as u64 };
        call!(self, epoll_ctl, epoll, operation, fd, &raw mut event)
    }

    /// The events there are, with their data.
    pub(super) fn epoll_wait(&self, epoll: c_int, timeout: c_int) -> Vec<(c_int, u64)> {
        let mut events = [epoll_event { events: 0, u64: 0 }; 8];
        let n = call!(self, epoll_wait, epoll, events.as_mut_ptr(), 8, timeout);
        events[..n.expect("epoll_wait")]
            .iter()
            .map(|event| (event.events as c_int, event.u64))
            .collect()
    }

    pub(super) fn pipe(&self) -> Given {
        let mut fds = [0; 2];
        call!(self, pipe, fds.as_mut_ptr())
    }

    pub(super) fn netdev_send(&self, packet: &[u8]) -> Given {
        call!(self, netdev_send, packet.as_ptr().cast(), packet.len())
    }

    /// The next packet, and when it was sent, in microseconds; `None` if there is none.
    pub(super) fn netdev_receive(&self) -> Option<(i64, Vec<u8>)> {
        let mut packet = vec![0u8; 1 << 16];
        let (mut count, mut at) = (packet.len(), 0);
        let buf = packet.as_mut_ptr().cast();
        let given = call!(self, netdev_receive, buf, &raw mut count, &raw mut at);
        assert_eq!(given, Ok(0));
        packet.truncate(count);
        (count > 0).then_some((at, packet))
    }

    pub(super) fn usleep(&self, micros: u32) {
        assert_eq!(call!(self, usleep, micros), Ok(0));
    }

    /// The time in microseconds.
    pub(super) fn now(&self) -> i64 {
        let mut time = timeval { tv_sec: 0, tv_usec: 0 };
        assert_eq!(call!(self, gettimeofday, &raw mut time, ptr::null_mut()), Ok(0));
        time.tv_sec * 1_000_000 + time.tv_usec
    }
}

fn piece(buf: &mut Vec<u8>) -> iovec {
    iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() }
}

fn message(pieces: &mut [iovec]) -> msghdr {
    // SAFETY: null pointers and zeros are a message without name and control data.
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    message
}

/// A `sockaddr_in` or `sockaddr_in6`.
fn raw(addr: SocketAddr) -> Vec<u8> {
    let (family, rest) = match addr.ip() {
        IpAddr::V4(ip) => (libc::AF_INET, [&ip.octets()[..], &[0; 8]].concat()),
        IpAddr::V6(ip) => (libc::AF_INET6, [&[0; 4], &ip.octets()[..], &[0; 4]].concat()),
    };
    [&(family as u16).to_ne_bytes()[..], &addr.port().to_be_bytes(), &rest].concat()
}
