//! IPv6 headers and the extension headers between them and the payload (RFC 8200).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::addr::Addr;
use super::checksum::sum_array;
use super::ip::Datagram;
use super::reject::Reject;

/// Bytes of the fixed header.
pub(super) const HEADER_LEN: usize = 40;

/// Extension headers walked before a packet is refused. Honest packets have two at most; the walk
/// is work that a stranger orders (RFC 8504 section 5.3).
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// Options looked at in one extension header, padding included (RFC 8504 section 5.3).
pub const MAX_OPTIONS_PER_HEADER: usize = 16;

/// Next-header values of extension headers.
mod next {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION: u8 = 60;
}

/// The fixed header as it lies in memory.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) version_class_flow: U32,
    pub(super) payload_len: U16,
    pub(super) next_header: u8,
    pub(super) hop_limit: u8,
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
}

impl Header {
    /// Whether the version says IPv6.
    #[inline]
    pub(super) fn is_v6(&self) -> bool {
        self.version_class_flow.get() >> 28 == 6
    }
}

/// Reads the header that starts at `start`, and walks the extension headers after it.
#[inline(always)]
pub(super) fn parse(packet: &[u8], start: usize) -> Result<Datagram<'_>, Reject> {
    let bytes = packet.get(start..).ok_or(Reject::TooShort)?;
    let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| Reject::TooShort)?;
    if !header.is_v6() {
        return Err(Reject::BadIpHeader);
    }
    let (src, dst) = (Addr(header.src), Addr(header.dst));
    if src.is_v4() || dst.is_v4() {
        return Err(Reject::MappedAddress);
    }
    let payload_len = usize::from(header.payload_len.get());
    let payload = rest.get(..payload_len).ok_or(Reject::IpTruncated)?;
    let (protocol, skipped) = match Extension::classify(header.next_header) {
        None => (header.next_header, 0),
        Some(_) => skip_extensions(header.next_header, payload)?,
    };
    Ok(Datagram {
        src,
        dst,
        addresses: sum_array(&header.src).combine(sum_array(&header.dst)),
        protocol,
        hop_limit: header.hop_limit,
        ecn: (header.version_class_flow.get() >> 20) as u8 & 3,
        payload_start: (start + HEADER_LEN + skipped) as u16,
        payload: payload.get(skipped..).unwrap_or_default(),
    })
}

/// Walks extension headers; returns the protocol behind them and how many bytes they take.
#[cold]
fn skip_extensions(first: u8, payload: &[u8]) -> Result<(u8, usize), Reject> {
    let mut protocol = first;
    let mut skipped = 0;
    for position in 0..MAX_EXTENSION_HEADERS {
        let Some(extension) = Extension::classify(protocol) else {
            return Ok((protocol, skipped));
        };
        let rest = payload.get(skipped..).ok_or(Reject::TooShort)?;
        let (next, len) = extension.skip(rest, position)?;
        protocol = next;
        skipped += len;
    }
    match Extension::classify(protocol) {
        None => Ok((protocol, skipped)),
        Some(_) => Err(Reject::ExtensionHeaderLimit),
    }
}

/// The kinds of header that can stand before the payload.
enum Extension {
    HopByHop,
    Destination,
    Routing,
    Authentication,
    Fragment,
}

impl Extension {
    #[inline]
    fn classify(protocol: u8) -> Option<Extension> {
        match protocol {
            next::HOP_BY_HOP => Some(Extension::HopByHop),
            next::DESTINATION => Some(Extension::Destination),
            next::ROUTING => Some(Extension::Routing),
            next::AUTHENTICATION => Some(Extension::Authentication),
            next::FRAGMENT => Some(Extension::Fragment),
            _ => None,
        }
    }

    /// Checks the header at the beginning of `bytes`; returns what comes next and its length.
    fn skip(&self, bytes: &[u8], position: usize) -> Result<(u8, usize), Reject> {
        let &[next, units, _, segments_left, ..] = bytes else {
            return Err(Reject::TooShort);
        };
        let len = match self {
            // RFC 4302 section 2.2: the one header counted in units of 4, less 2.
            Extension::Authentication => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        let header = bytes.get(..len).ok_or(Reject::TooShort)?;
        match self {
            // RFC 8200 section 4.1: hop-by-hop options stand first or nowhere.
            Extension::HopByHop if position != 0 => return Err(Reject::BadIpHeader),
            Extension::HopByHop | Extension::Destination => check_options(&header[2..])?,
            Extension::Routing if segments_left != 0 => return Err(Reject::RoutingHeader),
            Extension::Fragment => return Err(Reject::Fragment),
            Extension::Routing | Extension::Authentication => {}
        }
        Ok((next, len))
    }
}

/// Looks for an option that whoever doesn't know it must not skip: the two highest bits of its type
/// say so (RFC 8200 section 4.2).
fn check_options(mut options: &[u8]) -> Result<(), Reject> {
    const PAD1: u8 = 0;
    for _ in 0..MAX_OPTIONS_PER_HEADER {
        options = match *options {
            [] => return Ok(()),
            [PAD1, ref rest @ ..] => rest,
            [kind, ..] if kind >> 6 != 0 => return Err(Reject::UnknownIpOption),
            [_, len, ref rest @ ..] => rest.get(len.into()..).ok_or(Reject::BadIpHeader)?,
            [_] => return Err(Reject::BadIpHeader),
        };
    }
    if options.is_empty() { Ok(()) } else { Err(Reject::ExtensionHeaderLimit) }
}

/// What a header to be written says; the differentiated services field is 0.
pub(super) struct Repr {
    pub(super) src: Addr,
    pub(super) dst: Addr,
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
    /// Only the low 20 bits count.
    pub(super) flow_label: u32,
    pub(super) payload_len: u16,
}

impl Repr {
    /// The header's bytes.
    #[inline(always)]
    pub(super) fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let class = self.dscp << 2 | self.ecn & 3;
        let first = 6 << 28 | u32::from(class) << 20 | self.flow_label & 0x000f_ffff;
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&first.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.payload_len.to_be_bytes());
        bytes[6] = self.protocol;
        bytes[7] = self.hop_limit;
        bytes[8..24].copy_from_slice(&self.src.0);
        bytes[24..].copy_from_slice(&self.dst.0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    const TCP: u8 = 6;

    /// A packet whose fixed header says `first` comes next and `rest` follows.
    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let repr = Repr {
            src: Addr([0xfd; 16]),
            dst: Addr([0xfe; 16]),
            protocol: first,
            hop_limit: 7,
            dscp: 46,
            ecn: 2,
            flow_label: 0xabcde,
            payload_len: rest.len() as u16,
        };
        [repr.to_bytes().as_slice(), rest].concat()
    }

    fn outcome(first: u8, rest: &[u8]) -> Result<(u8, u16, usize), Reject> {
        parse(&packet(first, rest), 0).map(|d| (d.protocol, d.payload_start, d.payload.len()))
    }

    #[test]
    fn a_plain_header_byte_for_byte() {
        let bytes = packet(TCP, &[1, 2, 3]);
        assert_eq!(bytes[..8], [0x6b, 0xaa, 0xbc, 0xde, 0, 3, TCP, 7]);
        let d = parse(&bytes, 0).ok().unwrap();
        assert_eq!((d.src, d.dst), (Addr([0xfd; 16]), Addr([0xfe; 16])));
        assert_eq!((d.ecn, d.hop_limit, d.protocol, d.payload_start), (2, 7, TCP, 40));
        assert_eq!(d.payload, [1, 2, 3]);
    }

    #[test]
    fn padding_is_not_payload_and_truncation_is_noticed() {
        let mut bytes = packet(TCP, &[1, 2, 3]);
        bytes.extend([0; 6]);
        assert_eq!(parse(&bytes, 0).ok().unwrap().payload, [1, 2, 3]);
        assert_eq!(parse(&bytes[..42], 0).err(), Some(Reject::IpTruncated));
        assert_eq!(parse(&bytes[..39], 0).err(), Some(Reject::TooShort));
        bytes[0] = 0x40;
        assert_eq!(parse(&bytes, 0).err(), Some(Reject::BadIpHeader));
    }

    #[test]
    fn chains_are_walked() {
        let hop = [60, 0, 1, 4, 0, 0, 0, 0];
        let dst = [43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let routing = [51, 0, 0, 0, 0, 0, 0, 0];
        let auth = [TCP, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let chain = [hop.as_slice(), &dst, &routing, &auth, b"tail"].concat();
        assert_eq!(outcome(0, &chain), Ok((TCP, 40 + 44, 4)));
    }

    #[test]
    fn the_walk_is_bounded() {
        let link = [60, 0, 1, 4, 0, 0, 0, 0];
        let mut chain = link.repeat(MAX_EXTENSION_HEADERS);
        assert_eq!(outcome(60, &chain), Err(Reject::ExtensionHeaderLimit));
        let last = chain.len() - 8;
        chain[last] = TCP;
        assert_eq!(outcome(60, &chain), Ok((TCP, 40 + chain.len() as u16, 0)));
        let pads = [TCP, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(outcome(60, &pads), Err(Reject::ExtensionHeaderLimit));
    }

    #[test]
    fn fragments_even_atomic_ones_are_refused() {
        assert_eq!(outcome(44, &[TCP, 0, 0, 0, 0, 0, 0, 1]), Err(Reject::Fragment));
        assert_eq!(outcome(60, &[44, 0, 1, 4, 0, 0, 0, 0]), Err(Reject::TooShort));
        let behind = [44, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 0, 8, 0, 0, 0, 1];
        assert_eq!(outcome(60, &behind), Err(Reject::Fragment));
    }

    #[test]
    fn headers_out_of_place_are_refused() {
        let late_hop = [0, 0, 1, 4, 0, 0, 0, 0, TCP, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(outcome(60, &late_hop), Err(Reject::BadIpHeader));
        assert_eq!(outcome(43, &[TCP, 0, 0, 1, 0, 0, 0, 0]), Err(Reject::RoutingHeader));
        assert_eq!(outcome(60, &[TCP, 1, 0, 0, 0, 0, 0, 0]), Err(Reject::TooShort));
        assert_eq!(outcome(60, &[TCP, 0]), Err(Reject::TooShort));
    }

    #[test]
    fn options_say_whether_they_may_be_skipped() {
        let with = |kind: u8| outcome(60, &[TCP, 0, kind, 4, 0, 0, 0, 0]);
        assert_eq!(with(0x3e), Ok((TCP, 48, 0)));
        for kind in [0x7e, 0xbe, 0xfe] {
            assert_eq!(with(kind), Err(Reject::UnknownIpOption));
        }
        assert_eq!(outcome(60, &[TCP, 0, 1, 5, 0, 0, 0, 0]), Err(Reject::BadIpHeader));
        assert_eq!(outcome(60, &[TCP, 0, 1, 3, 0, 0, 0, 1]), Err(Reject::BadIpHeader));
    }

    #[test]
    fn a_v4_mapped_address_on_the_wire_is_refused() {
        for at in [8, 24] {
            let mut bytes = packet(TCP, &[]);
            bytes[at..at + 16].copy_from_slice(&Addr::from_v4([10, 0, 0, 1]).0);
            assert_eq!(parse(&bytes, 0).err(), Some(Reject::MappedAddress));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, start in 0usize..64) {
            let _ = parse(&bytes, start);
        }

        #[test]
        fn any_chain_is_safe(
            first in select(vec![0u8, 43, 44, 51, 60]),
            rest in vec(select(vec![0u8, 1, 6, 43, 51, 60]), 0..200),
        ) {
            if let Ok((_, start, len)) = outcome(first, &rest) {
                prop_assert_eq!(usize::from(start) + len, HEADER_LEN + rest.len());
            }
        }
    }
}
