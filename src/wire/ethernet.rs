//! Ethernet II headers, with at most one IEEE 802.1Q tag.

use core::fmt;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::reject::Reject;

/// A hardware address.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The address of everyone on the link.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Whether a group is addressed and not one station; broadcast is a group.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: EtherType = EtherType(0x0800);
    /// ARP.
    pub const ARP: EtherType = EtherType(0x0806);
    /// An IEEE 802.1Q tag follows.
    pub const VLAN: EtherType = EtherType(0x8100);
    /// IPv6.
    pub const IPV6: EtherType = EtherType(0x86dd);
}

/// The tag control information of an IEEE 802.1Q tag: 3 bits of priority, 1 drop eligible, 12 of
/// VLAN identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vlan(pub u16);

impl Vlan {
    /// The VLAN identifier; 0 means that the tag only carries a priority.
    #[inline]
    pub const fn id(self) -> u16 {
        self.0 & 0x0fff
    }
}

/// The link layer of a packet: who sent it to whom, in which VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Link {
    /// The sender.
    pub src: Mac,
    /// The receiver.
    pub dst: Mac,
    /// The 802.1Q tag, if there is one.
    pub vlan: Option<Vlan>,
}

/// Bytes of an untagged header.
pub const UNTAGGED_LEN: usize = 14;
/// Bytes of a header with an 802.1Q tag.
pub const TAGGED_LEN: usize = 18;

impl Link {
    /// Bytes of the Ethernet header: 14, or 18 with a tag.
    #[inline]
    pub const fn header_len(&self) -> usize {
        if self.vlan.is_some() { TAGGED_LEN } else { UNTAGGED_LEN }
    }

    /// The way back: source and destination swapped, same VLAN.
    #[inline]
    #[must_use]
    pub const fn reversed(self) -> Link {
        Link { src: self.dst, dst: self.src, vlan: self.vlan }
    }

    /// Becomes the link layer of `packet`, and says what follows it. Written where it is kept: what
    /// is put together elsewhere and copied is read in longer words than it was just written in.
    #[inline(always)]
    pub(super) fn read(&mut self, packet: &[u8]) -> Result<EtherType, Reject> {
        let (header, rest) = Header::ref_from_prefix(packet).map_err(|_| Reject::TooShort)?;
        (self.dst, self.src, self.vlan) = (header.dst, header.src, None);
        let ether_type = EtherType(header.ether_type.get());
        if ether_type != EtherType::VLAN {
            return Ok(ether_type);
        }
        let (tag, _) = Tag::ref_from_prefix(rest).map_err(|_| Reject::TooShort)?;
        self.vlan = Some(Vlan(tag.control.get()));
        Ok(EtherType(tag.ether_type.get()))
    }

    /// Writes the header at the beginning of `packet` and returns the bytes after it.
    ///
    /// # Panics
    /// If `packet` is shorter than [`header_len`](Link::header_len).
    #[inline(always)]
    pub(super) fn emit(self, ether_type: EtherType, packet: &mut [u8]) -> &mut [u8] {
        let (header, rest) = packet.split_at_mut(self.header_len());
        header[..6].copy_from_slice(&self.dst.0);
        header[6..12].copy_from_slice(&self.src.0);
        match self.vlan {
            None => header[12..].copy_from_slice(&ether_type.0.to_be_bytes()),
            Some(vlan) => {
                header[12..14].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
                header[14..16].copy_from_slice(&vlan.0.to_be_bytes());
                header[16..].copy_from_slice(&ether_type.0.to_be_bytes());
            }
        }
        rest
    }
}

/// The header as it lies in memory.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    dst: Mac,
    src: Mac,
    ether_type: U16,
}

/// An 802.1Q tag after its 0x8100.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tag {
    control: U16,
    ether_type: U16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_tagged_header_byte_for_byte() {
        let bytes = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x60, 0x2a, 0x86, 0xdd];
        let mut link = Link::default();
        let ether_type = link.read(&bytes).unwrap();
        assert_eq!(link.dst, Mac([2, 0, 0, 0, 0, 1]));
        assert_eq!(link.src.to_string(), "02:00:00:00:00:02");
        assert_eq!(link.vlan.map(Vlan::id), Some(42));
        assert_eq!(ether_type, EtherType::IPV6);
        assert_eq!(link.reversed().dst, link.src);
        for short in 0..bytes.len() {
            let outcome = Link::default().read(&bytes[..short]);
            assert_eq!(outcome, Err(Reject::TooShort), "{short} bytes");
        }
        let mut out = [0; TAGGED_LEN];
        assert!(link.emit(ether_type, &mut out).is_empty());
        assert_eq!(out, bytes);
    }

    #[test]
    fn groups() {
        assert!(Mac::BROADCAST.is_multicast());
        assert!(Mac([0x33, 0x33, 0, 0, 0, 1]).is_multicast());
        assert!(!Mac([2, 0, 0, 0, 0, 1]).is_multicast());
    }

    proptest! {
        #[test]
        fn links_round_trip(src: [u8; 6], dst: [u8; 6], tci: Option<u16>, kind: u16) {
            prop_assume!(kind != EtherType::VLAN.0);
            let link = Link { src: Mac(src), dst: Mac(dst), vlan: tci.map(Vlan) };
            let mut bytes = [0; 20];
            prop_assert_eq!(link.emit(EtherType(kind), &mut bytes).len(), 20 - link.header_len());
            let mut read = Link::default();
            prop_assert_eq!((read.read(&bytes), read), (Ok(EtherType(kind)), link));
        }
    }
}
