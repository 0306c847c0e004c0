//! How many packets should have been sent by now.

use core::time::Duration;

/// The longest sleep, so that an interruption is noticed.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A rate for some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: Option<u64>,
    length: Duration,
}

impl Pace {
    /// `rate` packets per second, or as many as can be, for `length`.
    pub(super) fn new(rate: Option<u64>, length: Duration) -> Pace {
        Pace { rate, length }
    }

    /// Packets that are due `after` so much time; `None` when it is over.
    pub(super) fn due(&self, after: Duration) -> Option<u64> {
        let due = self.rate.map_or(u64::MAX, |rate| at(rate, after));
        (after < self.length).then_some(due)
    }

    /// How long to sleep until more than `sent` are due.
    pub(super) fn pause(&self, after: Duration, sent: u64) -> Duration {
        let rate = self.rate.unwrap_or(u64::MAX);
        let next = u128::from(sent + 1) * 1_000_000_000 / u128::from(rate);
        let next = Duration::from_nanos(u64::try_from(next).unwrap_or(u64::MAX));
        next.min(self.length).saturating_sub(after).min(LONGEST_PAUSE)
    }
}

fn at(rate: u64, after: Duration) -> u64 {
    u64::try_from(u128::from(rate) * after.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_due_evenly_until_the_end() {
        let pace = Pace::new(Some(1_000), Duration::from_secs(2));
        let due = |ms| pace.due(Duration::from_millis(ms));
        assert_eq!([due(0), due(1), due(500), due(1_999)], [0, 1, 500, 1_999].map(Some));
        assert_eq!((due(2_000), due(9_000)), (None, None));
        assert_eq!(pace.pause(Duration::from_millis(500), 500), Duration::from_millis(1));
        assert_eq!(pace.pause(Duration::from_millis(500), 499), Duration::ZERO);
        assert_eq!(pace.pause(Duration::ZERO, 1_000), LONGEST_PAUSE);
    }

    #[test]
    fn the_last_pause_ends_with_the_flood() {
        let pace = Pace::new(Some(1), Duration::from_secs(1));
        assert_eq!(pace.pause(Duration::from_millis(995), 1), Duration::from_millis(5));
    }

    #[test]
    fn without_a_rate_everything_is_due_at_once() {
        let pace = Pace::new(None, Duration::from_secs(1));
        assert_eq!(pace.due(Duration::ZERO), Some(u64::MAX));
        assert_eq!(pace.due(Duration::from_secs(1)), None);
    }
}
