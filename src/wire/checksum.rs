//! The Internet checksum (RFC 1071): sums over any bytes, in pieces, and by increment (RFC 1624).
//!
//! One's complement addition doesn't care about byte order or word size, so bytes are added as the
//! machine loads them, in the widest words at hand, and only the folded result is put in order.

use super::addr::Addr;

/// A one's complement sum of bytes, not yet folded to 16 bits.
///
/// Pieces are summed apart and put together with [`combine`](Sum::combine); a piece of odd length
/// counts as padded with a zero byte, which is right only for the last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// Adds 64 bits with end-around carry, so that no number of additions can overflow.
    #[inline]
    const fn plus(self, words: u64) -> Sum {
        let (sum, carry) = self.0.overflowing_add(words);
        Sum(sum.wrapping_add(carry as u64))
    }

    /// Adds one 16-bit header word.
    #[inline]
    #[must_use]
    pub const fn word(self, value: u16) -> Sum {
        self.plus(value.to_be() as u64)
    }

    /// Adds two 16-bit header words held in one.
    #[inline]
    #[must_use]
    pub const fn dword(self, value: u32) -> Sum {
        self.plus(value.to_be() as u64)
    }

    /// Adds what a pseudo-header has beside addresses: the length and the protocol.
    #[inline]
    pub(super) const fn upper_layer(self, protocol: u8, len: usize) -> Sum {
        self.dword(len as u32).word(protocol as u16)
    }

    /// Appends a piece that begins an even number of bytes after this one's beginning.
    #[inline]
    #[must_use]
    pub const fn combine(self, next: Sum) -> Sum {
        self.plus(next.0)
    }

    /// Appends a piece that begins an odd number of bytes after this one's beginning: its bytes
    /// land in the other halves of the words (RFC 1071 section 2(B)).
    #[inline]
    #[must_use]
    pub const fn combine_odd(self, next: Sum) -> Sum {
        self.plus(next.0.rotate_left(8))
    }

    /// The sum folded to 16 bits: what a partial checksum field holds. Zero only if all was zero.
    #[inline]
    pub const fn fold(self) -> u16 {
        // Adding the two halves swapped leaves (high + low + end-around carry) in the upper half.
        let half = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        let word = (half.wrapping_add(half.rotate_left(16)) >> 16) as u16;
        u16::from_be(word)
    }

    /// The value of the checksum field: the complement of the folded sum.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Whether a sum that includes the checksum field proves the bytes whole.
    #[inline]
    pub const fn is_whole(self) -> bool {
        self.fold() == u16::MAX
    }
}

/// Bytes summed in one step of the main loop: four independent lanes that become vectors.
const BLOCK: usize = 32;
const LANES: usize = BLOCK / 8;

/// Up to here a chain of additions with carry is shorter than what vectors need around them.
const SHORT: usize = 8 * BLOCK;

/// Sums bytes of any length and alignment.
#[inline]
pub fn sum(bytes: &[u8]) -> Sum {
    let (blocks, tail) = bytes.as_chunks::<BLOCK>();
    let blocks = if bytes.len() < SHORT { sum_few(blocks) } else { sum_blocks(blocks) };
    sum_tail(blocks, tail)
}

/// Sums a few blocks: to add 64 bits to 128 takes one addition, and one of its carry.
#[inline(always)]
fn sum_few(blocks: &[[u8; BLOCK]]) -> Sum {
    // Two chains, which need not wait for each other.
    let (mut even, mut odd) = (0u128, 0u128);
    for block in blocks {
        let [a, b, c, d] = block.as_chunks::<8>().0 else { continue };
        even += u128::from(u64::from_ne_bytes(*a));
        odd += u128::from(u64::from_ne_bytes(*b));
        even += u128::from(u64::from_ne_bytes(*c));
        odd += u128::from(u64::from_ne_bytes(*d));
    }
    let sum = even + odd;
    Sum(sum as u64).plus((sum >> 64) as u64)
}

/// Sums header words held in registers. So few of 32 bits can't overflow 64, and need no carries.
#[inline(always)]
pub(super) fn sum_words<const N: usize>(words: &[u32; N]) -> Sum {
    const { assert!(N <= 1 << 16) };
    Sum(words.iter().map(|word| u64::from(word.to_be())).sum())
}

/// Sums a header of known size, without a loop.
#[inline(always)]
pub(super) fn sum_array<const N: usize>(bytes: &[u8; N]) -> Sum {
    let (words, tail) = bytes.as_chunks::<8>();
    let words = words.iter().fold(Sum::ZERO, |sum, word| sum.plus(u64::from_ne_bytes(*word)));
    sum_tail(words, tail)
}

/// Sums whole blocks. Adding 64-bit words loses the carries between their halves, so the upper
/// halves are also added apart, which tells what the lower ones must have been: two additions and a
/// shift for each vector, whatever its width.
fn sum_blocks(blocks: &[[u8; BLOCK]]) -> Sum {
    let (mut whole, mut upper) = (0u64, 0u64);
    for word in blocks.as_flattened().as_chunks::<8>().0 {
        let word = u64::from_ne_bytes(*word);
        whole = whole.wrapping_add(word);
        upper = upper.wrapping_add(word >> 32);
    }
    // Neither half can reach 2^64 below 32 GiB; the whole may wrap, and does no harm.
    let lower = whole.wrapping_sub(upper << 32);
    Sum(upper).plus(lower)
}

/// Adds the less than [`BLOCK`] bytes that are left, in ever smaller words.
#[inline(always)]
fn sum_tail(mut sum: Sum, tail: &[u8]) -> Sum {
    let (words, tail) = tail.as_chunks::<8>();
    for word in words.iter().take(LANES - 1) {
        sum = sum.plus(u64::from_ne_bytes(*word));
    }
    let (mut last, mut tail) = (0, tail);
    if let Some((word, rest)) = tail.split_first_chunk::<4>() {
        last += u64::from(u32::from_ne_bytes(*word));
        tail = rest;
    }
    if let Some((word, rest)) = tail.split_first_chunk::<2>() {
        last += u64::from(u16::from_ne_bytes(*word));
        tail = rest;
    }
    if let Some(byte) = tail.first() {
        last += u64::from(u16::from_ne_bytes([*byte, 0]));
    }
    sum.plus(last)
}

/// The sum of the pseudo-header of IPv4 (RFC 9293 section 3.1) or IPv6 (RFC 8200 section 8.1), for
/// `len` bytes of header and payload.
///
/// One formula serves both: what the mapped form of an IPv4 address adds is 0xffff, which is zero
/// in one's complement.
#[inline]
pub fn pseudo_header(src: &Addr, dst: &Addr, protocol: u8, len: usize) -> Sum {
    sum_array(&src.0).combine(sum_array(&dst.0)).upper_layer(protocol, len)
}

/// The checksum after one 16-bit word under it changed from `old` to `new` (RFC 1624, equation 3).
#[inline]
pub const fn update16(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::ZERO.word(!checksum).word(!old).word(new).checksum()
}

/// The checksum after two 16-bit words under it changed (RFC 1624, equation 3).
#[inline]
pub const fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    Sum::ZERO.word(!checksum).dword(!old).dword(new).checksum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The definition: add 16-bit big-endian words, wrapping the carry around each time.
    fn naive(bytes: &[u8]) -> u16 {
        bytes.chunks(2).fold(0u16, |sum, pair| {
            let word = u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
            let (sum, carry) = sum.overflowing_add(word);
            sum + u16::from(carry)
        })
    }

    /// RFC 1071 section 3: the bytes 00 01 f2 03 f4 f5 f6 f7 add up to ddf2.
    #[test]
    fn rfc_1071_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes).fold(), 0xddf2);
        assert_eq!(sum(&bytes).checksum(), 0x220d);
        let (odd, rest) = bytes.split_at(3);
        assert_eq!(sum(odd).combine_odd(sum(rest)).fold(), 0xddf2);
    }

    /// RFC 1624 section 4: checksum dd2f, word 5555 becomes 3285, checksum 0000 (and not ffff).
    #[test]
    fn rfc_1624_example() {
        assert_eq!(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn sums_of_nothing_and_of_ones() {
        assert_eq!(sum(&[]).fold(), 0);
        assert_eq!(sum(&[0xff; 4096]).fold(), 0xffff);
        assert!(sum(&[0xff; 2]).is_whole());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(bytes in vec(any::<u8>(), 0..300), skip in 0usize..9) {
            let bytes = bytes.get(skip..).unwrap_or_default();
            prop_assert_eq!(sum(bytes).fold(), naive(bytes));
        }

        #[test]
        fn pieces_combine(bytes in vec(any::<u8>(), 0..300), cut: prop::sample::Index) {
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            let whole = match a.len() % 2 {
                0 => sum(a).combine(sum(b)),
                _ => sum(a).combine_odd(sum(b)),
            };
            prop_assert_eq!(whole.fold(), naive(&bytes));
        }

        #[test]
        fn words_are_bytes(a: u16, b: u32) {
            let bytes = [a.to_be_bytes().as_slice(), &b.to_be_bytes()].concat();
            prop_assert_eq!(Sum::ZERO.word(a).dword(b).fold(), naive(&bytes));
        }

        #[test]
        fn increments_equal_a_new_sum(
            mut bytes in vec(any::<u8>(), 8..80), at: prop::sample::Index, new: u32,
        ) {
            let at = at.index(bytes.len() / 4) * 4;
            let before = sum(&bytes).checksum();
            let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
            // A header is never all zero, which is where the two zeros of the arithmetic differ.
            prop_assume!(naive(&bytes) != 0);
            let after = sum(&bytes).checksum();
            prop_assert_eq!(update32(before, old, new), after);
            let halves = update16(before, (old >> 16) as u16, (new >> 16) as u16);
            prop_assert_eq!(update16(halves, old as u16, new as u16), after);
        }

        #[test]
        fn pseudo_headers_of_both_families(src: [u8; 4], dst: [u8; 4], v6: [u8; 16], len: u16) {
            let [hi, lo] = len.to_be_bytes();
            let v4 = [src.as_slice(), &dst, &[0, 6, hi, lo]].concat();
            let (src, dst) = (Addr::from_v4(src), Addr::from_v4(dst));
            prop_assert_eq!(pseudo_header(&src, &dst, 6, len.into()).fold(), naive(&v4));
            let other = [v6.as_slice(), &v6, &[0, 0, hi, lo, 0, 0, 0, 58]].concat();
            let v6 = Addr(v6);
            prop_assert_eq!(pseudo_header(&v6, &v6, 58, len.into()).fold(), naive(&other));
        }
    }
}
