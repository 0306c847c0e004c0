//! Flood mode of the XDP program, run by the kernel without a network (BPF_PROG_RUN): its codec
//! against the vectors, its SYN-ACKs against the engine's, and who gets none.
#![cfg(feature = "af-xdp")]

mod common;
mod segments;
#[path = "common/steered.rs"]
mod steered;
#[path = "vectors/mod.rs"]
mod vectors;

#[path = "flood/bench.rs"]
mod bench;
#[path = "flood/twins.rs"]
mod twins;

use sidestep::tcp::cookie::{CookieKeys, Ecn, Key, KeyWriter, STEP_MS, encode, step_at};
use sidestep::wire::Seq;

use bench::{Bench, FAILED, FLOOD_DROPPED, PASSED_ON, REDIRECTED, SENT, ack_of, syn, syn_of};
use segments::path::{Family, Path};
use segments::segment::{ACK, FIN, PSH, RST, SYN, Segment, TcpOption};

/// A moment far from the ends of its step.
const NOW: u64 = (1_767_225_600_000 >> 16 << 16) + 20_000;

#[test]
fn the_drivers_codec_keeps_to_the_vectors() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let (mut sent, mut passed) = (0, 0);
    for vector in vectors::committed() {
        let keys = CookieKeys::fixed(Key::new(vector.key));
        bench.shield().publish_keys(&keys);
        bench.serve(&vector.tuple);
        bench.shield().stop_clock(vector.unix_ms);
        // Whoever asks for accurate ECN gets less here, and the same where that is offered.
        if vector.remembered.ecn != Ecn::Accurate {
            assert_eq!(bench.run(&syn_of(&vector)), SENT, "{vector:?}");
            let answer = bench.answer(&vector.tuple);
            assert_eq!(answer.seq, vector.cookie.isn.0, "{vector:?}");
            assert_eq!(answer.timestamps().map(|(value, _)| value), vector.cookie.timestamp);
            sent += 1;
        }
        for later in [0, STEP_MS] {
            bench.shield().stop_clock(vector.unix_ms + later);
            assert_eq!(bench.run(&ack_of(&vector, 0)), PASSED_ON, "{later}: {vector:?}");
            assert_eq!(bench.run(&ack_of(&vector, 1)), FAILED, "{later}: {vector:?}");
        }
        bench.shield().stop_clock(vector.unix_ms + 2 * STEP_MS);
        assert_eq!(bench.run(&ack_of(&vector, 0)), FAILED, "too old: {vector:?}");
        passed += 1;
    }
    assert!(sent > 100 && passed > 200, "{sent} and {passed}");
}

#[test]
fn a_change_of_keys_is_followed_from_its_step_on() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let vector = vectors::committed()[0];
    bench.serve(&vector.tuple);
    let mut writer = KeyWriter::new(Key::new([1; 16]));
    let keys = writer.keys();
    for n in 0..40u64 {
        let at = NOW + n * STEP_MS;
        if n % 3 != 1 {
            writer.rotate(Key::new([n as u8 + 2; 16]), step_at(at) + 2).expect("one a step");
        }
        bench.shield().publish_keys(&keys);
        bench.shield().stop_clock(at);
        for made in [at, at - STEP_MS] {
            let cookie = encode(&keys, &vector.tuple, Seq(7), &vector.remembered, made);
            let brings = vectors::Vector { irs: Seq(7), cookie, ..vector };
            assert_eq!(bench.run(&ack_of(&brings, 0)), PASSED_ON, "made at {made}, seen at {at}");
        }
    }
}

#[test]
fn the_clock_of_the_driver_goes_on_by_itself() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let vector = vectors::committed()[0];
    bench.serve(&vector.tuple);
    // As if it had been set 20 steps ago.
    let monotonic = bench::monotonic_ns();
    bench.shield().set_clock(monotonic.saturating_sub(20 * STEP_MS * 1_000_000), NOW);
    let ago = (monotonic / 1_000_000).min(20 * STEP_MS);
    let keys = bench.keys();
    let cookie = encode(&keys, &vector.tuple, Seq(7), &vector.remembered, NOW + ago);
    let brings = vectors::Vector { irs: Seq(7), cookie, ..vector };
    assert_eq!(bench.run(&ack_of(&brings, 0)), PASSED_ON);
    let early = encode(&keys, &vector.tuple, Seq(7), &vector.remembered, NOW + ago - 3 * STEP_MS);
    assert_eq!(bench.run(&ack_of(&vectors::Vector { cookie: early, ..brings }, 0)), FAILED);
}

#[test]
fn known_flows_go_to_the_engine_whatever_they_say() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    for family in Family::BOTH {
        let path = Path::new(family, 80, 40_000);
        let tuple = bench::tuple(&path);
        bench.serve(&tuple);
        let segment = |flags| Segment { flags, seq: 5, ack: 9, ..syn(&path) };
        let frame = |flags| bench::frame(&path, &segment(flags));
        let unknown = [
            (SYN, SENT),
            (ACK, FAILED),
            (ACK | PSH, FAILED),
            (ACK | FIN, FAILED),
            (RST, FLOOD_DROPPED),
        ];
        for (flags, expected) in unknown {
            assert_eq!(bench.run(&frame(flags)), expected, "{flags:x}");
        }
        bench.shield().note(&tuple, true);
        assert!(bench.shield().may_know(&tuple));
        // An old duplicate of its SYN among them: the engine challenges it.
        for flags in [SYN, ACK, ACK | PSH, ACK | FIN, RST, SYN | ACK] {
            assert_eq!(bench.run(&frame(flags)), REDIRECTED, "{flags:x}");
        }
        bench.shield().note(&tuple, true);
        bench.shield().note(&tuple, false);
        assert_eq!(bench.run(&frame(ACK)), REDIRECTED, "counted twice, forgotten once");
        bench.shield().note(&tuple, false);
        assert_eq!(bench.run(&frame(ACK)), FAILED);
        assert!(!bench.shield().may_know(&tuple));
    }
}

#[test]
fn what_is_no_honest_syn_gets_no_answer() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    for family in Family::BOTH {
        let path = Path::new(family, 80, 40_000);
        bench.serve(&bench::tuple(&path));
        let whole = bench::frame(&path, &syn(&path));
        assert_eq!(bench.run(&whole), SENT);
        let ip = if family == Family::V4 { 20 } else { 40 };
        // Each byte of the segment, and of the IPv4 header: damaged on the way.
        for at in 14..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let verdict = bench.run(&damaged);
            // Nothing in IPv6 protects traffic class, flow label and hop limit.
            let free = family == Family::V6 && at < 14 + 8;
            assert!(free || verdict != SENT, "byte {at}");
            let judged = at >= 14 + ip && !(14 + ip..14 + ip + 4).contains(&at);
            let header_or_flags = at == 14 + ip + 12 || at == 14 + ip + 13;
            if judged && !header_or_flags {
                assert_eq!(verdict, bench::BAD_CHECKSUM, "byte {at}");
            }
        }
        let dropped = |flags| bench::frame(&path, &Segment { flags, ..syn(&path) });
        for flags in [SYN | FIN, SYN | RST, SYN | ACK, FIN, 0, PSH] {
            assert_eq!(bench.run(&dropped(flags)), FLOOD_DROPPED, "{flags:x}");
        }
        let mut group = whole.clone();
        group[0] |= 1;
        assert_eq!(bench.run(&group), FLOOD_DROPPED, "to a hardware group");
        let elsewhere = Path { local: (path.local.ip(), 81).into(), ..path };
        assert_eq!(bench.run(&bench::frame(&elsewhere, &syn(&elsewhere))), bench::PASS);
        for from in if family == Family::V4 {
            ["224.0.0.1", "0.0.0.0", "255.255.255.255"]
        } else {
            ["ff02::1", "::", "ff0e::7"]
        } {
            let from =
                Path { remote: (from.parse::<std::net::IpAddr>().expect("one"), 9).into(), ..path };
            assert_eq!(bench.run(&bench::frame(&from, &syn(&from))), FLOOD_DROPPED);
        }
    }
}

#[test]
fn fragments_get_no_cookie() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let path = Path::new(Family::V4, 80, 40_000);
    bench.serve(&bench::tuple(&path));
    let mut first = bench::frame(&path, &syn(&path));
    first[20] = 0x20;
    bench::mend_ipv4(&mut first);
    assert_eq!(bench.run(&first), bench::FRAGMENT);
    let path = Path::new(Family::V6, 80, 40_000);
    bench.serve(&bench::tuple(&path));
    // RFC 8200 section 4.5: a fragment header that says nothing; the engine takes none either.
    let whole = bench::frame(&path, &syn(&path));
    let atomic = bench::with_extension(&whole, 44, &[0; 7]);
    assert_eq!(bench.run(&atomic), FLOOD_DROPPED);
}

#[test]
fn fragments_of_ipv6_get_none_either() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let path = Path::new(Family::V6, 80, 40_000);
    bench.serve(&bench::tuple(&path));
    let whole = bench::frame(&path, &syn(&path));
    // The first of several: more fragments, offset 0.
    let first = bench::with_extension(&whole, 44, &[0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(bench.run(&first), bench::FRAGMENT);
    // A later one has no ports: the kernel may have asked for it.
    let later = bench::with_extension(&whole, 44, &[0, 1, 1, 0, 0, 0, 9]);
    assert_eq!(bench.run(&later), bench::PASS);
}

#[test]
fn a_port_that_nobody_serves_is_the_engines_to_refuse() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let path = Path::new(Family::V4, 80, 40_000);
    bench.serve(&bench::tuple(&path));
    let elsewhere = Path { local: (path.local.ip(), 81).into(), ..path };
    let frame = |flags| bench::frame(&elsewhere, &Segment { flags, ..syn(&elsewhere) });
    // The kernel's own port; with an address that the kernel has not, the engine says RST.
    assert_eq!(bench.run(&frame(SYN)), bench::PASS);
    bench.own(path.local.ip());
    assert_eq!(bench.run(&frame(SYN)), REDIRECTED);
    for flags in [ACK, ACK | FIN, RST, SYN | ACK] {
        assert_eq!(bench.run(&frame(flags)), FLOOD_DROPPED, "{flags:x}");
    }
}

#[test]
fn cookies_come_back_behind_tags_options_and_extension_headers() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let tagged = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0x20, 5], &frame[12..]].concat();
    for vector in vectors::committed() {
        let keys = CookieKeys::fixed(Key::new(vector.key));
        bench.shield().publish_keys(&keys);
        bench.shield().stop_clock(vector.unix_ms);
        bench.serve(&vector.tuple);
        for (off, expected) in [(0, PASSED_ON), (1, FAILED)] {
            let plain = ack_of(&vector, off);
            assert_eq!(bench.run(&tagged(&plain)), expected, "a tag: {vector:?}");
            let longer = if vector.tuple.local.is_v4() {
                let mut longer = [&plain[..34], &[1; 8], &plain[34..]].concat();
                longer[14] += 2;
                longer[17] += 8;
                bench::mend_ipv4(&mut longer);
                longer
            } else {
                let one = bench::with_extension(&plain, 60, &[0, 1, 4, 0, 0, 0, 0]);
                bench::with_extension(&one, 0, &[0, 1, 4, 0, 0, 0, 0])
            };
            assert_eq!(bench.run(&longer), expected, "longer headers: {vector:?}");
            assert_eq!(bench.run(&tagged(&longer)), expected, "and a tag: {vector:?}");
        }
    }
}

#[test]
fn begun_checksums_are_taken_where_that_is_configured() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    for family in Family::BOTH {
        let path = Path::new(family, 80, 40_000);
        bench.serve(&bench::tuple(&path));
        let begun = bench::begun(&path, &syn(&path));
        bench.flood_with(false);
        assert_eq!(bench.run(&begun), bench::BAD_CHECKSUM);
        bench.flood_with(true);
        assert_eq!(bench.run(&begun), SENT);
        assert_eq!(bench.run(&bench::frame(&path, &syn(&path))), SENT);
    }
}

#[test]
fn nothing_is_different_when_nobody_is_flooded() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let path = Path::new(Family::V4, 80, 40_000);
    bench.serve(&bench::tuple(&path));
    bench.shield().flood(0, None, false);
    for flags in [SYN, ACK, RST, SYN | FIN] {
        let segment = Segment { flags, ..syn(&path) };
        assert_eq!(bench.run(&bench::frame(&path, &segment)), REDIRECTED);
    }
    // Another queue's flood is not ours.
    bench.flood_queue(1);
    assert_eq!(bench.run(&bench::frame(&path, &syn(&path))), REDIRECTED);
}

#[test]
fn a_retransmitted_syn_gets_the_same_number() {
    let Some(mut bench) = Bench::new(NOW) else { return };
    let path = Path::new(Family::V4, 80, 40_000);
    let tuple = bench::tuple(&path);
    bench.serve(&tuple);
    let timestamps = TcpOption::Timestamps { val: 1, ecr: 0 };
    let frame = bench::frame(&path, &Segment { options: vec![timestamps], ..syn(&path) });
    assert_eq!(bench.run(&frame), SENT);
    let first = bench.answer(&tuple);
    bench.shield().stop_clock(NOW + 1_000);
    assert_eq!(bench.run(&frame), SENT);
    let second = bench.answer(&tuple);
    assert_eq!((first.seq, first.ack), (second.seq, second.ack));
    let value = |segment: &Segment| segment.timestamps().map_or(0, |(value, _)| value);
    assert!((873..=1_127).contains(&value(&second).wrapping_sub(value(&first))));
}
