//! CUBIC's curve in integers: W_cubic(t) = C (t − K)³ + W_max, C = 0.4 (RFC 9438 section 4.2).
//!
//! The RFC counts segments and seconds; here windows are bytes, and a second is 2^20 parts, so that
//! cubes are shifted and not divided.

/// C = 0.4 = 2 / 5.
const C: (u128, u128) = (2, 5);
const SECOND_SHIFT: u32 = 20;

/// Microseconds in parts of a second.
fn parts(us: u32) -> u64 {
    (u64::from(us) << SECOND_SHIFT) / 1_000_000
}

/// W_cubic in bytes, `offset_us` after the flat point (before it, if negative).
pub(super) fn window(w_max: u32, offset_us: i32, smss: u32) -> u32 {
    let t = u128::from(parts(offset_us.unsigned_abs()));
    // At most 2^32 parts, cubed, times 2^17: 113 bits.
    let cube = (t * t * t * u128::from(smss) * C.0) >> (3 * SECOND_SHIFT);
    let way = u32::try_from(cube as u64 / C.1 as u64).unwrap_or(u32::MAX);
    if offset_us < 0 { w_max.saturating_sub(way) } else { w_max.saturating_add(way) }
}

/// Where on the curve of `w_max` a window of `cwnd` bytes is, as the time from the flat point in
/// microseconds: −K (section 4.2) while it is below `w_max`, positive beyond.
pub(super) fn offset_us(cwnd: u32, w_max: u32, smss: u32) -> i32 {
    let gap = u128::from(cwnd.abs_diff(w_max));
    let cube = ((gap * C.1) << (3 * SECOND_SHIFT)) / (C.0 * u128::from(smss.max(1)));
    let us = (u128::from(cube_root(cube)) * 1_000_000) >> SECOND_SHIFT;
    let us = i32::try_from(us).unwrap_or(i32::MAX);
    if cwnd < w_max { -us } else { us }
}

/// The cube root, rounded down, by Newton's method. Once for an epoch, not for an ACK.
fn cube_root(n: u128) -> u64 {
    if n == 0 {
        return 0;
    }
    // From above the iteration falls monotonically, and stops at the floor.
    let mut x = 1u128 << (128 - n.leading_zeros()).div_ceil(3);
    loop {
        let next = (2 * x + n / (x * x)) / 3;
        if next >= x {
            return x as u64;
        }
        x = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc9438_4_2_k_is_the_cube_root_of_the_gap_over_c() {
        // 100 segments, reduced to 70: K = cbrt(30 / 0.4) = 4.217 163 s.
        let k = -offset_us(70 * 1_460, 100 * 1_460, 1_460);
        assert!(k.abs_diff(4_217_163) <= 2, "{k}");
        assert_eq!(offset_us(5_000, 5_000, 1_000), 0);
    }

    #[test]
    fn rfc9438_4_2_the_curve_is_flat_at_w_max_and_symmetric_around_it() {
        for (us, way) in [(0, 0), (1_000_000, 400), (5_000_000, 50_000), (10_000_000, 400_000)] {
            assert_eq!(window(1_000_000, us, 1_000), 1_000_000 + way);
            assert_eq!(window(1_000_000, -us, 1_000), 1_000_000 - way);
        }
        assert_eq!(window(1_000, i32::MIN, 65_535), 0);
        assert_eq!(window(1_000, i32::MAX, 65_535), u32::MAX);
    }

    proptest! {
        #[test]
        fn the_cube_root_is_the_largest_whose_cube_is_not_larger(n in 0u128..1 << 100) {
            let root = u128::from(cube_root(n));
            prop_assert!(root.pow(3) <= n && (root + 1).pow(3) > n);
        }

        #[test]
        fn rfc9438_4_2_the_window_is_found_again_on_its_curve(
            cwnd in 1u32..1 << 30, w_max in 1u32..1 << 30, smss in 1u32..9_000
        ) {
            let offset = offset_us(cwnd, w_max, smss);
            let found = window(w_max, offset, smss);
            // A microsecond and a part of a second, along the slope.
            let next = window(w_max, offset + if offset < 0 { -3 } else { 3 }, smss);
            prop_assert!(found.abs_diff(cwnd) <= next.abs_diff(found) + 1, "{found} for {cwnd}");
        }
    }
}
