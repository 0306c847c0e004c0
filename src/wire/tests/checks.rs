//! Checksums asked for or not, and frames that are not as they should be.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::generate::{headers, segment};
use super::known::{DATA, SYN, SYN_CHECKSUM_AT, SYN_PARTIAL};
use super::*;
use crate::wire::common::Common;
use crate::wire::parse::parse_any;

const LENIENT: Checks = Checks { verify: true, accept_partial: true };
const BLIND: Checks = Checks { verify: false, accept_partial: false };

fn with_checksum(checksum: u16) -> [u8; 74] {
    let mut packet = SYN;
    packet[SYN_CHECKSUM_AT..SYN_CHECKSUM_AT + 2].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn a_partial_checksum_is_taken_only_where_asked() {
    let partial = with_checksum(SYN_PARTIAL);
    assert_eq!(parse(&partial, VERIFY), Err(Reject::BadTcpChecksum));
    assert!(parse(&partial, LENIENT).is_ok());
    assert!(parse(&SYN, LENIENT).is_ok(), "whole checksums still are");
    assert_eq!(parse(&with_checksum(SYN_PARTIAL + 1), LENIENT), Err(Reject::BadTcpChecksum));
    assert_eq!(parse(&with_checksum(!SYN_PARTIAL), LENIENT), Err(Reject::BadTcpChecksum));
    assert!(parse(&with_checksum(0), BLIND).is_ok());
}

#[test]
fn every_flipped_bit_beyond_ethernet_is_noticed() {
    for (packet, ip_at) in [(&SYN[..], 14), (&DATA[..], 18)] {
        let original = parse(packet, VERIFY);
        for bit in ip_at * 8..packet.len() * 8 {
            let mut bad = packet.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            // IPv6 has no header checksum: nothing protects class, flow label and hop limit.
            let unprotected = ip_at == 18 && (bit / 8 < 22 || bit / 8 == 25);
            assert!(unprotected || parse(&bad, VERIFY).is_err(), "bit {bit} of {original:?}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    for packet in [&SYN[..], &DATA[..]] {
        for len in 0..packet.len() {
            let outcome = parse(&packet[..len], VERIFY);
            assert!(
                matches!(outcome, Err(Reject::TooShort | Reject::IpTruncated)),
                "{len} bytes: {outcome:?}"
            );
        }
    }
}

#[test]
fn padding_changes_nothing() {
    for packet in [&SYN[..], &DATA[..]] {
        let padded = [packet, &[0xee; 46]].concat();
        assert_eq!(parse(&padded, VERIFY), parse(packet, VERIFY));
    }
}

#[test]
fn a_data_offset_that_cannot_be() {
    for (offset, expected) in [(4u8, true), (0, true), (11, true), (5, false), (10, false)] {
        let mut packet = SYN;
        packet[14 + 20 + 12] = offset << 4;
        let refused = parse(&packet, BLIND) == Err(Reject::BadTcpHeader);
        assert_eq!(refused, expected, "data offset {offset}");
    }
}

#[test]
fn foreign_ether_types_are_refused() {
    // Length field, provider tag, LLDP, tag in tag.
    for kind in [0x0040u16, 0x88a8, 0x88cc] {
        let mut packet = SYN;
        packet[12..14].copy_from_slice(&kind.to_be_bytes());
        assert_eq!(parse(&packet, VERIFY), Err(Reject::UnsupportedEtherType));
    }
    let mut packet = DATA;
    packet[16..18].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
    assert_eq!(parse(&packet, VERIFY), Err(Reject::UnsupportedEtherType));
}

#[test]
fn foreign_protocols_are_refused() {
    let mut packet = SYN;
    packet[23] = 17;
    assert_eq!(parse(&packet, BLIND), Err(Reject::UnsupportedProtocol));
    let mut packet = DATA;
    packet[24] = 59;
    assert_eq!(parse(&packet, BLIND), Err(Reject::UnsupportedProtocol));
}

#[test]
fn a_segment_behind_extension_headers() {
    // A destination options header of padding between IPv6 and TCP.
    let mut packet = [&DATA[..58], &[6, 0, 1, 4, 0, 0, 0, 0], &DATA[58..]].concat();
    packet[23] += 8;
    packet[24] = 60;
    let Ok(Parsed { body: Body::Tcp(segment), .. }) = parse(&packet, VERIFY) else {
        panic!("{:?}", parse(&packet, VERIFY));
    };
    assert_eq!(segment.payload_start, 98);
    assert_eq!(segment.payload(&packet), b"GET / HTTP/1.1\r\n\r");
}

/// What [`parse`] says without its short way.
fn parse_the_general_way(packet: &[u8], checks: Checks) -> Result<Parsed, Reject> {
    let mut parsed = Parsed::NOTHING;
    parse_any(packet, checks, &mut parsed).map(|()| parsed)
}

proptest! {
    /// A segment of the common layout says the same both ways: whole, cut, and with any bit of its
    /// headers flipped.
    #[test]
    fn the_common_layout_is_read_as_any_other(
        mut headers in headers(),
        stamps: (u32, u32),
        payload in vec(any::<u8>(), 0..300),
        padding in 0usize..8,
        cut: Index,
    ) {
        headers.link.vlan = None;
        (headers.src, headers.dst) = (Addr::from_v4([10, 9, 0, 2]), Addr::from_v4([10, 9, 0, 1]));
        headers.options = tcp::Options::timestamps(stamps.0, stamps.1);
        let mut packet = segment(&headers, &payload, padding);
        prop_assert!(Common::find(&packet).is_some());
        prop_assert!(parse(&packet, VERIFY).is_ok());
        let agree = |packet: &[u8]| {
            for checks in [VERIFY, LENIENT, BLIND] {
                let ways = (parse(packet, checks), parse_the_general_way(packet, checks));
                prop_assert_eq!(ways.0, ways.1);
            }
            Ok(())
        };
        agree(&packet)?;
        agree(&packet[..cut.index(packet.len())])?;
        for bit in 0..headers.len() * 8 {
            packet[bit / 8] ^= 1 << (bit % 8);
            agree(&packet)?;
            packet[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
