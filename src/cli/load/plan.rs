//! What all cores of a load share: what they are to do, and how they say that it is done.

use core::hash::BuildHasher;
use core::time::Duration;
use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::tally::Tally;
use crate::app::Close;
use crate::runtime::Stop;

/// Local ports of a source address: all that need no privilege.
const FIRST_PORT: u16 = 1_024;
/// How many connections one source address can have to one target.
pub(super) const PORTS: u32 = u16::MAX as u32 - FIRST_PORT as u32 + 1;

/// What is to be done, by all cores together.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) target: SocketAddr,
    /// Where connections come from; empty: wherever the kernel wants.
    pub(super) sources: Vec<IpAddr>,
    pub(super) request: Vec<u8>,
    /// A connection for each request.
    pub(super) close: bool,
    pub(super) connections: u32,
    /// Requests a second of an open loop; `None`: a closed one.
    pub(super) rate: Option<f64>,
    pub(super) warm_up: Duration,
    pub(super) measure: Duration,
}

/// One core's part of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) connections: u32,
    pub(super) rate: Option<f64>,
    /// How far into the first interval its arrivals begin, 0 to 1.
    pub(super) offset: f64,
}

impl Plan {
    pub(super) fn share(&self, core: usize, cores: usize) -> Share {
        let (core, cores) = (core as u32, cores.max(1) as u32);
        let connections = self.connections / cores + u32::from(core < self.connections % cores);
        // A core without connections can serve no arrivals: the others take all.
        let serving = cores.min(self.connections.max(1));
        let rate = self.rate.map(|rate| rate / f64::from(serving));
        Share { connections, rate, offset: f64::from(core) / f64::from(cores) }
    }
}

/// Addresses and ports that one core connects from, in turn; no other core uses them.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    addresses: Vec<IpAddr>,
    core: u32,
    cores: u32,
    next: u32,
}

impl Sources {
    /// They begin somewhere by chance: the server may remember those of a former load.
    pub(super) fn new(addresses: &[IpAddr], core: usize, cores: usize) -> Sources {
        let chance = RandomState::new().hash_one(core) as u32;
        let (core, cores) = (core as u32, cores.max(1) as u32);
        let all = (addresses.len() as u32 * (PORTS / cores)).max(1);
        Sources { addresses: addresses.to_vec(), core, cores, next: chance % all }
    }

    /// `None`: it is the kernel's to choose.
    pub(super) fn next(&mut self) -> Option<SocketAddr> {
        let count = self.addresses.len() as u32;
        let address = self.addresses.get((self.next % count.max(1)) as usize)?;
        let ports = PORTS / self.cores;
        let port = self.next / count % ports * self.cores + self.core;
        self.next = (self.next + 1) % (count * ports);
        Some(SocketAddr::new(*address, FIRST_PORT + port as u16))
    }
}

/// Why a load ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The first connections failed.
    Connecting(Close),
    /// Not all connections came to be in time.
    Opening { opened: u32, wanted: u32 },
}

/// Where the cores put what they counted.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) stop: Stop,
    interrupted: Arc<AtomicBool>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tallies: Vec<Tally>,
    trouble: Option<Trouble>,
}

impl Outcome {
    pub(super) fn new(interrupted: Arc<AtomicBool>) -> Outcome {
        Outcome { interrupted, ..Outcome::default() }
    }

    /// Whether the user wants to end.
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Ends all cores; the first reason is kept.
    pub(super) fn give_up(&self, trouble: Trouble) {
        self.with(|state| state.trouble.get_or_insert(trouble).to_owned());
        self.stop.now();
    }

    pub(super) fn deliver(&self, tally: Tally) {
        self.with(|state| state.tallies.push(tally));
    }

    /// The sum of all cores, and why they ended before their time, if they did.
    pub(super) fn collect(&self) -> (Tally, Option<Trouble>) {
        self.with(|state| {
            let mut sum = Tally::new();
            state.tallies.iter().for_each(|tally| sum.add(tally));
            (sum, state.trouble)
        })
    }

    fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn plan(connections: u32) -> Plan {
        Plan {
            target: ([10, 9, 0, 1], 80).into(),
            sources: Vec::new(),
            request: Vec::new(),
            close: false,
            connections,
            rate: Some(1_000.0),
            warm_up: Duration::ZERO,
            measure: Duration::ZERO,
        }
    }

    #[test]
    fn shares_add_up() {
        for (connections, cores) in [(1, 1), (7, 3), (2, 4), (10_000, 6)] {
            let plan = plan(connections);
            let shares: Vec<Share> = (0..cores).map(|core| plan.share(core, cores)).collect();
            assert_eq!(shares.iter().map(|share| share.connections).sum::<u32>(), connections);
            let serving = shares.iter().filter(|share| share.connections > 0);
            let rate: f64 = serving.filter_map(|share| share.rate).sum();
            assert!((rate - 1_000.0).abs() < 1e-6, "{rate}");
        }
    }

    #[test]
    fn no_two_connections_have_the_same_source() {
        let addresses = ["10.9.0.3".parse().expect("valid"), "10.9.0.4".parse().expect("valid")];
        let mut seen = HashSet::new();
        for core in 0..3 {
            let mut sources = Sources::new(&addresses, core, 3);
            let first = sources.clone().next();
            for _ in 0..2 * (PORTS / 3) {
                let source = sources.next().expect("there are addresses");
                assert!(source.port() >= FIRST_PORT && seen.insert(source), "{source}");
            }
            assert_eq!(sources.next(), first, "all over again");
        }
        assert_eq!(Sources::new(&[], 0, 1).next(), None);
    }

    #[test]
    fn the_first_trouble_is_kept() {
        let outcome = Outcome::default();
        outcome.give_up(Trouble::Connecting(Close::Refused));
        outcome.give_up(Trouble::Opening { opened: 1, wanted: 2 });
        assert_eq!(outcome.collect().1, Some(Trouble::Connecting(Close::Refused)));
    }
}
