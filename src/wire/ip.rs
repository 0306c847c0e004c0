//! What IPv4 and IPv6 have in common once their headers are read.

use super::addr::Addr;
use super::checksum::Sum;

/// Numbers of the protocols that IP carries.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// The hop limit (time to live) of what we send.
pub const DEFAULT_HOP_LIMIT: u8 = 64;

/// An IP packet without its header.
#[derive(Clone, Copy)]
pub(super) struct Datagram<'a> {
    pub(super) src: Addr,
    pub(super) dst: Addr,
    /// The sum of both addresses, as they stood in the packet.
    pub(super) addresses: Sum,
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    /// The two ECN bits (RFC 3168 section 5).
    pub(super) ecn: u8,
    /// Where `payload` starts in the frame. Below 2^15 even behind the most extension headers.
    pub(super) payload_start: u16,
    /// At most 65,535 bytes, padding of the frame excluded.
    pub(super) payload: &'a [u8],
}

impl Datagram<'_> {
    /// The sum of the pseudo-header.
    #[inline(always)]
    pub(super) fn pseudo_header(&self) -> Sum {
        self.addresses.upper_layer(self.protocol, self.payload.len())
    }
}
