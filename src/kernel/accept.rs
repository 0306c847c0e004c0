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
}

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listeners: Vec<Listening>,
    /// The system refused a descriptor: not before this.
    closed_until: Option<Instant>,
    /// That nobody can be let in was reported: once for each time it begins.
    full: bool,
}

enum Accepted {
    Somebody,
    Nobody,
    Blocked,
}

impl Door {
    pub(super) fn new(listeners: Listeners) -> Door {
        let listeners = listeners.sockets.into_iter();
        let listeners = listeners.map(|(socket, at)| Listening { socket, at, knocked: true });
        Door { listeners: listeners.collect(), closed_until: None, full: false }
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
            let paused = self.commands.accept_paused;
            let worked = !paused && self.accept_up_to(self.config.limits.backlog, now);
            self.door.listeners.clear();
            return worked;
        }
        let closed = self.door.closed_until.is_some_and(|until| now < until);
        if closed || self.commands.accept_paused {
            return false;
        }
        self.door.closed_until = None;
        self.accept_up_to(ACCEPTS, now)
    }

    /// When to look at the accept queues again without being told to.
    pub(super) fn accept_at(&self, now: Instant) -> Option<Instant> {
        let knocked = self.door.listeners.iter().any(|listener| listener.knocked);
        let full = self.slots.is_full() && self.config.overflow == Overflow::Drop;
        if !knocked || full || self.commands.accept_paused {
            return None;
        }
        Some(self.door.closed_until.map_or(now, |until| until.max(now)))
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
        let full = self.slots.is_full();
        let listener = &mut self.door.listeners[listener];
        if !listener.knocked {
            return Accepted::Nobody;
        }
        if full && self.config.overflow == Overflow::Drop {
            if !self.door.full {
                self.door.full = true;
                self.counters.inc(Counter::DropConnectionsFull);
            }
            return Accepted::Blocked;
        }
        match listener.socket.accept() {
            Ok((stream, _)) if full => {
                self.counters.inc(Counter::DropConnectionsFull);
                self.counters.inc(Counter::ResetsSent);
                listen::reset(stream);
            }
            Ok((stream, remote)) => {
                self.door.full = false;
                let local = match listener.at.ip().is_unspecified() {
                    true => stream.local_addr().unwrap_or(listener.at),
                    false => listener.at,
                };
                self.welcome(stream, local, remote, now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.knocked = false;
                return Accepted::Nobody;
            }
            Err(error) if is_exhaustion(&error) => {
                if !self.door.full {
                    tracing::warn!(%error, "cannot accept connections: see 'ulimit -n'");
                }
                self.door.full = true;
                self.counters.inc(Counter::DropConnectionsFull);
                self.door.closed_until = Some(now + RETRY);
                return Accepted::Blocked;
            }
            // The peer is gone already, or a filter forbids it: the next one may be well.
            Err(_) => {}
        }
        Accepted::Somebody
    }

    fn welcome(&mut self, stream: TcpStream, local: SocketAddr, remote: SocketAddr, now: Instant) {
        match self.place(stream, Flags::WRITABLE, 0) {
            Ok(at) => self.open(at, local, remote, Role::Accepted, now),
            Err(_) => {
                self.counters.inc(Counter::DropConnectionsFull);
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
        let slot = self.slots.place(at);
        let mut commands = Commands::default();
        let limit = self.config.tcp.send_buffer;
        let mut tx = Tx {
            context: TxContext { pool: &self.pool, limit, now },
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
