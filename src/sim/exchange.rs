//! Requests and responses over one connection, and a response that loses its last segments.

use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr};

use super::link::LinkConfig;
use super::network::Network;
use super::simulation::{HostConfig, HostId, Simulation};
use super::violation::Violation;
use crate::app::{App, Core, Peer, Refuse, Role, Rx, Tx};
use crate::device::PoolConfig;
use crate::engine::{Counter, EngineConfig, Listen, LocalAddress};
use crate::tcp::TcpConfig;
use crate::time::Instant;

const PORT: u16 = 80;
/// Exchanges before the one that is damaged: the round trip is known by then.
const BEFORE: u32 = 20;
/// By when the damaged one must be over.
const LONGEST: Duration = Duration::from_secs(60);
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A client that asks again as soon as it was answered.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The settings of both hosts.
    pub tcp: TcpConfig,
    /// Round trip without queues.
    pub rtt: Duration,
    /// Full segments in a response.
    pub segments: u32,
    /// How many of them, at the end of one response, are lost once.
    pub lost: u32,
}

/// What became of the response that lost its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailLoss {
    /// From request to complete response, for the exchange before: nothing was lost.
    pub usual: Duration,
    /// The same for the damaged one.
    pub damaged: Duration,
    /// Retransmission timeouts of the server.
    pub timeouts: u64,
    /// Tail loss probes of the server.
    pub probes: u64,
}

impl TailLoss {
    /// What the loss cost.
    pub fn delay(&self) -> Duration {
        self.damaged.saturating_sub(self.usual)
    }
}

impl Exchange {
    /// Runs until the damaged response is complete.
    ///
    /// # Errors
    /// The first [`Violation`].
    ///
    /// # Panics
    /// If the system has no memory for the frames.
    pub fn run(&self) -> Result<TailLoss, Violation> {
        let link = LinkConfig { delay: self.rtt / 2, ..LinkConfig::default() };
        let mut simulation = Simulation::new(1, Network::new(2, link), Instant::from_millis(1));
        let mut config = self.host(0);
        config.engine.listeners.push(Listen { at: address(0) });
        let bytes = self.segments as usize * self.payload();
        let server = simulation.add(config, Answers { bytes }).expect("memory for the frames");
        let asks = Asks { bytes, connected: false, begun: Instant::ZERO, took: Vec::new() };
        let client = simulation.add(self.host(1), asks).expect("memory for the frames");
        let (first, last) = (self.segments * (BEFORE + 1) - self.lost, self.segments);
        let damaged = first..(BEFORE + 1) * last;
        let mut sent = 0;
        simulation.network().set_tamper(
            0,
            1,
            Box::new(move |packet| {
                if carries_payload(packet) {
                    if damaged.contains(&sent) {
                        packet.clear();
                    }
                    sent += 1;
                }
            }),
        );
        self.finish(simulation, server, client)
    }

    fn finish(
        &self,
        mut simulation: Simulation,
        server: HostId<Answers>,
        client: HostId<Asks>,
    ) -> Result<TailLoss, Violation> {
        let until = simulation.now() + LONGEST;
        while simulation.app(client).took.len() <= BEFORE as usize {
            let next = simulation.now() + self.rtt;
            simulation.wake(1, next);
            simulation.run(next)?;
            if next > until {
                let what = String::from("the response was never complete");
                return Err(Violation::Unfinished { now: next, what });
            }
        }
        let took = &simulation.app(client).took;
        let counters = simulation.engine(server).counters();
        Ok(TailLoss {
            usual: took[BEFORE as usize - 1],
            damaged: took[BEFORE as usize],
            timeouts: counters.get(Counter::RetransmissionTimeouts),
            probes: counters.get(Counter::TailLossProbes),
        })
    }

    /// Payload bytes of a full segment.
    fn payload(&self) -> usize {
        if self.tcp.timestamps { 1_448 } else { 1_460 }
    }

    fn host(&self, number: usize) -> HostConfig {
        let mut engine = EngineConfig::new([number as u8; 32]);
        let ip = address(number).ip();
        engine.addresses.push(LocalAddress { ip, prefix_len: 24, owned: true });
        let macs = [SERVER, CLIENT];
        engine.neighbours.push((address(1 - number).ip(), macs[1 - number]));
        engine.tcp = self.tcp;
        engine.limits.connections = 4;
        let pool = PoolConfig { frames: 1_024, frame_size: 2_048, reserve: 16, huge_pages: false };
        HostConfig { engine, pool, mac: macs[number], mtu: 1_500 }
    }
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, number as u8 + 1), PORT))
}

/// Whether an IPv4 packet without options has more than TCP's header in it.
fn carries_payload(packet: &[u8]) -> bool {
    packet.len() > 54 && packet.len() > 34 + usize::from(packet[46] >> 4) * 4
}

/// Answers each byte with many.
#[derive(Debug)]
struct Answers {
    bytes: usize,
}

impl App for Answers {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let bytes = rx.len() * self.bytes;
        rx.consume(rx.len());
        tx.fill(bytes, |room| room.len());
    }
}

/// Asks, waits for the whole answer, and asks again.
#[derive(Debug)]
struct Asks {
    bytes: usize,
    connected: bool,
    begun: Instant,
    took: Vec<Duration>,
}

impl Asks {
    fn ask(&mut self, tx: &mut Tx<'_>) {
        self.begun = tx.now();
        tx.write(b"?");
    }
}

impl App for Asks {
    /// Bytes of the answer that are still to come.
    type Conn = usize;
    type Message = ();

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<usize, Refuse> {
        if matches!(peer.role, Role::Accepted) {
            return Err(Refuse);
        }
        self.ask(tx);
        Ok(self.bytes)
    }

    fn on_data(&mut self, left: &mut usize, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        *left -= rx.len();
        rx.consume(rx.len());
        if *left == 0 {
            self.took.push(tx.now() - self.begun);
            *left = self.bytes;
            self.ask(tx);
        }
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        if !self.connected && core.connect(address(0), None, 0).is_ok() {
            self.connected = true;
        }
    }
}
