//! The threads of the cores and the one that supervises them.

use core::time::Duration;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use super::builder::Settings;
use super::clock::Clock;
use super::control::{Event, OrderBox, Orders, Stop, StopKind};
use super::cookie_keys::KeyKeeper;
use super::core_loop::{CoreLoop, World};
use super::error::{Error, catching};
use super::plan::Seat;
use super::ready::Ready;
use super::settings::Poll;
use super::stats::{self, CoreReport};
use crate::app::{App, CoreContext, Inboxes, MailboxReader};
use crate::device::Waker;
use crate::wire::Reject;

/// How often the supervisor looks whether something goes wrong that only counters tell.
const LOOK_ROUND: Duration = Duration::from_secs(1);

/// What all cores share.
#[derive(Debug)]
pub(super) struct Common<'a> {
    pub(super) seats: &'a [Seat],
    pub(super) poll: Poll,
    pub(super) drain: Duration,
    /// Messages that may wait for one core.
    pub(super) mailbox: u32,
    pub(super) stats_json: Option<&'a Path>,
}

impl<'a> Common<'a> {
    pub(super) fn new(settings: &'a Settings, seats: &'a [Seat]) -> Common<'a> {
        Common {
            seats,
            poll: settings.poll,
            drain: settings.drain,
            mailbox: settings.limits.mailbox,
            stats_json: settings.stats_json.as_deref(),
        }
    }
}

/// Makes the world of one core inside of its thread, and lends it to `run` along with the name of
/// the way that its device moves packets.
pub(super) trait Build<A: App>: Sync {
    fn build<R>(
        &self,
        seat: &Seat,
        waker: &Waker,
        mailbox: MailboxReader<A::Message>,
        app: impl FnOnce() -> A,
        run: impl FnOnce(&mut dyn World, &str) -> R,
    ) -> Result<R, Error>;
}

/// Why a server ended badly.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Whether it had accepted connections before.
    pub(super) served: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, served: false }
    }
}

/// Runs one thread for each seat until `stop` says so or a core fails. `ready` is called when all
/// are up, and opens the gates.
pub(super) fn run<A, B, F>(
    common: &Common<'_>,
    stop: &Stop,
    build: &B,
    factory: &F,
    mut keeper: Option<&mut KeyKeeper<'_>>,
    ready: impl FnOnce(&[CoreReport]) -> Result<Ready, Error>,
) -> Result<(), Failure>
where
    A: App,
    B: Build<A>,
    F: Fn(CoreContext<A::Message>) -> A + Sync,
{
    let waker = |_| {
        Waker::new().map_err(|answer| {
            Error::machine("making an eventfd", answer, "raise the limit of open files (ulimit -n)")
        })
    };
    let wakers = common.seats.iter().map(waker).collect::<Result<Vec<Waker>, Error>>()?;
    let (mailbox, readers) = Inboxes::make::<A::Message>(&wakers, common.mailbox.max(1) as usize);
    let orders: Vec<OrderBox> = wakers.into_iter().map(OrderBox::new).collect();
    let (sender, events) = channel();
    stop.listen(sender.clone());
    let clock = Clock::start();
    if let Some(keeper) = &mut keeper {
        keeper.tick(clock);
    }
    thread::scope(|scope| {
        let mut alive = 0;
        for ((seat, orders), reader) in common.seats.iter().zip(&orders).zip(readers) {
            let context = CoreContext {
                core: seat.core,
                cores: common.seats.len(),
                mailbox: mailbox.clone(),
            };
            let core = Core { seat, common, orders, clock, events: sender.clone() };
            let body = move || core.run(build, reader, || factory(context));
            let name = format!("sidestep-{}", seat.core.0);
            match thread::Builder::new().name(name).spawn_scoped(scope, body) {
                Ok(_) => alive += 1,
                Err(answer) => {
                    let advice = "raise the limit of threads (ulimit -u)";
                    let error = Error::machine("starting a core's thread", answer, advice);
                    let _ = sender.send(Event::Down(Err(error)));
                }
            }
        }
        let supervisor =
            Supervisor { common, orders: &orders, alive, reports: Vec::new(), warned: false };
        let look_after = |change: bool| {
            let Some(keeper) = &mut keeper else { return };
            if change {
                keeper.change();
            }
            keeper.tick(clock);
        };
        supervisor.run(&events, ready, look_after)
    })
}

/// One core before its world exists.
struct Core<'a> {
    seat: &'a Seat,
    common: &'a Common<'a>,
    orders: &'a OrderBox,
    clock: Clock,
    events: Sender<Event>,
}

impl Core<'_> {
    fn run<A: App, B: Build<A>>(
        self,
        build: &B,
        mailbox: MailboxReader<A::Message>,
        app: impl FnOnce() -> A,
    ) {
        let core = usize::from(self.seat.core.0);
        let end = catching(core, || self.serve(build, mailbox, app));
        // The supervisor outlives every core.
        let _ = self.events.send(Event::Down(end));
    }

    fn serve<A: App, B: Build<A>>(
        &self,
        build: &B,
        mailbox: MailboxReader<A::Message>,
        app: impl FnOnce() -> A,
    ) -> Result<CoreReport, Error> {
        // Before anything is allocated, so that the memory is that of this processor's node.
        self.pin()?;
        build.build(self.seat, self.orders.waker(), mailbox, app, |world, mode| {
            let _ = self.events.send(Event::Up(self.report(world, mode)));
            let core = CoreLoop {
                world,
                poll: self.common.poll,
                orders: self.orders,
                clock: self.clock,
                drain: self.common.drain,
            };
            let world = core.run(|world| {
                let _ = self.events.send(Event::Report(self.report(world, mode)));
            });
            self.report(world, mode)
        })
    }

    fn pin(&self) -> Result<(), Error> {
        let Some(cpu) = self.seat.cpu else { return Ok(()) };
        if core_affinity::set_for_current(core_affinity::CoreId { id: cpu as usize }) {
            return Ok(());
        }
        let answer = std::io::Error::last_os_error();
        let tried = format!("pinning a thread to processor {cpu}");
        Err(Error::machine(tried, answer, "choose others with --cores"))
    }

    fn report(&self, world: &dyn World, mode: &str) -> CoreReport {
        CoreReport {
            core: usize::from(self.seat.core.0),
            cpu: self.seat.cpu,
            queue: self.seat.queue,
            mode: mode.to_owned(),
            counters: world.counters().clone(),
            census: world.census(),
            device: world.device_counters(),
        }
    }
}

/// Hears of everything and gives the orders.
struct Supervisor<'a> {
    common: &'a Common<'a>,
    orders: &'a [OrderBox],
    alive: usize,
    /// The newest of each core, in the order of the cores once all are up.
    reports: Vec<CoreReport>,
    /// Wrong checksums were warned of.
    warned: bool,
}

impl Supervisor<'_> {
    fn run(
        mut self,
        events: &Receiver<Event>,
        ready: impl FnOnce(&[CoreReport]) -> Result<Ready, Error>,
        mut look_after_keys: impl FnMut(bool),
    ) -> Result<(), Failure> {
        let begun = std::time::Instant::now();
        let mut opens = Some(ready);
        let mut up: Option<Ready> = None;
        let mut failed: Option<Error> = None;
        let mut awaited = 0;
        let mut looked = std::time::Instant::now();
        while self.alive > 0 || (failed.is_none() && up.is_none()) {
            if looked.elapsed() >= LOOK_ROUND {
                looked = std::time::Instant::now();
                look_after_keys(false);
            }
            let event = match events.recv_timeout(LOOK_ROUND) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    self.warn_of_checksums();
                    continue;
                }
                // The senders live in `stop` and in the cores: this follows the last event.
                Err(RecvTimeoutError::Disconnected) => break,
            };
            match event {
                Event::Up(report) => {
                    self.keep(report);
                    if self.reports.len() < self.common.seats.len() || failed.is_some() {
                        continue;
                    }
                    let Some(ready) = opens.take() else { continue };
                    match ready(&self.reports) {
                        Ok(ready) => up = Some(ready),
                        Err(error) => self.fail(&mut failed, error),
                    }
                }
                Event::Report(report) => {
                    self.keep(report);
                    awaited -= 1;
                    if awaited == 0 {
                        self.write_stats(up.as_ref(), begun.elapsed());
                    }
                }
                Event::Down(Ok(report)) => {
                    self.keep(report);
                    self.alive -= 1;
                }
                Event::Down(Err(error)) => {
                    self.alive = self.alive.saturating_sub(1);
                    self.fail(&mut failed, error);
                }
                Event::Stop(StopKind::Drain) => self.order(Orders::DRAIN),
                Event::Stop(StopKind::Now) => self.order(Orders::END),
                Event::Pause(true) => self.order(Orders::PAUSE),
                Event::Pause(false) => self.order(Orders::RESUME),
                Event::WriteStats if awaited == 0 && up.is_some() => {
                    awaited = self.orders.len();
                    self.order(Orders::REPORT);
                }
                Event::WriteStats => {}
                Event::ChangeKeys => look_after_keys(true),
            }
        }
        self.write_stats(up.as_ref(), begun.elapsed());
        let served = up.is_some();
        failed.map_or(Ok(()), |error| Err(Failure { error, served }))
    }

    /// The commonest silent misconfiguration: nobody can connect, and nothing says why.
    fn warn_of_checksums(&mut self) {
        let counts = self.reports.iter().map(|core| core.counters.rejected(Reject::BadTcpChecksum));
        let dropped: u64 = counts.sum();
        if dropped > 0 && !self.warned {
            self.warned = true;
            tracing::warn!(
                "{dropped} TCP segments had wrong checksums and were dropped; if they come from a \
                 veth peer or a virtual machine, say 'ethtool -K IF tx off' at its end, or \
                 --accept-partial-checksums here"
            );
        }
    }

    /// Keeps the first error, which the others follow from, and ends all cores.
    fn fail(&self, failed: &mut Option<Error>, error: Error) {
        failed.get_or_insert(error);
        self.order(Orders::END);
    }

    fn order(&self, order: Orders) {
        self.orders.iter().for_each(|each| each.give(order));
    }

    fn keep(&mut self, report: CoreReport) {
        match self.reports.iter_mut().find(|kept| kept.core == report.core) {
            Some(kept) => *kept = report,
            None => {
                self.reports.push(report);
                self.reports.sort_by_key(|report| report.core);
            }
        }
    }

    fn write_stats(&self, ready: Option<&Ready>, uptime: Duration) {
        let (Some(path), Some(ready)) = (self.common.stats_json, ready) else { return };
        let document = stats::document(ready, uptime, &self.reports);
        if let Err(error) = stats::write(path, &document) {
            tracing::error!("writing the statistics to {} failed: {error}", path.display());
        }
    }
}
