//! Any bytes as a frame: nothing may panic, no payload may lie outside the frame, and what was read
//! from a segment must survive being written again.
//!
//! `cargo +nightly fuzz run parse`
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestep::wire::tcp::{Headers, Segment};
use sidestep::wire::{self, Body, Checks, Parsed};

fuzz_target!(|packet: &[u8]| {
    // Without verification the fuzzer needn't guess checksums; with it, that code runs too.
    for (verify, accept_partial) in [(false, false), (true, false), (true, true)] {
        if let Ok(parsed) = wire::parse(packet, Checks { verify, accept_partial })
            && let Body::Tcp(segment) = parsed.body
        {
            rewrite(packet, &parsed, &segment);
        }
    }
    for answer in [wire::icmp4::echo_reply_in_place, wire::icmp6::echo_reply_in_place] {
        let mut copy = packet.to_vec();
        if let Some(len) = answer(&mut copy) {
            assert!(len <= packet.len());
        }
    }
});

fn rewrite(packet: &[u8], parsed: &Parsed, segment: &Segment) {
    let payload = segment.payload(packet);
    assert_eq!(payload.len(), usize::from(segment.payload_len));
    let headers = Headers {
        link: parsed.link,
        src: segment.src,
        dst: segment.dst,
        src_port: segment.src_port,
        dst_port: segment.dst_port,
        seq: segment.seq,
        ack: segment.ack,
        flags: segment.flags,
        window: segment.window,
        urgent: segment.urgent,
        hop_limit: parsed.hop_limit,
        dscp: 0,
        ecn: segment.ecn,
        flow_label: 0,
        options: segment.options,
    };
    let start = headers.len();
    if start + payload.len() > usize::from(u16::MAX) {
        return; // Our layout of the options can be longer than the one that was read.
    }
    let mut again = vec![0; start];
    again.extend(payload);
    headers.emit(&mut again);
    let reparsed = wire::parse(&again, Checks { verify: true, accept_partial: false });
    let Ok(Parsed { body: Body::Tcp(second), link, hop_limit }) = reparsed else {
        panic!("what was written is not read: {reparsed:?}");
    };
    assert_eq!((link, hop_limit), (parsed.link, parsed.hop_limit));
    assert_eq!(second.payload(&again), payload);
    let mut expected = *segment;
    expected.payload_start = start as u16;
    expected.options.malformed = false;
    assert!(second.options.sack.len() <= expected.options.sack.len());
    expected.options.sack = second.options.sack;
    assert_eq!(second, expected);
}
