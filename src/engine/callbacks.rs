//! Calling the application, carrying out what it asked for, and ending connections.

use super::Engine;
use super::counters::Counter;
use super::io::Io;
use super::send::Sent;
use super::slots::{Has, Pending, Slot};
use super::timers::schedule;
use crate::app::{App, Close, Commands, Notice, Peer, Role, Rx, Tx, TxContext};
use crate::device::Device;
use crate::tcp::{Facts, State};
use crate::time::Tick;

/// Frames that are plenty for applications that wait for frames: one in sixteen.
const STARVED_RESERVE: u32 = 16;

impl<A: App, D: Device> Engine<A, D> {
    /// The handshake is complete: asks the application.
    pub(super) fn opened(&mut self, index: u32) {
        self.apply_path(index);
        self.hop_confirmed(index);
        let slot = self.slots.at(index);
        let (flow, id, role) = (slot.flow(&self.io), slot.id, slot.role(&self.io));
        slot.count_ecn(&self.io);
        let peer = Peer {
            id,
            local: self.socket_address(flow.local, flow.local_port),
            remote: std::net::SocketAddr::new(flow.remote.to_ip(), flow.remote_port),
            role,
        };
        let connections = self.slots.used();
        let slot = self.slots.at(index);
        let segment = slot.tcb.snd_mss;
        let limit = self.io.send_limit(connections, segment);
        let mut commands = Commands::NONE;
        let mut tx = Tx {
            context: TxContext { pool: &self.io.pool, limit, segment, now: self.io.now },
            outbox: &mut slot.outbox,
            commands: &mut commands,
            id,
        };
        match self.app.on_open(&peer, &mut tx) {
            Ok(conn) => {
                slot.app = Some(conn);
                slot.forget_token(&mut self.io);
                self.io.counters.inc(match role {
                    Role::Accepted => Counter::ConnectionsAccepted,
                    Role::Connected { .. } => Counter::ConnectionsConnected,
                });
                if self.draining {
                    slot.pending |= Pending::DRAIN;
                }
                slot.carry_out(&commands, &mut self.io);
            }
            Err(_) => {
                self.io.counters.inc(Counter::ConnectionsRefused);
                slot.send_abort(&mut self.io);
                slot.over = Some(Close::Aborted);
            }
        }
    }

    /// Looks at every connection on the list: callbacks, then output, then the end if it is over.
    pub(super) fn call_back(&mut self) -> bool {
        let mut ready = core::mem::take(&mut self.ready);
        let any = !ready.is_empty();
        for index in ready.drain(..) {
            self.look_at(index);
        }
        // Callbacks don't list connections; what was listed meanwhile keeps its place.
        if !self.ready.is_empty() {
            ready.append(&mut self.ready);
        }
        self.ready = ready;
        any
    }

    fn look_at(&mut self, index: u32) {
        let connections = self.slots.used();
        let slot = self.slots.at(index);
        slot.pending -= Pending::LISTED;
        if slot.app.is_some() {
            slot.run_callbacks(&mut self.app, &mut self.io, connections);
        }
        let mut held = None;
        if slot.over.is_none() {
            match slot.output(&mut self.io) {
                Sent::All => {}
                Sent::Blocked => {
                    slot.pending |= Pending::LISTED;
                    self.blocked.push(index);
                }
                Sent::Held(until) => held = Some(until),
            }
            let all_read = slot.inbox.is_empty() || slot.app.is_none();
            if slot.tcb.state == State::TimeWait && all_read {
                slot.over = Some(Close::Finished);
            }
        }
        if slot.over.is_some() {
            return self.end(index);
        }
        // Nearly always there is neither, and nothing to be compared.
        if let Some(at) = slot.reorder_at(&self.io) {
            held = Tick::earlier(held, Some(at));
        }
        if let Some(at) = slot.timer_at(&self.io) {
            held = Tick::earlier(held, Some(at));
        }
        schedule(slot, index, held, &mut self.wheel);
        if slot.has.contains(Has::SPACE_OWED)
            && slot.outbox.bytes() == 0
            && !slot.pending.contains(Pending::STARVED)
        {
            slot.pending |= Pending::STARVED;
            self.starved.push_back(index);
        }
    }

    /// Messages that other threads posted, up to the budget of a turn.
    pub(super) fn deliver_messages(&mut self) -> bool {
        let mut any = false;
        for _ in 0..self.config.limits.messages_per_turn {
            let Some((to, message)) = self.mailbox.pop() else { break };
            any = true;
            let open = |index: &u32| {
                let slot = self.slots.get(*index);
                slot.is_some_and(|slot| slot.app.is_some() && slot.over.is_none())
            };
            let Some(index) = self.slots.find(to).filter(open) else {
                self.io.counters.inc(Counter::DropMessages);
                continue;
            };
            let connections = self.slots.used();
            let slot = self.slots.at(index);
            slot.call(&mut self.app, &mut self.io, connections, |app, conn, _, tx| {
                app.on_message(conn, message, tx);
            });
            slot.pending |= Pending::OFFER;
            self.list(index);
        }
        any
    }

    /// Calls those that wait for frames and for nothing else, when there are plenty, or more than
    /// when they were last called: one of them may hold all the others.
    pub(super) fn feed_starved(&mut self) {
        let free = self.io.pool.free_for_data();
        let plenty = free > self.io.pool.frames() / STARVED_RESERVE;
        if free == 0 || !plenty && free <= self.fed_with {
            self.fed_with = self.fed_with.min(free);
            return;
        }
        self.fed_with = free;
        for _ in 0..self.starved.len() {
            let Some(index) = self.starved.pop_front() else { return };
            // The connection may be gone, and its slot another's: that one isn't marked, or waits
            // too.
            let Some(slot) = self.slots.get(index) else { continue };
            if !slot.pending.contains(Pending::STARVED) {
                continue;
            }
            let slot = self.slots.at(index);
            slot.pending -= Pending::STARVED;
            slot.check_space(&self.io);
            self.list(index);
        }
    }

    /// The connection is over: `on_close`, and everything it had goes back.
    #[inline(never)]
    fn end(&mut self, index: u32) {
        self.wheel.cancel(index);
        let slot = self.slots.at(index);
        let why = slot.over.unwrap_or(Close::Finished);
        let (flow, hop) = (slot.flow(&self.io), slot.hop);
        let (role, accepted) = (slot.role(&self.io), slot.is_accepted());
        slot.clear(&mut self.io);
        slot.forget_pace(&mut self.io);
        let waits = matches!(why, Close::Finished | Close::Aborted);
        let waits = (waits && slot.tcb.state == State::TimeWait).then(|| slot.time_wait(&self.io));
        slot.leave(&mut self.io);
        let conn = slot.app.take();
        self.slots.remove(index);
        if accepted {
            self.leave(&flow);
        }
        let hash = self.hash(&flow);
        match waits {
            Some(state) => self.enter_time_wait(index, &flow, hop, state, hash),
            None => self.forget_flow(hash, super::Target::Connection(index), &flow),
        }
        match (conn, role) {
            (Some(conn), _) => {
                self.io.counters.close(why);
                self.app.on_close(conn, why);
            }
            (None, Role::Connected { token }) => self.app.on_connect_failed(token, why),
            (None, Role::Accepted) => {}
        }
    }
}

impl<C> Slot<C> {
    /// Calls back whatever is due, for an application that has opened the connection.
    #[inline]
    fn run_callbacks<A, D>(&mut self, app: &mut A, io: &mut Io<D>, connections: u32)
    where
        A: App<Conn = C>,
        D: Device,
    {
        if self.pending.intersects(Pending::RARE) {
            return self.run_rare_callbacks(app, io, connections);
        }
        if self.take_due(Pending::DATA) {
            self.call(app, io, connections, |app, conn, rx, tx| app.on_data(conn, rx, tx));
        }
    }

    fn run_rare_callbacks<A, D>(&mut self, app: &mut A, io: &mut Io<D>, connections: u32)
    where
        A: App<Conn = C>,
        D: Device,
    {
        let mut offer = self.take_due(Pending::OFFER);
        if self.take_due(Pending::DRAIN) {
            offer = true;
            self.call(app, io, connections, |app, conn, _, tx| app.on_drain(conn, tx));
        }
        if self.take_due(Pending::STALLED) {
            offer = true;
            self.call(app, io, connections, |app, conn, _, tx| {
                app.on_notice(conn, Notice::Stalled, tx);
            });
        }
        if self.take_due(Pending::TIMER) {
            offer = true;
            self.call(app, io, connections, |app, conn, _, tx| app.on_timer(conn, tx));
        }
        if self.take_due(Pending::SPACE) {
            offer = true;
            self.call(app, io, connections, |app, conn, _, tx| app.on_space(conn, tx));
        }
        let unread = offer && !self.inbox.is_empty();
        if self.take_due(Pending::DATA) || unread && self.over.is_none() {
            self.call(app, io, connections, |app, conn, rx, tx| app.on_data(conn, rx, tx));
        }
    }

    /// Whether the connection lives and waited for this; now it doesn't.
    #[inline]
    fn take_due(&mut self, pending: Pending) -> bool {
        let is = self.pending.contains(pending) && self.over.is_none();
        self.pending -= pending;
        is
    }

    /// Calls `f` with the connection's state, and carries out its commands afterwards.
    #[inline]
    fn call<A, D>(
        &mut self,
        app: &mut A,
        io: &mut Io<D>,
        connections: u32,
        f: impl FnOnce(&mut A, &mut C, &mut Rx<'_>, &mut Tx<'_>),
    ) where
        A: App<Conn = C>,
        D: Device,
    {
        let segment = self.tcb.snd_mss;
        let limit = io.send_limit(connections, segment);
        let urgent = if self.tcb.has(Facts::OWN) { self.urgent_past(io) } else { None };
        let Some(conn) = self.app.as_mut() else { return };
        let finish = self.tcb.has(Facts::FIN_QUEUED);
        let mut commands = Commands { finish, ..Commands::NONE };
        let mut held = 0;
        let mut rx = Rx {
            pool: &io.pool,
            inbox: &mut self.inbox,
            held: &mut held,
            owner: self.id,
            fin: self.tcb.state.peer_has_finished(),
            urgent,
        };
        let mut tx = Tx {
            context: TxContext { pool: &io.pool, limit, segment, now: io.now },
            outbox: &mut self.outbox,
            commands: &mut commands,
            id: self.id,
        };
        f(app, conn, &mut rx, &mut tx);
        if held > 0 {
            self.hold(held, io);
        }
        if !commands.is_empty() {
            self.carry_out(&commands, io);
        }
    }

    /// What a callback asked for.
    pub(super) fn carry_out<D: Device>(&mut self, commands: &Commands, io: &mut Io<D>) {
        if commands.abort && self.over.is_none() {
            // RFC 9293 section 3.10.5: in TIME-WAIT nobody is left to be told.
            if self.tcb.state != State::TimeWait {
                self.send_abort(io);
            }
            self.over = Some(Close::Aborted);
            return;
        }
        if commands.wants_space {
            self.has |= Has::SPACE_OWED;
        }
        if commands.finish {
            self.tcb.close();
        }
        if commands.wishes.any {
            self.fulfil(&commands.wishes, io);
        }
        if let Some(after) = commands.timer {
            self.set_timer(after, io);
        }
    }
}
