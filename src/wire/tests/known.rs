//! Packets whose bytes and checksums were worked out by other means than this code.

use super::*;
use crate::wire::tcp::{Flags, Headers, Options};

/// A SYN as Linux sends it: MSS 1460, SACK-permitted, timestamps, window scale 7.
#[rustfmt::skip]
pub(super) const SYN: [u8; 74] = [
    // Ethernet
    0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x08, 0x00,
    // IPv4, 10.9.0.2 to 10.9.0.1
    0x45, 0x00, 0x00, 0x3c, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x26, 0xa8,
    0x0a, 0x09, 0x00, 0x02, 0x0a, 0x09, 0x00, 0x01,
    // TCP, port 49153 to 80
    0xc0, 0x01, 0x00, 0x50, 0xde, 0xad, 0xbe, 0xef, 0x00, 0x00, 0x00, 0x00,
    0xa0, 0x02, 0xfa, 0xf0, 0x96, 0xa5, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a, 0x11, 0x22, 0x33, 0x44,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x03, 0x03, 0x07,
];

/// Where [`SYN`] has its TCP checksum, and the sum of its pseudo-header alone.
pub(super) const SYN_CHECKSUM_AT: usize = 14 + 20 + 16;
pub(super) const SYN_PARTIAL: u16 = 0x1443;

/// 17 bytes of data in VLAN 42 over IPv6, with timestamps.
#[rustfmt::skip]
pub(super) const DATA: [u8; 107] = [
    // Ethernet, 802.1Q
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x81, 0x00, 0x00, 0x2a, 0x86, 0xdd,
    // IPv6, fd00::1 to fd00::2, ECT(0), flow label abcde
    0x60, 0x2a, 0xbc, 0xde, 0x00, 0x31, 0x06, 0x40,
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
    // TCP, port 80 to 49153
    0x00, 0x50, 0xc0, 0x01, 0x01, 0x02, 0x03, 0x04, 0xde, 0xad, 0xbe, 0xf0,
    0x81, 0x58, 0x01, 0xf6, 0x27, 0x33, 0x00, 0x00,
    0x01, 0x01, 0x08, 0x0a, 0x11, 0x22, 0x33, 0x99, 0x55, 0x66, 0x77, 0x88,
    // "GET / HTTP/1.1", CR, LF, CR
    0x47, 0x45, 0x54, 0x20, 0x2f, 0x20, 0x48, 0x54, 0x54, 0x50, 0x2f, 0x31, 0x2e, 0x31, 0x0d, 0x0a,
    0x0d,
];

fn syn_headers() -> Headers {
    let mut options = Options::timestamps(0x1122_3344, 0);
    options.mss = Some(1460);
    options.window_scale = Some(7);
    options.sack_permitted = true;
    Headers {
        link: Link { src: Mac([2, 0, 0, 0, 0, 2]), dst: Mac([2, 0, 0, 0, 0, 1]), vlan: None },
        src: Addr::from_v4([10, 9, 0, 2]),
        dst: Addr::from_v4([10, 9, 0, 1]),
        src_port: 49153,
        dst_port: 80,
        seq: Seq(0xdead_beef),
        ack: Seq(0),
        flags: Flags::SYN,
        window: 64240,
        urgent: 0,
        hop_limit: 64,
        dscp: 0,
        ecn: 0,
        flow_label: 0,
        options,
    }
}

fn data_headers() -> Headers {
    let [src, dst] = [1, 2].map(|n| Addr([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]));
    let [from, to] = [1, 2].map(|n| Mac([2, 0, 0, 0, 0, n]));
    Headers {
        link: Link { src: from, dst: to, vlan: Some(Vlan(42)) },
        src,
        dst,
        src_port: 80,
        dst_port: 49153,
        seq: Seq(0x0102_0304),
        ack: Seq(0xdead_bef0),
        flags: Flags::AE | Flags::ECE | Flags::ACK | Flags::PSH,
        window: 502,
        urgent: 0,
        hop_limit: 64,
        dscp: 0,
        ecn: 2,
        flow_label: 0xabcde,
        options: Options::timestamps(0x1122_3399, 0x5566_7788),
    }
}

fn read(packet: &[u8]) -> tcp::Segment {
    match parse(packet, VERIFY) {
        Ok(Parsed { body: Body::Tcp(segment), .. }) => segment,
        other => panic!("{other:?}"),
    }
}

#[test]
fn syn_is_read() {
    let segment = read(&SYN);
    assert_eq!((segment.src_port, segment.dst_port), (49153, 80));
    assert_eq!((segment.seq, segment.flags), (Seq(0xdead_beef), Flags::SYN));
    assert_eq!((segment.payload_start, segment.payload_len), (74, 0));
    assert_eq!(segment.seg_len(), 1);
    assert_eq!(segment.options, syn_headers().options);
}

#[test]
fn syn_is_written() {
    let mut packet = [0xa5; 74];
    assert_eq!(syn_headers().len(), packet.len());
    syn_headers().emit(&mut packet);
    assert_eq!(packet, SYN);
}

#[test]
fn data_is_read() {
    let segment = read(&DATA);
    assert_eq!(segment.payload(&DATA), b"GET / HTTP/1.1\r\n\r");
    assert_eq!((segment.payload_start, segment.payload_len, segment.seg_len()), (90, 17, 17));
    assert_eq!((segment.ecn, segment.window), (2, 502));
    assert_eq!(segment.flags, data_headers().flags);
    assert_eq!(segment.options, data_headers().options);
}

#[test]
fn data_is_written() {
    let mut packet = DATA;
    packet[..90].fill(0xa5);
    assert_eq!(data_headers().len(), 90);
    data_headers().emit(&mut packet);
    assert_eq!(packet, DATA);
}

#[test]
#[should_panic(expected = "too many for IP")]
fn more_than_ip_can_carry_is_the_callers_mistake() {
    syn_headers().emit(&mut vec![0; 14 + 65_536]);
}

#[test]
fn the_longest_segment_round_trips() {
    let mut packet = vec![0xff; 14 + 65_535];
    syn_headers().emit(&mut packet);
    assert_eq!(usize::from(read(&packet).payload_len), 65_535 - 60);
}
