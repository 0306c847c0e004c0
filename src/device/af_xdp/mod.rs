//! The AF_XDP backend: rings shared with the kernel, one socket and one UMEM per receive queue.
//!
//! [`Steer`] loads the XDP program of bpf/steer.bpf.c, attaches it to an interface and tells it
//! what is ours; one [`AfXdp`] per queue moves the frames. Order at start: attach, open the queues
//! (in their threads), then name addresses and endpoints, so that nothing is taken from the kernel
//! before somebody is there to serve it.

mod abi;
mod counters;
mod device;
mod error;
mod group;
mod jumbo;
mod mapping;
mod open;
mod privilege;
mod program;
mod ring;
mod shield;
mod socket;
mod steer;

pub use counters::SteerCounters;
pub use device::AfXdp;
pub use error::{AfXdpError, Attempt, Attempts, Errno};
pub use jumbo::fitting;
pub use shield::Shield;
pub use steer::{Steer, Verdict};

/// The mode that the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The first that works of zero-copy, copy and generic.
    #[default]
    Auto,
    /// The driver receives into our frames and transmits from them.
    ZeroCopy,
    /// The kernel copies between the driver's buffers and our frames.
    Copy,
    /// As copy, on the kernel's own XDP hook: slowest, works with any driver.
    Generic,
}

impl Mode {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Auto => "auto",
            Mode::ZeroCopy => "zero-copy",
            Mode::Copy => "copy",
            Mode::Generic => "generic",
        }
    }
}

/// The mode that a queue got, as the kernel itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obtained {
    /// See [`Mode::ZeroCopy`].
    ZeroCopy,
    /// See [`Mode::Copy`].
    Copy,
    /// See [`Mode::Generic`].
    Generic,
}

impl Obtained {
    /// Its name in the ready line.
    pub const fn name(self) -> &'static str {
        match self {
            Obtained::ZeroCopy => "zero-copy",
            Obtained::Copy => "copy",
            Obtained::Generic => "generic",
        }
    }
}

/// What this backend needs to know of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// Name of its driver, for messages.
    pub driver: String,
    /// Receive queues.
    pub rx_queues: u32,
    /// Transmit queues.
    pub tx_queues: u32,
}

/// How our calls drive the driver when the engine spins (`SO_PREFER_BUSY_POLL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusyPoll {
    /// Microseconds that one call may wait for packets.
    pub micros: u32,
    /// Packets that one call may process.
    pub budget: u32,
}

impl Default for BusyPoll {
    fn default() -> BusyPoll {
        BusyPoll { micros: 20, budget: 64 }
    }
}

/// Settings of one queue. Ring sizes are numbers of entries, powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfXdpConfig {
    /// The receive queue.
    pub queue: u32,
    /// The mode wanted.
    pub mode: Mode,
    /// Busy polling, for an engine that spins.
    pub busy_poll: Option<BusyPoll>,
    /// Frames that wait to be received into; at most half of the pool is used.
    pub fill_ring: u32,
    /// Packets received and not yet taken; one larger than a page takes an entry for each page.
    pub rx_ring: u32,
    /// Packets to transmit, likewise; the completion ring has as many entries.
    pub tx_ring: u32,
    /// See [`LinkProperties::accept_partial_checksums`](super::LinkProperties).
    pub accept_partial_checksums: bool,
}

impl Default for AfXdpConfig {
    fn default() -> AfXdpConfig {
        AfXdpConfig {
            queue: 0,
            mode: Mode::Auto,
            busy_poll: None,
            fill_ring: 4_096,
            rx_ring: 2_048,
            tx_ring: 2_048,
            accept_partial_checksums: false,
        }
    }
}
