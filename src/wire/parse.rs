//! From a frame to what it says: the one way in.

use super::arp;
use super::common::Common;
use super::ethernet::{EtherType, Link, Mac};
use super::icmp4;
use super::icmp6;
use super::ip::{Datagram, protocol};
use super::ipv4;
use super::ipv6;
use super::ndp;
use super::reject::Reject;
use super::tcp;

/// Which checksums to ask of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Verify the checksums of IP, TCP and ICMP. False where the device has done it.
    pub verify: bool,
    /// Also take a TCP checksum field that holds only the pseudo-header's sum: what a veth peer
    /// sends that leaves checksums to hardware it hasn't got. Nothing then protects the segment,
    /// which never left the machine.
    pub accept_partial: bool,
}

impl Checks {
    /// Verify everything.
    pub const FULL: Checks = Checks { verify: true, accept_partial: false };
}

/// A packet that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Its link layer.
    pub link: Link,
    /// Its hop limit or time to live; 0 for ARP, which has none.
    pub hop_limit: u8,
    /// What it carries.
    pub body: Body,
}

impl Parsed {
    /// Where something is to be parsed to.
    pub const NOTHING: Parsed = {
        let link = Link { src: Mac([0; 6]), dst: Mac([0; 6]), vlan: None };
        Parsed { link, hop_limit: 0, body: Body::Tcp(tcp::Segment::NOTHING) }
    };
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(tcp::Segment),
    /// An ARP packet.
    Arp(arp::Packet),
    /// An ICMP message for IPv4.
    Icmp4(icmp4::Message),
    /// An ICMP message for IPv6.
    Icmp6(icmp6::Message),
    /// An IPv6 neighbour discovery message.
    Ndp(ndp::Message),
}

impl Body {
    /// The segment that it is, or is made, to be read into.
    #[inline(always)]
    fn segment(&mut self) -> &mut tcp::Segment {
        if !matches!(self, Body::Tcp(_)) {
            *self = Body::Tcp(tcp::Segment::NOTHING);
        }
        let Body::Tcp(segment) = self else { unreachable!("it was just made one") };
        segment
    }
}

/// Reads a frame, from its Ethernet header on.
///
/// # Errors
/// The reason why this is nothing that can be taken: something to count, not to answer.
pub fn parse(packet: &[u8], checks: Checks) -> Result<Parsed, Reject> {
    let mut parsed = Parsed::NOTHING;
    parse_into(packet, checks, &mut parsed)?;
    Ok(parsed)
}

/// The same, written where it is to be kept: a segment is too long to be handed on by value.
///
/// # Errors
/// As [`parse`]; what lies in `out` then means nothing.
#[inline]
pub fn parse_into(packet: &[u8], checks: Checks, out: &mut Parsed) -> Result<(), Reject> {
    let Some(common) = Common::find(packet) else {
        return parse_any(packet, checks, out);
    };
    (out.link, out.hop_limit) = common.outer();
    common.read(checks, out.body.segment())
}

/// Reads a packet of any layout.
#[inline(never)]
pub(super) fn parse_any(packet: &[u8], checks: Checks, out: &mut Parsed) -> Result<(), Reject> {
    let ether_type = out.link.read(packet)?;
    let start = out.link.header_len();
    let datagram = match ether_type {
        EtherType::IPV4 => ipv4::parse(packet, start, checks.verify)?,
        EtherType::IPV6 => ipv6::parse(packet, start)?,
        _ => return parse_rare(packet, checks, out),
    };
    if datagram.protocol != protocol::TCP {
        return parse_rare(packet, checks, out);
    }
    // Nothing large goes through a `Result` or by reference on the way here, so that the parts stay
    // in registers and the segment is written once, in place.
    let found = tcp::Found::in_datagram(&datagram, checks)?;
    out.hop_limit = datagram.hop_limit;
    let (ends, start) = ((datagram.src, datagram.dst), datagram.payload_start + found.len());
    found.read(ends, datagram.ecn, start, out.body.segment());
    Ok(())
}

/// Reads whatever isn't TCP, from the start again.
#[cold]
fn parse_rare(packet: &[u8], checks: Checks, out: &mut Parsed) -> Result<(), Reject> {
    let mut link = Link::default();
    let ether_type = link.read(packet)?;
    let start = link.header_len();
    let (hop_limit, body) = match ether_type {
        EtherType::IPV4 => {
            let datagram = ipv4::parse(packet, start, checks.verify)?;
            (datagram.hop_limit, parse_v4_control(&datagram, checks.verify)?)
        }
        EtherType::IPV6 => {
            let datagram = ipv6::parse(packet, start)?;
            (datagram.hop_limit, parse_v6_control(&datagram, checks.verify)?)
        }
        EtherType::ARP => (0, Body::Arp(arp::parse(packet, start)?)),
        _ => return Err(Reject::UnsupportedEtherType),
    };
    *out = Parsed { link, hop_limit, body };
    Ok(())
}

fn parse_v4_control(datagram: &Datagram<'_>, verify: bool) -> Result<Body, Reject> {
    match datagram.protocol {
        protocol::ICMP => Ok(Body::Icmp4(icmp4::parse(datagram, verify)?)),
        _ => Err(Reject::UnsupportedProtocol),
    }
}

fn parse_v6_control(datagram: &Datagram<'_>, verify: bool) -> Result<Body, Reject> {
    if datagram.protocol != protocol::ICMPV6 {
        return Err(Reject::UnsupportedProtocol);
    }
    if verify && !icmp6::is_whole(datagram) {
        return Err(Reject::BadIcmpChecksum);
    }
    if ndp::is_one(datagram.payload) {
        return Ok(Body::Ndp(ndp::parse(datagram)?));
    }
    Ok(Body::Icmp6(icmp6::parse(datagram)?))
}
