//! How often the kernel sends a SYN-ACK again, for the backend on its sockets: no library sets it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets `TCP_SYNCNT` (1 to 127). A listening socket keeps to it for its SYN-ACKs, and else to the
/// sysctl `net.ipv4.tcp_synack_retries`.
///
/// # Errors
/// What the system answered.
pub(crate) fn set(socket: &impl AsFd, tries: u8) -> io::Result<()> {
    let (socket, value) = (socket.as_fd().as_raw_fd(), libc::c_int::from(tries));
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as it is borrowed, and `value` is as long as `len`
    // says.
    let answer = unsafe {
        let value = core::ptr::from_ref(&value).cast();
        libc::setsockopt(socket, libc::IPPROTO_TCP, libc::TCP_SYNCNT, value, len)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(socket: &impl AsFd) -> libc::c_int {
        let (mut value, mut len) = (0, size_of::<libc::c_int>() as libc::socklen_t);
        // SAFETY: `value` is as long as `len` says, and both live longer than the call.
        let answer = unsafe {
            let value = core::ptr::from_mut(&mut value).cast();
            let socket = socket.as_fd().as_raw_fd();
            libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_SYNCNT, value, &mut len)
        };
        assert_eq!(answer, 0);
        value
    }

    #[test]
    fn the_kernel_takes_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        set(&listener, 3).expect("three");
        assert_eq!(get(&listener), 3);
        assert_eq!(set(&listener, 0).expect_err("none").kind(), io::ErrorKind::InvalidInput);
    }
}
