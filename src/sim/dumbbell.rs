//! Senders on one side, a receiver on the other, and one bottleneck in between that all share.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::bulk::{Bulk, Sink};
use super::link::{LinkConfig, LinkCounters};
use super::network::Network;
use super::rng::Rng;
use super::simulation::{HostConfig, HostId, Simulation};
use super::violation::Violation;
use crate::device::PoolConfig;
use crate::engine::{ConnInfo, Counter, EngineConfig, Listen, LocalAddress};
use crate::tcp::TcpConfig;
use crate::time::Instant;

const PORT: u16 = 5_001;
const FRAME: u32 = 2_048;
/// Flows of one group begin this far from each other, on average: not in step.
const STAGGER: Duration = Duration::from_millis(10);

/// The bottleneck, and the path around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    /// Bits per second on the wire, headers included.
    pub rate: u64,
    /// Round trip without queues.
    pub rtt: Duration,
    /// Bytes that the queue holds; what comes on top is dropped.
    pub queue: u32,
    /// Bytes in the queue from which on packets are marked; zero for never.
    pub mark_above: u32,
    /// Packets of a million lost at random, towards the receiver.
    pub loss: u32,
    /// Packets of a million held back on the way to the receiver.
    pub reorder: u32,
    /// How long they are held back.
    pub reorder_by: Duration,
}

impl Bottleneck {
    /// A line without loss whose queue holds one product of bandwidth and delay.
    pub fn new(rate: u64, rtt: Duration) -> Bottleneck {
        let queue = u128::from(rate / 8) * rtt.as_micros() / 1_000_000;
        Bottleneck {
            rate,
            rtt,
            queue: queue as u32,
            mark_above: 0,
            loss: 0,
            reorder: 0,
            reorder_by: Duration::ZERO,
        }
    }

    fn link(&self) -> LinkConfig {
        LinkConfig {
            delay: self.rtt / 2,
            rate: Some(self.rate / 8),
            queue: self.queue,
            mark_above: self.mark_above,
            loss: self.loss,
            reorder: self.reorder,
            reorder_by: self.reorder_by,
            ..LinkConfig::default()
        }
    }
}

/// Flows that share a host, and so a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// How they send.
    pub tcp: TcpConfig,
    /// How many there are.
    pub flows: u32,
}

/// The host that all flows end at.
#[derive(Clone, Copy, Debug)]
pub struct Receiver {
    /// Its settings.
    pub tcp: TcpConfig,
    /// It keeps what comes beyond a loss. If not, all of that must be sent again: go-back-N.
    pub reassembles: bool,
}

impl From<TcpConfig> for Receiver {
    fn from(tcp: TcpConfig) -> Receiver {
        Receiver { tcp, reassembles: true }
    }
}

/// A dumbbell at work. All of it follows from the seed.
#[derive(Debug)]
pub struct Dumbbell {
    simulation: Simulation,
    receiver: HostId<Sink>,
    senders: Vec<HostId<Bulk>>,
}

impl Dumbbell {
    /// A dumbbell whose flows all begin in the first moments of time.
    ///
    /// # Panics
    /// If the system has no memory for the frames.
    pub fn new(seed: u64, path: &Bottleneck, receiver: Receiver, groups: &[Group]) -> Dumbbell {
        let mut rng = Rng::new(seed);
        let back = LinkConfig { delay: path.rtt / 2, ..LinkConfig::default() };
        let start = Instant::from_millis(1);
        let network = Network::new(rng.next_u64(), back);
        let mut simulation = Simulation::new(rng.next_u64(), network, start);
        let flows = groups.iter().map(|group| group.flows).sum();
        let mut config = host(0, &receiver.tcp, flows);
        config.engine.limits.out_of_order = if receiver.reassembles { u32::MAX } else { 0 };
        config.engine.neighbours = (1..=groups.len()).map(neighbour).collect();
        config.engine.listeners.push(Listen { at: SocketAddr::new(ip(0), PORT) });
        let receiver = simulation.add(config, Sink::default()).expect("memory for the frames");
        let mut senders = Vec::new();
        for (group, number) in groups.iter().zip(1..) {
            let mut config = host(number, &group.tcp, group.flows);
            config.engine.neighbours.push(neighbour(0));
            let most = (STAGGER * 2 * group.flows).as_nanos() as u64;
            let mut starts: Vec<Instant> = (0..group.flows)
                .map(|_| start + Duration::from_nanos(rng.range(0..most.max(1))))
                .collect();
            starts.sort();
            let to = SocketAddr::new(ip(0), PORT);
            let bulk = Bulk::new(starts.iter().map(|at| (*at, to)).collect());
            senders.push(simulation.add(config, bulk).expect("memory for the frames"));
            starts.into_iter().for_each(|at| simulation.wake(number, at));
            simulation.network().set_link(number, 0, path.link());
            simulation.network().share_link((number, 0), (1, 0));
        }
        Dumbbell { simulation, receiver, senders }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run(&mut self, time: Duration) -> Result<(), Violation> {
        let until = self.simulation.now() + time;
        self.simulation.wake(0, until);
        self.simulation.run(until).map(drop)
    }

    /// Bytes delivered so far, by group and flow.
    pub fn delivered(&self) -> Vec<Vec<u64>> {
        let mut groups = vec![Vec::new(); self.senders.len()];
        for received in self.simulation.app(self.receiver).received() {
            let of = (1..=groups.len()).find(|number| ip(*number) == received.from.ip());
            if let Some(number) = of {
                groups[number - 1].push(received.bytes);
            }
        }
        groups
    }

    /// The sending side of one flow now; `None` if it is not open.
    pub fn flow(&self, group: usize, flow: usize) -> Option<ConnInfo> {
        let host = self.senders[group];
        let id = *self.simulation.app(host).conns().get(flow)?;
        self.simulation.engine(host).conn_info(id)
    }

    /// What a group's host counted.
    pub fn counter(&self, group: usize, counter: Counter) -> u64 {
        self.simulation.engine(self.senders[group]).counters().get(counter)
    }

    /// What the bottleneck did.
    pub fn bottleneck(&mut self) -> LinkCounters {
        self.simulation.network().counters(1, 0)
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.simulation.now()
    }
}

fn ip(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, number as u8 + 1))
}

fn mac(number: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, number as u8 + 1]
}

fn neighbour(number: usize) -> (IpAddr, [u8; 6]) {
    (ip(number), mac(number))
}

fn host(number: usize, tcp: &TcpConfig, flows: u32) -> HostConfig {
    let mut engine = EngineConfig::new([number as u8; 32]);
    engine.addresses.push(LocalAddress { ip: ip(number), prefix_len: 24, owned: true });
    engine.tcp = *tcp;
    engine.limits.connections = flows + 1;
    engine.limits.half_open = flows + 1;
    engine.limits.time_wait = flows + 1;
    engine.limits.backlog = flows + 1;
    // Twice what all buffers together hold: no flow is ever short of frames.
    let buffer = tcp.send_buffer.max(tcp.receive_buffer);
    let frames = flows * (buffer / 1_000 + 64) * 2 + 1_024;
    let pool = PoolConfig { frames, frame_size: FRAME, reserve: 64, huge_pages: false };
    HostConfig { engine, pool, mac: mac(number), mtu: 1_500 }
}
