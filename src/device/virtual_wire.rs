//! A device in memory: its other end is a [`Port`] that a test, the simulator or a generator holds.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::{Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, Waker};

/// Packets that one direction of the wire holds before the sender's ring is full.
const WIRE_PACKETS: usize = 4_096;
/// Bytes of an Ethernet header with one VLAN tag.
const LINK_HEADER: usize = 18;

#[derive(Debug, Default)]
struct Wire {
    to_port: VecDeque<Vec<u8>>,
    to_device: VecDeque<Vec<u8>>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
}

impl Wire {
    fn packet(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packet = self.spare.pop().unwrap_or_default();
        packet.clear();
        packet.extend_from_slice(bytes);
        packet
    }
}

/// An engine's end of a wire in memory.
///
/// Transmitted frames are completed at the next [`Device::receive`], as a NIC would: later than the
/// call, so that the rules about posted frames are at work here too.
#[derive(Debug)]
pub struct VirtualDevice {
    pool: Pool,
    link: LinkProperties,
    wire: Rc<RefCell<Wire>>,
    posted: VecDeque<u32>,
    counters: DeviceCounters,
}

/// The other end of a [`VirtualDevice`]: whole packets, as byte vectors.
#[derive(Clone, Debug)]
pub struct Port(Rc<RefCell<Wire>>);

impl VirtualDevice {
    /// Makes a device over `pool` and the port at its other end.
    pub fn new(pool: Pool, mac: [u8; 6], mtu: u16) -> (VirtualDevice, Port) {
        let wire = Rc::new(RefCell::new(Wire::default()));
        let link = LinkProperties {
            mac,
            mtu,
            name: String::from("virtual"),
            accept_partial_checksums: false,
        };
        let device = VirtualDevice {
            pool,
            link,
            wire: Rc::clone(&wire),
            posted: VecDeque::new(),
            counters: DeviceCounters::default(),
        };
        (device, Port(wire))
    }
}

impl Port {
    /// Gives a packet to the device; it is received in the engine's next turn.
    pub fn send(&self, packet: &[u8]) {
        let mut wire = self.0.borrow_mut();
        let packet = wire.packet(packet);
        wire.to_device.push_back(packet);
    }

    /// Takes the oldest packet that the device transmitted.
    pub fn receive(&self) -> Option<Vec<u8>> {
        self.0.borrow_mut().to_port.pop_front()
    }

    /// Gives a packet's buffer back for use by a later one.
    pub fn recycle(&self, packet: Vec<u8>) {
        self.0.borrow_mut().spare.push(packet);
    }

    /// Packets that the device has not yet received.
    pub fn unreceived(&self) -> usize {
        self.0.borrow().to_device.len()
    }
}

impl Device for VirtualDevice {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn link(&self) -> &LinkProperties {
        &self.link
    }

    fn receive(&mut self, batch: &mut Batch) {
        for position in self.posted.drain(..) {
            self.pool.complete(position);
        }
        let mut wire = self.wire.borrow_mut();
        while batch.room() > 0 {
            let Some(packet) = wire.to_device.pop_front() else { return };
            let largest = self.pool.frame_size() - Pool::RX_HEADROOM;
            let fits = packet.len() <= largest;
            match if fits { self.pool.take_for_fill() } else { None } {
                Some(position) => {
                    let mut frame = self.pool.received(position, Pool::RX_HEADROOM, packet.len());
                    self.pool.bytes_mut(&mut frame).copy_from_slice(&packet);
                    self.counters.rx_packets += 1;
                    batch.push(frame);
                }
                None => self.counters.rx_dropped += 1,
            }
            wire.spare.push(packet);
        }
    }

    fn room(&self) -> usize {
        WIRE_PACKETS.saturating_sub(self.wire.borrow().to_port.len())
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        if self.room() == 0 {
            return false;
        }
        // A link would lose it without a word: here it must be noticed.
        let longest = LINK_HEADER + usize::from(self.link.mtu);
        assert!(frame.len() <= longest, "a frame of {} bytes, {longest} fit", frame.len());
        let mut wire = self.wire.borrow_mut();
        let packet = wire.packet(self.pool.bytes(frame));
        wire.to_port.push_back(packet);
        self.pool.post(frame);
        self.posted.push_back(self.pool.position(frame));
        self.counters.tx_packets += 1;
        true
    }

    fn flush(&mut self) {}

    fn wait(&mut self, _timeout: Option<Duration>, _waker: &Waker) {}

    fn counters(&self) -> DeviceCounters {
        self.counters
    }
}
