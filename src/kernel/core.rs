//! One core's world on kernel sockets.

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::accept::Door;
use super::config::{KernelConfig, KernelError};
use super::listen::Listeners;
use super::slots::{Flags, Slots};
use crate::app::{App, Close, ConnId, Core, CoreCommands, MailboxReader};
use crate::device::{Pool, Waker};
use crate::engine::admission::fewest_frames;
use crate::engine::sources::Sources;
use crate::engine::wheel::Wheel;
use crate::engine::{Counter, Counters, Turn};
use crate::time::{Instant, Tick};

/// Events taken from the kernel in one turn.
const EVENTS: usize = 512;
/// Connections served in one turn; the others are first in the next.
const SERVED: usize = 512;

const WAKER: Token = Token(usize::MAX);
/// Listeners have the numbers from here up, connections the lower ones: those of their places.
const LISTENERS: usize = usize::MAX / 2;

/// The same application as on the engine, on the kernel's TCP.
///
/// [`KernelCore::turn`] never blocks and [`KernelCore::wait`] does nothing but sleep.
pub(crate) struct KernelCore<A: App> {
    pub(super) app: A,
    pub(super) config: KernelConfig,
    pub(super) poll: Poll,
    pub(super) events: Events,
    /// Turns that need not ask the kernel for events.
    pub(super) fresh_turns: u8,
    pub(super) door: Door,
    pub(super) slots: Slots<A::Conn>,
    /// Places with something to do, each at most once.
    pub(super) ready: VecDeque<u32>,
    /// Places that wait for a frame to read or to write into, each at most once.
    pub(super) hungry_readers: VecDeque<u32>,
    pub(super) hungry_writers: VecDeque<u32>,
    /// Free frames that reading leaves alone. If it took the last ones, those who must write to get
    /// rid of what was read could not.
    pub(super) left_to_writers: u32,
    /// Application timers under the number of the place; waits for the peer's FIN behind them.
    pub(super) wheel: Wheel,
    pub(super) mailbox: MailboxReader<A::Message>,
    pub(super) commands: CoreCommands,
    pub(super) pool: Pool,
    pub(super) counters: Arc<CachePadded<Counters>>,
    pub(super) connections: u32,
    pub(super) connecting: u32,
    pub(super) draining: bool,
    /// Accepting is paused, whatever the application says.
    pub(super) paused: bool,
    pub(super) sources: Sources,
}

impl<A: App> KernelCore<A> {
    /// Makes a core that accepts from `listeners`. `waker` is the one that the mailbox wakes.
    ///
    /// # Errors
    /// [`KernelError`]: no memory for the frames, no descriptors left, a limit that makes no sense.
    pub(crate) fn new(
        config: KernelConfig,
        listeners: Listeners,
        waker: &Waker,
        mailbox: MailboxReader<A::Message>,
        app: A,
    ) -> Result<KernelCore<A>, KernelError> {
        config.check()?;
        let pool = Pool::new(config.pool)?;
        let fewest_frames = fewest_frames(config.limits.newcomer_frames, &pool);
        let poll = Poll::new().map_err(|answer| refused("epoll_create", answer))?;
        let mut door = Door::new(listeners, fewest_frames);
        let register = |result: io::Result<()>| result.map_err(|e| refused("epoll_ctl", e));
        register(poll.registry().register(
            &mut SourceFd(&waker.as_raw_fd()),
            WAKER,
            Interest::READABLE,
        ))?;
        for (n, listener) in door.listeners.iter_mut().enumerate() {
            let token = Token(LISTENERS + n);
            register(poll.registry().register(&mut listener.socket, token, Interest::READABLE))?;
        }
        let places = config.limits.connections;
        let segment = pool.frame_size() - Pool::TX_HEADROOM;
        Ok(KernelCore {
            app,
            poll,
            events: Events::with_capacity(EVENTS),
            fresh_turns: 0,
            door,
            slots: Slots::new(config.core, places, segment as u16),
            ready: VecDeque::with_capacity(places as usize),
            hungry_readers: VecDeque::with_capacity(places as usize),
            hungry_writers: VecDeque::with_capacity(places as usize),
            left_to_writers: pool.free_for_data() / 4,
            wheel: Wheel::new(places as usize, Tick(0)),
            mailbox,
            commands: CoreCommands::default(),
            pool,
            counters: Counters::new(),
            connections: 0,
            connecting: 0,
            draining: false,
            paused: false,
            sources: Sources::new(&config.limits, &config.source_key),
            config,
        })
    }

    /// Does everything there is to do now.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        let mut worked = self.take_events();
        worked |= self.fire_timers(now);
        worked |= self.deliver_messages(now);
        worked |= self.accept(now);
        self.reclaim();
        worked |= self.serve_ready(now);
        worked |= self.app_turn(now);
        self.reclaim();
        self.feed_starved();
        self.counters.inc(Counter::Turns);
        if !worked {
            self.counters.inc(Counter::IdleTurns);
        }
        self.counters.set_gauges(self.connections, self.connecting, 0);
        Turn { worked, next_deadline: self.next_deadline(now) }
    }

    /// Sleeps until a socket has something for us, the waker is used or `timeout` is over (rounded
    /// up to a millisecond; `None`: no limit). Called after [`Waker::before_sleep`].
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) {
        let timeout = if self.ready.is_empty() { timeout } else { Some(Duration::ZERO) };
        self.ask_for_events(timeout);
        // This turn, and the one that finds nothing more to do before the next sleep: asking the
        // kernel again in them is a system call for the answer that the sleep gives anyway.
        self.fresh_turns = 2;
    }

    /// Accepts who is through the handshake already, then stops listening.
    pub(crate) fn drain(&mut self) {
        if self.draining {
            return;
        }
        self.draining = true;
        self.door.knock_all();
        for at in 0..self.slots.end() {
            if self.slots.get(at).is_some_and(|slot| !slot.has(Flags::CONNECTING)) {
                self.slots.place(at).flags |= Flags::DRAIN;
                self.enqueue(at);
            }
        }
    }

    /// Pauses or resumes accepting, beside what the application asked for.
    pub(crate) fn pause_accepting(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Resets every connection, and gives up those that are being opened.
    pub(crate) fn abort_all(&mut self, why: Close) {
        for at in 0..self.slots.end() {
            match self.slots.get(at).map(|slot| slot.has(Flags::CONNECTING)) {
                Some(true) => self.give_up_connect(at, why),
                Some(false) => self.reset(at, why),
                None => {}
            }
        }
        self.reclaim();
        self.counters.set_gauges(self.connections, self.connecting, 0);
    }

    /// Open connections.
    pub(crate) fn connections(&self) -> u32 {
        self.connections
    }

    /// Whether no message waits for this core.
    pub(crate) fn mailbox_is_empty(&self) -> bool {
        self.mailbox.is_empty()
    }

    /// What was counted: shared, to be read at any time.
    pub(crate) fn counters(&self) -> &Arc<CachePadded<Counters>> {
        &self.counters
    }

    /// The frames.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Puts the place `at` into the queue of those to serve.
    pub(super) fn enqueue(&mut self, at: u32) {
        let slot = self.slots.place(at);
        if !slot.has(Flags::QUEUED) {
            slot.flags |= Flags::QUEUED;
            self.ready.push_back(at);
        }
    }

    /// Has the place `at` served, and what was left unread offered again.
    fn offer(&mut self, at: u32) {
        self.slots.place(at).flags |= Flags::OFFER;
        self.enqueue(at);
    }

    pub(super) fn wait_to_read(&mut self, at: u32) {
        let slot = self.slots.place(at);
        if !slot.has(Flags::READ_STARVED) {
            slot.flags |= Flags::READ_STARVED;
            self.hungry_readers.push_back(at);
        }
    }

    pub(super) fn wait_to_write(&mut self, at: u32) {
        let slot = self.slots.place(at);
        if !slot.has(Flags::WRITE_STARVED) {
            slot.flags |= Flags::WRITE_STARVED;
            self.hungry_writers.push_back(at);
        }
    }

    /// Frames that may be read into now.
    pub(super) fn frames_to_read(&self) -> u32 {
        self.pool.free_for_data().saturating_sub(self.left_to_writers)
    }

    fn take_events(&mut self) -> bool {
        if self.fresh_turns == 0 {
            self.ask_for_events(Some(Duration::ZERO));
        }
        self.fresh_turns = self.fresh_turns.saturating_sub(1);
        let any = !self.events.is_empty();
        for event in &self.events {
            match event.token() {
                WAKER => {}
                Token(n) if n >= LISTENERS => self.door.knock(n - LISTENERS),
                Token(n) => {
                    let Some(slot) = self.slots.get(n as u32) else { continue };
                    slot.flags |= flags_of(event);
                    let silent = !slot.flags.intersects(WORTH_SERVING);
                    let queued = slot.has(Flags::QUEUED);
                    if queued || silent && slot.outbox.queue.is_empty() {
                        continue;
                    }
                    slot.flags |= Flags::QUEUED;
                    self.ready.push_back(n as u32);
                }
            }
        }
        self.events.clear();
        any
    }

    /// Lends the socket of a connection to a test.
    #[cfg(test)]
    pub(super) fn with_stream<R>(
        &mut self,
        at: u32,
        f: impl FnOnce(&mio::net::TcpStream) -> R,
    ) -> R {
        f(self.slots.place(at).stream.as_ref().expect("a connection"))
    }

    fn ask_for_events(&mut self, timeout: Option<Duration>) {
        // A signal may interrupt it; nothing else can go wrong with our own descriptors.
        if self.poll.poll(&mut self.events, timeout).is_err() {
            self.events.clear();
        }
    }

    fn fire_timers(&mut self, now: Instant) -> bool {
        self.wheel.advance(now.tick());
        for fired in 0..self.config.limits.timers_per_turn {
            let Some(timer) = self.wheel.pop_expired() else { return fired > 0 };
            if self.call(timer, now, |app, conn, _, tx| app.on_timer(conn, tx)) {
                self.offer(timer);
            }
        }
        true
    }

    fn deliver_messages(&mut self, now: Instant) -> bool {
        for delivered in 0..self.config.limits.messages_per_turn {
            let Some((to, message)) = self.mailbox.pop() else { return delivered > 0 };
            match self.slots.find(to) {
                None => self.counters.inc(Counter::DropMessages),
                Some(at) => {
                    if self.call(at, now, |app, conn, _, tx| app.on_message(conn, message, tx)) {
                        self.offer(at);
                    }
                }
            }
        }
        true
    }

    fn serve_ready(&mut self, now: Instant) -> bool {
        let due = self.ready.len().min(SERVED);
        for _ in 0..due {
            let Some(at) = self.ready.pop_front() else { break };
            self.serve(at, now);
        }
        due > 0
    }

    fn app_turn(&mut self, now: Instant) -> bool {
        self.app.on_turn(&mut Core {
            id: self.config.core,
            now,
            connections: self.connections,
            draining: self.draining,
            commands: &mut self.commands,
        });
        // Taken out and put back: the vector keeps its memory.
        let mut connects = core::mem::take(&mut self.commands.connects);
        let any = !connects.is_empty();
        for request in connects.drain(..) {
            self.connect(request, now);
        }
        self.commands.connects = connects;
        any
    }

    /// Takes what applications gave back off their connections' charge.
    fn reclaim(&mut self) {
        while let Some((owner, bytes)) = self.pool.take_returned() {
            let Some(at) = self.slots.find(ConnId::from_bits(owner)) else { continue };
            let slot = self.slots.place(at);
            slot.held = slot.held.saturating_sub(bytes);
            if slot.has(Flags::READABLE) {
                self.enqueue(at);
            }
        }
    }

    /// Frames are only freed in our own turns, so whoever waits for one is looked for here.
    fn feed_starved(&mut self) {
        if self.pool.free_for_data() > 0 {
            while let Some(at) = self.hungry_writers.pop_front() {
                self.slots.place(at).flags.remove(Flags::WRITE_STARVED);
                self.enqueue(at);
            }
        }
        if self.frames_to_read() > 0 {
            while let Some(at) = self.hungry_readers.pop_front() {
                self.slots.place(at).flags.remove(Flags::READ_STARVED);
                self.enqueue(at);
            }
        }
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let accept = self.accept_at(now);
        if !self.ready.is_empty() || !self.mailbox.is_empty() || accept == Some(now) {
            return Some(now);
        }
        let start = now.nanos() & !(Tick::NANOS - 1);
        let timer = self.wheel.next_deadline().map(|due| {
            let ticks = now.tick().until(due);
            Instant::from_nanos(start + u64::from(ticks) * Tick::NANOS).max(now)
        });
        [accept, timer].into_iter().flatten().min()
    }
}

/// Flags that alone are a reason to look at a connection.
const WORTH_SERVING: Flags =
    Flags::READABLE.union(Flags::ERROR).union(Flags::ENDING).union(Flags::CONNECTING);

fn flags_of(event: &Event) -> Flags {
    let mut flags = Flags::empty();
    flags.set(Flags::READABLE, event.is_readable() || event.is_read_closed());
    flags.set(Flags::WRITABLE, event.is_writable());
    flags.set(Flags::ERROR, event.is_error());
    flags.set(Flags::ENDING, event.is_read_closed());
    flags
}

fn refused(tried: &str, answer: io::Error) -> KernelError {
    KernelError::Machine {
        tried: String::from(tried),
        answer,
        advice: String::from("see the limits of this process ('ulimit -n') and of the system"),
    }
}
