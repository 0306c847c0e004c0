//! The load as an application: opens connections, asks, and measures how long answers take.

use core::time::Duration;
use std::collections::VecDeque;

use super::arrivals::Arrivals;
use super::http::{Read, Reader, Reply, Response};
use super::plan::{Outcome, Plan, Share, Sources, Trouble};
use super::tally::{Fault, Tally};
use crate::app::{App, Close, ConnId, Core, CoreContext, Mailbox, Peer, Refuse, Role, Rx, Tx};
use crate::time::Instant;

/// Connections that are opened at a time at the start: fewer than servers let wait.
const OPENING: u32 = 256;
/// How long all connections may take to open.
const OPENING_TIME: Duration = Duration::from_secs(20);
/// How long to wait for ports, descriptors or memory to come back.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first turn has not come.
    Start,
    Opening {
        until: Instant,
    },
    WarmUp {
        until: Instant,
    },
    Measuring {
        since: Instant,
        until: Instant,
    },
    Over {
        at: Instant,
    },
}

/// One core's load.
pub(super) struct Client<'a> {
    plan: &'a Plan,
    outcome: &'a Outcome,
    share: Share,
    sources: Sources,
    /// How a connection that waits is told that a request is due, and since when.
    mailbox: Mailbox<Instant>,
    phase: Phase,
    opening: u32,
    open: u32,
    /// Those that wait for a request to come due, the longest waiting first.
    idle: VecDeque<ConnId>,
    /// Told to send and not heard of since: they were closed meanwhile.
    told: u64,
    /// No connection is asked for before: this machine had nothing left for one.
    pause: Instant,
    arrivals: Option<Arrivals>,
    reader: Reader,
    tally: Option<Tally>,
    usage: Usage,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Conn {
    id: ConnId,
    /// When the request was due whose response is awaited.
    due: Option<Instant>,
    /// Bytes of the request that found no space yet.
    unsent: usize,
    response: Response,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        outcome: &'a Outcome,
        context: &CoreContext<Instant>,
    ) -> Client<'a> {
        let (core, cores) = (usize::from(context.core.0), context.cores);
        let share = plan.share(core, cores);
        Client {
            plan,
            outcome,
            share,
            sources: Sources::new(&plan.sources, core, cores),
            mailbox: context.mailbox.clone(),
            phase: Phase::Start,
            opening: 0,
            open: 0,
            idle: VecDeque::with_capacity(share.connections as usize),
            told: 0,
            pause: Instant::ZERO,
            arrivals: share.rate.map(Arrivals::new),
            reader: Reader::default(),
            tally: Some(Tally::new()),
            usage: Usage::default(),
        }
    }

    /// Made when the core started, and kept until it is delivered in `drop`.
    fn tally(&mut self) -> &mut Tally {
        self.tally.get_or_insert_with(Tally::new)
    }

    /// From one phase to the next when it is time.
    fn advance(&mut self, now: Instant) {
        match self.phase {
            Phase::Start => self.phase = Phase::Opening { until: now + OPENING_TIME },
            Phase::Opening { .. } if self.plan.close || self.open == self.share.connections => {
                if let Some(arrivals) = &mut self.arrivals {
                    arrivals.begin(now, self.share.offset);
                }
                self.phase = Phase::WarmUp { until: now + self.plan.warm_up };
            }
            Phase::Opening { until } if now >= until => {
                let (opened, wanted) = (self.open, self.share.connections);
                self.outcome.give_up(Trouble::Opening { opened, wanted });
                self.phase = Phase::Over { at: now };
            }
            Phase::WarmUp { until } if now >= until => {
                self.usage = Usage { last: now, ..Usage::default() };
                self.phase = Phase::Measuring { since: now, until: now + self.plan.measure };
            }
            Phase::Measuring { since, until } if now >= until => self.finish(since, now),
            _ if self.outcome.interrupted() => match self.phase {
                Phase::Measuring { since, .. } => self.finish(since, now),
                Phase::Over { .. } => {}
                _ => self.end(now),
            },
            _ => {}
        }
    }

    /// The measured time is over.
    fn finish(&mut self, since: Instant, now: Instant) {
        // What was due and has found no connection has waited, too.
        while let Some(due) = self.arrivals.as_mut().and_then(|arrivals| arrivals.take(now)) {
            if due >= since {
                self.tally().unanswered += 1;
                self.tally().record(now.since(due));
            }
        }
        let (busy, told) = (self.usage.busy, self.told);
        let tally = self.tally();
        tally.busy = busy;
        tally.unanswered += told;
        tally.close(now.since(since));
        self.end(now);
    }

    fn end(&mut self, now: Instant) {
        self.phase = Phase::Over { at: now };
        // In order, so that nothing is left over at the server.
        self.outcome.stop.drain();
    }

    fn measuring_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Measuring { since, .. } => Some(since),
            _ => None,
        }
    }

    /// Has connections that wait send what is due.
    fn dispatch(&mut self, now: Instant) {
        let Some(arrivals) = &mut self.arrivals else { return };
        while let Some(&id) = self.idle.front() {
            let Some(due) = arrivals.take(now) else { return };
            if self.mailbox.post(id, due).is_err() {
                return arrivals.put_back();
            }
            self.told += 1;
            self.idle.pop_front();
        }
    }

    /// Asks for the connections that are wanted and not there.
    fn connect(&mut self, core: &mut Core<'_>) {
        let now = core.now();
        let starting = matches!(self.phase, Phase::Opening { .. }) && !self.plan.close;
        if now < self.pause {
            return;
        }
        let mut wanted = self.share.connections.saturating_sub(self.open + self.opening);
        if starting {
            wanted = wanted.min(OPENING.saturating_sub(self.opening));
        }
        for _ in 0..wanted {
            let due = match &mut self.arrivals {
                Some(arrivals) if self.plan.close => arrivals.take(now),
                _ => Some(now),
            };
            let Some(due) = due else { return };
            let source = self.sources.next();
            if core.connect(self.plan.target, source, due.nanos()).is_err() {
                // As many as one turn takes: the rest in the next one.
                if let Some(arrivals) = self.arrivals.as_mut().filter(|_| self.plan.close) {
                    arrivals.put_back();
                }
                return;
            }
            self.opening += 1;
        }
    }

    fn ask(&mut self, conn: &mut Conn, due: Instant, tx: &mut Tx<'_>) {
        conn.due = Some(due);
        conn.unsent = self.plan.request.len();
        self.send(conn, tx);
    }

    fn send(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        let request = &self.plan.request;
        conn.unsent -= tx.write(&request[request.len() - conn.unsent..]);
    }

    /// The next request, if it is due, or else a place among those that wait.
    fn next_request(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        let due = match &mut self.arrivals {
            Some(arrivals) => arrivals.take(tx.now()),
            None => Some(tx.now()),
        };
        match due {
            Some(due) => self.ask(conn, due, tx),
            None => self.idle.push_back(conn.id),
        }
    }

    fn answered(&mut self, conn: &mut Conn, reply: Reply, rx: &Rx<'_>, tx: &mut Tx<'_>) {
        let Some(due) = conn.due.take() else { return self.fault(Fault::Malformed, tx) };
        if let Phase::Over { .. } = self.phase {
            return self.lost(due, None);
        }
        let since = self.measuring_since();
        let open_loop = self.arrivals.is_some();
        let tally = self.tally();
        tally.answered += 1;
        if !reply.good {
            tally.fault(Fault::Status);
        }
        // An open loop measures what was due in its time; what was due before warmed up.
        if since.is_some_and(|since| !open_loop || due >= since) {
            tally.responses += 1;
            tally.record(tx.now().since(due));
        }
        if self.plan.close || reply.closes || rx.fin() {
            return tx.finish();
        }
        self.next_request(conn, tx);
    }

    fn fault(&mut self, fault: Fault, tx: &mut Tx<'_>) {
        self.tally().fault(fault);
        tx.abort();
    }

    /// A request has no response, and will have none.
    fn lost(&mut self, due: Instant, why: Option<Fault>) {
        let Phase::Over { at } = self.phase else {
            if let Some(why) = why {
                self.tally().fault(why);
            }
            return;
        };
        let measured = self.tally().measured;
        let open_loop = self.arrivals.is_some();
        let tally = self.tally();
        // What it waited until the end is the least that it would have waited.
        if open_loop && at.since(due) <= measured {
            tally.unanswered += 1;
            tally.record(at.since(due));
        }
    }
}

impl App for Client<'_> {
    type Conn = Conn;
    type Message = Instant;

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<Conn, Refuse> {
        self.usage.worked = true;
        let Role::Connected { token } = peer.role else { return Err(Refuse) };
        self.opening -= 1;
        self.open += 1;
        self.tally().opened += 1;
        let id = peer.id;
        let mut conn = Conn { id, due: None, unsent: 0, response: Response::default() };
        if self.plan.close {
            self.ask(&mut conn, Instant::from_nanos(token), tx);
        } else {
            self.next_request(&mut conn, tx);
        }
        Ok(conn)
    }

    fn on_message(&mut self, conn: &mut Conn, due: Instant, tx: &mut Tx<'_>) {
        self.usage.worked = true;
        self.told -= 1;
        self.ask(conn, due, tx);
    }

    fn on_space(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        self.send(conn, tx);
    }

    fn on_data(&mut self, conn: &mut Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        self.usage.worked = true;
        if conn.due.is_none() {
            // The server is done with an idle connection, or says what nobody asked for.
            if !rx.is_empty() {
                return self.fault(Fault::Malformed, tx);
            }
            if rx.fin() {
                self.idle.retain(|id| *id != conn.id);
                tx.finish();
            }
            return;
        }
        let mut bytes = 0;
        let ended = rx.fin() && rx.is_empty();
        match self.reader.read(&mut conn.response, rx, &mut bytes) {
            Read::Partly => {}
            Read::Whole(reply) => self.answered(conn, reply, rx, tx),
            Read::Malformed => {
                conn.due = None;
                self.fault(if ended { Fault::Closed } else { Fault::Malformed }, tx);
            }
        }
        if self.measuring_since().is_some() {
            self.tally().bytes += bytes;
        }
    }

    fn on_drain(&mut self, _: &mut Conn, tx: &mut Tx<'_>) {
        tx.finish();
    }

    fn on_close(&mut self, conn: Conn, why: Close) {
        self.usage.worked = true;
        self.open -= 1;
        match conn.due {
            Some(due) => self.lost(due, Some(Fault::from(why))),
            None => self.idle.retain(|id| *id != conn.id),
        }
    }

    fn on_connect_failed(&mut self, token: u64, why: Close) {
        self.usage.worked = true;
        self.opening -= 1;
        if let Phase::Over { .. } = self.phase {
            if self.plan.close {
                self.lost(Instant::from_nanos(token), None);
            }
            return;
        }
        let tally = self.tally();
        tally.failed[why as usize] += 1;
        if tally.opened == 0 {
            self.outcome.give_up(Trouble::Connecting(why));
        }
        if why == Close::NoResources {
            self.pause = self.usage.last + PAUSE;
        }
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        let now = core.now();
        self.usage.turn(now);
        self.advance(now);
        if matches!(self.phase, Phase::Over { .. }) {
            return;
        }
        if !self.plan.close {
            self.dispatch(now);
        }
        self.connect(core);
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        if let Some(tally) = self.tally.take() {
            self.outcome.deliver(tally);
        }
    }
}

/// How long turns lasted in which there was something to do.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    last: Instant,
    busy: Duration,
    /// Something was done since `on_turn` was called last.
    worked: bool,
    /// And before, in the turn that ends now.
    worked_before: bool,
}

impl Usage {
    fn turn(&mut self, now: Instant) {
        if self.worked_before {
            self.busy += now.since(self.last);
        }
        self.last = now;
        self.worked_before = core::mem::take(&mut self.worked);
    }
}

#[cfg(test)]
mod tests;
