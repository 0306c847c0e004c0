use super::*;
use crate::wire::tcp::Options;
use crate::wire::{Addr, Seq};

const NONE: Flags = Flags::empty();
const CLASSIC: Flags = ASKS_CLASSIC;

fn segment(flags: Flags, ecn: u8) -> Segment {
    Segment {
        src: Addr::UNSPECIFIED_V4,
        dst: Addr::UNSPECIFIED_V4,
        src_port: 1,
        dst_port: 2,
        seq: Seq(0),
        ack: Seq(0),
        flags: flags | Flags::SYN,
        window: 0,
        urgent: 0,
        payload_start: 54,
        payload_len: 0,
        ecn,
        options: Options::NONE,
    }
}

fn answer(flags: Flags, ecn: Ecn) -> EcnFacts {
    EcnFacts::answering(&segment(flags, 0), ecn)
}

#[test]
fn names_are_read_as_they_are_written() {
    for ecn in Ecn::ALL {
        assert_eq!(ecn.to_string().parse(), Ok(ecn));
    }
    let error = "on".parse::<Ecn>().expect_err("no name").to_string();
    assert!(error.contains("\"on\"") && Ecn::ALL.iter().all(|ecn| error.contains(ecn.name())));
}

#[test]
fn rfc3168_6_1_1_only_ece_and_cwr_together_ask() {
    for ecn in [Ecn::Classic, Ecn::AcceptClassic] {
        assert_eq!(answer(CLASSIC, ecn), EcnFacts::CLASSIC);
        assert_eq!(answer(ACE, ecn), EcnFacts::CLASSIC, "AE means nothing to it");
        for flags in [NONE, Flags::ECE, Flags::CWR, Flags::AE | Flags::ECE] {
            assert!(!answer(flags, ecn).is_on(), "{flags:?}");
        }
    }
    for flags in [NONE, CLASSIC, ACE] {
        assert!(!answer(flags, Ecn::Off).is_on());
    }
}

#[test]
fn rfc9768_3_1_3_any_other_combination_asks_for_accecn() {
    for ecn in [Ecn::Accept, Ecn::Accurate, Ecn::AskClassic] {
        assert!(!answer(NONE, ecn).is_on());
        assert_eq!(answer(CLASSIC, ecn), EcnFacts::CLASSIC);
        for flags in [ACE, Flags::AE, Flags::ECE, Flags::CWR, Flags::AE | Flags::CWR] {
            assert_eq!(answer(flags, ecn), EcnFacts::ACCURATE, "{flags:?}");
        }
    }
}

#[test]
fn rfc9768_table_2_the_syn_ack_feeds_back_the_ecn_field_of_the_syn() {
    let ect_1 = Flags::CWR | Flags::ECE;
    let ce = Flags::AE | Flags::CWR;
    for (ecn, flags) in [(0, Flags::CWR), (1, ect_1), (2, Flags::AE), (3, ce)] {
        let mut facts = EcnFacts::answering(&segment(ACE, 0), Ecn::Accept);
        facts.syn_again(&segment(ACE, ecn));
        assert_eq!(facts.syn_ack_flags(0), flags, "the latest SYN counts");
        assert!(!facts.contains(EcnFacts::NO_ECT));
    }
}

#[test]
fn rfc9768_table_2_each_syn_ack_leads_to_its_mode() {
    let asked = EcnFacts::asking(Ecn::Accurate);
    let mode = |flags| asked.answered(&segment(flags | Flags::ACK, 0), 0);
    assert_eq!(mode(Flags::CWR), EcnFacts::ACCURATE);
    assert_eq!(mode(Flags::AE | Flags::ECE), EcnFacts::ACCURATE, "reserved");
    for mangled in [Flags::AE, Flags::AE | Flags::CWR, Flags::CWR | Flags::ECE] {
        assert_eq!(mode(mangled), EcnFacts::ACCURATE | EcnFacts::NO_ECT, "our SYN was not ECT");
    }
    assert_eq!(mode(Flags::ECE), EcnFacts::CLASSIC);
    assert_eq!(mode(NONE), EcnFacts::empty());
    assert_eq!(mode(ACE), EcnFacts::empty(), "broken: only reflected");
}

#[test]
fn rfc3168_6_1_1_who_did_not_ask_agrees_to_nothing() {
    let asked = EcnFacts::asking(Ecn::Accept);
    for flags in [NONE, Flags::ECE, Flags::CWR, Flags::AE, ACE] {
        assert!(!asked.answered(&segment(flags | Flags::ACK, 0), 0).is_on());
    }
}

#[test]
fn crossing_syns_agree_on_what_both_ask_for() {
    let flags = |ecn: Ecn| EcnFacts::asking(ecn).syn_flags(0);
    for ours in Ecn::ALL {
        for theirs in Ecn::ALL {
            let meet = |ours: Ecn, theirs: Ecn| {
                let syn = segment(flags(theirs), 0);
                EcnFacts::asking(ours).crossing(&syn, ours, 0).kind()
            };
            assert_eq!(meet(ours, theirs), meet(theirs, ours), "{ours} and {theirs}");
            assert_eq!(meet(ours, theirs), ours.asks().min(theirs.asks()));
        }
    }
}

#[test]
fn syns_fall_back_after_one_or_two_without_an_answer() {
    let classic = EcnFacts::asking(Ecn::AskClassic);
    assert_eq!([0, 1, 2].map(|tries| classic.syn_flags(tries)), [CLASSIC, NONE, NONE]);
    let accurate = EcnFacts::asking(Ecn::Accurate);
    assert_eq!([0, 1, 2].map(|tries| accurate.syn_flags(tries)), [ACE, ACE, NONE]);
    let answered = EcnFacts::ACCURATE.syn_ack_flags(2);
    assert_eq!(answered, NONE, "RFC 9768 section 3.2.3.2.2");
}

#[test]
fn rfc9768_3_1_5_two_kinds_in_one_handshake_contradict_each_other() {
    let kinds = [CLASSIC, ACE];
    for first in kinds {
        for second in kinds {
            let facts = answer(first, Ecn::Accept);
            let contradicts = facts.contradicts(&segment(second, 0), Ecn::Accept);
            assert_eq!(contradicts, first != second);
            // To one who knows only the classic kind they are the same.
            let facts = answer(first, Ecn::Classic);
            assert!(!facts.contradicts(&segment(second, 0), Ecn::Classic));
        }
        assert!(!answer(first, Ecn::Accept).contradicts(&segment(NONE, 0), Ecn::Accept));
    }
}

#[test]
fn rfc8257_3_4_dctcp_asks_where_it_would_agree() {
    for ecn in Ecn::ALL {
        assert_eq!(ecn.asking().accepts(), ecn.accepts());
        assert_eq!(ecn.asking().asks() == Feedback::None, ecn == Ecn::Off);
    }
}
