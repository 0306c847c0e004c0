//! When requests are due in an open loop: at a constant rate, whatever the server does.

use crate::time::Instant;

/// The arrivals of one core: one every so many nanoseconds, from an origin on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrivals {
    interval_ns: f64,
    /// Until set, nothing is due.
    origin: Option<Instant>,
    /// Number of the next one.
    next: u64,
}

impl Arrivals {
    /// `rate` a second, not begun yet.
    pub(super) fn new(rate: f64) -> Arrivals {
        Arrivals { interval_ns: 1e9 / rate, origin: None, next: 0 }
    }

    /// Begins. `offset` (0 to 1) of an interval passes before the first one, so that several cores
    /// take turns.
    pub(super) fn begin(&mut self, now: Instant, offset: f64) {
        self.origin = Some(Instant::from_nanos(now.nanos() + (self.interval_ns * offset) as u64));
    }

    /// Takes the next one if it is due. Returns when it was.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let origin = self.origin?;
        // Not a sum of intervals, whose errors would add up.
        let due = origin.nanos() + (self.next as f64 * self.interval_ns) as u64;
        if due > now.nanos() {
            return None;
        }
        self.next += 1;
        Some(Instant::from_nanos(due))
    }

    /// Gives back the one taken last.
    pub(super) fn put_back(&mut self) {
        self.next -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_evenly_spaced_and_none_is_skipped() {
        let mut arrivals = Arrivals::new(3_000.0);
        assert_eq!(arrivals.take(Instant::from_nanos(5)), None, "not begun");
        arrivals.begin(Instant::from_nanos(1_000), 0.0);
        let second = Instant::from_nanos(1_000 + 1_000_000_000);
        let all: Vec<u64> =
            core::iter::from_fn(|| arrivals.take(second)).map(|due| due.nanos()).collect();
        assert_eq!(all.len(), 3_001);
        assert_eq!((all[0], all[3], all[3_000]), (1_000, 1_001_000, 1_000_001_000));
        assert!(all.windows(2).all(|pair| (333_333..=333_334).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn what_was_put_back_is_due_at_its_own_time() {
        let mut arrivals = Arrivals::new(1_000.0);
        arrivals.begin(Instant::from_nanos(0), 0.5);
        assert_eq!(arrivals.take(Instant::from_nanos(499_999)), None);
        let late = Instant::from_nanos(900_000_000);
        let first = arrivals.take(late);
        assert_eq!(first, Some(Instant::from_nanos(500_000)));
        arrivals.put_back();
        assert_eq!(arrivals.take(late), first);
    }
}
