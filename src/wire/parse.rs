//! From a frame to what it says: the one way in.

use super::arp;
use super::ethernet::{EtherType, Link};
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

/// Reads a frame, from its Ethernet header on.
///
/// # Errors
/// The reason why this is nothing that can be taken: something to count, not to answer.
#[inline]
pub fn parse(packet: &[u8], checks: Checks) -> Result<Parsed, Reject> {
    let (link, ether_type) = Link::parse(packet)?;
    let start = link.header_len();
    let (hop_limit, body) = match ether_type {
        EtherType::IPV4 => {
            let datagram = ipv4::parse(packet, start, checks.verify)?;
            (datagram.hop_limit, parse_v4_body(&datagram, checks)?)
        }
        EtherType::IPV6 => {
            let datagram = ipv6::parse(packet, start)?;
            (datagram.hop_limit, parse_v6_body(&datagram, checks)?)
        }
        EtherType::ARP => (0, Body::Arp(arp::parse(packet, start)?)),
        _ => return Err(Reject::UnsupportedEtherType),
    };
    Ok(Parsed { link, hop_limit, body })
}

#[inline]
fn parse_v4_body(datagram: &Datagram<'_>, checks: Checks) -> Result<Body, Reject> {
    match datagram.protocol {
        protocol::TCP => Ok(Body::Tcp(tcp::parse(datagram, checks)?)),
        protocol::ICMP => Ok(Body::Icmp4(icmp4::parse(datagram, checks.verify)?)),
        _ => Err(Reject::UnsupportedProtocol),
    }
}

#[inline]
fn parse_v6_body(datagram: &Datagram<'_>, checks: Checks) -> Result<Body, Reject> {
    match datagram.protocol {
        protocol::TCP => Ok(Body::Tcp(tcp::parse(datagram, checks)?)),
        protocol::ICMPV6 if checks.verify && !icmp6::is_whole(datagram) => {
            Err(Reject::BadIcmpChecksum)
        }
        protocol::ICMPV6 if ndp::is_one(datagram.payload) => Ok(Body::Ndp(ndp::parse(datagram)?)),
        protocol::ICMPV6 => Ok(Body::Icmp6(icmp6::parse(datagram)?)),
        _ => Err(Reject::UnsupportedProtocol),
    }
}
