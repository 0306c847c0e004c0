//! Time as a value: the engine never reads a clock, it is told what time it is.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment, in nanoseconds since an origin that the caller chose (boot, start of the simulation).
///
/// Only differences mean anything. The 64 bits last 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The origin.
    pub const ZERO: Instant = Instant(0);

    /// The moment `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant(nanos)
    }

    /// The moment `micros` microseconds after the origin.
    pub const fn from_micros(micros: u64) -> Instant {
        Instant(micros * 1_000)
    }

    /// The moment `millis` milliseconds after the origin.
    pub const fn from_millis(millis: u64) -> Instant {
        Instant(millis * 1_000_000)
    }

    /// Nanoseconds since the origin.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Microseconds since the origin, wrapping every 71 minutes: for intervals known to be short.
    pub const fn micros32(self) -> u32 {
        (self.0 / 1_000) as u32
    }

    /// Milliseconds since the origin.
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time from `earlier` to here; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment as a [`Tick`], rounded down.
    pub const fn tick(self) -> Tick {
        Tick((self.0 >> Tick::SHIFT) as u32)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.since(earlier)
    }
}

/// A deadline in timer ticks of 2^17 ns (131 µs), wrapping every 156 hours.
///
/// Four bytes instead of eight: a connection keeps several. Compare with [`Tick::is_after`] and
/// [`Tick::until`], which are right as long as the two are less than 78 hours apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tick(pub u32);

impl Tick {
    /// log2 of a tick's length in nanoseconds.
    pub const SHIFT: u32 = 17;
    /// A tick's length in nanoseconds.
    pub const NANOS: u64 = 1 << Tick::SHIFT;
    /// The longest time a tick may lie ahead: longer durations are clamped to it.
    pub const MAX_AHEAD: u32 = 1 << 30;

    /// The tick `d` after this one, rounded up so that a timer never fires early; `d` is clamped to
    /// [`Tick::MAX_AHEAD`] ticks (39 hours).
    #[inline]
    pub fn after(self, d: Duration) -> Tick {
        let nanos = d.as_secs().saturating_mul(1_000_000_000);
        let nanos = nanos.saturating_add(u64::from(d.subsec_nanos()));
        let ticks = (nanos.div_ceil(Tick::NANOS)).min(u64::from(Tick::MAX_AHEAD)) as u32;
        // One more than the quotient: this tick is already partly over.
        Tick(self.0.wrapping_add(ticks).wrapping_add(u32::from(!d.is_zero())))
    }

    /// The same for a duration in microseconds.
    #[inline]
    pub(crate) const fn after_micros(self, micros: u32) -> Tick {
        let ticks = ((micros as u64 * 1_000 + (Tick::NANOS - 1)) >> Tick::SHIFT) as u32;
        Tick(self.0.wrapping_add(ticks).wrapping_add((micros != 0) as u32))
    }

    /// Whether this tick lies strictly after `other`.
    pub const fn is_after(self, other: Tick) -> bool {
        (self.0.wrapping_sub(other.0) as i32) > 0
    }

    /// Ticks from here to `later`; zero if `later` is not later.
    pub const fn until(self, later: Tick) -> u32 {
        let d = later.0.wrapping_sub(self.0) as i32;
        if d > 0 { d as u32 } else { 0 }
    }

    /// The earlier of two ticks.
    pub const fn min(self, other: Tick) -> Tick {
        if self.is_after(other) { other } else { self }
    }

    /// The earlier of two ticks, of which there may be one or none.
    #[inline]
    pub(crate) const fn earlier(a: Option<Tick>, b: Option<Tick>) -> Option<Tick> {
        match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_deadline_is_never_early() {
        for ns in [1u64, 1_000, 131_071, 131_072, 131_073, 40_000_000, 7_200_000_000_000] {
            for origin in [0u64, 5, 131_071, 1 << 49] {
                let now = Instant::from_nanos(origin);
                let due = now.tick().after(Duration::from_nanos(ns));
                if ns % 1_000 == 0
                    && let Ok(micros) = u32::try_from(ns / 1_000)
                {
                    assert_eq!(now.tick().after_micros(micros), due);
                }
                let first = (origin >> Tick::SHIFT << Tick::SHIFT)
                    + u64::from(now.tick().until(due)) * Tick::NANOS;
                assert!(first >= origin + ns, "{ns} ns from {origin} fires at {first}");
            }
        }
    }

    #[test]
    fn ticks_compare_across_the_wrap() {
        let before = Tick(u32::MAX - 1);
        let after = before.after(Duration::from_millis(10));
        assert!(after.is_after(before) && !before.is_after(after));
        assert_eq!(before.min(after), before);
        assert_eq!(after.until(before), 0);
    }
}
