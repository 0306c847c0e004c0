//! Taking new connections from the kernel.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};

use super::core::KernelCore;
use super::listen::{self, Listeners};
use super::slots::Flags;
use crate::app::{App, Close, Commands, Peer, Role, Tx, TxContext};
use crate::engine::{Counter, Overflow};
use crate::time::Instant;
use crate::wire::Addr;

/// Connections taken from one listener in one turn.
const ACCEPTS: u32 = 64;
/// How long to leave the accept queue alone when the system has no descriptor or no memory for it.
const RETRY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Listening {
    pub(super) socket: TcpListener,
    at: SocketAddr,
    /// Somebody may be waiting.
    knocked: bool,
    /// That nobody can be let in was reported: once for each time it begins.
    full: bool,
    /// Accepted here and still open.
    connections: u32,
}

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listeners: Vec<Listening>,
    /// The system refused a descriptor: not before this.
    closed_until: Option<Instant>,
    /// With fewer free frames nobody comes in.
    fewest_frames: u32,
}

enum Accepted {
    Somebody,
    Nobody,
    Blocked,
}

impl Door {
    pub(super) fn new(listeners: Listeners, fewest_frames: u32) -> Door {
        let listening =
            |(socket, at)| Listening { socket, at, knocked: true, full: false, connections: 0 };
        let listeners = listeners.sockets.into_iter().map(listening).collect();
        Door { listeners, closed_until: None, fewest_frames }
    }

    pub(super) fn knock_all(&mut self) {
        (0..self.listeners.len()).for_each(|listener| self.knock(listener));
    }

    pub(super) fn knock(&mut self, listener: usize) {
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.knocked = true;
        }
    }
}

impl<A: App> KernelCore<A> {
    pub(super) fn accept(&mut self, now: Instant) -> bool {
        if self.draining && !self.door.listeners.is_empty() {
            // These are connected as their peers see it; closing the socket would reset them.
            let worked = !self.is_paused() && self.accept_up_to(self.config.limits.backlog, now);
            self.door.listeners.clear();
            return worked;
        }
        let closed = self.door.closed_until.is_some_and(|until| now < until);
        if closed || self.is_paused() {
            return false;
        }
        self.door.closed_until = None;
        self.accept_up_to(ACCEPTS, now)
    }

    /// When to look at the accept queues again without being told to.
    pub(super) fn accept_at(&self, now: Instant) -> Option<Instant> {
        let waits = self.config.overflow == Overflow::Drop;
        let due =
            |listener: &Listening| listener.knocked && !(waits && self.refusal(listener).is_some());
        if self.is_paused() || !self.door.listeners.iter().any(due) {
            return None;
        }
        Some(self.door.closed_until.map_or(now, |until| until.max(now)))
    }

    fn is_paused(&self) -> bool {
        self.paused || self.commands.accept_paused
    }

    /// Why nobody can be let in there now.
    fn refusal(&self, listener: &Listening) -> Option<Counter> {
        let limits = &self.config.limits;
        if self.slots.is_full() || listener.connections >= limits.connections_per_listener {
            Some(Counter::DropConnectionsFull)
        } else if self.pool.free() < self.door.fewest_frames {
            Some(Counter::DropNewcomerFrames)
        } else {
            None
        }
    }

    /// A connection that this listener accepted is over.
    pub(super) fn leave(&mut self, listener: u16, remote: Addr) {
        self.sources.leave(remote);
        if let Some(listener) = self.door.listeners.get_mut(usize::from(listener)) {
            listener.connections -= 1;
        }
    }

    fn accept_up_to(&mut self, most: u32, now: Instant) -> bool {
        let mut worked = false;
        for listener in 0..self.door.listeners.len() {
            for _ in 0..most {
                match self.accept_one(listener, now) {
                    Accepted::Somebody => worked = true,
                    Accepted::Nobody => break,
                    Accepted::Blocked => return worked,
                }
            }
        }
        worked
    }

    fn accept_one(&mut self, listener: usize, now: Instant) -> Accepted {
        let number = listener;
        let refusal = self.refusal(&self.door.listeners[number]);
        let listener = &mut self.door.listeners[number];
        if !listener.knocked {
            return Accepted::Nobody;
        }
        if let Some(counter) = refusal.filter(|_| self.config.overflow == Overflow::Drop) {
            if !core::mem::replace(&mut listener.full, true) {
                self.counters.inc(counter);
                self.counters.inc(Counter::ListenDrops);
            }
            return Accepted::Nobody;
        }
        match listener.socket.accept() {
            Ok((stream, remote)) => {
                let source = self.sources.is_full(remote.ip().into());
                let refusal = refusal.or(source.then_some(Counter::DropSourceFull));
                if let Some(counter) = refusal {
                    self.refuse(stream, counter);
                    return Accepted::Somebody;
                }
                listener.full = false;
                let local = match listener.at.ip().is_unspecified() {
                    true => stream.local_addr().unwrap_or(listener.at),
                    false => listener.at,
                };
                self.welcome(stream, number, local, remote, now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.knocked = false;
                return Accepted::Nobody;
            }
            Err(error) if is_exhaustion(&error) => {
                if !core::mem::replace(&mut listener.full, true) {
                    tracing::warn!(%error, "cannot accept connections: see 'ulimit -n'");
                }
                self.counters.inc(Counter::DropConnectionsFull);
                self.counters.inc(Counter::ListenDrops);
                self.door.closed_until = Some(now + RETRY);
                return Accepted::Blocked;
            }
            // The peer is gone already, or a filter forbids it: the next one may be well.
            Err(_) => {}
        }
        Accepted::Somebody
    }

    /// Resets a connection for which there is no room.
    fn refuse(&mut self, stream: TcpStream, counter: Counter) {
        self.counters.inc(counter);
        self.counters.inc(Counter::ListenDrops);
        self.counters.inc(Counter::ResetsSent);
        listen::reset(stream);
    }

    fn welcome(
        &mut self,
        stream: TcpStream,
        listener: usize,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) {
        match self.place(stream, Flags::WRITABLE, 0) {
            Ok(at) => {
                let source = Addr::from(remote.ip());
                self.slots.place(at).origin = Some((listener as u16, source));
                self.door.listeners[listener].connections += 1;
                self.sources.enter(source);
                self.open(at, local, remote, Role::Accepted, now);
            }
            Err(_) => {
                self.counters.inc(Counter::DropConnectionsFull);
                self.counters.inc(Counter::ListenDrops);
                self.counters.inc(Counter::ResetsSent);
            }
        }
    }

    /// Puts a stream into a free place and asks for its events; resets it if that can't be.
    pub(super) fn place(
        &mut self,
        mut stream: TcpStream,
        flags: Flags,
        token: u64,
    ) -> io::Result<u32> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let at = self.slots.vacant().ok_or(io::ErrorKind::OutOfMemory)?;
        match self.poll.registry().register(&mut stream, Token(at as usize), interest) {
            Ok(()) => Ok(self.slots.insert(stream, flags, token)),
            Err(error) => {
                listen::reset(stream);
                Err(error)
            }
        }
    }

    /// Asks the application whether it wants the connection.
    pub(super) fn open(
        &mut self,
        at: u32,
        local: SocketAddr,
        remote: SocketAddr,
        role: Role,
        now: Instant,
    ) {
        let id = self.slots.id(at);
        let segment = self.slots.segment;
        let slot = self.slots.place(at);
        let mut commands = Commands::NONE;
        let limit = self.config.tcp.send_buffer;
        let mut tx = Tx {
            context: TxContext { pool: &self.pool, limit, segment, now },
            outbox: &mut slot.outbox,
            commands: &mut commands,
            id,
        };
        match self.app.on_open(&Peer { id, local, remote, role }, &mut tx) {
            Ok(state) => {
                slot.state = Some(state);
                slot.flags.set(Flags::DRAIN, self.draining);
                self.connections += 1;
                self.counters.inc(match role {
                    Role::Accepted => Counter::ConnectionsAccepted,
                    Role::Connected { .. } => Counter::ConnectionsConnected,
                });
                if self.carry_out(at, now, commands) {
                    self.enqueue(at);
                }
            }
            Err(crate::app::Refuse) => {
                self.counters.inc(Counter::ConnectionsRefused);
                self.reset(at, Close::Aborted);
            }
        }
    }
}

/// Whether the system has no descriptor or no memory left: trying again at once is of no use.
fn is_exhaustion(error: &io::Error) -> bool {
    let codes = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
