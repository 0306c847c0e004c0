//! One engine on a wire in memory, and peers of which each is a few numbers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sidestep::app::{App, Close, ConnId, Core, Peer, Refuse, Rx, Tx};
use sidestep::device::{Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{Counter, Engine, EngineConfig, Listen, LocalAddress};
use sidestep::time::Instant;
use sidestep::wire::tcp::{Flags, Headers, Options, Segment};
use sidestep::wire::{Addr, Body, Checks, DEFAULT_HOP_LIMIT, Link, Mac, Seq, parse};

const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Ports on which the server listens.
pub(crate) const PORTS: [u16; 2] = [80, 81];

/// Notes what happens to it.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    /// Peers, in the order of `on_open`.
    pub(crate) opened: Vec<SocketAddr>,
    pub(crate) open: HashMap<ConnId, SocketAddr>,
    pub(crate) closed: Vec<Close>,
    pub(crate) read: Vec<u8>,
    pub(crate) fins: u32,
    pub(crate) refuses: bool,
    pub(crate) pauses: bool,
    /// Bytes to write to each peer at once.
    pub(crate) writes: usize,
    /// The peer to be reset in its next callback.
    pub(crate) aborts: Option<SocketAddr>,
    /// Never reads.
    pub(crate) hoards: bool,
}

impl App for Guest {
    type Conn = SocketAddr;
    type Message = ();

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<SocketAddr, Refuse> {
        if self.refuses {
            return Err(Refuse);
        }
        self.opened.push(peer.remote);
        self.open.insert(peer.id, peer.remote);
        tx.fill(self.writes, |room| room.len());
        Ok(peer.remote)
    }

    fn on_data(&mut self, remote: &mut SocketAddr, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        if self.aborts.take_if(|peer| peer == remote).is_some() {
            return tx.abort();
        }
        self.fins += u32::from(rx.fin());
        if !self.hoards {
            self.read.extend(rx.chunks().flatten());
            rx.consume(rx.len());
        }
    }

    fn on_close(&mut self, remote: SocketAddr, why: Close) {
        self.open.retain(|_, open| *open != remote);
        self.closed.push(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        core.pause_accepting(self.pauses);
    }
}

/// A peer of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    pub(crate) at: SocketAddr,
    pub(crate) to: u16,
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
}

impl Client {
    /// Number `n` from 10.0.0.`host`, to one of the server's ports.
    pub(crate) fn new(host: u8, n: u16, to: u16) -> Client {
        Client::from(IpAddr::from([10, 0, 0, host]), n, to)
    }

    pub(crate) fn from(ip: IpAddr, n: u16, to: u16) -> Client {
        let at = SocketAddr::new(ip, 10_000 + n);
        Client { at, to, snd_nxt: Seq(u32::from(n) << 20), rcv_nxt: Seq(0) }
    }
}

pub(crate) struct World {
    pub(crate) engine: Engine<Guest, VirtualDevice>,
    port: Port,
    pub(crate) now: Instant,
}

impl World {
    pub(crate) fn new(change: impl FnOnce(&mut EngineConfig)) -> World {
        World::with_frames(1_024, change)
    }

    pub(crate) fn with_frames(frames: u32, change: impl FnOnce(&mut EngineConfig)) -> World {
        let mut config = EngineConfig::new([7; 32]);
        for ip in [server(true), server(false)] {
            let prefix_len = if ip.is_ipv4() { 8 } else { 32 };
            config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
            let at = |port| Listen { at: SocketAddr::new(ip, port) };
            config.listeners.extend(PORTS.map(at));
        }
        change(&mut config);
        let pool = PoolConfig { frames, frame_size: 2_048, reserve: 32, huge_pages: false };
        let pool = Pool::new(pool).expect("memory for a pool");
        let (device, port) = VirtualDevice::new(pool, SERVER_MAC, 1_500);
        let engine = Engine::standalone(config, device, Guest::default()).expect("eventfd");
        let mut world = World { engine, port, now: Instant::from_millis(1_000) };
        world.turn();
        world
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.engine.counters().get(counter)
    }

    pub(crate) fn app(&mut self) -> &mut Guest {
        self.engine.app_mut()
    }

    /// Turns until there is nothing more to do now, and takes what was sent.
    pub(crate) fn turn(&mut self) -> Vec<Segment> {
        for _ in 0..1_000 {
            let turn = self.engine.turn(self.now);
            let due = turn.next_deadline.is_some_and(|at| at <= self.now);
            if !turn.worked && !due && self.port.unreceived() == 0 {
                break;
            }
        }
        let packets = core::iter::from_fn(|| self.port.receive());
        packets.filter_map(|packet| read(&packet)).collect()
    }

    /// Lets time pass, every timer in it at its moment.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Segment> {
        let (until, mut sent) = (self.now + time, Vec::new());
        loop {
            sent.extend(self.turn());
            match self.engine.turn(self.now).next_deadline {
                Some(at) if at < until => self.now = at.max(self.now + Duration::from_micros(1)),
                _ => break,
            }
        }
        self.now = until;
        sent.extend(self.turn());
        sent
    }

    /// Sends a segment; what the server says to it.
    pub(crate) fn send(&mut self, client: &Client, flags: Flags, payload: &[u8]) -> Vec<Segment> {
        self.port.send(&packet(client, flags, payload));
        let sent = self.turn();
        self.now = self.now + Duration::from_millis(2);
        sent
    }

    /// SYN; whether a SYN-ACK came.
    pub(crate) fn syn(&mut self, client: &mut Client) -> Vec<Segment> {
        let sent = self.send(client, Flags::SYN, &[]);
        if let Some(answer) = sent.iter().find(|answer| answer.flags.contains(Flags::SYN)) {
            client.rcv_nxt = answer.seq + 1;
            client.snd_nxt = answer.ack;
        }
        sent
    }

    pub(crate) fn ack(&mut self, client: &Client) -> Vec<Segment> {
        self.send(client, Flags::ACK, &[])
    }

    /// The whole handshake; whether it was answered, which is not to say that it is open.
    pub(crate) fn connect(&mut self, client: &mut Client) -> bool {
        let invited = is_syn_ack(&self.syn(client));
        if invited {
            self.ack(client);
        }
        invited
    }
}

pub(crate) fn is_syn_ack(sent: &[Segment]) -> bool {
    matches!(sent, [one] if one.flags.contains(Flags::SYN | Flags::ACK))
}

pub(crate) fn is_reset(sent: &[Segment]) -> bool {
    matches!(sent, [one] if one.flags.contains(Flags::RST))
}

fn server(v4: bool) -> IpAddr {
    if v4 { IpAddr::from([10, 0, 0, 1]) } else { "fd00::1".parse().expect("an address") }
}

fn packet(client: &Client, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let headers = Headers {
        link: Link { src: Mac(PEER_MAC), dst: Mac(SERVER_MAC), vlan: None },
        src: Addr::from(client.at.ip()),
        dst: Addr::from(server(client.at.is_ipv4())),
        src_port: client.at.port(),
        dst_port: client.to,
        seq: client.snd_nxt,
        ack: if flags.contains(Flags::ACK) { client.rcv_nxt } else { Seq(0) },
        flags,
        window: 65_535,
        urgent: 0,
        hop_limit: DEFAULT_HOP_LIMIT,
        dscp: 0,
        ecn: 0,
        flow_label: 0,
        options: Options::NONE,
    };
    let mut packet = vec![0; headers.len()];
    packet.extend_from_slice(payload);
    headers.emit(&mut packet);
    packet
}

fn read(packet: &[u8]) -> Option<Segment> {
    match parse(packet, Checks::FULL).ok()?.body {
        Body::Tcp(segment) => Some(segment),
        _ => None,
    }
}
