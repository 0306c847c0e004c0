//! Ports joined by links: a switch without a table, each pair of ports with a link each way.

use std::collections::BTreeMap;

use super::link::{Link, LinkConfig, LinkCounters, Tamper};
use super::rng::Rng;
use crate::device::Port;
use crate::time::Instant;

/// The network between the hosts of a simulation.
///
/// A frame goes to the port whose hardware address it carries, or to all others if that is a group.
pub struct Network {
    ports: Vec<(Port, [u8; 6])>,
    /// The links from each port to each other one, by sender, then receiver.
    links: BTreeMap<(usize, usize), Link>,
    /// Pairs of ports that use the link of another pair.
    shared: BTreeMap<(usize, usize), (usize, usize)>,
    /// On the way: by arrival, then in the order they were sent.
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    default: LinkConfig,
    rng: Rng,
    sent: u64,
}

impl Network {
    /// A network without ports whose links are all `default`.
    pub fn new(seed: u64, default: LinkConfig) -> Network {
        Network {
            ports: Vec::new(),
            links: BTreeMap::new(),
            shared: BTreeMap::new(),
            flying: BTreeMap::new(),
            default,
            rng: Rng::new(seed),
            sent: 0,
        }
    }

    /// Joins a port whose device has the hardware address `mac`; returns its number.
    pub fn join(&mut self, port: Port, mac: [u8; 6]) -> usize {
        let new = self.ports.len();
        for other in 0..new {
            for ends in [(new, other), (other, new)] {
                let rng = self.rng.fork((ends.0 as u64) << 32 | ends.1 as u64);
                self.links.insert(ends, Link::new(self.default, rng));
            }
        }
        self.ports.push((port, mac));
        new
    }

    /// Changes what the link from one port to another does from now on.
    ///
    /// # Panics
    /// If there is no such pair of ports.
    pub fn set_link(&mut self, from: usize, to: usize, config: LinkConfig) {
        self.link(from, to).config = config;
    }

    /// Sends what goes from one port to another over the link of another pair, line and queue
    /// included: a bottleneck that both share.
    ///
    /// # Panics
    /// If there is no such pair of ports.
    pub fn share_link(&mut self, ends: (usize, usize), of: (usize, usize)) {
        assert!(self.links.contains_key(&ends) && self.links.contains_key(&of));
        self.shared.insert(ends, of);
    }

    /// Lets `tamper` change every packet from one port to another.
    ///
    /// # Panics
    /// If there is no such pair of ports.
    pub fn set_tamper(&mut self, from: usize, to: usize, tamper: Tamper) {
        self.link(from, to).tamper = Some(tamper);
    }

    /// What the link from one port to another did.
    ///
    /// # Panics
    /// If there is no such pair of ports.
    pub fn counters(&mut self, from: usize, to: usize) -> LinkCounters {
        self.link(from, to).counters
    }

    /// What all links together did.
    pub fn total(&self) -> LinkCounters {
        let mut total = LinkCounters::default();
        for LinkCounters { offered, lost, duplicated, reordered, corrupted, marked } in
            self.links.values().map(|link| link.counters)
        {
            total.offered += offered;
            total.lost += lost;
            total.duplicated += duplicated;
            total.reordered += reordered;
            total.corrupted += corrupted;
            total.marked += marked;
        }
        total
    }

    /// Whether every link is perfect.
    pub fn is_perfect(&self) -> bool {
        self.links.values().all(|link| link.config.is_perfect() && link.tamper.is_none())
    }

    /// The damage of the worst link: see [`LinkConfig::damage`].
    pub fn worst_damage(&self) -> u32 {
        self.links.values().map(|link| link.config.damage()).max().unwrap_or(0)
    }

    /// Whether any link has a rate, so that its queue may overflow.
    pub fn is_slow(&self) -> bool {
        self.links.values().any(|link| link.config.rate.is_some())
    }

    fn link(&mut self, from: usize, to: usize) -> &mut Link {
        self.links.get_mut(&(from, to)).expect("two different ports that have joined")
    }

    /// Takes what the devices have transmitted.
    pub fn collect(&mut self, now: Instant) {
        for from in 0..self.ports.len() {
            while let Some(packet) = self.ports[from].0.receive() {
                self.carry(now, from, &packet);
                self.ports[from].0.recycle(packet);
            }
        }
    }

    fn carry(&mut self, now: Instant, from: usize, packet: &[u8]) {
        let group = packet.first().is_some_and(|byte| byte & 1 != 0);
        for (to, (_, mac)) in self.ports.iter().enumerate() {
            if to == from || !(group || packet.starts_with(mac)) {
                continue;
            }
            let ends = self.shared.get(&(from, to)).copied().unwrap_or((from, to));
            let Some(link) = self.links.get_mut(&ends) else { continue };
            let (flying, sent) = (&mut self.flying, &mut self.sent);
            link.offer(now, packet, |at, bytes| {
                *sent += 1;
                flying.insert((at, *sent), (to, bytes));
            });
        }
    }

    /// Hands over what has arrived by `now`.
    pub fn deliver(&mut self, now: Instant) {
        while let Some(entry) = self.flying.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let (to, bytes) = entry.remove();
            self.ports[to].0.send(&bytes);
        }
    }

    /// Packets that a port's device has not received yet.
    pub fn unreceived(&self, port: usize) -> usize {
        self.ports[port].0.unreceived()
    }

    /// When the next packet arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }
}

impl core::fmt::Debug for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Network({} ports, {} packets flying)", self.ports.len(), self.flying.len())
    }
}
