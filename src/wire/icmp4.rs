//! ICMP for IPv4 (RFC 792): echo, and the errors that concern TCP.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::addr::Addr;
use super::checksum::{sum, update16};
use super::echo::{Echo, Ethernet};
use super::ethernet::EtherType;
use super::ip::{DEFAULT_HOP_LIMIT, Datagram, protocol};
use super::ipv4;
use super::quoted::Quoted;
use super::reject::Reject;

/// An ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it: for an error any router on the way.
    pub src: Addr,
    /// Whom it was sent to.
    pub dst: Addr,
    /// What it says.
    pub kind: Kind,
}

/// What an ICMP message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Are you there? Answered by [`echo_reply_in_place`].
    EchoRequest(Echo),
    /// I am.
    EchoReply(Echo),
    /// The packet can't be delivered.
    Unreachable {
        /// Network 0, host 1, protocol 2, port 3 … (RFC 792, RFC 1122 section 3.2.2.1).
        code: u8,
        /// The packet.
        quoted: Quoted,
    },
    /// The packet is too big for a link on the way and must not be fragmented (RFC 1191).
    FragmentationNeeded {
        /// Bytes that fit, IP header included; 0 from routers that don't know RFC 1191.
        next_hop_mtu: u16,
        /// The packet.
        quoted: Quoted,
    },
    /// The packet has been on the way too long.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
        /// The packet.
        quoted: Quoted,
    },
    /// A header field is wrong.
    ParameterProblem {
        /// Offset of the field in the quoted packet.
        pointer: u8,
        /// The packet.
        quoted: Quoted,
    },
}

/// Message types.
mod kind {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const ECHO_REQUEST: u8 = 8;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER_PROBLEM: u8 = 12;
}

/// The code of an unreachable message that means "fragmentation needed".
const FRAGMENTATION_NEEDED: u8 = 4;

/// Reads the message in an IPv4 packet.
pub(super) fn parse(datagram: &Datagram<'_>, verify: bool) -> Result<Message, Reject> {
    let &[kind, code, _, _, a, b, c, d, ref rest @ ..] = datagram.payload else {
        return Err(Reject::TooShort);
    };
    if verify && !sum(datagram.payload).is_whole() {
        return Err(Reject::BadIcmpChecksum);
    }
    let quoted = || Quoted::parse_v4(rest);
    let echo = || Echo::new([a, b, c, d], datagram.payload_start, rest);
    let kind = match (kind, code) {
        (kind::ECHO_REQUEST, 0) => Kind::EchoRequest(echo()),
        (kind::ECHO_REPLY, 0) => Kind::EchoReply(echo()),
        (kind::UNREACHABLE, FRAGMENTATION_NEEDED) => Kind::FragmentationNeeded {
            next_hop_mtu: u16::from_be_bytes([c, d]),
            quoted: quoted()?,
        },
        (kind::UNREACHABLE, code) => Kind::Unreachable { code, quoted: quoted()? },
        (kind::TIME_EXCEEDED, code) => Kind::TimeExceeded { code, quoted: quoted()? },
        (kind::PARAMETER_PROBLEM, _) => Kind::ParameterProblem { pointer: a, quoted: quoted()? },
        (kind::REDIRECT, _) => return Err(Reject::Redirect),
        _ => return Err(Reject::UnsupportedIcmp),
    };
    Ok(Message { src: datagram.src, dst: datagram.dst, kind })
}

/// The beginning of a message as it lies in memory.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    kind: u8,
    code: u8,
    checksum: U16,
}

/// Bytes of an echo before its data.
const ECHO_HEADER_LEN: usize = 8;

/// Turns a packet with an echo request into the reply to it: addresses swapped on both layers, the
/// time to live fresh, both checksums right.
///
/// Returns the length of the reply, padding excluded. None, and nothing changed, if the packet is
/// no echo request that should be answered: it has IP options, was sent to a group (RFC 1122
/// section 3.2.2.6), or comes from nobody. The checksum is taken as verified.
pub fn echo_reply_in_place(packet: &mut [u8]) -> Option<usize> {
    let (ethernet, bytes) = Ethernet::split(packet, EtherType::IPV4)?;
    let available = bytes.len();
    let (header, rest) = ipv4::Header::mut_from_prefix(bytes).ok()?;
    let (icmp, _) = Header::mut_from_prefix(rest).ok()?;
    let (src, dst) = (Addr::from_v4(header.src), Addr::from_v4(header.dst));
    let total_len = usize::from(header.total_len.get());
    let is_request = header.len() == Some(ipv4::HEADER_LEN)
        && (ipv4::HEADER_LEN + ECHO_HEADER_LEN..=available).contains(&total_len)
        && !header.is_fragment()
        && header.protocol == protocol::ICMP
        && (icmp.kind, icmp.code) == (kind::ECHO_REQUEST, 0);
    if !is_request || !src.is_unicast() || !dst.is_unicast() || ethernet.is_group() {
        return None;
    }
    core::mem::swap(&mut header.src, &mut header.dst);
    header.ttl = DEFAULT_HOP_LIMIT;
    header.checksum.set(0);
    header.checksum.set(sum(header.as_bytes()).checksum());
    let [old, new] = [kind::ECHO_REQUEST, kind::ECHO_REPLY].map(|kind| u16::from(kind) << 8);
    icmp.kind = kind::ECHO_REPLY;
    icmp.checksum.set(update16(icmp.checksum.get(), old, new));
    let reply_len = ethernet.len() + total_len;
    ethernet.reverse();
    Some(reply_len)
}
