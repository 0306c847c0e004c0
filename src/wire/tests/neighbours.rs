//! Neighbour discovery, and what RFC 4861 section 7.1 says to discard.

use super::*;
use crate::wire::checksum::{pseudo_header, sum};
use crate::wire::ndp::AdvertisementFlags;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn fd00(last: u8) -> Addr {
    Addr([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

fn message(packet: &[u8]) -> Result<ndp::Message, Reject> {
    match parse(packet, VERIFY)?.body {
        Body::Ndp(message) => Ok(message),
        other => panic!("{other:?}"),
    }
}

/// fd00::2 asks the group of fd00::1 who has it.
fn solicitation() -> Vec<u8> {
    let group = ndp::solicited_node(fd00(1));
    let link = Link { src: THEIRS, dst: ndp::multicast_mac(group), vlan: None };
    let mut packet = vec![0xa5; ndp::MAX_LEN];
    let len = ndp::solicitation(&mut packet, link, fd00(2), group, fd00(1));
    packet.truncate(len);
    packet
}

/// Puts the checksum right after a change to an untagged packet without extension headers.
fn fix_checksum(packet: &mut [u8]) {
    packet[56..58].fill(0);
    let [src, dst] = [22, 38].map(|at| Addr(packet[at..at + 16].try_into().unwrap()));
    let pseudo = pseudo_header(&src, &dst, 58, packet.len() - 54);
    let checksum = pseudo.combine(sum(&packet[54..])).checksum();
    packet[56..58].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn a_solicitation_byte_for_byte() {
    #[rustfmt::skip]
    let expected = [
        0x33, 0x33, 0xff, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x86, 0xdd,
        0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff,
        0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
        0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x01, 0xff, 0x00, 0x00, 0x01,
        0x87, 0x00, 0x7d, 0x97, 0x00, 0x00, 0x00, 0x00,
        0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
        0x01, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02,
    ];
    assert_eq!(solicitation(), expected);
    let read = message(&expected).unwrap();
    assert_eq!((read.src, read.target), (fd00(2), fd00(1)));
    assert_eq!(read.kind, ndp::Kind::Solicitation { source_mac: Some(THEIRS) });
}

#[test]
fn only_a_neighbour_is_heard() {
    let mut packet = solicitation();
    packet[21] = 254;
    assert_eq!(message(&packet), Err(Reject::BadNdp));
}

#[test]
fn malformed_messages_are_discarded() {
    let with = |at: usize, byte: u8| {
        let mut packet = solicitation();
        packet[at] = byte;
        fix_checksum(&mut packet);
        message(&packet)
    };
    assert_eq!(with(55, 1), Err(Reject::BadNdp), "code");
    assert_eq!(with(62, 0xff), Err(Reject::BadNdp), "multicast target");
    assert_eq!(with(79, 0), Err(Reject::BadNdp), "option of no length");
    assert_eq!(with(79, 2), Err(Reject::BadNdp), "option beyond the end");
    let unknown = ndp::Kind::Solicitation { source_mac: None };
    assert_eq!(with(78, 9).map(|m| m.kind), Ok(unknown), "unknown options are skipped");
    assert_eq!(with(78, 1).map(|m| m.src), Ok(fd00(2)), "unchanged");
}

#[test]
fn messages_cut_short_are_discarded() {
    for len in 1..32 {
        let mut packet = solicitation();
        packet.truncate(54 + len);
        packet[19] = len as u8;
        if len >= 4 {
            fix_checksum(&mut packet);
        }
        let expected = match len {
            ..4 => Err(Reject::BadIcmpChecksum),
            24 => Ok(ndp::Kind::Solicitation { source_mac: None }),
            _ => Err(Reject::BadNdp),
        };
        assert_eq!(message(&packet).map(|m| m.kind), expected, "{len} bytes");
    }
}

#[test]
fn a_probe_for_duplicates_comes_from_nobody() {
    let group = ndp::solicited_node(fd00(1));
    let link = Link { src: THEIRS, dst: ndp::multicast_mac(group), vlan: None };
    let probe = |dst: Addr| {
        let mut packet = [0; ndp::MAX_LEN];
        let len = ndp::solicitation(&mut packet, link, Addr::UNSPECIFIED_V6, dst, fd00(1));
        message(&packet[..len]).map(|m| m.kind)
    };
    assert_eq!(probe(group), Ok(ndp::Kind::Solicitation { source_mac: None }));
    assert_eq!(probe(fd00(1)), Err(Reject::BadNdp));
    let mut with_mac = solicitation();
    with_mac[22..38].fill(0);
    fix_checksum(&mut with_mac);
    assert_eq!(message(&with_mac), Err(Reject::BadNdp));
}

#[test]
fn an_answer_goes_to_whoever_asked() {
    let everyone = Addr([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let link = Link { src: OURS, dst: ndp::multicast_mac(everyone), vlan: None };
    let told = |solicited: bool| {
        let flags = AdvertisementFlags { router: false, solicited, replace: true };
        let mut packet = [0; ndp::MAX_LEN];
        let len = ndp::advertisement(&mut packet, link, fd00(1), everyone, fd00(1), flags);
        message(&packet[..len]).map(|m| m.target)
    };
    assert_eq!(told(true), Err(Reject::BadNdp));
    assert_eq!(told(false), Ok(fd00(1)));
}
