//! Who may come in: budgets that are looked at when a SYN comes and once more when its handshake is
//! complete, and never for a segment of a connection.
//!
//! | refused | by | counted as |
//! | --- | --- | --- |
//! | the server is being shut down | [`Engine::start_drain`] | `DropDraining` |
//! | the accept queue is full | `backlog`, per listener | `ListenOverflows` |
//! | no connection is left | `connections`, `connections_per_listener` | `DropConnectionsFull` |
//! | frames are few | `newcomer_frames` | `DropNewcomerFrames` |
//! | the source has its share | `connections_per_source` | `DropSourceFull` |
//! | the half-open table is full | `half_open`, per listener | `DropHalfOpenFull` |
//!
//! All of them count as `ListenDrops` too, and what the peer hears is [`Overflow`]. Beyond them the
//! application refuses in `on_open`.
//!
//! Tables and queue belong to one thread, and nothing of them is shared: they are held against a
//! model in `tests/admission`. What threads do share on the way to a connection (cookie keys, the
//! orders to a core, its wake-ups) is tried in every interleaving: `make loom`.

use super::Engine;
use super::config::{EngineConfig, Overflow};
use super::counters::Counter;
use super::flow::{Flow, Hop};
use super::listeners::{ListenerId, Listeners};
use super::sources::Sources;
use crate::app::{App, Close};
use crate::device::{Device, Pool};
use crate::tcp::stateless;
use crate::wire::Addr;
use crate::wire::tcp::{Options, Segment};

/// Newcomers never need more than one in this many of the frames.
const NEWCOMER_DIVISOR: u32 = 16;

/// What decides about newcomers.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) listeners: Listeners,
    pub(super) sources: Sources,
    /// With fewer free frames nobody comes in.
    fewest_frames: u32,
    /// Accepting is paused, whatever the application says.
    pub(super) paused: bool,
}

impl Admission {
    pub(super) fn new(config: &EngineConfig, pool: &Pool, key: &[u8; 16]) -> Admission {
        Admission {
            listeners: Listeners::new(&config.listeners, &config.limits),
            sources: Sources::new(&config.limits, key),
            fewest_frames: fewest_frames(config.limits.newcomer_frames, pool),
            paused: false,
        }
    }
}

/// Free frames without which no newcomer is let in: `wanted` beside the reserve, but no more than
/// a part of the pool, or a small one would let in nobody.
pub(crate) fn fewest_frames(wanted: u32, pool: &Pool) -> u32 {
    let most = (pool.frames() - pool.reserve()) / NEWCOMER_DIVISOR;
    if wanted == 0 { 0 } else { pool.reserve() + wanted.min(most) }
}

impl<A: App, D: Device> Engine<A, D> {
    /// Pauses (`true`) or resumes accepting, beside what the application asked for by
    /// [`Core::pause_accepting`](crate::app::Core::pause_accepting): while either of them pauses,
    /// new connections wait in the accept queue, and what finds it full is refused.
    pub fn pause_accepting(&mut self, paused: bool) {
        self.admission.paused = paused;
    }

    fn accepting_is_paused(&self) -> bool {
        self.admission.paused || self.commands.accept_paused
    }

    /// Whether somebody waits for `on_open` and need not.
    pub(super) fn may_accept(&self) -> bool {
        !self.accepting_is_paused() && self.admission.listeners.waiting() > 0
    }

    /// `on_open` for everything in the accept queue, in order.
    pub(super) fn accept(&mut self) -> bool {
        let paused = self.accepting_is_paused();
        if paused && !self.draining {
            return false;
        }
        let mut any = false;
        while let Some(id) = self.admission.listeners.pop() {
            any = true;
            // Reset while it waited: its slot may be another's.
            let Some(index) = self.slots.find(id) else { continue };
            if self.slots.at(index).over.is_none() && paused {
                // Nobody will accept it any more: closing a listening socket resets as well.
                let slot = self.slots.at(index);
                slot.send_abort(&mut self.io);
                slot.over = Some(Close::Drained);
            } else if self.slots.at(index).over.is_none() {
                self.opened(index);
            }
            self.list(index);
        }
        any
    }

    /// Whether we accept connections to this address and port, and who does.
    pub(super) fn listener(&self, flow: &Flow) -> Option<ListenerId> {
        self.admission.listeners.find(self.local_addr(flow), flow.local_port)
    }

    /// Why no handshake can be completed now. O(1).
    pub(super) fn refusal(&self, listener: Option<ListenerId>, remote: Addr) -> Option<Counter> {
        let admission = &self.admission;
        let (listeners, io) = (&admission.listeners, &self.io);
        if listener.is_some_and(|listener| listeners.queue_is_full(listener)) {
            Some(Counter::ListenOverflows)
        } else if self.slots.is_full()
            || listener.is_some_and(|listener| listeners.has_all_it_may(listener))
        {
            Some(Counter::DropConnectionsFull)
        } else if io.pool.free() + io.unprocessed < admission.fewest_frames {
            Some(Counter::DropNewcomerFrames)
        } else if admission.sources.is_full(remote) {
            Some(Counter::DropSourceFull)
        } else {
            None
        }
    }

    /// Why nobody new is let in now: the same, and a drain, which completes the handshakes that it
    /// finds but begins none. O(1).
    pub(super) fn newcomer_refusal(&self, listener: ListenerId, remote: Addr) -> Option<Counter> {
        if self.draining {
            return Some(Counter::DropDraining);
        }
        self.refusal(Some(listener), remote)
    }

    /// Refuses a SYN or the last segment of a handshake, for the reason that `counter` counts.
    pub(super) fn refuse(&mut self, counter: Counter, segment: &Segment, flow: &Flow, hop: Hop) {
        self.io.counters.inc(counter);
        self.io.counters.inc(Counter::ListenDrops);
        if self.config.overflow == Overflow::Reset
            && self.io.may_reply()
            && let Some(reset) = stateless::closed(segment)
        {
            self.io.send_reset(flow, hop, reset.seq, reset.ack, Options::NONE);
        }
    }

    /// The connection in this slot is established: it waits for `on_open`.
    pub(super) fn enqueue(&mut self, index: u32, listener: Option<ListenerId>, remote: Addr) {
        let id = self.slots.at(index).id;
        self.admission.listeners.push(listener, id);
        self.admission.sources.enter(remote);
    }

    /// An accepted connection is over: what it had of the budgets is free.
    pub(super) fn leave(&mut self, flow: &Flow) {
        let local = self.local_addr(flow);
        self.admission.listeners.connection_ended(local, flow.local_port);
        self.admission.sources.leave(flow.remote);
    }

    /// Counts anew what listeners have, after one came or went. O(connections).
    pub(super) fn recount(&mut self) {
        let locals = &self.io.locals;
        let end = |flow: &Flow| (locals[usize::from(flow.local)].cidr.addr, flow.local_port);
        let slots = &self.slots;
        let accepted = slots.indices().filter_map(|index| slots.get(index));
        let accepted = accepted.filter(|slot| slot.is_accepted());
        self.admission.listeners.recount(
            self.half_open.iter().map(|entry| end(&entry.flow)),
            accepted.map(|slot| end(&slot.flow(&self.io))),
            |id| {
                slots
                    .find(id)
                    .and_then(|index| slots.get(index))
                    .map(|slot| end(&slot.flow(&self.io)))
            },
        );
    }

    fn local_addr(&self, flow: &Flow) -> Addr {
        self.io.locals[usize::from(flow.local)].cidr.addr
    }
}
