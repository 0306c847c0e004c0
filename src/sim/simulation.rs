//! Engines, a network and one clock that jumps from event to event.

use core::any::Any;
use core::marker::PhantomData;
use std::collections::BTreeSet;
use std::io;

use super::checked::Checked;
use super::network::Network;
use super::rng::Rng;
use super::script::{Script, ScriptHost, ScriptId};
use super::violation::Violation;
use crate::app::App;
use crate::device::{Place, Pool, PoolConfig, VirtualDevice};
use crate::engine::{Engine, EngineConfig, Turn};
use crate::time::Instant;

/// Turns that one host may take at one moment.
const MAX_TURNS_AT_ONCE: u32 = 10_000;
/// Idle turns in a row that may leave a deadline in the past.
const MAX_IDLE_OVERDUE: u32 = 3;
/// Steps that may pass without time passing.
const MAX_STEPS_AT_ONCE: u32 = 100_000;

/// A host of a simulation whose application is an `A`.
#[derive(Debug)]
pub struct HostId<A>(usize, PhantomData<fn() -> A>);

impl<A> Clone for HostId<A> {
    fn clone(&self) -> HostId<A> {
        *self
    }
}

impl<A> Copy for HostId<A> {}

impl<A> HostId<A> {
    /// The host's number, which is that of its port in the network.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What a host is made of, beside its application.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The engine's configuration.
    pub engine: EngineConfig,
    /// Its frames.
    pub pool: PoolConfig,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Largest IP packet of its link.
    pub mtu: u16,
}

/// What the simulation needs of a host, whatever its application.
pub(super) trait Host {
    fn turn(&mut self, now: Instant) -> Turn;
    fn turns(&self) -> u64;
    fn pool(&self) -> &Pool;
    fn violation(&self, now: Instant) -> Option<Violation>;
    fn leftovers(&self) -> Option<String>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<A: App + 'static> Host for Engine<Checked<A>, VirtualDevice> {
    fn turn(&mut self, now: Instant) -> Turn {
        Engine::turn(self, now)
    }

    fn turns(&self) -> u64 {
        self.app().turns()
    }

    fn pool(&self) -> &Pool {
        Engine::pool(self)
    }

    fn violation(&self, now: Instant) -> Option<Violation> {
        self.app().violation(now)
    }

    fn leftovers(&self) -> Option<String> {
        let app = self.app();
        let counters = self.counters();
        let left = [
            ("connections", u64::from(self.connections())),
            ("half-open connections", counters.half_open()),
            ("connections in TIME-WAIT", counters.time_wait()),
            ("calls of on_close missing", app.opened() - app.closed()),
        ];
        left.iter().find(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}"))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

struct Slot {
    host: Box<dyn Host>,
    deadline: Option<Instant>,
    turns: u64,
}

/// A world of hosts on one network, run until nothing happens any more.
///
/// Every turn is followed by the checks that hold between turns: the callback contract, and that
/// each frame is where a frame may be.
pub struct Simulation {
    network: Network,
    slots: Vec<Slot>,
    now: Instant,
    wakes: BTreeSet<(Instant, usize)>,
    rng: Rng,
    /// Chance of a turn without a reason, in millionths for each host and step.
    pub idle_turns: u32,
    steps: u64,
    steps_at_once: u32,
}

impl Simulation {
    /// An empty world whose chances come from `seed`, at the moment `start`.
    pub fn new(seed: u64, network: Network, start: Instant) -> Simulation {
        Simulation {
            network,
            slots: Vec::new(),
            now: start,
            wakes: BTreeSet::new(),
            rng: Rng::new(seed),
            idle_turns: 0,
            steps: 0,
            steps_at_once: 0,
        }
    }

    /// Adds a host and gives it a first turn in the next step.
    ///
    /// # Errors
    /// What [`Pool::new`] says of the pool's configuration, or the system when asked for memory and
    /// an eventfd.
    pub fn add<A: App + 'static>(&mut self, config: HostConfig, app: A) -> io::Result<HostId<A>> {
        let pool = Pool::new(config.pool).map_err(io::Error::other)?;
        let (device, port) = VirtualDevice::new(pool, config.mac, config.mtu);
        let engine = Engine::standalone(config.engine, device, Checked::new(app))?;
        let index = self.network.join(port, config.mac);
        self.slots.push(Slot { host: Box::new(engine), deadline: Some(self.now), turns: 0 });
        Ok(HostId(index, PhantomData))
    }

    /// Adds a host that follows a script instead of the protocol, with an Ethernet link of 1,500
    /// bytes, and gives it a first turn in the next step.
    ///
    /// # Errors
    /// As [`add`](Simulation::add).
    pub fn add_script<S: Script + 'static>(
        &mut self,
        mac: [u8; 6],
        script: S,
    ) -> io::Result<ScriptId<S>> {
        let config = PoolConfig { frames: 4_096, reserve: 8, huge_pages: false, frame_size: 2_048 };
        let pool = Pool::new(config).map_err(io::Error::other)?;
        let (device, port) = VirtualDevice::new(pool, mac, 1_500);
        let index = self.network.join(port, mac);
        let host = Box::new(ScriptHost::new(script, device));
        self.slots.push(Slot { host, deadline: Some(self.now), turns: 0 });
        Ok(ScriptId(index, PhantomData))
    }

    /// The script of a host.
    pub fn script<S: Script + 'static>(&self, id: ScriptId<S>) -> &S {
        let host = self.slots[id.0].host.as_any().downcast_ref::<ScriptHost<S>>();
        &host.expect("the type comes with the number").script
    }

    /// Makes sure that a host has a turn at `at`, for an application that acts in `on_turn`.
    pub fn wake(&mut self, host: usize, at: Instant) {
        self.wakes.insert((at, host));
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Steps made: moments at which something happened.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The network.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The engine of a host.
    pub fn engine<A: App + 'static>(&self, id: HostId<A>) -> &Engine<Checked<A>, VirtualDevice> {
        let host = self.slots[id.0].host.as_any().downcast_ref();
        host.expect("the type comes with the number")
    }

    /// The engine of a host, to be changed.
    pub fn engine_mut<A: App + 'static>(
        &mut self,
        id: HostId<A>,
    ) -> &mut Engine<Checked<A>, VirtualDevice> {
        let host = self.slots[id.0].host.as_any_mut().downcast_mut();
        host.expect("the type comes with the number")
    }

    /// The application of a host.
    pub fn app<A: App + 'static>(&self, id: HostId<A>) -> &A {
        self.engine(id).app().inner()
    }

    /// Steps until nothing is due any more, or the next event lies after `until`. Returns whether
    /// nothing is due any more.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run(&mut self, until: Instant) -> Result<bool, Violation> {
        loop {
            self.step()?;
            let Some(next) = self.next_event() else { return Ok(true) };
            if next > until {
                return Ok(false);
            }
            self.steps_at_once = if next > self.now { 0 } else { self.steps_at_once + 1 };
            if self.steps_at_once > MAX_STEPS_AT_ONCE {
                let what = "packets go round and time does not pass";
                return Err(Violation::Turn { host: 0, now: self.now, what });
            }
            self.now = self.now.max(next);
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let deadlines = self.slots.iter().filter_map(|slot| slot.deadline);
        let wake = self.wakes.first().map(|(at, _)| *at);
        let waiting = (0..self.slots.len()).any(|i| self.network.unreceived(i) > 0);
        deadlines
            .chain(wake)
            .chain(self.network.next_arrival())
            .chain(waiting.then_some(self.now))
            .min()
    }

    /// Lets everything happen that is due now.
    fn step(&mut self) -> Result<(), Violation> {
        self.steps += 1;
        self.network.deliver(self.now);
        let mut woken = BTreeSet::new();
        while self.wakes.first().is_some_and(|(at, _)| *at <= self.now) {
            woken.extend(self.wakes.pop_first().map(|(_, host)| host));
        }
        for host in 0..self.slots.len() {
            let due = self.slots[host].deadline.is_some_and(|at| at <= self.now);
            let idle = self.rng.chance(self.idle_turns);
            if due || idle || woken.contains(&host) || self.network.unreceived(host) > 0 {
                self.turns(host)?;
            }
        }
        Ok(())
    }

    /// Turns of one host, as a busy poller would make them, until there is nothing left to do.
    fn turns(&mut self, host: usize) -> Result<(), Violation> {
        let mut idle_overdue = 0;
        let now = self.now;
        let stuck = |what| Err(Violation::Turn { host, now, what });
        for _ in 0..MAX_TURNS_AT_ONCE {
            let slot = &mut self.slots[host];
            let turn = slot.host.turn(now);
            slot.deadline = turn.next_deadline;
            slot.turns += 1;
            if slot.host.turns() != slot.turns {
                return stuck("on_turn was not called exactly once in a turn");
            }
            self.network.collect(now);
            self.check(host)?;
            let overdue = turn.next_deadline.is_some_and(|at| at <= now);
            if turn.worked || self.network.unreceived(host) > 0 {
                idle_overdue = 0;
            } else if !overdue {
                return Ok(());
            } else {
                idle_overdue += 1;
                if idle_overdue > MAX_IDLE_OVERDUE {
                    return stuck("a deadline stays in the past and nothing is done about it");
                }
            }
        }
        stuck("the host finds no end of work")
    }

    /// What holds between any two turns.
    fn check(&self, host: usize) -> Result<(), Violation> {
        let slot = &self.slots[host];
        if let Some(violation) = slot.host.violation(self.now) {
            return Err(violation);
        }
        let pool = slot.host.pool();
        // A census costs time in proportion to the frames: a large pool has one more rarely.
        if !slot.turns.is_multiple_of(1 + u64::from(pool.frames()) / 512) {
            return Ok(());
        }
        let census = pool.census();
        let broken = |what| Err(Violation::Frames { host, what, census });
        if census.at(Place::InHand) > 0 {
            return broken("frames are in hand between turns");
        }
        if census.frames.iter().sum::<u32>() != pool.frames() {
            return broken("the places do not add up to the pool");
        }
        Ok(())
    }

    /// Whether nothing is left of any connection.
    pub fn is_quiet(&self) -> bool {
        self.slots.iter().all(|slot| slot.host.leftovers().is_none())
    }

    /// Checks what must hold when all connections should be over: nothing is left of any of them,
    /// and every frame is free or waits to be received into.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn check_end(&mut self) -> Result<(), Violation> {
        for host in 0..self.slots.len() {
            // What was transmitted last is completed in the turn after.
            self.turns(host)?;
            let slot = &self.slots[host];
            if let Some(left) = slot.host.leftovers() {
                let what = format!("host {host} still has {left}");
                return Err(Violation::Unfinished { now: self.now, what });
            }
            let census = slot.host.pool().census();
            if census.at(Place::Free) + census.at(Place::Fill) != slot.host.pool().frames() {
                let what = "frames are left when everything is over";
                return Err(Violation::Frames { host, what, census });
            }
        }
        Ok(())
    }
}

impl core::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Simulation({} hosts at {:?}, {:?})", self.slots.len(), self.now, self.network)
    }
}
