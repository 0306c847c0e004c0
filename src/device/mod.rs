//! Where frames come from and go to: the [`Device`] trait, the frame [`Pool`], and the devices.
//!
//! All of the crate's unsafe code is in this folder, file by file behind `#![allow(unsafe_code)]`.

#[cfg(feature = "af-xdp")]
pub mod af_xdp;
#[cfg(feature = "runtime")]
pub(crate) mod ethtool;
#[cfg(debug_assertions)]
mod faulty;
mod frame;
mod memory;
#[cfg(feature = "runtime")]
mod netns;
mod pcap;
mod place;
#[cfg(any(feature = "af-xdp", feature = "tap"))]
mod poll;
mod pool;
pub(crate) mod prefetch;
mod queue;
mod record;
#[cfg(feature = "kernel")]
pub(crate) mod syn_count;
#[cfg(feature = "tap")]
mod tap;
mod virtual_wire;
mod waker;

#[cfg(debug_assertions)]
pub use faulty::Faulty;
pub use frame::Frame;
pub use memory::Pages;
#[cfg(feature = "runtime")]
pub use netns::enter_namespace;
pub use pcap::Tee;
pub use place::{Census, Place};
pub use pool::{Class, Pool, PoolConfig, PoolError};
pub use queue::Chunks;
#[cfg(feature = "tap")]
pub use tap::{Tap, TapConfig, TapError};
pub use virtual_wire::{Port, VirtualDevice};
pub use waker::Waker;

pub(crate) use frame::FrameRef;
pub(crate) use queue::FrameQueue;
pub(crate) use record::Marks;

use core::time::Duration;

use crate::tcp::cookie::Tuple;

/// What an engine needs to know of its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkProperties {
    /// Our hardware address.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Name and mode, for reports: `af-xdp copy eth1/0`.
    pub name: String,
    /// Accept a TCP checksum field that holds only the pseudo-header's sum: what a veth peer with
    /// transmit offload hands over.
    pub accept_partial_checksums: bool,
}

/// What a device counted itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets handed over for transmission.
    pub tx_packets: u64,
    /// Packets that the device or the kernel lost before the rx ring (ring full, fill ring empty).
    pub rx_dropped: u64,
    /// Packets that the device refused to transmit.
    pub tx_dropped: u64,
    /// System calls made to move packets.
    pub kicks: u64,
}

/// What a SYN-ACK of ours offers, whatever the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynAckOffer {
    /// Largest segment that we take over IPv4, without options.
    pub mss_v4: u16,
    /// The same over IPv6.
    pub mss_v6: u16,
    /// The window field.
    pub window: u16,
    /// Our window scale, if we scale.
    pub window_scale: Option<u8>,
    /// We take selective acknowledgements.
    pub sack: bool,
    /// We have timestamps.
    pub timestamps: bool,
    /// We agree to classic ECN (RFC 3168).
    pub classic_ecn: bool,
    /// We agree to accurate ECN (RFC 9768).
    pub accurate_ecn: bool,
}

/// The frames received in one turn, up to a limit.
#[derive(Debug)]
pub struct Batch {
    frames: Vec<Frame>,
    limit: usize,
}

impl Batch {
    /// An empty batch of at most `limit` frames.
    pub fn new(limit: usize) -> Batch {
        Batch { frames: Vec::with_capacity(limit), limit }
    }

    /// How many more frames fit.
    pub fn room(&self) -> usize {
        self.limit - self.frames.len()
    }

    /// Adds a received frame.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push(&mut self, frame: Frame) {
        assert!(self.room() > 0, "batch is full");
        self.frames.push(frame);
    }

    /// The frames.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Takes the frames out, leaving the batch empty.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Frame> {
        self.frames.drain(..)
    }
}

/// A network interface's queue: moves frames of one [`Pool`] in and out.
///
/// The device keeps a handle to its pool. It marks what it puts into its transmit ring with
/// [`Pool::post`] and [`Pool::complete`]; it takes frames to receive into with
/// [`Pool::take_for_fill`] and gives them out with [`Pool::received`].
pub trait Device {
    /// The pool whose frames it moves.
    fn pool(&self) -> &Pool;

    /// Properties of the link.
    fn link(&self) -> &LinkProperties;

    /// Completes what was transmitted, refills the fill ring, and moves received packets to `batch`
    /// while it has room.
    fn receive(&mut self, batch: &mut Batch);

    /// Packets that [`Device::transmit`] will take before the next [`Device::flush`].
    fn room(&self) -> usize;

    /// Puts the view of `frame` into the transmit ring. The caller keeps the token and must not
    /// change the frame until it is completed; it may release it. Returns false, having done
    /// nothing, if there is no room.
    fn transmit(&mut self, frame: &Frame) -> bool;

    /// Tells the driver about everything put into the transmit ring: the one kick of a turn.
    fn flush(&mut self);

    /// Sleeps until a packet arrives, `waker` wakes us or `timeout` is over (`None`: no limit).
    /// Called after [`Waker::before_sleep`]. A device in memory returns at once.
    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker);

    /// Says that SYNs come in such numbers that handshakes keep no state, and what our SYN-ACKs
    /// offer; `None` when it is over. Called when that changes. A device whose driver can answer
    /// with cookies lets it do so from now on, and lets it drop what is of no known flow and brings
    /// no cookie back. Others do nothing.
    fn flood(&mut self, offer: Option<&SynAckOffer>) {
        let _ = offer;
    }

    /// A flow has state here from now on, or has none any more: the driver must pass its segments.
    fn note_flow(&mut self, tuple: &Tuple, known: bool) {
        let _ = (tuple, known);
    }

    /// Whether the flow may have state on any core; false is certain where flows are noted.
    fn may_know(&self, tuple: &Tuple) -> bool {
        let _ = tuple;
        false
    }

    /// What it counted.
    fn counters(&self) -> DeviceCounters;
}
