//! ICMP of both families: echo answered in place, errors with the packet they quote.

use proptest::collection::vec;
use proptest::prelude::*;

use super::known::{DATA, SYN};
use super::*;
use crate::wire::checksum::{pseudo_header, sum};

/// `ping` from 10.9.0.2 to 10.9.0.1 with 4 bytes.
#[rustfmt::skip]
const ECHO_V4: [u8; 46] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x08, 0x00,
    0x45, 0x00, 0x00, 0x20, 0x01, 0x02, 0x40, 0x00, 0x3f, 0x01, 0x26, 0xc7,
    0x0a, 0x09, 0x00, 0x02, 0x0a, 0x09, 0x00, 0x01,
    0x08, 0x00, 0x06, 0xf4, 0x12, 0x34, 0x00, 0x07, 0x70, 0x69, 0x6e, 0x67,
];

/// The answer to [`ECHO_V4`].
#[rustfmt::skip]
const REPLY_V4: [u8; 46] = [
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00,
    0x45, 0x00, 0x00, 0x20, 0x01, 0x02, 0x40, 0x00, 0x40, 0x01, 0x25, 0xc7,
    0x0a, 0x09, 0x00, 0x01, 0x0a, 0x09, 0x00, 0x02,
    0x00, 0x00, 0x0e, 0xf4, 0x12, 0x34, 0x00, 0x07, 0x70, 0x69, 0x6e, 0x67,
];

/// The ICMPv6 message of a ping from fd00::2 to fd00::1, and that of its answer.
const ECHO_V6: [u8; 12] = *b"\x80\x00\x94\xa8\x12\x34\x00\x07ping";
const REPLY_V6: [u8; 12] = *b"\x81\x00\x93\xa8\x12\x34\x00\x07ping";

/// A packet from fd00::2 to fd00::1, untagged, as [`DATA`] but the other way.
fn v6_packet(protocol: u8, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut packet = [&DATA[6..12], &DATA[..6], &[0x86, 0xdd], &DATA[18..58]].concat();
    packet[18..20].copy_from_slice(&(message.len() as u16).to_be_bytes());
    packet[20..22].copy_from_slice(&[protocol, hop_limit]);
    packet[37] = 2;
    packet[53] = 1;
    packet.extend(message);
    packet
}

/// An ICMPv4 error with `rest` in its second word, quoting the beginning of `quoted`.
fn v4_error(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &rest[..], quoted].concat();
    let checksum = sum(&message).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let mut packet = ECHO_V4[..34].to_vec();
    packet[16..18].copy_from_slice(&(20 + message.len() as u16).to_be_bytes());
    packet[24..26].fill(0);
    let checksum = sum(&packet[14..34]).checksum();
    packet[24..26].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(message);
    packet
}

fn v6_error(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], &rest[..], quoted].concat();
    let mut packet = v6_packet(58, 64, &message);
    let (src, dst) = (addr_at(&packet, 22), addr_at(&packet, 38));
    let pseudo = pseudo_header(&src, &dst, 58, message.len());
    let checksum = pseudo.combine(sum(&message)).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet.splice(54.., message);
    packet
}

fn addr_at(packet: &[u8], at: usize) -> Addr {
    Addr(packet[at..at + 16].try_into().unwrap())
}

fn kind_v4(packet: &[u8]) -> Result<icmp4::Kind, Reject> {
    match parse(packet, VERIFY)?.body {
        Body::Icmp4(message) => Ok(message.kind),
        other => panic!("{other:?}"),
    }
}

fn kind_v6(packet: &[u8]) -> Result<icmp6::Kind, Reject> {
    match parse(packet, VERIFY)?.body {
        Body::Icmp6(message) => Ok(message.kind),
        other => panic!("{other:?}"),
    }
}

/// What a router says of [`SYN`] or of [`DATA`].
fn quoted_syn() -> Quoted {
    Quoted {
        src: Addr::from_v4([10, 9, 0, 2]),
        dst: Addr::from_v4([10, 9, 0, 1]),
        src_port: 49153,
        dst_port: 80,
        seq: Seq(0xdead_beef),
        protocol: 6,
        len: SYN.len() as u16 - 14,
    }
}

fn quoted_data() -> Quoted {
    Quoted {
        src: addr_at(&DATA, 26),
        dst: addr_at(&DATA, 42),
        src_port: 80,
        dst_port: 49153,
        seq: Seq(0x0102_0304),
        protocol: 6,
        len: DATA.len() as u16 - 18,
    }
}

#[test]
fn echo_v4_is_answered_in_place() {
    let echo = Echo { ident: 0x1234, sequence: 7, data_start: 42, data_len: 4 };
    assert_eq!(kind_v4(&ECHO_V4), Ok(icmp4::Kind::EchoRequest(echo)));
    let mut packet = [ECHO_V4.as_slice(), &[0; 14]].concat();
    assert_eq!(icmp4::echo_reply_in_place(&mut packet), Some(46));
    assert_eq!(packet[..46], REPLY_V4);
    assert_eq!(kind_v4(&packet), Ok(icmp4::Kind::EchoReply(echo)));
    assert_eq!(icmp4::echo_reply_in_place(&mut packet), None, "a reply is not answered");
}

#[test]
fn echo_v6_is_answered_in_place() {
    let mut packet = v6_packet(58, 9, &ECHO_V6);
    let echo = Echo { ident: 0x1234, sequence: 7, data_start: 62, data_len: 4 };
    assert_eq!(kind_v6(&packet), Ok(icmp6::Kind::EchoRequest(echo)));
    let (src, dst) = (addr_at(&packet, 22), addr_at(&packet, 38));
    packet.extend([0; 4]);
    assert_eq!(icmp6::echo_reply_in_place(&mut packet), Some(66));
    assert_eq!(packet[54..66], REPLY_V6);
    assert_eq!((addr_at(&packet, 22), addr_at(&packet, 38)), (dst, src));
    assert_eq!(packet[..12], [ECHO_V4[6..12].to_vec(), ECHO_V4[..6].to_vec()].concat());
    assert_eq!(packet[21], DEFAULT_HOP_LIMIT);
    assert_eq!(kind_v6(&packet), Ok(icmp6::Kind::EchoReply(echo)));
    assert_eq!(icmp6::echo_reply_in_place(&mut packet), None, "a reply is not answered");
}

#[test]
fn groups_and_nobody_are_not_answered() {
    let refuses_v4 = |at: usize, bytes: &[u8]| {
        let mut packet = ECHO_V4;
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        icmp4::echo_reply_in_place(&mut packet).is_none()
    };
    assert!(refuses_v4(0, &[0xff; 6]) && refuses_v4(6, &[0xff; 6]));
    assert!(refuses_v4(26, &[224, 0, 0, 1]) && refuses_v4(26, &[0; 4]));
    assert!(refuses_v4(30, &[224, 0, 0, 1]) && refuses_v4(30, &[255; 4]));
    assert!(refuses_v4(14, &[0x46]) && refuses_v4(20, &[0x20]) && refuses_v4(17, &[33]));
    assert!(refuses_v4(17, &[27]) && refuses_v4(35, &[1]) && refuses_v4(23, &[6]));
    assert!(!refuses_v4(0, &[2]));
    let refuses_v6 = |at: usize, bytes: &[u8]| {
        let mut packet = v6_packet(58, 64, &ECHO_V6);
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        icmp6::echo_reply_in_place(&mut packet).is_none()
    };
    assert!(refuses_v6(22, &[0xff]) && refuses_v6(22, &[0; 16]) && refuses_v6(38, &[0xff]));
    assert!(refuses_v6(19, &[13]) && refuses_v6(19, &[7]) && refuses_v6(55, &[1]));
    assert!(!refuses_v6(0, &[2]));
}

#[test]
fn errors_v4_quote_our_packet() {
    let (quote, quoted) = (&SYN[14..42], quoted_syn());
    let read = |kind, code, rest| kind_v4(&v4_error(kind, code, rest, quote)).unwrap();
    assert_eq!(read(3, 3, [0; 4]), icmp4::Kind::Unreachable { code: 3, quoted });
    assert_eq!(
        read(3, 4, [0, 0, 0x05, 0x78]),
        icmp4::Kind::FragmentationNeeded { next_hop_mtu: 1400, quoted }
    );
    assert_eq!(read(11, 0, [0; 4]), icmp4::Kind::TimeExceeded { code: 0, quoted });
    assert_eq!(read(12, 0, [20, 0, 0, 0]), icmp4::Kind::ParameterProblem { pointer: 20, quoted });
    assert_eq!(kind_v4(&v4_error(5, 1, [0; 4], quote)), Err(Reject::Redirect));
    for kind in [4, 13, 40] {
        assert_eq!(kind_v4(&v4_error(kind, 0, [0; 4], quote)), Err(Reject::UnsupportedIcmp));
    }
}

#[test]
fn errors_v6_quote_our_packet() {
    let (quote, quoted) = (&DATA[18..66], quoted_data());
    let read = |kind, code, rest| kind_v6(&v6_error(kind, code, rest, quote)).unwrap();
    assert_eq!(read(1, 4, [0; 4]), icmp6::Kind::Unreachable { code: 4, quoted });
    assert_eq!(read(2, 0, [0, 1, 0x05, 0x78]), icmp6::Kind::PacketTooBig { mtu: 0x1_0578, quoted });
    assert_eq!(read(3, 1, [0; 4]), icmp6::Kind::TimeExceeded { code: 1, quoted });
    assert_eq!(
        read(4, 2, [0, 0, 0, 40]),
        icmp6::Kind::ParameterProblem { code: 2, pointer: 40, quoted }
    );
    assert_eq!(kind_v6(&v6_error(137, 0, [0; 4], quote)), Err(Reject::Redirect));
    for kind in [0, 100, 130, 133, 134] {
        assert_eq!(kind_v6(&v6_error(kind, 0, [0; 4], quote)), Err(Reject::UnsupportedIcmp));
    }
}

#[test]
fn a_quote_too_short_to_name_a_connection_is_refused() {
    for len in 0..28 {
        let packet = v4_error(3, 1, [0; 4], &SYN[14..14 + len]);
        assert_eq!(kind_v4(&packet), Err(Reject::BadIcmp), "{len} bytes");
    }
    for len in 0..48 {
        let packet = v6_error(1, 0, [0; 4], &DATA[18..18 + len]);
        assert_eq!(kind_v6(&packet), Err(Reject::BadIcmp), "{len} bytes");
    }
    let mut later_fragment = SYN;
    later_fragment[21] = 1;
    let packet = v4_error(3, 1, [0; 4], &later_fragment[14..42]);
    assert_eq!(kind_v4(&packet), Err(Reject::BadIcmp));
}

#[test]
fn checksums_are_verified() {
    let mut packet = ECHO_V4;
    packet[45] ^= 1;
    assert_eq!(kind_v4(&packet), Err(Reject::BadIcmpChecksum));
    let mut packet = v6_packet(58, 64, &ECHO_V6);
    packet[65] ^= 1;
    assert_eq!(kind_v6(&packet), Err(Reject::BadIcmpChecksum));
}

proptest! {
    #[test]
    fn any_echo_comes_back_whole(data in vec(any::<u8>(), 0..100), ident: u16, sequence: u16) {
        let [a, b] = ident.to_be_bytes();
        let [c, d] = sequence.to_be_bytes();
        let mut v4 = v4_error(8, 0, [a, b, c, d], &data);
        prop_assert_eq!(icmp4::echo_reply_in_place(&mut v4), Some(v4.len()));
        let data_len = data.len() as u16;
        let echo = Echo { ident, sequence, data_start: 42, data_len };
        prop_assert_eq!(kind_v4(&v4), Ok(icmp4::Kind::EchoReply(echo)));
        let mut v6 = v6_error(128, 0, [a, b, c, d], &data);
        prop_assert_eq!(icmp6::echo_reply_in_place(&mut v6), Some(v6.len()));
        let echo = Echo { ident, sequence, data_start: 62, data_len };
        prop_assert_eq!(kind_v6(&v6), Ok(icmp6::Kind::EchoReply(echo)));
        prop_assert_eq!(&v6[62..], data.as_slice());
    }
}
