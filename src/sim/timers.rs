//! The engine's timer wheel on its own, to be measured.

use crate::engine::wheel::Wheel;
use crate::time::Tick;

/// A timer wheel as each engine has one: at most one timer for each id.
pub struct Timers(Wheel);

impl Timers {
    /// For ids below `capacity`, at the tick zero.
    ///
    /// # Panics
    /// If `capacity` is over 2^32 − 1,000.
    pub fn new(capacity: usize) -> Timers {
        Timers(Wheel::new(capacity, Tick(0)))
    }

    /// Arms `id` for this tick (131 µs), or moves it there. O(1).
    ///
    /// # Panics
    /// If `id` is not below the capacity.
    #[inline]
    pub fn arm(&mut self, id: u32, at: Tick) {
        self.0.arm(id, at);
    }

    /// Disarms `id`. O(1).
    #[inline]
    pub fn cancel(&mut self, id: u32) {
        self.0.cancel(id);
    }

    /// Calls `fired` with each timer that is due at `now`, and disarms it. Returns whether more are
    /// due, that come with the next call: a call moves so many timers at most.
    pub fn expire(&mut self, now: Tick, mut fired: impl FnMut(u32)) -> bool {
        self.0.advance(now);
        while let Some(id) = self.0.pop_expired() {
            fired(id);
        }
        self.0.next_deadline().is_some_and(|next| !next.is_after(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timer_that_is_not_cancelled_fires_once_when_it_is_due() {
        let mut timers = Timers::new(10_000);
        (0..10_000).for_each(|id| timers.arm(id, Tick(70_000 + id % 3)));
        timers.cancel(7);
        let mut fired = Vec::new();
        while timers.expire(Tick(69_999), |id| fired.push(id)) {}
        assert!(fired.is_empty(), "nothing before its time");
        while timers.expire(Tick(70_001), |id| fired.push(id)) {}
        while timers.expire(Tick(70_002), |id| fired.push(id)) {}
        assert!(fired.is_sorted_by_key(|id| id % 3), "in order of time");
        fired.sort_unstable();
        assert!(fired.into_iter().eq((0..10_000).filter(|id| *id != 7)));
    }
}
