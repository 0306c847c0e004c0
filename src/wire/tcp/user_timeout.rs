//! The value of the user timeout option.

use core::time::Duration;

/// How long its sender lets data go unacknowledged, as the option says it (RFC 5482 section 3.3):
///
/// ```text
/// | bit 15: minutes, else seconds | bits 14..0: how many |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeout(u16);

impl UserTimeout {
    const MINUTES: u16 = 1 << 15;
    const MOST: u16 = UserTimeout::MINUTES - 1;

    /// From the option's two bytes.
    pub const fn from_bits(bits: u16) -> UserTimeout {
        UserTimeout(bits)
    }

    /// The option's two bytes.
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// The nearest longer one that can be told: in seconds up to nine hours, else in minutes, at
    /// most 22 days.
    pub fn new(timeout: Duration) -> UserTimeout {
        let seconds = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
        if seconds <= u64::from(UserTimeout::MOST) {
            return UserTimeout(seconds.max(1) as u16);
        }
        let minutes = seconds.div_ceil(60).min(u64::from(UserTimeout::MOST));
        UserTimeout(minutes as u16 | UserTimeout::MINUTES)
    }

    /// The time; `None` for zero, which means nothing.
    pub fn duration(self) -> Option<Duration> {
        let count = u64::from(self.0 & UserTimeout::MOST);
        let unit = if self.0 & UserTimeout::MINUTES == 0 { 1 } else { 60 };
        (count > 0).then(|| Duration::from_secs(count * unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5482_3_3_seconds_or_minutes_in_fifteen_bits() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(UserTimeout::from_bits(0x0005).duration(), seconds(5));
        assert_eq!(UserTimeout::from_bits(0x8005).duration(), seconds(300));
        assert_eq!(UserTimeout::from_bits(0).duration(), None);
        assert_eq!(UserTimeout::from_bits(0x8000).duration(), None);
        for (millis, bits) in [(1, 1), (1_001, 2), (32_767_000, 0x7fff), (32_768_000, 0x8223)] {
            assert_eq!(UserTimeout::new(Duration::from_millis(millis)).to_bits(), bits);
        }
        assert_eq!(UserTimeout::new(Duration::MAX).to_bits(), u16::MAX);
        assert_eq!(UserTimeout::new(Duration::ZERO).to_bits(), 1);
    }
}
