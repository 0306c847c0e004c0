//! The lock, waiting, and how time passes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use sidestep::time::Instant;

use crate::confined::Confined;
use crate::settings::Settings;
use crate::stack::Stack;

/// How long `netdev_receive`, which has no timeout, waits for a packet in virtual time: longer than
/// any timer of TCP runs, keep-alive's two hours included.
const PATIENCE: Duration = Duration::from_secs(4 * 3_600);

/// A call that is blocked.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// When it gives up.
    until: Option<Instant>,
    /// Something happened: it is to look again.
    poked: bool,
}

/// How long, in real time, a blocked call waits for the other thread to move time on before it does
/// so itself. packetdrill waits a second for it at the end of a script, and then gives up.
const REAL_PATIENCE: Duration = Duration::from_millis(300);

type Guard<'a> = MutexGuard<'a, Confined>;

/// The stack that both of packetdrill's threads use.
pub(crate) struct Shared {
    stack: Mutex<Confined>,
    changed: Condvar,
    /// The thread that runs the script: it must not block.
    main: ThreadId,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Shared {
        Shared {
            stack: Mutex::new(Confined::new(Stack::new(settings))),
            changed: Condvar::new(),
            main: thread::current().id(),
        }
    }

    fn lock(&self) -> Guard<'_> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep<'a>(&self, guard: Guard<'a>) -> Guard<'a> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at once, then lets a blocked call see what came of it.
    pub(crate) fn at_once<T>(&self, act: impl FnOnce(&mut Stack) -> T) -> T {
        let mut guard = self.lock();
        let result = act(&mut guard);
        drop(self.settle(guard));
        result
    }

    /// Tries until `attempt` gives something or `until` has come. Where that would mean to wait and
    /// the caller must not, gives `None` at once.
    pub(crate) fn wait_for<T>(
        &self,
        until: Option<Instant>,
        mut attempt: impl FnMut(&mut Stack) -> Option<T>,
    ) -> Option<T> {
        let me = thread::current().id();
        let mut guard = self.lock();
        let mut waited = false;
        let result = loop {
            let result = attempt(&mut guard);
            let over = until.is_some_and(|until| until <= guard.clock.now());
            if result.is_some() || over || me == self.main {
                break result;
            }
            waited = true;
            guard = self.stand_by(guard, until);
        };
        if waited {
            guard.waiter = None;
            guard.clock.call_returns(me);
            self.changed.notify_all();
        }
        result
    }

    /// Waits until something happens that may end the call.
    fn stand_by<'a>(&'a self, mut guard: Guard<'a>, until: Option<Instant>) -> Guard<'a> {
        guard.waiter = Some(Waiter { until, poked: false });
        self.changed.notify_all();
        while guard.waiter.as_ref().is_some_and(|waiter| !waiter.poked) {
            let result = self.changed.wait_timeout(guard, REAL_PATIENCE);
            let (woken, timeout) = result.unwrap_or_else(PoisonError::into_inner);
            guard = woken;
            let due = [guard.deadline(), until].into_iter().flatten().min();
            if timeout.timed_out()
                && let Some(due) = due
                && guard.waiter.as_ref().is_some_and(|waiter| !waiter.poked)
            {
                guard.clock.advance(due);
                guard.turn();
                break;
            }
        }
        guard
    }

    /// Lets a blocked call look again, and waits until it has.
    fn settle<'a>(&'a self, mut guard: Guard<'a>) -> Guard<'a> {
        if let Some(waiter) = &mut guard.waiter {
            waiter.poked = true;
            self.changed.notify_all();
            while guard.waiter.as_ref().is_some_and(|waiter| waiter.poked) {
                guard = self.sleep(guard);
            }
        }
        guard
    }

    /// Moves time on to `to`, or until `enough`, stopping wherever something is due.
    fn advance<'a>(
        &'a self,
        mut guard: Guard<'a>,
        to: Instant,
        enough: impl Fn(&Stack) -> bool,
    ) -> Guard<'a> {
        while !enough(&guard) {
            let gives_up = guard.waiter.as_ref().and_then(|waiter| waiter.until);
            let due = [guard.deadline(), gives_up].into_iter().flatten().min();
            let next = due.map_or(to, |due| due.min(to));
            guard.clock.advance(next);
            guard.turn();
            guard = self.settle(guard);
            if next >= to {
                break;
            }
        }
        guard
    }

    pub(crate) fn usleep(&self, duration: Duration) {
        let guard = self.lock();
        let to = guard.clock.now() + duration;
        drop(self.advance(guard, to, |_| false));
    }

    /// The time; and time moves on, or who spins on it would do so for ever.
    pub(crate) fn now(&self) -> Instant {
        let mut guard = self.lock();
        if let Some(returned) = guard.clock.take_return(thread::current().id()) {
            return returned;
        }
        let to = guard.clock.now() + crate::clock::Clock::STEP;
        self.advance(guard, to, |_| false).clock.now()
    }

    /// The moment `after` from now, without moving on.
    pub(crate) fn after(&self, after: Duration) -> Instant {
        self.lock().clock.now() + after
    }

    /// The next packet that the engine sends, and when; `None` if it falls silent.
    pub(crate) fn next_sent(&self) -> Option<(Instant, Vec<u8>)> {
        let guard = self.lock();
        let to = guard.clock.now() + PATIENCE;
        self.advance(guard, to, Stack::has_sent).take_sent()
    }
}
