//! The two questions to a driver that netlink doesn't answer: its name, and how many queues it
//! uses.
//!
//! By ioctl and not from /sys, which shows the network namespace that it was mounted in and not the
//! one of the thread that asks.
#![allow(unsafe_code)]

use core::mem::size_of;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// What can be asked with ETHTOOL_...: starts with the command's number, any bytes are a value.
trait Question {}
impl Question for DriverInfo {}
impl Question for Channels {}

/// Name of the driver of `interface`.
///
/// # Errors
/// There is no such interface, or the driver doesn't say.
pub(crate) fn driver(interface: &str) -> io::Result<String> {
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    ask(interface, &mut info)?;
    let end = info.driver.iter().position(|&byte| byte == 0).unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..end]).into_owned())
}

/// Receive and transmit queues that `interface` uses.
///
/// # Errors
/// There is no such interface, or the driver doesn't say.
pub(crate) fn queues(interface: &str) -> io::Result<(u32, u32)> {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    ask(interface, &mut channels)?;
    Ok((channels.rx + channels.combined, channels.tx + channels.combined))
}

fn ask<T: Question>(interface: &str, question: &mut T) -> io::Result<()> {
    // SAFETY: a plain structure of integers and null pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = core::ptr::from_mut(question).cast();
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the kernel reads the command and writes one structure of that command, which
    // `question` is; both structures live until the call returns.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const _: () = assert!(size_of::<DriverInfo>() == 196 && size_of::<Channels>() == 36);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_an_error() {
        let error = driver("no-such-if").expect_err("no such interface");
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let error = queues("a-name-longer-than-the-kernel-takes").expect_err("too long");
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
