//! IPv4 headers (RFC 791).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::addr::Addr;
use super::checksum::{Sum, sum, sum_array};
use super::ip::Datagram;
use super::reject::Reject;

/// Bytes of a header without options.
pub(super) const HEADER_LEN: usize = 20;

/// More-fragments flag and fragment offset: anything set here is a fragment.
const FRAGMENT_BITS: u16 = 0x3fff;

/// The header as it lies in memory, without options.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) version_ihl: u8,
    pub(super) traffic_class: u8,
    pub(super) total_len: U16,
    pub(super) id: U16,
    pub(super) flags_fragment: U16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) checksum: U16,
    pub(super) src: [u8; 4],
    pub(super) dst: [u8; 4],
}

impl Header {
    /// Bytes of the header with options; none if it isn't IPv4 or can't be.
    #[inline]
    pub(super) fn len(&self) -> Option<usize> {
        let len = usize::from(self.version_ihl & 0x0f) * 4;
        (self.version_ihl >> 4 == 4 && len >= HEADER_LEN).then_some(len)
    }

    /// Whether the checksum over the header, of which `whole` also has the options, is right.
    #[inline(always)]
    fn is_whole(&self, addresses: Sum, whole: &[u8]) -> bool {
        let sum = match whole.first_chunk::<{ HEADER_LEN - 8 }>() {
            Some(fixed) if whole.len() == HEADER_LEN => sum_array(fixed).combine(addresses),
            _ => sum_with_options(whole),
        };
        sum.is_whole()
    }

    /// Whether this is anything but the whole of a packet.
    #[inline]
    pub(super) fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & FRAGMENT_BITS != 0
    }
}

/// The sum of a header with options.
#[cold]
fn sum_with_options(header: &[u8]) -> Sum {
    sum(header)
}

/// Reads the header that starts at `start`; options are skipped.
#[inline(always)]
pub(super) fn parse(packet: &[u8], start: usize, verify: bool) -> Result<Datagram<'_>, Reject> {
    let bytes = packet.get(start..).ok_or(Reject::TooShort)?;
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Reject::TooShort)?;
    let header_len = header.len().ok_or(Reject::BadIpHeader)?;
    // The header's own length rules: short frames are padded up to 60 bytes.
    let total_len = usize::from(header.total_len.get());
    let datagram = bytes.get(..total_len).ok_or(Reject::IpTruncated)?;
    let (whole, payload) = datagram.split_at_checked(header_len).ok_or(Reject::BadIpHeader)?;
    let addresses = sum_array(&header.src).combine(sum_array(&header.dst));
    if verify && !header.is_whole(addresses, whole) {
        return Err(Reject::BadIpChecksum);
    }
    if header.is_fragment() {
        return Err(Reject::Fragment);
    }
    Ok(Datagram {
        src: Addr::from_v4(header.src),
        dst: Addr::from_v4(header.dst),
        addresses,
        protocol: header.protocol,
        hop_limit: header.ttl,
        ecn: header.traffic_class & 3,
        payload_start: (start + header_len) as u16,
        payload,
    })
}

/// What a header to be written says; the rest is fixed: no options, identification 0 (RFC 6864
/// section 4.1, as nothing of ours is ever fragmented), don't fragment.
pub(super) struct Repr {
    pub(super) src: [u8; 4],
    pub(super) dst: [u8; 4],
    pub(super) protocol: u8,
    pub(super) hop_limit: u8,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
    pub(super) total_len: u16,
}

impl Repr {
    /// The header's bytes, checksum included, given the sum of its addresses.
    #[inline(always)]
    pub(super) fn to_bytes(&self, addresses: Sum) -> [u8; HEADER_LEN] {
        const DONT_FRAGMENT: u32 = 0x4000;
        let class = self.dscp << 2 | self.ecn & 3;
        let first = 0x4500_0000 | u32::from(class) << 16 | u32::from(self.total_len);
        let hops = u32::from(self.hop_limit) << 24 | u32::from(self.protocol) << 16;
        let sum = addresses.dword(first).dword(DONT_FRAGMENT).dword(hops);
        let third = hops | u32::from(sum.checksum());
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&first.to_be_bytes());
        bytes[4..8].copy_from_slice(&DONT_FRAGMENT.to_be_bytes());
        bytes[8..12].copy_from_slice(&third.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.src);
        bytes[16..].copy_from_slice(&self.dst);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The header that textbooks work through: its checksum is b861.
    const KNOWN: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00,
        0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];

    fn known_packet() -> Vec<u8> {
        let mut packet = KNOWN.to_vec();
        packet.resize(0x73, 0xaa);
        packet
    }

    fn fix_checksum(packet: &mut [u8], header_len: usize) {
        packet[10..12].fill(0);
        let checksum = sum(&packet[..header_len]).checksum();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    #[test]
    fn known_header_is_written_byte_for_byte() {
        let repr = Repr {
            src: [192, 168, 0, 1],
            dst: [192, 168, 0, 199],
            protocol: 17,
            hop_limit: 64,
            dscp: 0,
            ecn: 0,
            total_len: 0x73,
        };
        let addresses = sum(&KNOWN[12..]);
        assert_eq!(repr.to_bytes(addresses), KNOWN);
        assert_eq!(Repr { dscp: 46, ecn: 2, ..repr }.to_bytes(addresses)[1], 46 << 2 | 2);
    }

    #[test]
    fn known_header_is_read() {
        let mut packet = known_packet();
        packet.extend([0; 9]);
        let d = parse(&packet, 0, true).ok().unwrap();
        assert_eq!(d.src, Addr::from_v4([192, 168, 0, 1]));
        assert_eq!(d.dst, Addr::from_v4([192, 168, 0, 199]));
        assert_eq!((d.protocol, d.hop_limit, d.ecn, d.payload_start), (17, 64, 0, 20));
        assert_eq!(d.payload, [0xaa; 0x73 - 20], "padding is not payload");
    }

    #[test]
    fn options_are_skipped_and_summed() {
        let mut packet = known_packet();
        packet[0] = 0x46;
        packet[20..24].copy_from_slice(&[0x94, 0x04, 0, 0]);
        fix_checksum(&mut packet, 24);
        let d = parse(&packet, 0, true).ok().unwrap();
        assert_eq!((d.payload_start, d.payload.len()), (24, 0x73 - 24));
        packet[22] ^= 1;
        assert_eq!(parse(&packet, 0, true).err(), Some(Reject::BadIpChecksum));
        assert!(parse(&packet, 0, false).is_ok());
    }

    #[test]
    fn every_fragment_is_refused() {
        for bits in [0x2000u16, 0x2001, 0x0001, 0x1fff] {
            let mut packet = known_packet();
            packet[6..8].copy_from_slice(&bits.to_be_bytes());
            fix_checksum(&mut packet, 20);
            assert_eq!(parse(&packet, 0, true).err(), Some(Reject::Fragment), "{bits:04x}");
        }
    }

    #[test]
    fn lengths_that_cannot_be() {
        let with = |at: usize, value: u8| {
            let mut packet = known_packet();
            packet[at] = value;
            parse(&packet, 0, false).err()
        };
        assert_eq!(with(0, 0x65), Some(Reject::BadIpHeader));
        assert_eq!(with(0, 0x44), Some(Reject::BadIpHeader));
        assert_eq!(with(3, 19), Some(Reject::BadIpHeader));
        assert_eq!(with(3, 0x74), Some(Reject::IpTruncated));
        assert_eq!(parse(&KNOWN[..19], 0, false).err(), Some(Reject::TooShort));
        assert_eq!(parse(&KNOWN, 21, false).err(), Some(Reject::TooShort));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_noticed(bit in 0usize..160) {
            let mut packet = known_packet();
            packet[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse(&packet, 0, true).is_err());
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, start in 0usize..64, verify: bool) {
            let _ = parse(&bytes, start, verify);
        }
    }
}
