//! A simulated world for tests: virtual time, a network that misbehaves, and an oracle.
//!
//! For the tests of applications, and of Sidestep itself (feature `sim`); no part of a server. A
//! [`Simulation`] joins [engines](crate::engine::Engine) by a [`Network`], jumps from event to
//! event, and checks after every turn what must hold: the callback contract ([`Checked`]) and the
//! place of every frame. [`Scenario`] draws all of it, workload included, from one seed.
//!
//! Nothing here reads a clock, an address or a hash map: a seed always gives the same run.

mod bulk;
mod checked;
mod dumbbell;
mod exchange;
mod link;
mod mark;
mod network;
mod pattern;
mod plan;
mod rng;
mod scenario;
mod script;
mod simulation;
mod timers;
mod violation;
mod workload;

pub use bulk::{Bulk, Received, Sink};
pub use checked::{Checked, Tracked};
pub use dumbbell::{Bottleneck, Dumbbell, Group, Receiver};
pub use exchange::{Exchange, TailLoss};
pub use link::{LinkConfig, LinkCounters, Tamper};
pub use network::Network;
pub use pattern::Pattern;
pub use plan::{FlowPlan, PlanLimits, Reading, SidePlan};
pub use rng::Rng;
pub use scenario::{Scenario, Summary};
pub use script::{Script, ScriptId};
pub use simulation::{HostConfig, HostId, Simulation};
pub use timers::Timers;
pub use violation::Violation;
pub use workload::{Flow, Outcome, Planned, Workload};

use crate::app::{App, Inboxes, Mailbox};
use crate::device::{Device, Waker};
use crate::engine::{Engine, EngineConfig};

/// What [`with_mailbox`] makes.
pub type WithMailbox<A, D> = (Engine<A, D>, Mailbox<<A as App>::Message>);

/// An engine on its own, and the mailbox that reaches its connections between turns.
///
/// # Errors
/// What the system answered when asked for an eventfd.
pub fn with_mailbox<A: App, D: Device>(
    config: EngineConfig,
    device: D,
    app: A,
) -> std::io::Result<WithMailbox<A, D>> {
    let capacity = config.limits.mailbox.max(1) as usize;
    let (mailbox, readers) = Inboxes::make(&[Waker::new()?], capacity);
    let reader = readers.into_iter().next().expect("one reader for one waker");
    Ok((Engine::new(config, device, reader, app), mailbox))
}

/// The engines of one server's cores, run by one thread: each with its device and application.
///
/// # Errors
/// What the system answered when asked for an eventfd.
pub fn cores<A: App, D: Device>(
    parts: Vec<(EngineConfig, D, A)>,
) -> std::io::Result<Vec<Engine<A, D>>> {
    let wakers: std::io::Result<Vec<Waker>> = parts.iter().map(|_| Waker::new()).collect();
    let (_, readers) = Inboxes::make(&wakers?, MESSAGES);
    let engines = parts.into_iter().zip(readers);
    Ok(engines
        .map(|((config, device, app), reader)| Engine::new(config, device, reader, app))
        .collect())
}

/// Messages that may wait for a core.
const MESSAGES: usize = 64;
