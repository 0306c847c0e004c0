//! The other load: clients that send as fast as they may, or receive as fast as they can.

use core::time::Duration;
use std::collections::VecDeque;

use sidestep::device::{Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, Waker};
use sidestep::time::Instant;
use sidestep::wire::tcp::Flags;

use crate::generator::Load;
use crate::traffic::{self, Fields, SERVER_MAC, Seen, Template};

/// Bytes that a client has on the way to the server at most: what a window without a scale can
/// say. Servers that read at once have it open always, so clients don't look.
const FLIGHT: u32 = 65_535;
/// Bytes of TCP's options in a segment with timestamps.
const TIMESTAMPS: u16 = 12;
/// Receives without anything in between after which the server is taken for dead.
const PATIENCE: u32 = 1_000_000;

/// Whose bytes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The clients send.
    ToServer,
    /// The server sends; clients acknowledge every second segment, and any when nothing else
    /// comes.
    ToClients,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    snd_una: u32,
    snd_nxt: u32,
    rcv_nxt: u32,
    ts_recent: u32,
    /// Segments received and not acknowledged.
    owed: u32,
}

/// A network interface with clients on the other side that transfer in bulk, all in the same
/// direction. Segments are full but for their options; nothing is lost.
#[derive(Debug)]
pub struct Bulk {
    pool: Pool,
    link: LinkProperties,
    direction: Direction,
    clients: Vec<Client>,
    /// Who sends next.
    at: usize,
    /// Bytes of a full segment.
    payload: u32,
    alone: bool,
    left: u64,
    received: u64,
    opened: u32,
    /// Who acknowledges, and up to where.
    acks: VecDeque<(u32, u32)>,
    arp: Option<Vec<u8>>,
    posted: Vec<u32>,
    clock_ms: u32,
    fruitless: u32,
    data: Template,
    ack: Template,
}

impl Bulk {
    /// For segments of `mss` bytes, options included.
    pub fn new(pool: Pool, direction: Direction, clients: u32, mss: u16) -> Bulk {
        let payload = mss - TIMESTAMPS;
        let link = LinkProperties {
            mac: SERVER_MAC,
            mtu: mss + 40,
            name: String::from("bulk"),
            accept_partial_checksums: false,
        };
        Bulk {
            pool,
            link,
            direction,
            clients: vec![Client::default(); clients as usize],
            at: 0,
            payload: u32::from(payload),
            alone: false,
            left: 0,
            received: 0,
            opened: 0,
            acks: VecDeque::new(),
            arp: None,
            posted: Vec::new(),
            clock_ms: 0,
            fruitless: 0,
            data: Template::data(&vec![b'c'; usize::from(payload)]),
            ack: Template::data(&[]),
        }
    }

    /// The same for a server that answers nothing: all clients are connected, and whatever they
    /// send is acknowledged.
    #[must_use]
    pub fn alone(mut self) -> Bulk {
        self.alone = true;
        self
    }

    /// The SYNs that open all connections, one for each client: they come first.
    fn connect(&mut self, batch: &mut Batch) {
        let syn = Template::syn(self.link.mtu - 40);
        while batch.room() > 0 && self.at < self.clients.len() {
            if !self.put(&syn, self.at as u32, batch) {
                return;
            }
            self.at += 1;
        }
    }

    /// Whether all clients are connected.
    pub fn is_open(&self) -> bool {
        self.alone || self.opened as usize == self.clients.len()
    }

    /// Has the clients send so many bytes.
    pub fn send(&mut self, bytes: u64) {
        self.left = bytes;
    }

    /// Whether all of them are sent.
    pub fn is_sent(&self) -> bool {
        self.left == 0
    }

    /// Bytes received by the clients.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of payload of a full segment.
    pub fn payload(&self) -> u32 {
        self.payload
    }

    fn put(&self, template: &Template, client: u32, batch: &mut Batch) -> bool {
        self.put_ack(template, client, self.clients[client as usize].rcv_nxt, batch)
    }

    fn put_ack(&self, template: &Template, client: u32, ack: u32, batch: &mut Batch) -> bool {
        let Client { snd_nxt, ts_recent, .. } = self.clients[client as usize];
        let fields =
            Fields { client, seq: snd_nxt, ack, ts_value: self.clock_ms, ts_echo: ts_recent };
        traffic::deliver(&self.pool, batch, template.len(), |to| template.write(to, &fields))
    }

    fn send_data(&mut self, batch: &mut Batch) {
        for _ in 0..self.clients.len() {
            while batch.room() > 0 && self.left > 0 {
                let Client { snd_una, snd_nxt, .. } = self.clients[self.at];
                let flight = snd_nxt.wrapping_sub(snd_una);
                if flight + self.payload > FLIGHT || !self.put(&self.data, self.at as u32, batch) {
                    break;
                }
                let client = &mut self.clients[self.at];
                client.snd_nxt = snd_nxt.wrapping_add(self.payload);
                if self.alone {
                    client.snd_una = client.snd_nxt;
                }
                self.left = self.left.saturating_sub(u64::from(self.payload));
            }
            self.at = if self.at + 1 == self.clients.len() { 0 } else { self.at + 1 };
        }
    }

    fn acknowledge(&mut self, batch: &mut Batch) {
        while batch.room() > 0
            && let Some(&(client, ack)) = self.acks.front()
            && self.put_ack(&self.ack, client, ack, batch)
        {
            self.clients[client as usize].owed = 0;
            self.acks.pop_front();
        }
    }

    /// Nothing else goes on: what waits for a second segment waits no longer.
    fn acknowledge_all(&mut self) {
        let owing = self.clients.iter().enumerate().filter(|(_, client)| client.owed > 0);
        self.acks.extend(owing.map(|(n, client)| (n as u32, client.rcv_nxt)));
    }

    fn take(&mut self, seen: &Seen) {
        let client = &mut self.clients[seen.client as usize];
        client.ts_recent = seen.ts_value;
        self.fruitless = 0;
        if seen.flags.contains(Flags::SYN) {
            client.snd_nxt = client.snd_nxt.wrapping_add(1);
            (client.snd_una, client.rcv_nxt) = (client.snd_nxt, seen.seq.wrapping_add(1));
            self.opened += 1;
            self.acks.push_back((seen.client, client.rcv_nxt));
            return;
        }
        assert!(seen.seq == client.rcv_nxt && !seen.flags.intersects(Flags::RST | Flags::FIN));
        client.snd_una = seen.ack;
        if seen.payload > 0 {
            client.rcv_nxt = client.rcv_nxt.wrapping_add(seen.payload as u32);
            self.received += seen.payload as u64;
            client.owed += 1;
            if client.owed.is_multiple_of(2) {
                self.acks.push_back((seen.client, client.rcv_nxt));
            }
        }
    }
}

impl Load for Bulk {
    fn set_time(&mut self, now: Instant) {
        self.clock_ms = now.millis() as u32;
    }
}

impl Device for Bulk {
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
        if let Some(packet) = self.arp.take() {
            // Without a frame it is lost; the server asks again.
            traffic::deliver(&self.pool, batch, packet.len(), |to| to.copy_from_slice(&packet));
        }
        if !self.is_open() {
            // Before those that are open have all room for what they acknowledge.
            self.connect(batch);
        }
        self.acknowledge(batch);
        match self.direction {
            Direction::ToServer if self.left > 0 && self.is_open() => {
                self.at %= self.clients.len();
                self.send_data(batch);
            }
            Direction::ToClients if batch.frames().is_empty() => {
                self.acknowledge_all();
                self.acknowledge(batch);
            }
            _ => {}
        }
        if batch.frames().is_empty() {
            self.fruitless += 1;
            assert!(self.fruitless < PATIENCE, "the server has stopped");
        }
    }

    fn room(&self) -> usize {
        1 << 20
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        let packet = self.pool.bytes(frame);
        match traffic::read::<false>(packet) {
            Some(seen) => self.take(&seen),
            None => self.arp = traffic::arp_reply(packet),
        }
        self.pool.post(frame);
        self.posted.push(self.pool.position(frame));
        true
    }

    fn flush(&mut self) {}

    fn wait(&mut self, _timeout: Option<Duration>, _waker: &Waker) {}

    fn counters(&self) -> DeviceCounters {
        DeviceCounters::default()
    }
}
