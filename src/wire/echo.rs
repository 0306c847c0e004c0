//! What the echo messages of both families have in common.

use super::ethernet::{EtherType, Link};

/// An echo request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Which program asked.
    pub ident: u16,
    /// Which of its questions this is.
    pub sequence: u16,
    /// Bytes from the beginning of the packet to the data to be echoed.
    pub data_start: u16,
    /// Bytes of data.
    pub data_len: u16,
}

/// Bytes of an ICMP message before an echo's data.
const HEADER_LEN: u16 = 8;

impl Echo {
    /// The echo whose second four bytes are `id`, in a message that starts at `start`.
    pub(super) fn new([a, b, c, d]: [u8; 4], start: u16, data: &[u8]) -> Echo {
        Echo {
            ident: u16::from_be_bytes([a, b]),
            sequence: u16::from_be_bytes([c, d]),
            data_start: start + HEADER_LEN,
            data_len: data.len() as u16,
        }
    }
}

/// The Ethernet header of a packet to be answered in place.
pub(super) struct Ethernet<'a> {
    header: &'a mut [u8],
    link: Link,
}

impl<'a> Ethernet<'a> {
    /// Splits a packet into its Ethernet header and the bytes after it, if it has both and is of
    /// the type wanted.
    pub(super) fn split(packet: &'a mut [u8], wanted: EtherType) -> Option<(Self, &'a mut [u8])> {
        let mut link = Link::default();
        let ether_type = link.read(packet).ok()?;
        let (header, rest) = packet.split_at_mut_checked(link.header_len())?;
        (ether_type == wanted).then_some((Ethernet { header, link }, rest))
    }

    /// Bytes of the header.
    pub(super) fn len(&self) -> usize {
        self.header.len()
    }

    /// Whether either side is a group of stations, to which nothing is answered.
    pub(super) fn is_group(&self) -> bool {
        self.link.src.is_multicast() || self.link.dst.is_multicast()
    }

    /// Swaps source and destination.
    pub(super) fn reverse(self) {
        if let Some((addresses, _)) = self.header.split_first_chunk_mut::<12>() {
            addresses.rotate_left(6);
        }
    }
}
