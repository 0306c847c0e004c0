//! TCP options in layouts that we don't write ourselves.

use proptest::collection::vec;
use proptest::prelude::*;

use super::generate::options;
use super::*;
use crate::wire::tcp::Options;

fn malformed(options: Options) -> Options {
    Options { malformed: true, ..options }
}

#[test]
fn any_order_padding_and_unknown_kinds() {
    let bytes = [
        8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 253, 4, 9, 9, 30, 2, 3, 3, 9, 4, 2, 2, 4, 5, 0x78, 0, 77,
    ];
    let mut expected = Options::timestamps(1, 2);
    expected.window_scale = Some(9);
    expected.sack_permitted = true;
    expected.mss = Some(1400);
    assert_eq!(Options::parse(&bytes), expected);
}

#[test]
fn the_fast_layout_and_the_slow_way_agree() {
    let fast = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    let slow = [fast.as_slice(), &[1, 1, 1, 0]].concat();
    assert_eq!(Options::parse(&fast), Options::timestamps(1, 2));
    assert_eq!(Options::parse(&slow), Options::timestamps(1, 2));
    assert_eq!(Options::parse(&[]), Options::NONE);
}

#[test]
fn sack_blocks_in_the_order_sent() {
    let bytes = [1, 1, 5, 18, 0, 0, 0, 9, 0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 5];
    let blocks: Vec<_> = Options::parse(&bytes).sack.iter().collect();
    assert_eq!(blocks, [(Seq(9), Seq(12)), (Seq(3), Seq(5))]);
}

/// RFC 9293 MUST-7: an illegal length, for example zero, is survived.
#[test]
fn bad_lengths_stop_the_walk_and_keep_what_was_read() {
    let mss = Options { mss: Some(1460), ..Options::NONE };
    let good = [2, 4, 5, 0xb4];
    let tails: [&[u8]; 12] = [
        &[99, 0],
        &[99, 1],
        &[99, 3],
        &[3],
        &[2, 3, 1],
        &[3, 2],
        &[4, 3, 0],
        &[8, 9, 0, 0, 0, 0, 0, 0, 0],
        &[8, 10, 0, 0, 0, 0, 0, 0, 0],
        &[5, 2],
        &[5, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[5, 9, 0, 0, 0, 0, 0, 0, 0],
    ];
    for tail in tails {
        let bytes = [&good, tail].concat();
        assert_eq!(Options::parse(&bytes), malformed(mss), "{tail:?}");
        let more = [&good[..], tail, &[3, 3, 7]].concat();
        assert_eq!(Options::parse(&more).mss, Some(1460), "{tail:?}");
    }
    let five_blocks = [[5, 42].as_slice(), &[0; 40]].concat();
    assert_eq!(Options::parse(&five_blocks), malformed(Options::NONE));
}

#[test]
fn three_sack_blocks_fit_beside_timestamps_and_four_alone() {
    let mut options = Options::NONE;
    for n in 0..4 {
        assert!(options.sack.push(Seq(n), Seq(n + 1)));
    }
    assert!(!options.sack.push(Seq(9), Seq(10)));
    assert_eq!(options.emitted_len(), 36);
    options.timestamps = Options::timestamps(1, 2).timestamps;
    assert_eq!(options.emitted_len(), 40);
}

proptest! {
    #[test]
    fn any_option_bytes_are_safe(bytes in vec(any::<u8>(), 0..60)) {
        let _ = Options::parse(&bytes);
    }

    #[test]
    fn any_bytes_that_look_like_options_are_safe(bytes in vec(0u8..12, 0..41)) {
        let _ = Options::parse(&bytes);
    }

    #[test]
    fn the_stated_length_is_bounded(options in options()) {
        prop_assert!(options.emitted_len() <= tcp::MAX_OPTIONS);
    }
}
