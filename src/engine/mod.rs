//! One core's world: connections, timers, listeners, and [`Engine::turn`], which does everything.
//!
//! A turn goes: receive a batch, fire expired timers, deliver messages, call the application back,
//! send, kick the device once. The batch is processed in passes (parse all, hash and prefetch all,
//! look up all, process all), so that many connections cost cache misses in parallel.
//!
//! | file | what |
//! | --- | --- |
//! | `turn` | the turn, and the passes over the batch |
//! | `segments` | a segment and its connection |
//! | `handshake` | listeners, half-open connections, TIME-WAIT |
//! | `admission` | who may come in; the accept queue |
//! | `cookies` | handshakes without state, and the driver's help against floods |
//! | `callbacks` | calling the application, and what it asked for |
//! | `reassembly`, `disorder` | segments that come before their turn |
//! | `pressure` | who must go when frames are scarce |
//! | `scoreboard` | which segments the peer has, which are lost |
//! | `samples` | what an ACK tells of the path |
//! | `pacing` | when the next segment may leave |
//! | `ecn` | explicit congestion notification |
//! | `strays` | segments that came to the wrong core |
//! | `validation` | what a congestion window is worth that isn't used |
//! | `send` | from a connection's queue to the device |
//! | `timers` | what is due |
//! | `connect` | connections that we open |
//! | `new_slot` | a slot for a connection that begins, and its address beside it |
//! | `info` | what can be asked about a connection |
//! | `reconfigure` | what may change between turns |
//! | `icmp_errors` | errors that routers report |
//! | `path_mtu` | segments that are too long for their path |
//! | `path_probe` | whether longer ones get through by now |
//! | `link_local` | ARP, neighbour discovery, echo |
//! | `own` | what single connections have of their own |
//! | `ends` | a connection's addresses, as it keeps them |
//! | `rare` | what few connections have, and those for a while |
//! | `slots`, `slab`, `time_wait_table`, `demux`, `wheel` | the tables |
//! | `listeners`, `sources` | what each listener has, and each source |
//! | `address_index`, `address_table`, `neighbours`, `paths` | and those of addresses |

mod address_index;
mod address_table;
pub(crate) mod admission;
mod callbacks;
mod config;
mod connect;
mod cookies;
mod counters;
mod demux;
mod disorder;
mod ecn;
mod ends;
mod flow;
mod flow_hash;
mod handshake;
mod icmp_errors;
mod info;
mod io;
mod link_local;
mod listeners;
mod neighbours;
mod new_slot;
mod own;
mod pacing;
mod path_mtu;
mod path_probe;
mod paths;
mod pressure;
mod rare;
mod reassembly;
mod reconfigure;
mod rows;
mod samples;
mod scoreboard;
mod segments;
mod send;
mod slab;
mod slots;
pub(crate) mod sources;
mod strays;
mod time_wait_table;
mod timers;
mod turn;
mod undo;
mod validation;
pub(crate) mod wheel;

pub use config::{CookieConfig, EngineConfig, Limits, Listen, LocalAddress, Overflow, SynCookies};
pub use counters::{Counter, Counters};
pub use info::ConnInfo;
pub use turn::Turn;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::app::{App, Close, CoreCommands, Inboxes, MailboxReader};
use crate::device::{Batch, Device, Pool, Waker};
use crate::tcp::Settings;
use crate::tcp::isn::IsnGenerator;
use crate::time::{Instant, Tick};
use crate::wire::{Addr, Cidr};

use admission::Admission;
use cookies::Cookies;
use demux::Demux;
use flow_hash::FlowHash;
use handshake::HalfOpenEntry;
use io::{Io, Local};
use neighbours::Neighbours;
use paths::Paths;
use pressure::Watch;
use slab::Slab;
use slots::Slots;
use time_wait_table::TimeWaitTable;
use turn::Arrival;
use wheel::Wheel;

/// One core: a device, the connections over it, and the application that they call back.
pub struct Engine<A: App, D> {
    app: A,
    io: Io<D>,
    config: EngineConfig,
    mailbox: MailboxReader<A::Message>,

    demux: Demux,
    hash: FlowHash,
    isn: IsnGenerator,
    cookies: Cookies,
    slots: Slots<A::Conn>,
    wheel: Wheel,
    watch: Watch,
    half_open: Slab<HalfOpenEntry>,
    half_open_wheel: Wheel,
    time_wait: TimeWaitTable,
    neighbours: Neighbours,
    paths: Paths,
    admission: Admission,

    batch: Batch,
    /// What the frames of the batch are; only ever written over.
    arrivals: Vec<Arrival>,
    /// Connections to be looked at in this turn.
    ready: Vec<u32>,
    /// Connections to be looked at in the next one: the device or the pool had no room.
    blocked: Vec<u32>,
    /// Connections whose application waits for frames, with nothing of theirs on the way.
    starved: VecDeque<u32>,
    /// Frames that were free when they were last called.
    fed_with: u32,
    commands: CoreCommands,
    next_port: u16,
    draining: bool,
    /// The segment in hand was passed on by another core: it is answered only if it is ours.
    stray: bool,
}

impl<A: App, D: Device> Engine<A, D> {
    /// An engine over `device`, in the state before its first turn.
    pub(crate) fn new(
        config: EngineConfig,
        device: D,
        mailbox: MailboxReader<A::Message>,
        app: A,
    ) -> Engine<A, D> {
        let limits = config.limits;
        let locals: Vec<Local> = config.addresses.iter().map(local).collect();
        let [flow_key, isn_key] = split_secret(&config.secret);
        let admission = Admission::new(&config, device.pool(), &flow_key);
        let half_open = admission.listeners.half_open_capacity();
        let entries = limits.connections as usize + half_open as usize + limits.time_wait as usize;
        let settings = Settings::new(config.tcp);
        let origin = Tick(0);
        let mut engine = Engine {
            app,
            io: Io::new(device, locals, settings, &limits, &flow_key),
            mailbox,
            demux: Demux::new(entries),
            hash: FlowHash::new(flow_key),
            isn: IsnGenerator::new(isn_key),
            cookies: Cookies::new(&config),
            slots: Slots::new(config.core, limits.connections),
            wheel: Wheel::new(limits.connections as usize, origin),
            watch: Watch::new(limits.connections),
            half_open: Slab::new(half_open),
            half_open_wheel: Wheel::new(half_open as usize, origin),
            time_wait: TimeWaitTable::new(limits.time_wait),
            neighbours: Neighbours::new(limits.neighbours as usize, flow_key),
            paths: Paths::new(limits.paths.max(1) as usize, flow_key),
            admission,
            batch: Batch::new(limits.batch as usize),
            arrivals: Vec::with_capacity(limits.batch as usize),
            ready: Vec::with_capacity(limits.connections as usize),
            blocked: Vec::with_capacity(limits.connections as usize),
            starved: VecDeque::new(),
            fed_with: 0,
            commands: CoreCommands::default(),
            next_port: *config.ephemeral_ports.start(),
            draining: false,
            stray: false,
            config,
        };
        for (ip, mac) in engine.config.neighbours.clone() {
            // More static neighbours than the table holds: the rest is asked for when needed.
            let _ = engine.neighbours.insert_static(Addr::from(ip), mac, Instant::ZERO);
        }
        engine
    }

    /// An engine for one thread alone: nobody posts messages to its connections.
    ///
    /// # Errors
    /// What the system answered when asked for an eventfd.
    pub fn standalone(config: EngineConfig, device: D, app: A) -> std::io::Result<Engine<A, D>> {
        let waker = Waker::new()?;
        let (_, mut readers) = Inboxes::make(&[waker], config.limits.mailbox.max(1) as usize);
        let reader = readers.pop().expect("one reader for one waker");
        Ok(Engine::new(config, device, reader, app))
    }

    /// The application.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// The application, to be changed between turns.
    pub fn app_mut(&mut self) -> &mut A {
        &mut self.app
    }

    /// The device.
    pub fn device(&self) -> &D {
        &self.io.device
    }

    /// The device, to wait on between turns.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.io.device
    }

    /// The frames.
    pub fn pool(&self) -> &Pool {
        &self.io.pool
    }

    /// What was counted.
    pub fn counters(&self) -> &Arc<CachePadded<Counters>> {
        &self.io.counters
    }

    /// Open connections, those included that the application has not accepted yet.
    pub fn connections(&self) -> u32 {
        self.slots.used()
    }

    /// Whether no message waits.
    pub fn mailbox_is_empty(&self) -> bool {
        self.mailbox.is_empty()
    }

    /// Stops accepting and tells the application to finish what is idle: `App::on_drain`, once for
    /// each connection, in the next turn.
    pub fn start_drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        for index in self.slots.indices().collect::<Vec<_>>() {
            self.slots.at(index).pending |= slots::Pending::DRAIN;
            self.list(index);
        }
    }

    /// Resets every connection, for this reason; `on_close` is called in the next turn.
    pub fn abort_all(&mut self, why: Close) {
        for index in self.slots.indices().collect::<Vec<_>>() {
            let slot = self.slots.at(index);
            if slot.over.is_none() {
                slot.send_abort(&mut self.io);
                slot.over = Some(why);
            }
            self.list(index);
        }
        self.io.device.flush();
    }

    /// Puts a connection on the list of those to be looked at in this turn.
    fn list(&mut self, index: u32) {
        list(self.slots.at(index), index, &mut self.ready);
    }

    fn hash(&self, flow: &flow::Flow) -> u64 {
        let local = &self.io.locals[usize::from(flow.local)].cidr.addr;
        self.hash.hash(&local.0, flow.local_port, &flow.remote.0, flow.remote_port)
    }

    fn socket_address(&self, local: u16, port: u16) -> SocketAddr {
        SocketAddr::new(self.io.locals[usize::from(local)].cidr.addr.to_ip(), port)
    }
}

/// Puts the connection in a slot on the list, unless it is there.
#[inline]
fn list<C>(slot: &mut slots::Slot<C>, index: u32, ready: &mut Vec<u32>) {
    if !slot.pending.contains(slots::Pending::LISTED) {
        slot.pending |= slots::Pending::LISTED;
        ready.push(index);
    }
}

fn local(address: &LocalAddress) -> Local {
    let addr = Addr::from(address.ip);
    Local { cidr: Cidr { addr, prefix_len: address.prefix_len }, owned: address.owned }
}

fn split_secret(secret: &[u8; 32]) -> [[u8; 16]; 2] {
    let mut keys = [[0; 16]; 2];
    keys[0].copy_from_slice(&secret[..16]);
    keys[1].copy_from_slice(&secret[16..]);
    keys
}

/// What a demux entry points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Connection(u32),
    HalfOpen(u32),
    TimeWait(u32),
}

impl Target {
    const KIND_SHIFT: u32 = 30;

    fn to_bits(self) -> u32 {
        let (kind, index) = match self {
            Target::Connection(index) => (0, index),
            Target::HalfOpen(index) => (1, index),
            Target::TimeWait(index) => (2, index),
        };
        debug_assert!(index < 1 << Target::KIND_SHIFT);
        kind << Target::KIND_SHIFT | index
    }

    fn from_bits(bits: u32) -> Target {
        let index = bits & ((1 << Target::KIND_SHIFT) - 1);
        match bits >> Target::KIND_SHIFT {
            0 => Target::Connection(index),
            1 => Target::HalfOpen(index),
            _ => Target::TimeWait(index),
        }
    }
}

/// Whether `ip` is of the family of `addr`.
fn same_family(ip: &IpAddr, addr: Addr) -> bool {
    ip.is_ipv4() == addr.is_v4()
}
