//! Nothing that arrives can panic, or make us read what isn't there.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::generate::{headers, segment};
use super::*;

const CHECKS: [Checks; 3] = [
    VERIFY,
    Checks { verify: false, accept_partial: false },
    Checks { verify: true, accept_partial: true },
];

/// Feeds a packet to everything that reads packets.
fn swallow(packet: &[u8]) {
    for checks in CHECKS {
        if let Ok(Parsed { body: Body::Tcp(segment), .. }) = parse(packet, checks) {
            let end = usize::from(segment.payload_start) + usize::from(segment.payload_len);
            assert!(end <= packet.len(), "payload beyond the packet");
        }
    }
    for answer in [icmp4::echo_reply_in_place, icmp6::echo_reply_in_place] {
        let mut copy = packet.to_vec();
        match answer(&mut copy) {
            Some(len) => assert!(len <= packet.len(), "reply longer than the packet"),
            None => assert_eq!(copy, packet, "refused, yet changed"),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        swallow(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_good_ethernet_header(
        kind in prop::sample::select(vec![0x0800u16, 0x0806, 0x8100, 0x86dd]),
        bytes in vec(any::<u8>(), 0..200),
    ) {
        let mut packet = vec![2; 12];
        packet.extend(kind.to_be_bytes());
        packet.extend(bytes);
        swallow(&packet);
    }

    #[test]
    fn truncated_and_mutated_segments(
        headers in headers(),
        payload in vec(any::<u8>(), 0..40),
        changes in vec((any::<Index>(), any::<u8>()), 0..6),
        cut: Index,
    ) {
        let mut packet = segment(&headers, &payload, 0);
        for (at, byte) in changes {
            let at = at.index(packet.len());
            packet[at] = byte;
        }
        swallow(&packet);
        swallow(&packet[..cut.index(packet.len())]);
    }
}
