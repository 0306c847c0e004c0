//! Where connections are accepted, what each listener has of them, and the accept queue.
//!
//! The semantics are those of listen(2). A connection waits in the accept queue from the end of its
//! handshake until `on_open`: usually less than a turn, longer while accepting is paused. A
//! connection that its peer resets while it waits keeps its place until the queue is served, so
//! that nobody can stretch a full queue by coming and going.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Listen;
use super::config::Limits;
use crate::app::ConnId;
use crate::wire::Addr;

/// Half-open connections of all listeners together, unless one alone may have more.
const MAX_HALF_OPEN: u32 = 1 << 20;

/// One listener.
#[derive(Clone, Copy, Debug)]
struct Listener {
    at: SocketAddr,
    /// The same, as a packet has it.
    addr: Addr,
    half_open: u32,
    /// Entries of the accept queue.
    waiting: u32,
    /// Connections, those included that wait; counted if they are limited.
    connections: u32,
}

impl Listener {
    #[inline]
    fn is_at(&self, addr: Addr, port: u16) -> bool {
        let all_of_family = self.at.ip().is_unspecified() && self.at.is_ipv4() == addr.is_v4();
        self.at.port() == port && (self.addr == addr || all_of_family)
    }

    fn new(at: SocketAddr) -> Listener {
        let addr = Addr::from(at.ip());
        Listener { at, addr, half_open: 0, waiting: 0, connections: 0 }
    }
}

/// Names a listener until the next one is added or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenerId(u32);

/// All listeners of a core and its accept queue. Operations are O(1) but for finding a listener,
/// which is O(listeners).
#[derive(Debug)]
pub(super) struct Listeners {
    all: Vec<Listener>,
    /// Connections that wait for `on_open`, in order of arrival; their listener, if it is still
    /// there.
    queue: VecDeque<(ConnId, Option<ListenerId>)>,
    backlog: u32,
    half_open_limit: u32,
    connection_limit: u32,
}

impl Listeners {
    pub(super) fn new(at: &[Listen], limits: &Limits) -> Listeners {
        let all: Vec<_> = at.iter().map(|listen| Listener::new(listen.at)).collect();
        let queue = VecDeque::with_capacity(all.len() * limits.backlog as usize);
        Listeners {
            all,
            queue,
            backlog: limits.backlog,
            half_open_limit: limits.half_open,
            connection_limit: limits.connections_per_listener,
        }
    }

    /// Half-open connections for which there should be room.
    pub(super) fn half_open_capacity(&self) -> u32 {
        let (listeners, limit) = (self.all.len().max(1) as u32, self.half_open_limit);
        limit.saturating_mul(listeners).min(limit.max(MAX_HALF_OPEN))
    }

    /// Who accepts connections to this address and port: the first to have said so.
    pub(super) fn find(&self, addr: Addr, port: u16) -> Option<ListenerId> {
        let at = self.all.iter().position(|listener| listener.is_at(addr, port));
        at.map(|at| ListenerId(at as u32))
    }

    /// False, and nothing changed, if somebody listens there already. [`Listeners::recount`] must
    /// follow.
    pub(super) fn add(&mut self, at: SocketAddr) -> bool {
        if self.all.iter().any(|listener| listener.at == at) {
            return false;
        }
        self.all.push(Listener::new(at));
        self.queue.reserve(self.all.len() * self.backlog as usize - self.queue.len());
        true
    }

    /// [`Listeners::recount`] must follow.
    pub(super) fn remove(&mut self, at: SocketAddr) {
        self.all.retain(|listener| listener.at != at);
    }

    /// Counts anew what each listener has, after one came or went. `of` tells where a connection
    /// came to, if it is still there.
    pub(super) fn recount(
        &mut self,
        half_open: impl Iterator<Item = (Addr, u16)>,
        connections: impl Iterator<Item = (Addr, u16)>,
        of: impl Fn(ConnId) -> Option<(Addr, u16)>,
    ) {
        for listener in &mut self.all {
            *listener = Listener::new(listener.at);
        }
        for (addr, port) in half_open {
            let listener = self.find(addr, port);
            self.half_open_began(listener);
        }
        for (addr, port) in connections {
            let listener = self.find(addr, port);
            self.change(listener, |listener| listener.connections += 1);
        }
        self.queue.retain(|(id, _)| of(*id).is_some());
        for at in 0..self.queue.len() {
            let (addr, port) = of(self.queue[at].0).expect("the others are gone");
            let listener = self.find(addr, port);
            self.queue[at].1 = listener;
            self.change(listener, |listener| listener.waiting += 1);
        }
    }

    /// Whether its half-open connections are as many as may be.
    pub(super) fn half_open_is_full(&self, listener: ListenerId) -> bool {
        self.half_open(listener) >= self.half_open_limit
    }

    /// Its half-open connections.
    pub(super) fn half_open(&self, listener: ListenerId) -> u32 {
        self.all[listener.0 as usize].half_open
    }

    /// The half-open connections of the listener that has most.
    pub(super) fn most_half_open(&self) -> u32 {
        self.all.iter().map(|listener| listener.half_open).max().unwrap_or(0)
    }

    /// Whether as many connections wait for its `on_open` as may.
    pub(super) fn queue_is_full(&self, listener: ListenerId) -> bool {
        self.all[listener.0 as usize].waiting >= self.backlog
    }

    /// Whether it has all the connections that it may have.
    pub(super) fn has_all_it_may(&self, listener: ListenerId) -> bool {
        self.all[listener.0 as usize].connections >= self.connection_limit
    }

    pub(super) fn half_open_began(&mut self, listener: Option<ListenerId>) {
        self.change(listener, |listener| listener.half_open += 1);
    }

    pub(super) fn half_open_ended(&mut self, listener: Option<ListenerId>) {
        self.change(listener, |listener| take_one(&mut listener.half_open));
    }

    /// A connection begins to wait.
    pub(super) fn push(&mut self, listener: Option<ListenerId>, id: ConnId) {
        self.queue.push_back((id, listener));
        let counted = u32::from(self.connection_limit < u32::MAX);
        self.change(listener, |listener| {
            listener.waiting += 1;
            listener.connections += counted;
        });
    }

    /// The connection that waits longest; it may be gone already.
    pub(super) fn pop(&mut self) -> Option<ConnId> {
        let (id, listener) = self.queue.pop_front()?;
        self.change(listener, |listener| take_one(&mut listener.waiting));
        Some(id)
    }

    pub(super) fn connection_ended(&mut self, addr: Addr, port: u16) {
        if self.connection_limit == u32::MAX {
            // Nobody asks how many there are.
            return;
        }
        let listener = self.find(addr, port);
        self.change(listener, |listener| take_one(&mut listener.connections));
    }

    /// Connections that wait, and places of those that are gone.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn change(&mut self, listener: Option<ListenerId>, f: impl FnOnce(&mut Listener)) {
        if let Some(ListenerId(at)) = listener {
            f(&mut self.all[at as usize]);
        }
    }
}

fn take_one(count: &mut u32) {
    debug_assert!(*count > 0, "what ends has begun");
    *count = count.saturating_sub(1);
}
