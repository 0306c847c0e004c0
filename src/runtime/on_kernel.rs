//! The kernel backend, started.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_utils::CachePadded;

use super::builder::Settings;
use super::core_loop::World;
use super::cores::{self, Build, Common, Failure};
use super::error::Error;
use super::plan::{Seat, seats};
use super::ready::Ready;
use super::server::{Call, processors, secret};
use super::settings::Backend;
use crate::app::{App, Close, CoreContext, MailboxReader};
use crate::device::{Census, DeviceCounters, Waker};
use crate::engine::{Counters, Listen, Turn};
use crate::kernel::{KernelConfig, KernelCore, KernelError, Listeners};
use crate::time::Instant;

/// What the ready line says.
const MODE: &str = "sockets";

pub(super) fn run<A, F>(call: &Call<'_, F>) -> Result<(), Failure>
where
    A: App,
    F: Fn(CoreContext<A::Message>) -> A + Sync,
{
    let settings = call.settings;
    let cores = settings.cores.as_ref();
    let count = cores.map_or(1, |cores| cores.as_slice().len() as u32);
    let seats = seats(None, count, cores, &processors())?;
    let at: Vec<Listen> = settings.listen.iter().map(|&at| Listen { at }).collect();
    let listeners = Listeners::bind(&at, &settings.tcp, settings.limits.backlog, seats.len());
    let listeners = listeners.map_err(Error::from)?;
    let listen: Vec<SocketAddr> =
        listeners.first().map_or_else(Vec::new, |first| first.addresses().collect());
    warn_of_backlog(settings.limits.backlog);
    let common = Common::new(settings, &seats);
    let queues = seats.len();
    let build =
        KernelBuild { settings, listeners: Mutex::new(listeners.into_iter().map(Some).collect()) };
    cores::run(&common, call.stop, &build, call.factory, None, |_| {
        let ready = Ready { backend: Backend::Kernel, mode: MODE.into(), listen, queues };
        call.ready(&ready);
        Ok(ready)
    })
}

/// The kernel cuts what listen(2) is told without a word.
fn warn_of_backlog(backlog: u32) {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if let Some(most) = most.trim().parse::<u32>().ok().filter(|most| *most < backlog) {
        tracing::warn!(
            "--backlog {backlog} counts as {most} on kernel sockets: raise the sysctl \
             net.core.somaxconn"
        );
    }
}

struct KernelBuild<'a> {
    settings: &'a Settings,
    /// Taken by each core in turn.
    listeners: Mutex<Vec<Option<Listeners>>>,
}

impl<A: App> Build<A> for KernelBuild<'_> {
    fn build<R>(
        &self,
        seat: &Seat,
        waker: &Waker,
        mailbox: MailboxReader<A::Message>,
        app: impl FnOnce() -> A,
        run: impl FnOnce(&mut dyn World, &str) -> R,
    ) -> Result<R, Error> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = listeners.get_mut(usize::from(seat.core.0)).and_then(Option::take);
        drop(listeners);
        let mine = mine.unwrap_or_else(|| unreachable!("one set of listeners for each core"));
        let config = KernelConfig {
            core: seat.core,
            tcp: self.settings.tcp,
            limits: self.settings.limits,
            overflow: self.settings.overflow,
            pool: self.settings.pool,
            source_key: secret()?[..16].try_into().expect("half of 32 bytes"),
        };
        let mut core = KernelCore::new(config, mine, waker, mailbox, app())?;
        Ok(run(&mut core, MODE))
    }
}

impl<A: App> World for KernelCore<A> {
    fn turn(&mut self, now: Instant) -> Turn {
        KernelCore::turn(self, now)
    }

    /// The waker is part of its poll already.
    fn wait(&mut self, timeout: Option<Duration>, _waker: &Waker) {
        KernelCore::wait(self, timeout);
    }

    fn mailbox_is_empty(&self) -> bool {
        KernelCore::mailbox_is_empty(self)
    }

    fn start_drain(&mut self) {
        KernelCore::drain(self);
    }

    fn pause_accepting(&mut self, paused: bool) {
        KernelCore::pause_accepting(self, paused);
    }

    fn abort_all(&mut self, why: Close) {
        KernelCore::abort_all(self, why);
    }

    fn connections(&self) -> u32 {
        KernelCore::connections(self)
    }

    fn counters(&self) -> &Arc<CachePadded<Counters>> {
        KernelCore::counters(self)
    }

    fn census(&self) -> Census {
        self.pool().census()
    }

    fn device_counters(&self) -> DeviceCounters {
        DeviceCounters::default()
    }
}

impl From<KernelError> for Error {
    fn from(error: KernelError) -> Error {
        match error {
            KernelError::Machine { tried, answer, advice } => Error::machine(tried, answer, advice),
            other => Error::told(&other),
        }
    }
}
