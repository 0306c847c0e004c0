use super::*;
use crate::wire::Addr;
use crate::wire::tcp::{Options as TcpOptions, SackBlocks, Timestamps};

const MSS: u32 = 1_000;

fn segment(ecn: u8, len: u16) -> Segment {
    Segment {
        src: Addr::UNSPECIFIED_V4,
        dst: Addr::UNSPECIFIED_V4,
        src_port: 1,
        dst_port: 2,
        seq: Seq(0),
        ack: Seq(0),
        flags: Flags::ACK,
        window: 0,
        urgent: 0,
        payload_start: 54,
        payload_len: len,
        ecn,
        options: TcpOptions::NONE,
    }
}

/// An ACK with this counter, and an option with these bytes marked.
fn ack(count: u32, ceb: Option<u32>) -> Segment {
    let accecn = ceb.map(|ceb| AccEcn::new(AccEcnOrder::Ect0First, &[1, ceb]));
    let options = TcpOptions { accecn, ..TcpOptions::NONE };
    Segment { flags: Flags::ACK | ace_flags(count), options, ..segment(0, 0) }
}

fn progress(segments: u32) -> Progress {
    Progress { delivered: segments * MSS, mss: MSS, accepted: false }
}

/// After the first feedback.
fn connection() -> Accurate {
    Accurate { first: false, ..Accurate::default() }
}

#[test]
fn the_row_takes_at_most_56_bytes() {
    assert!(size_of::<Accurate>() <= 56, "{}", size_of::<Accurate>());
}

#[test]
fn rfc9768_figure_3_the_three_flags_are_one_number() {
    for count in 0..8 {
        assert_eq!(ace(ace_flags(count) | Flags::ACK | Flags::PSH), count);
    }
    assert_eq!(ace_flags(4), Flags::AE);
    assert_eq!(ace_flags(2), Flags::CWR);
    assert_eq!(ace_flags(1), Flags::ECE);
}

#[test]
fn rfc9768_3_2_every_mark_counts_and_bytes_of_payload_only() {
    let mut counters = connection();
    for (ecn, len) in [(3, 0), (3, 100), (2, 10), (1, 7), (0, 1_000), (2, 0)] {
        counters.arrives(&segment(ecn, len), true);
    }
    assert_eq!(counters.r_cep, 5 + 2);
    assert_eq!((counters.r_ceb, counters.r_e0b, counters.r_e1b), (100, 11, 8));
}

#[test]
fn rfc9768_3_2_2_5_1_the_first_of_a_run_of_marks_is_acknowledged_at_once() {
    let mut counters = connection();
    assert!(!counters.arrives(&segment(2, 100), true));
    assert!(counters.arrives(&segment(3, 100), true), "a change");
    counters.told(false, false);
    assert!(!counters.arrives(&segment(3, 100), true), "no change, and only one");
    assert!(counters.arrives(&segment(3, 100), true), "two");
    counters.told(false, false);
    assert!(!counters.arrives(&segment(2, 100), true), "the end of the run can wait");
    // A pure ACK between them counts for the comparison, but triggers nothing itself.
    assert!(!counters.arrives(&segment(3, 0), false));
    assert!(!counters.arrives(&segment(3, 0), false));
    assert!(counters.arrives(&segment(3, 0), false), "three without data");
}

#[test]
fn rfc9768_3_2_2_2_the_least_increment_that_fits_where_it_is_certain() {
    let mut counters = connection();
    for (field, packets) in [(5, 0), (6, 1), (0, 2), (7, 7), (7, 0)] {
        let feedback = counters.feedback(&ack(field, None), &progress(7));
        assert_eq!(feedback, Feedback { marked: packets * MSS, mangled: false });
    }
}

#[test]
fn rfc9768_a_2_1_without_options_the_worst_is_assumed() {
    for (segments, field, packets) in
        [(8, 5, 8), (8, 6, 1), (9, 5, 8), (9, 6, 9), (16, 5, 16), (20, 7, 18), (3, 2, 5)]
    {
        let feedback = connection().feedback(&ack(field, None), &progress(segments));
        assert_eq!(feedback.marked, packets * MSS, "{segments} segments, ACE {field}");
    }
}

#[test]
fn rfc9768_a_2_2_an_option_tells_how_often_it_wrapped() {
    for (segments, field, ceb, s_cep) in [
        // No bytes: no wrap.
        (16, 5, 0, 5),
        // As many bytes as one round makes likely.
        (16, 6, MSS, 6),
        // More than one segment can have: a wrap.
        (16, 6, 9 * MSS, 5 + 9),
        // Small segments would fit too: the worse of the two.
        (16, 0, 3 * MSS, 5 + 3),
        (16, 5, 8 * MSS, 5 + 16),
    ] {
        let mut counters = connection();
        let feedback = counters.feedback(&ack(field, Some(ceb)), &progress(segments));
        assert_eq!(feedback, Feedback { marked: ceb, mangled: false });
        assert_eq!(counters.s_cep, s_cep, "{segments} segments, ACE {field}, {ceb} bytes");
    }
}

#[test]
fn rfc9768_3_2_3_3_what_an_option_leaves_out_has_not_moved() {
    let mut without = ack(5, None);
    without.options.accecn = Some(AccEcn::new(AccEcnOrder::Ect0First, &[16_001]));
    assert_eq!(connection().feedback(&without, &progress(16)), Feedback::default());
}

#[test]
fn bytes_that_were_estimated_are_not_counted_twice() {
    let mut counters = connection();
    assert_eq!(counters.feedback(&ack(5, Some(0)), &progress(1)).marked, 0);
    assert_eq!(counters.feedback(&ack(6, None), &progress(2)).marked, MSS);
    let feedback = counters.feedback(&ack(7, Some(1_500)), &progress(2));
    assert_eq!(feedback, Feedback { marked: 500, mangled: false });
    let feedback = counters.feedback(&ack(7, Some(1_500)), &progress(2));
    assert_eq!(feedback, Feedback::default());
}

#[test]
fn rfc9768_3_2_3_1_byte_counters_wrap_at_24_bits() {
    let mut counters = Accurate { s_ceb: 0xff_ff00, ..connection() };
    let feedback = counters.feedback(&ack(6, Some(0x100)), &progress(1));
    assert_eq!(feedback.marked, 0x200);
    // One that goes back has been overtaken.
    let feedback = counters.feedback(&ack(6, Some(0x50)), &progress(1));
    assert_eq!(feedback.marked, 0);
}

#[test]
fn rfc9768_3_2_3_2_5_bytes_without_packets_are_mangled() {
    let feedback = connection().feedback(&ack(5, Some(1_000)), &progress(2));
    assert!(feedback.mangled);
    let feedback = connection().feedback(&ack(5, Some(8_000)), &progress(8));
    assert!(!feedback.mangled, "eight packets look like none");
}

#[test]
fn rfc9768_3_2_3_2_4_options_zeroed_on_the_way_are_not_read() {
    let mut counters = connection();
    let zeroed = AccEcn::new(AccEcnOrder::Ect1First, &[0, 0, 0]);
    let mut first = ack(5, None);
    first.options.accecn = Some(zeroed);
    counters.feedback(&first, &progress(1));
    assert_eq!(counters.options, Options::Bad);
    assert_eq!(counters.feedback(&ack(6, Some(77)), &progress(1)).marked, MSS);
}

#[test]
fn rfc9768_a_1_overtaken_feedback_is_not_read_unless_it_was_sent_later() {
    let mut counters = connection();
    assert_eq!(counters.feedback(&ack(7, None), &progress(0)), Feedback::default());
    let mut later = ack(7, None);
    later.options.timestamps = Some(Timestamps { value: 5, echo: 0 });
    assert_eq!(counters.feedback(&later, &progress(0)).marked, 2 * MSS);
    assert_eq!(counters.feedback(&ack(0, None), &progress(0)), Feedback::default());
    later.flags = Flags::ACK | ace_flags(0);
    assert_eq!(counters.feedback(&later, &progress(0)), Feedback::default(), "not later");
}

#[test]
fn rfc9768_table_4_the_third_segment_tells_how_the_syn_ack_came() {
    let accepted = Progress { accepted: true, ..progress(0) };
    for (field, marked, mangled, s_cep) in [
        (0, 0, true, 5),
        (1, 0, false, 5),
        (2, 0, false, 5),
        (3, 0, true, 5),
        (4, 0, true, 5),
        (5, 0, false, 5),
        (6, MSS, true, 6),
        (7, 0, false, 5),
    ] {
        let mut counters = Accurate::default();
        let feedback = counters.feedback(&ack(field, None), &accepted);
        assert_eq!(feedback, Feedback { marked, mangled }, "ACE {field}");
        assert_eq!((counters.s_cep, counters.deaf), (s_cep, field == 0));
    }
}

#[test]
fn rfc9768_3_2_2_1_with_data_or_sack_blocks_it_is_a_counter_already() {
    let accepted = Progress { accepted: true, ..progress(1) };
    let mut data = ack(6, None);
    data.payload_len = 10;
    assert_eq!(Accurate::default().feedback(&data, &accepted).marked, MSS);
    let mut blocks = ack(6, None);
    blocks.options.sack = SackBlocks::from_iter([(Seq(1), Seq(2))]);
    let feedback = Accurate::default().feedback(&blocks, &accepted);
    assert_eq!(feedback, Feedback { marked: MSS, mangled: false });
}

#[test]
fn rfc9768_3_2_2_4_who_reads_zero_first_believes_nothing_afterwards() {
    let mut counters = Accurate::default();
    assert!(counters.feedback(&ack(0, None), &progress(1)).mangled);
    assert_eq!(counters.feedback(&ack(3, None), &progress(1)), Feedback::default());
}

#[test]
fn rfc9768_3_2_3_3_an_option_has_what_ever_moved_and_goes_once_for_each_move() {
    let mut counters = connection();
    assert_eq!(counters.option(), None);
    let option = |order, counts: &[u32]| Some(AccEcn::new(order, counts));
    counters.arrives(&segment(3, 10), true);
    assert_eq!(counters.option(), option(AccEcnOrder::Ect0First, &[1, 10]));
    counters.told(false, false);
    assert!(counters.option().is_some(), "there was no room");
    counters.told(true, false);
    assert_eq!(counters.option(), None);
    counters.arrives(&segment(1, 10), true);
    assert_eq!(counters.option(), option(AccEcnOrder::Ect1First, &[11, 10]));
    counters.arrives(&segment(2, 10), true);
    assert_eq!(counters.option(), option(AccEcnOrder::Ect0First, &[11, 10, 11]));
}

#[test]
fn rfc9768_3_2_2_2_one_marked_syn_ack_counts() {
    let mut counters = Accurate::opener(&segment(3, 0));
    counters.syn_ack_again(&segment(3, 0));
    assert_eq!(counters.r_cep, 6);
    let mut counters = Accurate::opener(&segment(0, 0));
    counters.syn_ack_again(&segment(3, 0));
    assert_eq!(counters.r_cep, 6);
}
