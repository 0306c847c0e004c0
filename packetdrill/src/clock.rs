//! Virtual time, as packetdrill sees it.

use std::thread::ThreadId;
use std::time::Duration;

use sidestep::time::Instant;

/// Where the clock begins, in seconds: a moment like any other.
const ORIGIN_SECS: u64 = 1_000_000_000;

/// A clock that moves when it is told to.
#[derive(Debug)]
pub(crate) struct Clock {
    now: Instant,
    /// The thread whose blocked call has returned, and when: until it has asked for the time.
    returned: Option<(ThreadId, Instant)>,
}

impl Clock {
    /// How far each look at the clock moves it: packetdrill spins for the last microseconds.
    pub(crate) const STEP: Duration = Duration::from_micros(1);

    pub(crate) fn new() -> Clock {
        Clock { now: Instant::from_micros(ORIGIN_SECS * 1_000_000), returned: None }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Moves on to `to`; never back.
    pub(crate) fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
    }

    /// A call that blocked returns to `thread` now. By the time the thread asks when that was, the
    /// other thread may have moved on.
    pub(crate) fn call_returns(&mut self, thread: ThreadId) {
        self.returned = Some((thread, self.now));
    }

    /// When the blocked call of `thread` returned, if it has not asked since.
    pub(crate) fn take_return(&mut self, thread: ThreadId) -> Option<Instant> {
        self.returned.take_if(|(of, _)| *of == thread).map(|(_, at)| at)
    }
}
