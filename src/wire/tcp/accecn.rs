//! The AccECN option: how many bytes arrived with which mark (RFC 9768 section 3.2.3).

/// Most counters that the option has.
const MAX_COUNTERS: usize = 3;
/// Bytes of a counter: its low 24 bits.
const COUNTER_LEN: usize = 3;

/// Which end of the counters the option begins with: those at the other end may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AccEcnOrder {
    /// ECT(0), CE, ECT(1): kind 172.
    Ect0First = 172,
    /// ECT(1), CE, ECT(0): kind 174.
    Ect1First = 174,
}

/// An AccECN option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccEcn {
    order: AccEcnOrder,
    count: u8,
    /// Zero beyond `count`.
    counters: [[u8; COUNTER_LEN]; MAX_COUNTERS],
}

impl AccEcn {
    /// An option with these counters in this order, of which the first three count, and of each the
    /// low 24 bits.
    pub fn new(order: AccEcnOrder, counters: &[u32]) -> AccEcn {
        let mut option = AccEcn { order, count: 0, counters: Default::default() };
        for (place, counter) in option.counters.iter_mut().zip(counters) {
            let [_, a, b, c] = counter.to_be_bytes();
            *place = [a, b, c];
            option.count += 1;
        }
        option
    }

    /// Bytes of payload that arrived as ECT(0), in 24 bits that wrap.
    pub fn ect_0(&self) -> Option<u32> {
        self.counter(match self.order {
            AccEcnOrder::Ect0First => 0,
            AccEcnOrder::Ect1First => 2,
        })
    }

    /// The same for CE.
    pub fn ce(&self) -> Option<u32> {
        self.counter(1)
    }

    /// The same for ECT(1).
    pub fn ect_1(&self) -> Option<u32> {
        self.counter(match self.order {
            AccEcnOrder::Ect0First => 2,
            AccEcnOrder::Ect1First => 0,
        })
    }

    fn counter(&self, at: usize) -> Option<u32> {
        let [a, b, c] = *self.counters[..usize::from(self.count)].get(at)?;
        Some(u32::from_be_bytes([0, a, b, c]))
    }

    /// Reads the body of an option; `None` if it is of another kind. Of another length than it
    /// should be, it has the counters that are whole.
    pub(super) fn parse(kind: u8, body: &[u8]) -> Option<AccEcn> {
        let order = [AccEcnOrder::Ect0First, AccEcnOrder::Ect1First];
        let order = order.into_iter().find(|order| *order as u8 == kind)?;
        let mut option = AccEcn { order, count: 0, counters: Default::default() };
        let (whole, _) = body.as_chunks::<COUNTER_LEN>();
        for (place, counter) in option.counters.iter_mut().zip(whole) {
            *place = *counter;
            option.count += 1;
        }
        Some(option)
    }

    /// Bytes of the option in whole words, padding in front included: 4, 8 or 12.
    pub(super) const fn padded_len(&self) -> usize {
        (2 + COUNTER_LEN * self.count as usize).next_multiple_of(4)
    }

    /// The option in whole words, of which there are as many as
    /// [`padded_len`](AccEcn::padded_len) says; `nop` is what pads it.
    pub(super) fn words(&self, nop: u8) -> [u32; 3] {
        let len = 2 + COUNTER_LEN * usize::from(self.count);
        let mut bytes = [nop; 12];
        let at = self.padded_len() - len;
        bytes[at] = self.order as u8;
        bytes[at + 1] = len as u8;
        let body = &mut bytes[at + 2..at + len];
        body.copy_from_slice(&self.counters.as_flattened()[..len - 2]);
        let (words, _) = bytes.as_chunks::<4>();
        [words[0], words[1], words[2]].map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [AccEcnOrder; 2] = [AccEcnOrder::Ect0First, AccEcnOrder::Ect1First];

    fn bytes(option: &AccEcn) -> Vec<u8> {
        let words = option.words(1).into_iter().flat_map(u32::to_be_bytes);
        words.take(option.padded_len()).collect()
    }

    #[test]
    fn rfc9768_figure_4_both_orders_with_any_number_of_counters() {
        let counters = [0x01_02_03, 0x04_05_06, 0xff_07_08_09];
        let option = |n: usize| AccEcn::new(AccEcnOrder::Ect0First, &counters[..n]);
        assert_eq!(bytes(&option(0)), [1, 1, 172, 2]);
        assert_eq!(bytes(&option(1)), [1, 1, 1, 172, 5, 1, 2, 3]);
        assert_eq!(bytes(&option(2)), [172, 8, 1, 2, 3, 4, 5, 6]);
        assert_eq!(bytes(&option(3)), [1, 172, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let other = AccEcn::new(AccEcnOrder::Ect1First, &counters[..2]);
        assert_eq!(bytes(&other), [174, 8, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn rfc9768_table_5_the_order_says_what_is_missing() {
        for order in BOTH {
            for n in 0..=3 {
                let option = AccEcn::new(order, &[7, 8, 9][..n]);
                let expected = [7, 8, 9].map(|c| (c < 7 + n as u32).then_some(c));
                let read = match order {
                    AccEcnOrder::Ect0First => [option.ect_0(), option.ce(), option.ect_1()],
                    AccEcnOrder::Ect1First => [option.ect_1(), option.ce(), option.ect_0()],
                };
                assert_eq!(read, expected);
            }
        }
    }

    #[test]
    fn rfc9768_3_2_3_what_is_longer_or_broken_off_has_its_whole_counters() {
        for order in BOTH {
            for len in 0..30 {
                let body = [7; 30];
                let option = AccEcn::parse(order as u8, &body[..len]).expect("its kind");
                assert_eq!(usize::from(option.count), (len / 3).min(3));
            }
        }
        assert_eq!(AccEcn::parse(173, &[]), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for order in BOTH {
            for n in 0..=3 {
                let option = AccEcn::new(order, &[1, 0xff_ffff, 3][..n]);
                let bytes = bytes(&option);
                let at = bytes.iter().position(|byte| *byte != 1).expect("the kind");
                assert_eq!(AccEcn::parse(bytes[at], &bytes[at + 2..]), Some(option));
            }
        }
    }
}
