//! An application that does what its [`FlowPlan`]s say, and checks every byte that it reads.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

use super::plan::{FlowPlan, PlanLimits, Reading, SidePlan};
use super::rng::Rng;
use super::violation::Violation;
use crate::app::{App, Close, Core, Peer, Refuse, Role, Rx, RxBuf, Tx};
use crate::time::Instant;

/// Shortest time of a timer.
const SOON: Duration = Duration::from_micros(200);

/// A connection to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// When.
    pub at: Instant,
    /// From where, port included, so that no two connections of a simulation are alike.
    pub local: SocketAddr,
    /// To where.
    pub remote: SocketAddr,
}

/// How a connection ended on one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Why it ended.
    pub why: Close,
    /// Bytes read.
    pub received: u64,
}

/// Opens connections, accepts them, writes, reads, holds, sends on, finishes and aborts.
#[derive(Debug)]
pub struct Workload {
    limits: PlanLimits,
    /// In the order of time.
    planned: VecDeque<Planned>,
    rng: Rng,
    outcomes: Vec<Outcome>,
    failed: u32,
    violation: Option<Violation>,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Flow {
    local: SocketAddr,
    remote: SocketAddr,
    plan: FlowPlan,
    side: usize,
    rng: Rng,
    sent: u64,
    received: u64,
    peer_finished: bool,
    finished: bool,
    /// To be let go of later, or to be sent back.
    held: VecDeque<RxBuf>,
    timer_set: bool,
}

impl Workload {
    /// One that opens `planned`, in the order of time.
    pub fn new(limits: PlanLimits, planned: Vec<Planned>, rng: Rng) -> Workload {
        Workload {
            limits,
            planned: planned.into(),
            rng,
            outcomes: Vec::new(),
            failed: 0,
            violation: None,
        }
    }

    /// How each connection that was opened ended.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Whether every planned connection was asked for.
    pub fn is_done(&self) -> bool {
        self.planned.is_empty()
    }

    /// Connections that did not come to be.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// The first wrong byte, or wrong number of bytes.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    fn verify(&mut self, flow: &Flow, rx: &Rx<'_>, n: usize) {
        let pattern = flow.plan.pattern(1 - flow.side);
        let (mut position, mut left) = (flow.received, n);
        for chunk in rx.chunks() {
            let bytes = &chunk[..chunk.len().min(left)];
            if let Some(position) = pattern.mismatch(position, bytes) {
                self.wrong(flow, String::from("another byte than was sent"), position);
                return;
            }
            position += bytes.len() as u64;
            left -= bytes.len();
        }
        let most = flow.plan.sides[1 - flow.side].bytes;
        if position > most {
            self.wrong(flow, format!("more than the {most} bytes that are sent"), position);
        }
    }

    fn wrong(&mut self, flow: &Flow, what: String, position: u64) {
        let flow = format!("{}<{}", flow.local, flow.remote);
        self.violation.get_or_insert(Violation::Bytes { flow, what, position });
    }

    fn read(&mut self, flow: &mut Flow, rx: &mut Rx<'_>) {
        let unread = match flow.side_plan().reading {
            Reading::Lines if !rx.fin() => flow.rng.range(0..8) as usize,
            _ => 0,
        };
        let n = rx.len().saturating_sub(unread);
        self.verify(flow, rx, n);
        flow.received += n as u64;
        let slow = matches!(flow.side_plan().reading, Reading::Slow(_));
        if n > 0 && (flow.echoes() || slow) {
            // Cut at a random place too, so that frames are split.
            let first = flow.rng.range(1..n as u64 + 1) as usize;
            for part in [first, n - first] {
                if part > 0 {
                    self.hold(flow, rx, part);
                }
            }
        } else {
            rx.consume(n);
        }
        if rx.fin() && rx.is_empty() && !flow.peer_finished {
            flow.peer_finished = true;
            let sent = flow.plan.sides[1 - flow.side].bytes;
            if flow.received != sent && !flow.echo_was_cut() {
                self.wrong(flow, format!("the end, {sent} bytes were sent"), flow.received);
            }
        }
    }

    fn hold(&mut self, flow: &mut Flow, rx: &mut Rx<'_>, n: usize) {
        match rx.hold(n) {
            Some(buf) => flow.held.push_back(buf),
            // No frame to split with: an echo that loses bytes ends its stream early.
            None => {
                rx.consume(n);
                flow.finished |= flow.echoes();
            }
        }
    }
}

impl Flow {
    fn side_plan(&self) -> &SidePlan {
        &self.plan.sides[self.side]
    }

    fn echoes(&self) -> bool {
        self.plan.echo && self.side == 1
    }

    /// An echo may end before it sent everything back; the one that hears it cannot tell why.
    fn echo_was_cut(&self) -> bool {
        self.plan.echo && self.side == 0
    }

    /// Writes what the plan says can be written now.
    fn write(&mut self, tx: &mut Tx<'_>, paced: bool) {
        if self.finished {
            return tx.finish();
        }
        if self.echoes() {
            return self.send_back(tx);
        }
        let plan = *self.side_plan();
        let pattern = self.plan.pattern(self.side);
        while self.sent < plan.bytes && (plan.pace.is_none() || paced) {
            let end = plan.aborts_at.unwrap_or(plan.bytes).max(self.sent);
            let want = ((end - self.sent) as usize).min(plan.chunk);
            let sent = self.sent;
            let mut at = sent;
            let wrote = tx.fill(want, |room| {
                pattern.fill(at, room);
                at += room.len() as u64;
                room.len()
            });
            self.sent += wrote as u64;
            if plan.aborts_at.is_some_and(|at| self.sent >= at) {
                return tx.abort();
            }
            if wrote < want || plan.pace.is_some() {
                break;
            }
        }
        if plan.aborts_at.is_some_and(|at| self.sent >= at) {
            return tx.abort();
        }
        if self.sent == plan.bytes && (self.peer_finished || !plan.waits) {
            self.finished = true;
            tx.finish();
        }
    }

    /// Gives back what was received, without a copy.
    fn send_back(&mut self, tx: &mut Tx<'_>) {
        while let Some(buf) = self.held.pop_front() {
            let len = buf.len() as u64;
            match tx.send(buf) {
                Ok(()) => self.sent += len,
                Err(buf) => return self.held.push_front(buf),
            }
        }
        if self.peer_finished {
            self.finished = true;
            tx.finish();
        }
    }

    /// Sets the timer if there is something to do later.
    fn arm(&mut self, tx: &mut Tx<'_>) {
        if self.timer_set {
            return;
        }
        let plan = self.side_plan();
        let writes_later = !self.finished && self.sent < plan.bytes && !self.echoes();
        let after = match (plan.reading, plan.pace) {
            (Reading::Slow(after), _) if !self.held.is_empty() && !self.echoes() => after,
            (_, Some(pace)) if writes_later => pace,
            _ => return,
        };
        self.timer_set = true;
        tx.set_timer(Some(after.max(SOON)));
    }
}

impl App for Workload {
    type Conn = Flow;
    type Message = ();

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<Flow, Refuse> {
        let plan = FlowPlan::between(&self.limits, peer.local, peer.remote);
        let mut flow = Flow {
            local: peer.local,
            remote: peer.remote,
            plan,
            side: FlowPlan::side(peer.local, peer.remote),
            rng: self.rng.fork(plan.key),
            sent: 0,
            received: 0,
            peer_finished: false,
            finished: false,
            held: VecDeque::new(),
            timer_set: false,
        };
        flow.write(tx, matches!(peer.role, Role::Connected { .. }));
        flow.arm(tx);
        Ok(flow)
    }

    fn on_data(&mut self, flow: &mut Flow, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        self.read(flow, rx);
        flow.write(tx, false);
        flow.arm(tx);
    }

    fn on_space(&mut self, flow: &mut Flow, tx: &mut Tx<'_>) {
        flow.write(tx, false);
        flow.arm(tx);
    }

    fn on_timer(&mut self, flow: &mut Flow, tx: &mut Tx<'_>) {
        flow.timer_set = false;
        if !flow.echoes() {
            flow.held.pop_front();
        }
        flow.write(tx, true);
        flow.arm(tx);
    }

    fn on_close(&mut self, flow: Flow, why: Close) {
        let Flow { local, remote, received, .. } = flow;
        self.outcomes.push(Outcome { local, remote, why, received });
    }

    fn on_connect_failed(&mut self, _token: u64, _why: Close) {
        self.failed += 1;
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        while let Some(next) = self.planned.front() {
            if next.at > core.now() || core.connect(next.remote, Some(next.local), 0).is_err() {
                return;
            }
            self.planned.pop_front();
        }
    }
}
