//! Bandwidths in four bytes.

use crate::tcp::delivery_rate::RateSample;

/// A rate in units of 16 bytes a second: exact to 0.2 % at 64 kbit/s, and up to 549 Gbit/s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rate(u32);

const UNIT: u64 = 16;
/// Microseconds a second, in these units.
const UNITS_PER_BYTE_US: u64 = 1_000_000 / UNIT;

impl Rate {
    pub(super) const ZERO: Rate = Rate(0);
    pub(super) const INFINITE: Rate = Rate(u32::MAX);

    pub(super) fn of(sample: &RateSample) -> Rate {
        if sample.interval_us == 0 {
            return Rate::ZERO;
        }
        Rate::over(sample.delivered, sample.interval_us)
    }

    /// `bytes` in `us` microseconds.
    pub(super) fn over(bytes: u32, us: u32) -> Rate {
        Rate::clamped(u64::from(bytes) * UNITS_PER_BYTE_US / u64::from(us.max(1)))
    }

    fn clamped(units: u64) -> Rate {
        Rate(u32::try_from(units).unwrap_or(u32::MAX - 1).min(u32::MAX - 1))
    }

    /// This rate times `percent` / 100; infinity stays infinite.
    pub(super) fn percent(self, percent: u32) -> Rate {
        if self == Rate::INFINITE {
            return self;
        }
        Rate::clamped(u64::from(self.0) * u64::from(percent) / 100)
    }

    /// The bytes that flow in `us` microseconds.
    pub(super) fn times_us(self, us: u32) -> u32 {
        let bytes = u64::from(self.0) * u64::from(us) / UNITS_PER_BYTE_US;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    pub(super) fn bytes_per_second(self) -> u64 {
        u64::from(self.0) * UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_exact_enough_from_64_kbit_to_400_gbit() {
        for (bytes, us) in [(8_000, 1_000_000), (1_250_000, 100_000), (50_000_000, 1_000)] {
            let rate = Rate::over(bytes, us);
            let back = rate.times_us(us);
            assert!(back.abs_diff(bytes) <= bytes / 500, "{bytes} in {us}: {back}");
        }
        assert_eq!(Rate::over(1_000, 0), Rate::over(1_000, 1));
        assert!(Rate::over(u32::MAX, 1) < Rate::INFINITE);
        assert_eq!(Rate::INFINITE.percent(70), Rate::INFINITE);
    }
}
