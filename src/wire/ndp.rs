//! IPv6 neighbour discovery (RFC 4861): solicitations and advertisements.

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::addr::Addr;
use super::checksum::{pseudo_header, sum};
use super::ethernet::{EtherType, Link, Mac};
use super::ip::{Datagram, protocol};
use super::ipv6;
use super::reject::Reject;

/// A neighbour discovery message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it; `::` when it only wants to know whether an address is taken.
    pub src: Addr,
    /// Whom it was sent to.
    pub dst: Addr,
    /// The address it is about.
    pub target: Addr,
    /// What it says.
    pub kind: Kind,
}

/// What a neighbour discovery message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who has the target?
    Solicitation {
        /// The sender's hardware address.
        source_mac: Option<Mac>,
    },
    /// The sender has the target.
    Advertisement {
        /// The target's hardware address.
        target_mac: Option<Mac>,
        /// The flags.
        flags: AdvertisementFlags,
    },
}

/// The flags of an advertisement (RFC 4861 section 4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdvertisementFlags {
    /// The sender is a router.
    pub router: bool,
    /// It answers a solicitation.
    pub solicited: bool,
    /// It replaces a known hardware address.
    pub replace: bool,
}

/// Message types.
mod kind {
    pub(super) const SOLICITATION: u8 = 135;
    pub(super) const ADVERTISEMENT: u8 = 136;
}

/// Option types, and the length of a hardware address option in units of 8 bytes.
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const MAC_OPTION_UNITS: u8 = 1;

/// Only a neighbour's packet still has it: no router let it through (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;

/// Bytes of a message without options.
const MESSAGE_LEN: usize = 24;
const MAC_OPTION_LEN: usize = 8;

/// Bytes of the largest packet written here, Ethernet header included.
pub const MAX_LEN: usize =
    super::ethernet::TAGGED_LEN + ipv6::HEADER_LEN + MESSAGE_LEN + MAC_OPTION_LEN;

/// The message as it lies in memory.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    flags: u8,
    reserved: [u8; 3],
    target: [u8; 16],
}

/// Whether an ICMPv6 message is one of those read here.
pub(super) fn is_one(message: &[u8]) -> bool {
    matches!(message.first(), Some(&(kind::SOLICITATION | kind::ADVERTISEMENT)))
}

/// Reads the message in an IPv6 packet, whose checksum has been verified.
pub(super) fn parse(datagram: &Datagram<'_>) -> Result<Message, Reject> {
    let (src, dst) = (datagram.src, datagram.dst);
    let (message, options) =
        Layout::ref_from_prefix(datagram.payload).map_err(|_| Reject::BadNdp)?;
    let target = Addr(message.target);
    let is_bogus = target.is_multicast() || target.is_unspecified() || target.is_v4();
    if datagram.hop_limit != HOP_LIMIT || message.code != 0 || is_bogus {
        return Err(Reject::BadNdp);
    }
    let kind = if message.kind == kind::SOLICITATION {
        let source_mac = find_mac(options, SOURCE_MAC)?;
        // RFC 4861 section 7.1.1: nobody has no hardware address, and asks only the target's group.
        let is_probe = src.is_unspecified();
        if is_probe && (source_mac.is_some() || dst != solicited_node(target)) {
            return Err(Reject::BadNdp);
        }
        Kind::Solicitation { source_mac }
    } else {
        let flags = AdvertisementFlags::from_byte(message.flags);
        // RFC 4861 section 7.1.2: an answer goes to whoever asked.
        if dst.is_multicast() && flags.solicited {
            return Err(Reject::BadNdp);
        }
        Kind::Advertisement { target_mac: find_mac(options, TARGET_MAC)?, flags }
    };
    Ok(Message { src, dst, target, kind })
}

/// Looks for a hardware address among the options; the first one counts.
fn find_mac(mut options: &[u8], wanted: u8) -> Result<Option<Mac>, Reject> {
    let mut found = None;
    // Each turn takes at least 8 bytes off: the loop ends.
    while let &[kind, units, ..] = options {
        if units == 0 {
            return Err(Reject::BadNdp);
        }
        let (option, rest) =
            options.split_at_checked(usize::from(units) * 8).ok_or(Reject::BadNdp)?;
        if let (true, &[_, MAC_OPTION_UNITS, a, b, c, d, e, f]) = (kind == wanted, option) {
            found = found.or(Some(Mac([a, b, c, d, e, f])));
        }
        options = rest;
    }
    if options.is_empty() { Ok(found) } else { Err(Reject::BadNdp) }
}

impl AdvertisementFlags {
    const ROUTER: u8 = 0x80;
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;

    fn from_byte(byte: u8) -> AdvertisementFlags {
        AdvertisementFlags {
            router: byte & Self::ROUTER != 0,
            solicited: byte & Self::SOLICITED != 0,
            replace: byte & Self::OVERRIDE != 0,
        }
    }

    fn to_byte(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.router, Self::ROUTER)
            | bit(self.solicited, Self::SOLICITED)
            | bit(self.replace, Self::OVERRIDE)
    }
}

/// The group in which whoever has `target` listens: `ff02::1:ff` and its last three bytes (RFC 4291
/// section 2.7.1).
pub const fn solicited_node(target: Addr) -> Addr {
    let [.., a, b, c] = target.0;
    Addr([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The hardware address of an IPv6 group: `33:33` and its last four bytes (RFC 2464 section 7).
pub const fn multicast_mac(group: Addr) -> Mac {
    let [a, b, c, d] = group.low();
    Mac([0x33, 0x33, a, b, c, d])
}

/// Writes a solicitation: `link.src`, which has `src`, asks `dst` who has `target`. To find it,
/// `dst` is [`solicited_node`] and `link.dst` its [`multicast_mac`]; to see whether it is still
/// there, both are the neighbour's own. With `src` unspecified no hardware address is told (RFC
/// 4861 section 4.3).
///
/// Returns the packet's length, at most [`MAX_LEN`].
///
/// # Panics
/// If `packet` is shorter than that.
pub fn solicitation(packet: &mut [u8], link: Link, src: Addr, dst: Addr, target: Addr) -> usize {
    let told = if src.is_unspecified() { None } else { Some(SOURCE_MAC) };
    emit(packet, link, [src, dst, target], [kind::SOLICITATION, 0], told)
}

/// Writes an advertisement: `link.src`, which has `src`, tells `dst` that it has `target`.
///
/// Returns the packet's length, at most [`MAX_LEN`].
///
/// # Panics
/// If `packet` is shorter than that.
pub fn advertisement(
    packet: &mut [u8],
    link: Link,
    src: Addr,
    dst: Addr,
    target: Addr,
    flags: AdvertisementFlags,
) -> usize {
    let head = [kind::ADVERTISEMENT, flags.to_byte()];
    emit(packet, link, [src, dst, target], head, Some(TARGET_MAC))
}

fn emit(
    packet: &mut [u8],
    link: Link,
    [src, dst, target]: [Addr; 3],
    [kind, flags]: [u8; 2],
    told: Option<u8>,
) -> usize {
    let len = MESSAGE_LEN + if told.is_some() { MAC_OPTION_LEN } else { 0 };
    let header = ipv6::Repr {
        src,
        dst,
        protocol: protocol::ICMPV6,
        hop_limit: HOP_LIMIT,
        dscp: 0,
        ecn: 0,
        flow_label: 0,
        payload_len: len as u16,
    };
    let (place, rest) = link.emit(EtherType::IPV6, packet).split_at_mut(ipv6::HEADER_LEN);
    place.copy_from_slice(&header.to_bytes());
    let message = &mut rest[..len];
    message[..8].copy_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
    message[8..MESSAGE_LEN].copy_from_slice(&target.0);
    if let Some(option) = told {
        message[MESSAGE_LEN..MESSAGE_LEN + 2].copy_from_slice(&[option, MAC_OPTION_UNITS]);
        message[MESSAGE_LEN + 2..].copy_from_slice(&link.src.0);
    }
    let pseudo = pseudo_header(&src, &dst, protocol::ICMPV6, len);
    let checksum = pseudo.combine(sum(message)).checksum();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    link.header_len() + ipv6::HEADER_LEN + len
}
