//! The load: many clients behind one [`Device`].

use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;

use sidestep::device::{Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, Waker};
use sidestep::time::Instant;
use sidestep::wire::tcp::Flags;

use crate::traffic::{self, Fields, PAYLOAD, QUIT, SERVER_MAC, Seen, Template};

/// Receives without an answer in between after which the server is taken for dead.
const PATIENCE: u32 = 100_000;

/// One client. Sixteen bytes: at a million of them, its own cache misses are the load's greatest
/// cost.
#[derive(Clone, Copy, Debug, Default)]
struct Client {
    snd_nxt: u32,
    rcv_nxt: u32,
    ts_recent: u32,
    waits: bool,
    /// It has not acknowledged its last response.
    owes: bool,
    /// It has sent its FIN.
    closing: bool,
}

/// What a client sends beside requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Syn,
    Ack,
    Fin,
    Quit,
}

impl Client {
    /// Forgets the last connection; the next one's numbers go on where that one's ended.
    fn connects(&mut self) {
        let snd_nxt = self.snd_nxt;
        *self = Client { snd_nxt, ..Client::default() };
    }

    fn has_sent(&mut self, kind: Kind) {
        self.owes = false;
        match kind {
            Kind::Syn | Kind::Ack => return,
            Kind::Fin => self.closing = true,
            Kind::Quit => {}
        }
        self.snd_nxt = self.snd_nxt.wrapping_add(1);
    }
}

/// What the clients do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing: as many requests as were asked for are sent.
    Idle,
    /// Client after client sends such a segment.
    Each { kind: Kind, next: u32, end: u32 },
    /// Requests, this many more.
    Request { left: u64 },
    /// Those clients acknowledge that are next in the cycle from here, as many as are left.
    Acknowledge { at: usize, left: usize },
}

/// A network interface with clients on the other side, and no network in between: what the server
/// receives is written by the clients as it receives it, and what it transmits is checked at once.
///
/// A client has one request under way at a time, and the next one acknowledges the response to it.
/// Responses are checked for what is cheap to check: addressee, numbers, length; all checksums that
/// the clients make are right.
///
/// A server that reflects packets as they are costs nothing but what the load itself does: see
/// [`Generator::reflected`].
#[derive(Debug)]
pub struct Generator {
    pool: Pool,
    link: LinkProperties,
    clients: Vec<Client>,
    /// Who sends, in turn.
    cycle: Vec<u32>,
    at: usize,
    per_turn: usize,
    phase: Phase,
    reflected: bool,
    /// Written before all else: the third segments of handshakes, ARP replies.
    replies: VecDeque<Reply>,
    posted: Vec<u32>,
    clock_ms: u32,
    answered: u64,
    /// Requests since clients last acknowledged without one.
    unacknowledged: u64,
    opened: u32,
    closed: u32,
    bare_acks: u64,
    fruitless: u32,
    request: Template,
    ack: Template,
    syn: Template,
    fin: Template,
    quit: Template,
}

/// A load that servers can be put on: the device, and everybody behind it.
pub trait Load: Device {
    /// Tells the clients' clock.
    fn set_time(&mut self, now: Instant);
}

#[derive(Debug)]
enum Reply {
    Segment(Kind, u32),
    Packet(Vec<u8>),
}

impl Generator {
    /// Clients that send in the order of `cycle`, at most `per_turn` packets each time the server
    /// receives.
    ///
    /// # Panics
    /// If `cycle` is empty or names a client that is not there.
    pub fn new(pool: Pool, clients: u32, cycle: Vec<u32>, per_turn: usize) -> Generator {
        assert!(!cycle.is_empty() && cycle.iter().all(|&each| each < clients));
        let client = |n: u32| {
            let snd_nxt = n.wrapping_mul(0x9e37_79b9);
            Client { snd_nxt, ..Client::default() }
        };
        let link = LinkProperties {
            mac: SERVER_MAC,
            mtu: 1_500,
            name: String::from("generator"),
            accept_partial_checksums: false,
        };
        Generator {
            pool,
            link,
            clients: (0..clients).map(client).collect(),
            cycle,
            at: 0,
            per_turn,
            phase: Phase::Idle,
            reflected: false,
            replies: VecDeque::new(),
            posted: Vec::new(),
            clock_ms: 0,
            answered: 0,
            unacknowledged: 0,
            opened: 0,
            closed: 0,
            bare_acks: 0,
            fruitless: 0,
            request: Template::data(&core::array::from_fn::<u8, PAYLOAD, _>(|n| n as u8)),
            ack: Template::data(&[]),
            syn: Template::syn(1_460),
            fin: Template::fin(),
            quit: Template::data(&[QUIT]),
        }
    }

    /// The same for a server that transmits requests, SYN and FIN as it received them, and nothing
    /// else. Its clients take each for the answer to it.
    #[must_use]
    pub fn reflected(mut self) -> Generator {
        self.reflected = true;
        self
    }

    /// Clients there are.
    pub fn clients(&self) -> u32 {
        self.clients.len() as u32
    }

    /// Has these clients connect.
    pub fn connect(&mut self, clients: Range<u32>) {
        self.opened = 0;
        self.each(Kind::Syn, clients);
    }

    /// Has these clients close their connections: they send FIN, and acknowledge the server's.
    pub fn close(&mut self, clients: Range<u32>) {
        self.closed = 0;
        self.each(Kind::Fin, clients);
    }

    /// Has these clients ask the server to close, with a request of the one byte [`QUIT`].
    pub fn quit(&mut self, clients: Range<u32>) {
        self.closed = 0;
        self.each(Kind::Quit, clients);
    }

    fn each(&mut self, kind: Kind, Range { start, end }: Range<u32>) {
        self.phase = Phase::Each { kind, next: start, end };
    }

    /// Has the clients send `requests` requests in all.
    pub fn request(&mut self, requests: u64) {
        self.unacknowledged += requests;
        self.phase = Phase::Request { left: requests };
    }

    /// Has all clients acknowledge what they have received.
    pub fn acknowledge(&mut self) {
        let len = self.cycle.len();
        let recent = core::mem::take(&mut self.unacknowledged).min(len as u64) as usize;
        let at = (self.at + len - recent) % len;
        self.phase = Phase::Acknowledge { at, left: recent };
    }

    /// Whether everything asked for is sent.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Idle && self.replies.is_empty()
    }

    /// Responses received.
    #[inline]
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Clients that have connected since they were last asked to.
    pub fn opened(&self) -> u32 {
        self.opened
    }

    /// Clients that have the server's FIN, since they were last asked to close.
    pub fn closed(&self) -> u32 {
        self.closed
    }

    /// Segments received that carried nothing.
    pub fn bare_acks(&self) -> u64 {
        self.bare_acks
    }

    /// Writes a packet into the next frame. False if there is no frame for it.
    #[inline]
    fn put(&self, template: &Template, client: u32, batch: &mut Batch) -> bool {
        let Client { snd_nxt, rcv_nxt, ts_recent, .. } = self.clients[client as usize];
        let fields = Fields {
            client,
            seq: snd_nxt,
            ack: rcv_nxt,
            ts_value: self.clock_ms,
            ts_echo: ts_recent,
        };
        traffic::deliver(&self.pool, batch, template.len(), |to| template.write(to, &fields))
    }

    fn reply(&mut self, batch: &mut Batch) {
        while batch.room() > 0
            && let Some(reply) = self.replies.pop_front()
        {
            let done = match &reply {
                Reply::Segment(kind, client) => self.put_kind(*kind, *client, batch),
                Reply::Packet(packet) => {
                    let write = |to: &mut [u8]| to.copy_from_slice(packet);
                    traffic::deliver(&self.pool, batch, packet.len(), write)
                }
            };
            if !done {
                self.replies.push_front(reply);
                return;
            }
        }
    }

    #[inline]
    fn send_requests(&mut self, mut left: u64, batch: &mut Batch) {
        let room = batch.room().min(self.per_turn);
        for _ in 0..left.min(room as u64) {
            let client = self.cycle[self.at];
            if self.clients[client as usize].waits || !self.put(&self.request, client, batch) {
                break;
            }
            let sender = &mut self.clients[client as usize];
            sender.waits = true;
            sender.snd_nxt = sender.snd_nxt.wrapping_add(PAYLOAD as u32);
            self.at = if self.at + 1 == self.cycle.len() { 0 } else { self.at + 1 };
            left -= 1;
        }
        self.phase = if left == 0 { Phase::Idle } else { Phase::Request { left } };
    }

    fn put_kind(&mut self, kind: Kind, client: u32, batch: &mut Batch) -> bool {
        if kind == Kind::Syn {
            self.clients[client as usize].connects();
        }
        let template = match kind {
            Kind::Syn => &self.syn,
            Kind::Ack => &self.ack,
            Kind::Fin => &self.fin,
            Kind::Quit => &self.quit,
        };
        let done = self.put(template, client, batch);
        if done {
            self.clients[client as usize].has_sent(kind);
        }
        done
    }

    fn send_each(&mut self, kind: Kind, mut next: u32, end: u32, batch: &mut Batch) {
        for _ in 0..batch.room().min(self.per_turn) {
            if next == end || !self.put_kind(kind, next, batch) {
                break;
            }
            next += 1;
        }
        self.phase = if next == end { Phase::Idle } else { Phase::Each { kind, next, end } };
    }

    fn acknowledge_more(&mut self, mut at: usize, mut left: usize, batch: &mut Batch) {
        let mut room = batch.room().min(self.per_turn);
        // Whoever came up again in the cycle has acknowledged all of it already: no packet, and no
        // turn in which nothing is received.
        while left > 0 && room > 0 {
            let client = self.cycle[at];
            if self.clients[client as usize].owes {
                if !self.put_kind(Kind::Ack, client, batch) {
                    break;
                }
                room -= 1;
            }
            at = if at + 1 == self.cycle.len() { 0 } else { at + 1 };
            left -= 1;
        }
        self.phase = if left == 0 { Phase::Idle } else { Phase::Acknowledge { at, left } };
    }

    /// A client receives a segment.
    #[inline]
    fn take(&mut self, seen: &Seen) {
        let reflected = self.reflected;
        let Some(client) = self.clients.get_mut(seen.client as usize) else {
            panic!("the server sent a segment to nobody: {seen:?}");
        };
        client.ts_recent = seen.ts_value;
        if seen.payload == PAYLOAD {
            let ack = if reflected { seen.ack.wrapping_add(PAYLOAD as u32) } else { seen.ack };
            let right = client.waits && seen.seq == client.rcv_nxt && ack == client.snd_nxt;
            assert!(right, "{seen:?} is no answer to {client:?}");
            client.waits = false;
            client.owes = true;
            client.rcv_nxt = client.rcv_nxt.wrapping_add(PAYLOAD as u32);
            self.answered += 1;
            self.fruitless = 0;
        } else {
            self.take_other(seen);
        }
    }

    #[cold]
    fn take_other(&mut self, seen: &Seen) {
        // A reflection acknowledges what went before it.
        let ack = seen.ack.wrapping_add(u32::from(self.reflected));
        let client = &mut self.clients[seen.client as usize];
        if seen.flags.contains(Flags::SYN) {
            client.snd_nxt = client.snd_nxt.wrapping_add(1);
            client.rcv_nxt = seen.seq.wrapping_add(1);
            assert_eq!(ack, client.snd_nxt, "SYN-ACK {seen:?}");
            self.opened += 1;
            self.fruitless = 0;
            self.replies.push_back(Reply::Segment(Kind::Ack, seen.client));
            return;
        }
        if seen.flags.contains(Flags::FIN) {
            return self.take_fin(seen, ack);
        }
        let bare = seen.flags == Flags::ACK && seen.payload == 0;
        match client.rcv_nxt.wrapping_sub(seen.seq) {
            0 if bare => self.bare_acks += 1,
            // RFC 9293 section 3.8.4: a keep-alive, and the answer to it.
            1 if bare => self.replies.push_back(Reply::Segment(Kind::Ack, seen.client)),
            _ => panic!("{seen:?} is not what {client:?} expects"),
        }
    }

    fn take_fin(&mut self, seen: &Seen, ack: u32) {
        let client = &mut self.clients[seen.client as usize];
        let right = seen.payload == 0 && seen.seq == client.rcv_nxt && ack == client.snd_nxt;
        assert!(right, "{seen:?} does not end what {client:?} has");
        client.rcv_nxt = client.rcv_nxt.wrapping_add(1);
        self.closed += 1;
        self.fruitless = 0;
        let kind = if client.closing { Kind::Ack } else { Kind::Fin };
        self.replies.push_back(Reply::Segment(kind, seen.client));
    }
}

impl Load for Generator {
    fn set_time(&mut self, now: Instant) {
        self.clock_ms = now.millis() as u32;
    }
}

impl Device for Generator {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn link(&self) -> &LinkProperties {
        &self.link
    }

    #[inline]
    fn receive(&mut self, batch: &mut Batch) {
        for position in self.posted.drain(..) {
            self.pool.complete(position);
        }
        if !self.replies.is_empty() {
            self.reply(batch);
        }
        match self.phase {
            Phase::Idle => {}
            Phase::Request { left } => self.send_requests(left, batch),
            Phase::Each { kind, next, end } => self.send_each(kind, next, end, batch),
            Phase::Acknowledge { at, left } => self.acknowledge_more(at, left, batch),
        }
        if batch.frames().is_empty() {
            self.fruitless += 1;
            assert!(self.fruitless < PATIENCE, "the server has stopped answering");
        }
    }

    #[inline]
    fn room(&self) -> usize {
        1 << 20
    }

    #[inline]
    fn transmit(&mut self, frame: &Frame) -> bool {
        let packet = self.pool.bytes(frame);
        let seen = if self.reflected {
            traffic::read::<true>(packet)
        } else {
            traffic::read::<false>(packet)
        };
        match seen {
            Some(seen) => self.take(&seen),
            None => {
                let reply = traffic::arp_reply(packet).expect("a segment or an ARP request");
                self.replies.push_back(Reply::Packet(reply));
            }
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
