//! Segments to whole Ethernet frames and back, with every check that a strict receiver makes.

use std::net::IpAddr;

use super::path::Path;
use super::segment::{Segment, TcpOption};

const ETHERNET: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What a frame that the engine sent turned out to be.
#[derive(Debug)]
pub(crate) enum Decoded {
    Tcp(Segment),
    /// ARP, NDP and the like: not what these tests judge.
    Other,
}

/// An ICMP error about a segment of the local end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) mtu: u16,
    /// Of the segment: its sequence number and payload bytes.
    pub(crate) seq: u32,
    pub(crate) len: u16,
}

/// A frame from the remote end to the local one.
pub(crate) fn encode(path: &Path, segment: &Segment) -> Vec<u8> {
    let tcp = encode_tcp(path, segment);
    encode_packet(path, segment.ecn, TCP, &tcp)
}

/// An ICMP error from the remote end, as if it were the router.
pub(crate) fn encode_icmp(path: &Path, quote: &Quote) -> Vec<u8> {
    let mtu = quote.mtu.to_be_bytes();
    let mut icmp = vec![quote.kind, quote.code, 0, 0, 0, 0, mtu[0], mtu[1]];
    icmp.extend(ip_header(path.local.ip(), path.remote.ip(), 0, TCP, 20 + quote.len));
    icmp.extend(path.local.port().to_be_bytes());
    icmp.extend(path.remote.port().to_be_bytes());
    icmp.extend(quote.seq.to_be_bytes());
    let (protocol, pseudo) = match path.local.ip() {
        IpAddr::V4(_) => (ICMP, Vec::new()),
        IpAddr::V6(_) => (ICMPV6, pseudo_header(path, ICMPV6, icmp.len())),
    };
    let sum = checksum(&[&pseudo, &icmp]);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    encode_packet(path, 0, protocol, &icmp)
}

fn encode_packet(path: &Path, ecn: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(ETHERNET + 40 + payload.len());
    frame.extend(path.local_mac);
    frame.extend(path.remote_mac);
    frame.extend(if path.local.is_ipv4() { IPV4 } else { IPV6 }.to_be_bytes());
    let (from, to) = (path.remote.ip(), path.local.ip());
    frame.extend(ip_header(from, to, ecn, protocol, payload.len() as u16));
    frame.extend(payload);
    frame
}

fn ip_header(from: IpAddr, to: IpAddr, ecn: u8, protocol: u8, len: u16) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, ecn];
            header.extend((20 + len).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, ecn << 4, 0, 0];
            header.extend(len.to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        _ => panic!("a path has one family"),
    }
}

fn encode_tcp(path: &Path, segment: &Segment) -> Vec<u8> {
    let mut options = Vec::new();
    segment.options.iter().for_each(|option| encode_option(option, &mut options));
    options.resize(options.len().next_multiple_of(4), 0);
    assert!(options.len() <= 40, "options of {} bytes do not fit", options.len());
    let mut tcp = Vec::with_capacity(20 + options.len() + segment.payload.len());
    tcp.extend(segment.src_port.to_be_bytes());
    tcp.extend(segment.dst_port.to_be_bytes());
    tcp.extend(segment.seq.to_be_bytes());
    tcp.extend(segment.ack.to_be_bytes());
    let offset = (5 + options.len() / 4) << 12;
    tcp.extend((offset as u16 | segment.flags).to_be_bytes());
    tcp.extend(segment.window.to_be_bytes());
    tcp.extend([0, 0]);
    tcp.extend(segment.urgent.to_be_bytes());
    tcp.extend(options);
    tcp.extend(&segment.payload);
    let sum = tcp_checksum(path, &tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    tcp
}

fn encode_option(option: &TcpOption, out: &mut Vec<u8>) {
    match option {
        TcpOption::End => out.push(0),
        TcpOption::Nop => out.push(1),
        TcpOption::Mss(mss) => {
            out.extend([2, 4]);
            out.extend(mss.to_be_bytes());
        }
        TcpOption::WindowScale(shift) => out.extend([3, 3, *shift]),
        TcpOption::SackPermitted => out.extend([4, 2]),
        TcpOption::Sack(blocks) => {
            out.extend([5, (2 + 8 * blocks.len()) as u8]);
            for (from, to) in blocks {
                out.extend(from.to_be_bytes());
                out.extend(to.to_be_bytes());
            }
        }
        TcpOption::Timestamps { val, ecr } => {
            out.extend([8, 10]);
            out.extend(val.to_be_bytes());
            out.extend(ecr.to_be_bytes());
        }
        TcpOption::AccEcn { reversed, counters } => {
            out.extend([if *reversed { 174 } else { 172 }, (2 + 3 * counters.len()) as u8]);
            counters.iter().for_each(|counter| out.extend(&counter.to_be_bytes()[1..]));
        }
        TcpOption::Raw(bytes) => out.extend(bytes),
    }
}

/// The flow label of an IPv6 packet; `None` for other packets.
pub(crate) fn flow_label(frame: &[u8]) -> Option<u32> {
    let packet = frame.get(ETHERNET..)?;
    let is_v6 = frame[12..14] == IPV6.to_be_bytes();
    let first = u32::from_be_bytes(packet.first_chunk().copied()?);
    is_v6.then_some(first & 0xf_ffff)
}

/// Reads a frame from the local end; an error names the rule that it breaks.
pub(crate) fn decode(path: &Path, frame: &[u8]) -> Result<Decoded, String> {
    if frame.len() < ETHERNET {
        return Err(format!("a frame of {} bytes", frame.len()));
    }
    let packet = &frame[ETHERNET..];
    let tcp = match u16::from_be_bytes([frame[12], frame[13]]) {
        IPV4 => decode_ipv4(path, packet)?,
        IPV6 => decode_ipv6(path, packet)?,
        _ => None,
    };
    let Some((ecn, tcp)) = tcp else { return Ok(Decoded::Other) };
    if frame[..6] != path.remote_mac || frame[6..12] != path.local_mac {
        return Err(String::from("wrong hardware addresses"));
    }
    decode_tcp(path, ecn, tcp).map(Decoded::Tcp)
}

/// The ECN field of an IP header, and what it carries; `None` if that isn't TCP.
type Datagram<'a> = Option<(u8, &'a [u8])>;

fn decode_ipv4<'a>(path: &Path, packet: &'a [u8]) -> Result<Datagram<'a>, String> {
    if packet.len() < 20 || packet[0] != 0x45 {
        return Err(String::from("not a plain IPv4 header"));
    }
    if packet[9] != TCP {
        return Ok(None);
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if checksum(&[&packet[..20]]) != 0 {
        return Err(String::from("wrong IPv4 header checksum"));
    }
    if total < 20 || total > packet.len() || packet[6] & 0x3f != 0 || packet[7] != 0 {
        return Err(String::from("wrong IPv4 length or a fragment"));
    }
    if packet[8] == 0 {
        return Err(String::from("IPv4 TTL of zero"));
    }
    let (IpAddr::V4(local), IpAddr::V4(remote)) = (path.local.ip(), path.remote.ip()) else {
        return Err(String::from("IPv4 where IPv6 was spoken"));
    };
    if packet[12..16] != local.octets() || packet[16..20] != remote.octets() {
        return Err(String::from("wrong IPv4 addresses"));
    }
    Ok(Some((packet[1] & 3, &packet[20..total])))
}

fn decode_ipv6<'a>(path: &Path, packet: &'a [u8]) -> Result<Datagram<'a>, String> {
    if packet.len() < 40 || packet[0] >> 4 != 6 {
        return Err(String::from("not an IPv6 header"));
    }
    if packet[6] != TCP {
        return Ok(None);
    }
    let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    if 40 + len > packet.len() || packet[7] == 0 {
        return Err(String::from("wrong IPv6 length, or a hop limit of zero"));
    }
    let (IpAddr::V6(local), IpAddr::V6(remote)) = (path.local.ip(), path.remote.ip()) else {
        return Err(String::from("IPv6 where IPv4 was spoken"));
    };
    if packet[8..24] != local.octets() || packet[24..40] != remote.octets() {
        return Err(String::from("wrong IPv6 addresses"));
    }
    Ok(Some((packet[1] >> 4 & 3, &packet[40..40 + len])))
}

fn decode_tcp(path: &Path, ecn: u8, tcp: &[u8]) -> Result<Segment, String> {
    if tcp.len() < 20 {
        return Err(String::from("a TCP header cut short"));
    }
    let header = usize::from(tcp[12] >> 4) * 4;
    if header < 20 || header > tcp.len() || tcp[12] & 0x0e != 0 {
        return Err(String::from("wrong TCP data offset or reserved bits"));
    }
    if tcp_checksum(path, tcp) != 0 {
        return Err(String::from("wrong TCP checksum"));
    }
    let u16_at = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let u32_at = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
    Ok(Segment {
        src_port: u16_at(0),
        dst_port: u16_at(2),
        seq: u32_at(4),
        ack: u32_at(8),
        flags: u16_at(12) & 0x1ff,
        window: u16_at(14),
        urgent: u16_at(18),
        ecn,
        options: decode_options(&tcp[20..header])?,
        payload: tcp[header..].to_vec(),
    })
}

fn decode_options(mut bytes: &[u8]) -> Result<Vec<TcpOption>, String> {
    let mut options = Vec::new();
    while let Some(&kind) = bytes.first() {
        if kind < 2 {
            options.push(if kind == 0 { TcpOption::End } else { TcpOption::Nop });
            if kind == 0 {
                break;
            }
            bytes = &bytes[1..];
            continue;
        }
        let len = usize::from(*bytes.get(1).ok_or("a TCP option without a length")?);
        if len < 2 || len > bytes.len() {
            return Err(format!("TCP option {kind} of length {len}"));
        }
        options.push(decode_option(&bytes[..len]));
        bytes = &bytes[len..];
    }
    Ok(options)
}

fn decode_option(option: &[u8]) -> TcpOption {
    let u32_of = |b: &[u8]| u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
    match (option[0], option.len()) {
        (2, 4) => TcpOption::Mss(u16::from_be_bytes([option[2], option[3]])),
        (3, 3) => TcpOption::WindowScale(option[2]),
        (4, 2) => TcpOption::SackPermitted,
        (5, 10 | 18 | 26 | 34) => TcpOption::Sack(
            option[2..].chunks_exact(8).map(|b| (u32_of(&b[..4]), u32_of(&b[4..]))).collect(),
        ),
        (8, 10) => TcpOption::Timestamps { val: u32_of(&option[2..6]), ecr: u32_of(&option[6..]) },
        (kind @ (172 | 174), 2 | 5 | 8 | 11) => TcpOption::AccEcn {
            reversed: kind == 174,
            counters: option[2..].chunks_exact(3).map(|b| u32_of(&[0, b[0], b[1], b[2]])).collect(),
        },
        _ => TcpOption::Raw(option.to_vec()),
    }
}

/// Zero over a segment whose checksum field is right.
fn tcp_checksum(path: &Path, tcp: &[u8]) -> u16 {
    checksum(&[&pseudo_header(path, TCP, tcp.len()), tcp])
}

/// Its sum is the same in both directions.
fn pseudo_header(path: &Path, protocol: u8, len: usize) -> Vec<u8> {
    let mut pseudo = Vec::with_capacity(40);
    for ip in [path.local.ip(), path.remote.ip()] {
        match ip {
            IpAddr::V4(ip) => pseudo.extend(ip.octets()),
            IpAddr::V6(ip) => pseudo.extend(ip.octets()),
        }
    }
    pseudo.extend((len as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    pseudo
}

/// RFC 1071; every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
