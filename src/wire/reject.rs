//! Why a packet was not parsed: one reason each, to be counted.

/// Declares the enum with its names, so that no reason can be forgotten in the count.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet is none that we can take. Counters are indexed by `reject as usize`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reject { $($(#[$doc])* $variant,)* }

        impl Reject {
            /// Every reason, in the order of its index.
            pub const ALL: &'static [Reject] = &[$(Reject::$variant,)*];

            /// The reason's name in counters and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Reject::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// The frame ends before a header that it must have.
    TooShort = "too_short",
    /// Neither IPv4, IPv6 nor ARP, or more than one VLAN tag.
    UnsupportedEtherType = "unsupported_ether_type",
    /// An IP version or header length that can't be.
    BadIpHeader = "bad_ip_header",
    /// The IPv4 header checksum is wrong.
    BadIpChecksum = "bad_ip_checksum",
    /// The IP header promises more bytes than the frame has.
    IpTruncated = "ip_truncated",
    /// A fragment, or an IPv6 packet with a fragment header at all.
    Fragment = "fragment",
    /// More IPv6 extension headers, or options in one, than anyone honest sends.
    ExtensionHeaderLimit = "extension_header_limit",
    /// An IPv6 routing header that still wants to go elsewhere.
    RoutingHeader = "routing_header",
    /// An IPv6 option that must not be skipped by those who don't know it.
    UnknownIpOption = "unknown_ip_option",
    /// An IPv6 header with a v4-mapped address, which no honest host sends.
    MappedAddress = "mapped_address",
    /// Neither TCP nor ICMP.
    UnsupportedProtocol = "unsupported_protocol",
    /// A TCP header shorter than 20 bytes or longer than the segment.
    BadTcpHeader = "bad_tcp_header",
    /// The TCP checksum is wrong.
    BadTcpChecksum = "bad_tcp_checksum",
    /// An ARP packet for other hardware or protocols than ours, or with an unknown operation.
    BadArp = "bad_arp",
    /// An ICMP message that is too short, or quotes no usable packet.
    BadIcmp = "bad_icmp",
    /// The ICMP checksum is wrong.
    BadIcmpChecksum = "bad_icmp_checksum",
    /// An ICMP message that nothing here uses.
    UnsupportedIcmp = "unsupported_icmp",
    /// A redirect: where packets go is configuration, or where those of the peer come from.
    Redirect = "redirect",
    /// A neighbour discovery message that RFC 4861 section 7.1 says to discard.
    BadNdp = "bad_ndp",
}

impl Reject {
    /// How many reasons there are.
    pub const COUNT: usize = Reject::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn indexes_are_dense_and_names_unique() {
        for (index, reason) in Reject::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        let names: HashSet<_> = Reject::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reject::COUNT);
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }
}
