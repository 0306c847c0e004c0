//! The one clock of a server: monotonic, with the server's start as its origin.

use crate::time::Instant;

/// Makes the engine's moments from `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(std::time::Instant);

impl Clock {
    /// A clock whose origin lies one second back, so that no moment is mistaken for "never".
    pub(crate) fn start() -> Clock {
        let now = std::time::Instant::now();
        Clock(now.checked_sub(std::time::Duration::from_secs(1)).unwrap_or(now))
    }

    /// Now.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
