//! A TAP interface: the kernel is the peer at the other end of the wire. For trying the stack where
//! there is no network card to give away.
#![allow(unsafe_code)]

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use super::poll::{poll, polled};
use super::{Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, Waker};

const CLONE_DEVICE: &str = "/dev/net/tun";
/// Packets between two flushes: enough for a turn, and a bound to what one turn may cost.
const TRANSMIT_ROOM: usize = 1_024;

/// Settings of a [`Tap`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapConfig {
    /// Name of the interface, at most 15 bytes. Made if there is none; gone at the end unless it
    /// was made persistent before.
    pub name: String,
    /// Our hardware address: not the interface's own, which is the kernel's end of the wire.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes. The interface's own must not be larger.
    pub mtu: u16,
    /// Whether this is one of several queues of the interface: the n-th one opened is queue n.
    pub multi_queue: bool,
}

impl TapConfig {
    /// A single queue of 1,500-byte packets with a locally administered address.
    pub fn new(name: &str) -> TapConfig {
        let mac = [0x02, 0x53, 0x54, 0x45, 0x50, 0x01];
        TapConfig { name: name.into(), mac, mtu: 1_500, multi_queue: false }
    }
}

/// Why a TAP device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The name can't be one of an interface.
    #[error("configuration: '{name}' can't name a TAP interface: 1 to 15 bytes, no '/' or space")]
    Name {
        /// The name.
        name: String,
    },
    /// Packets don't fit a frame.
    #[error(
        "configuration: TAP packets of {mtu} bytes and their header don't fit a frame of \
         {frame_size} bytes: lower the MTU or use larger frames"
    )]
    Mtu {
        /// The MTU asked for.
        mtu: u16,
        /// Bytes of a frame.
        frame_size: usize,
    },
    /// The kernel's TAP driver is not there.
    #[error(
        "machine: opening {CLONE_DEVICE} failed ({source}): load the driver (modprobe tun), or in \
         a container pass the device in (--device {CLONE_DEVICE})"
    )]
    NoDriver {
        /// What the system answered.
        source: io::Error,
    },
    /// The interface can't be had.
    #[error("machine: making or taking TAP interface {name} failed ({source}): {advice}")]
    Refused {
        /// Its name.
        name: String,
        /// What the system answered.
        source: io::Error,
        /// What to do.
        advice: &'static str,
    },
}

/// One queue of a TAP interface. Every packet is copied, by one system call each.
#[derive(Debug)]
pub struct Tap {
    file: File,
    pool: Pool,
    link: LinkProperties,
    room: usize,
    counters: DeviceCounters,
}

impl Tap {
    /// Takes the TAP interface called `config.name`, or makes it. Bringing it up and giving the
    /// kernel's end an address is the caller's business.
    ///
    /// # Errors
    /// See [`TapError`].
    pub fn open(config: &TapConfig, pool: Pool) -> Result<Tap, TapError> {
        let TapConfig { name, mac, mtu, multi_queue } = config;
        let bad = |byte: u8| byte == b'/' || byte.is_ascii_whitespace() || byte == 0;
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.bytes().any(bad) {
            return Err(TapError::Name { name: name.clone() });
        }
        let frame_size = pool.frame_size();
        if Pool::RX_HEADROOM + 18 + usize::from(*mtu) > frame_size {
            return Err(TapError::Mtu { mtu: *mtu, frame_size });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
        let file = options.open(CLONE_DEVICE).map_err(|source| TapError::NoDriver { source })?;
        take_interface(&file, name, *multi_queue).map_err(|source| TapError::Refused {
            name: name.clone(),
            advice: advice(&source),
            source,
        })?;
        let link = LinkProperties {
            mac: *mac,
            mtu: *mtu,
            name: format!("tap {name}"),
            accept_partial_checksums: false,
        };
        Ok(Tap { file, pool, link, room: TRANSMIT_ROOM, counters: DeviceCounters::default() })
    }

    /// Reads one packet. `None` if there is none, or no frame for it.
    fn read(&mut self) -> Option<Frame> {
        let position = self.pool.take_for_fill()?;
        let space = self.pool.frame_size() - Pool::RX_HEADROOM;
        let mut frame = self.pool.received(position, Pool::RX_HEADROOM, space);
        self.counters.kicks += 1;
        // The interface's MTU may be larger than ours: a packet that fills the frame was cut off.
        match self.file.read(self.pool.bytes_mut(&mut frame)) {
            Ok(len) if len < space => {
                frame.truncate(len);
                self.counters.rx_packets += 1;
                return Some(frame);
            }
            Ok(_) => self.counters.rx_dropped += 1,
            // Empty, or the interface is down: nothing comes either way.
            Err(_) => {}
        }
        self.pool.release(frame);
        None
    }
}

impl Device for Tap {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn link(&self) -> &LinkProperties {
        &self.link
    }

    fn receive(&mut self, batch: &mut Batch) {
        while batch.room() > 0 {
            let Some(frame) = self.read() else { return };
            batch.push(frame);
        }
    }

    fn room(&self) -> usize {
        self.room
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        if self.room == 0 {
            return false;
        }
        self.counters.kicks += 1;
        match self.file.write(self.pool.bytes(frame)) {
            Ok(_) => self.counters.tx_packets += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Full: nothing more before the next flush.
                self.room = 0;
                return false;
            }
            // The interface is down or the packet malformed: lost, as on a wire.
            Err(_) => self.counters.tx_dropped += 1,
        }
        self.room -= 1;
        // The kernel has its copy: sent and completed in one.
        self.pool.post(frame);
        self.pool.complete(self.pool.position(frame));
        true
    }

    fn flush(&mut self) {
        self.room = TRANSMIT_ROOM;
    }

    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker) {
        let (tap, waker) = (self.file.as_raw_fd(), waker.as_raw_fd());
        let mut both = [polled(tap, libc::POLLIN), polled(waker, libc::POLLIN)];
        // An error is a wake-up: the engine looks for work and comes back.
        let _ = poll(&mut both, timeout);
    }

    fn counters(&self) -> DeviceCounters {
        self.counters
    }
}

fn take_interface(file: &File, name: &str, multi_queue: bool) -> io::Result<()> {
    // SAFETY: a plain structure of integers and null pointers, for which zero is a value.
    let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let queues = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | queues) as libc::c_short;
    // SAFETY: the request is one `ifreq`, as this command takes, and lives until the call returns.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as libc::Ioctl, &request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn advice(answer: &io::Error) -> &'static str {
    match answer.raw_os_error() {
        Some(libc::EPERM) => {
            "run as root or with CAP_NET_ADMIN, or let an administrator make it for this user \
             (ip tuntap add NAME mode tap user USER)"
        }
        Some(libc::EBUSY) => "another process has it: end that, or choose another name",
        Some(libc::EINVAL) => {
            "there is an interface of that name that is no TAP, or has another number of queues: \
             choose another name"
        }
        _ => "choose another name, or another backend",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::PoolConfig;

    fn pool() -> Pool {
        let config = PoolConfig { frames: 16, reserve: 2, ..PoolConfig::default() };
        Pool::new(config).expect("frames")
    }

    #[test]
    fn names_are_checked_before_the_kernel_sees_them() {
        for name in ["", "a-name-of-16-byte", "a/b", "a b"] {
            let error = Tap::open(&TapConfig::new(name), pool()).expect_err("a bad name");
            assert!(matches!(error, TapError::Name { .. }), "{error}");
        }
    }

    #[test]
    fn packets_must_fit_a_frame() {
        let config = TapConfig { mtu: 1_903, ..TapConfig::new("x0") };
        let error = Tap::open(&config, pool()).expect_err("too large");
        assert!(matches!(error, TapError::Mtu { mtu: 1_903, frame_size: 2_048 }), "{error}");
    }
}
