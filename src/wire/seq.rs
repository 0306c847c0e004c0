//! Sequence numbers: arithmetic on a circle of 2^32.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number (RFC 9293 section 3.4).
///
/// It has no `<`: on a circle only [`before`](Seq::before) and its kin mean anything, and only for
/// two numbers less than 2^31 apart. At exactly 2^31 apart each is before the other.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether this number comes strictly before `other`.
    #[inline]
    pub const fn before(self, other: Seq) -> bool {
        self.signed_distance_to(other) > 0 || self.distance_to(other) == 1 << 31
    }

    /// Whether this number comes strictly after `other`.
    #[inline]
    pub const fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// Whether this number is `other` or comes before it.
    #[inline]
    pub const fn at_or_before(self, other: Seq) -> bool {
        self.signed_distance_to(other) >= 0
    }

    /// Whether this number is `other` or comes after it.
    #[inline]
    pub const fn at_or_after(self, other: Seq) -> bool {
        other.at_or_before(self)
    }

    /// How many steps forward lead from here to `later`, modulo 2^32.
    #[inline]
    pub const fn distance_to(self, later: Seq) -> u32 {
        later.0.wrapping_sub(self.0)
    }

    /// The shortest way from here to `other`: positive if `other` is later, negative if earlier.
    #[inline]
    pub const fn signed_distance_to(self, other: Seq) -> i32 {
        other.0.wrapping_sub(self.0) as i32
    }

    /// Whether this number lies in the `len` numbers that begin with `start`.
    #[inline]
    pub const fn within(self, start: Seq, len: u32) -> bool {
        start.distance_to(self) < len
    }

    /// The later of two numbers.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Seq) -> Seq {
        if self.signed_distance_to(other) > 0 { other } else { self }
    }

    /// The earlier of two numbers.
    #[inline]
    #[must_use]
    pub const fn min(self, other: Seq) -> Seq {
        if self.signed_distance_to(other) < 0 { other } else { self }
    }
}

impl Add<u32> for Seq {
    type Output = Seq;

    #[inline]
    fn add(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for Seq {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;

    #[inline]
    fn sub(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seq({})", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF: u32 = 1 << 31;

    #[test]
    fn order_survives_the_wrap() {
        let last = Seq(u32::MAX);
        assert!(last.before(last + 1));
        assert!((last + 1).after(last));
        assert_eq!(last.distance_to(Seq(4)), 5);
        assert_eq!(Seq(4).signed_distance_to(last), -5);
        assert_eq!(last.max(Seq(0)), Seq(0));
        assert_eq!(last.min(Seq(0)), last);
        assert!(Seq(1).within(last, 3));
        assert!(!Seq(2).within(last, 3));
        assert!(!last.within(last, 0));
    }

    #[test]
    fn opposite_points_are_before_each_other() {
        assert!(Seq(7).before(Seq(7) + HALF));
        assert!((Seq(7) + HALF).before(Seq(7)));
    }

    proptest! {
        #[test]
        fn a_step_forward_is_after(start: u32, n in 1..HALF) {
            let (a, b) = (Seq(start), Seq(start) + n);
            prop_assert!(a.before(b) && !b.before(a));
            prop_assert!(b.after(a) && !a.after(b));
            prop_assert!(a.at_or_before(b) && !b.at_or_before(a));
            prop_assert!(b.at_or_after(a) && !a.at_or_after(b));
            prop_assert_eq!(a.max(b), b);
            prop_assert_eq!(b.max(a), b);
            prop_assert_eq!(a.min(b), a);
            prop_assert_eq!(b.min(a), a);
            prop_assert_eq!(a.distance_to(b), n);
            prop_assert_eq!(a.signed_distance_to(b), n as i32);
            prop_assert_eq!(b.signed_distance_to(a), -(n as i32));
            prop_assert_eq!(b - n, a);
        }

        #[test]
        fn equal_is_neither_before_nor_after(n: u32) {
            let a = Seq(n);
            prop_assert!(!a.before(a) && !a.after(a) && a.at_or_before(a) && a.at_or_after(a));
        }

        #[test]
        fn within_counts_from_start(start: u32, step: u32, len: u32) {
            prop_assert_eq!((Seq(start) + step).within(Seq(start), len), step < len);
        }
    }
}
