//! ICMP for IPv6 (RFC 4443): echo, and the errors that concern TCP.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::addr::Addr;
use super::checksum::{sum, update16};
use super::echo::{Echo, Ethernet};
use super::ethernet::EtherType;
use super::ip::{DEFAULT_HOP_LIMIT, Datagram, protocol};
use super::ipv6;
use super::quoted::Quoted;
use super::reject::Reject;

/// An ICMPv6 message, other than neighbour discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it: for an error any router on the way.
    pub src: Addr,
    /// Whom it was sent to.
    pub dst: Addr,
    /// What it says.
    pub kind: Kind,
}

/// What an ICMPv6 message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Are you there? Answered by [`echo_reply_in_place`].
    EchoRequest(Echo),
    /// I am.
    EchoReply(Echo),
    /// The packet can't be delivered.
    Unreachable {
        /// No route 0, prohibited 1, address 3, port 4 … (RFC 4443 section 3.1).
        code: u8,
        /// The packet.
        quoted: Quoted,
    },
    /// The packet is too big for a link on the way (RFC 8201).
    PacketTooBig {
        /// Bytes that fit, IP header included. Below 1,280 is never honest.
        mtu: u32,
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
        /// 0 wrong field, 1 unknown next header, 2 unknown option.
        code: u8,
        /// Offset of the field in the quoted packet.
        pointer: u32,
        /// The packet.
        quoted: Quoted,
    },
}

/// Message types.
mod kind {
    pub(super) const UNREACHABLE: u8 = 1;
    pub(super) const PACKET_TOO_BIG: u8 = 2;
    pub(super) const TIME_EXCEEDED: u8 = 3;
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
    pub(super) const REDIRECT: u8 = 137;
}

/// Whether the checksum over pseudo-header and message is right.
pub(super) fn is_whole(datagram: &Datagram<'_>) -> bool {
    datagram.pseudo_header().combine(sum(datagram.payload)).is_whole()
}

/// Reads the message in an IPv6 packet, whose checksum has been verified.
pub(super) fn parse(datagram: &Datagram<'_>) -> Result<Message, Reject> {
    let &[kind, code, _, _, a, b, c, d, ref rest @ ..] = datagram.payload else {
        return Err(Reject::TooShort);
    };
    let quoted = || Quoted::parse_v6(rest);
    let echo = || Echo::new([a, b, c, d], datagram.payload_start, rest);
    let field = u32::from_be_bytes([a, b, c, d]);
    let kind = match (kind, code) {
        (kind::ECHO_REQUEST, 0) => Kind::EchoRequest(echo()),
        (kind::ECHO_REPLY, 0) => Kind::EchoReply(echo()),
        (kind::UNREACHABLE, code) => Kind::Unreachable { code, quoted: quoted()? },
        (kind::PACKET_TOO_BIG, _) => Kind::PacketTooBig { mtu: field, quoted: quoted()? },
        (kind::TIME_EXCEEDED, code) => Kind::TimeExceeded { code, quoted: quoted()? },
        (kind::PARAMETER_PROBLEM, code) => {
            Kind::ParameterProblem { code, pointer: field, quoted: quoted()? }
        }
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
/// hop limit fresh, the checksum right.
///
/// Returns the length of the reply, padding excluded. None, and nothing changed, if the packet is
/// no echo request that should be answered: it has extension headers, was sent to a group
/// (answering is optional, RFC 4443 section 4.2), or comes from nobody. The checksum is taken as
/// verified.
pub fn echo_reply_in_place(packet: &mut [u8]) -> Option<usize> {
    let (ethernet, bytes) = Ethernet::split(packet, EtherType::IPV6)?;
    let (header, rest) = ipv6::Header::mut_from_prefix(bytes).ok()?;
    let available = rest.len();
    let (icmp, _) = Header::mut_from_prefix(rest).ok()?;
    let (src, dst) = (Addr(header.src), Addr(header.dst));
    let payload_len = usize::from(header.payload_len.get());
    let is_request = header.is_v6()
        && (ECHO_HEADER_LEN..=available).contains(&payload_len)
        && header.next_header == protocol::ICMPV6
        && (icmp.kind, icmp.code) == (kind::ECHO_REQUEST, 0);
    if !is_request || !src.is_unicast() || !dst.is_unicast() || ethernet.is_group() {
        return None;
    }
    // Swapping the addresses leaves the pseudo-header's sum as it was.
    core::mem::swap(&mut header.src, &mut header.dst);
    header.hop_limit = DEFAULT_HOP_LIMIT;
    let [old, new] = [kind::ECHO_REQUEST, kind::ECHO_REPLY].map(|kind| u16::from(kind) << 8);
    icmp.kind = kind::ECHO_REPLY;
    icmp.checksum.set(update16(icmp.checksum.get(), old, new));
    let reply_len = ethernet.len() + ipv6::HEADER_LEN + payload_len;
    ethernet.reverse();
    Some(reply_len)
}
