//! ARP for IPv4 over Ethernet (RFC 826).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::addr::Addr;
use super::ethernet::{EtherType, Link, Mac};
use super::reject::Reject;

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has the sender address.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Question or answer.
    pub operation: Operation,
    /// The sender's hardware address.
    pub sender_mac: Mac,
    /// The sender's IPv4 address; `0.0.0.0` in a probe (RFC 5227).
    pub sender: Addr,
    /// The target's hardware address: nothing in a request.
    pub target_mac: Mac,
    /// The IPv4 address asked for, or that of the asker in a reply.
    pub target: Addr,
}

/// Bytes of an ARP packet, Ethernet header excluded.
pub const LEN: usize = 28;

/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// The packet as it lies in memory.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    types: [u8; 6],
    operation: U16,
    sender_mac: Mac,
    sender: [u8; 4],
    target_mac: Mac,
    target: [u8; 4],
}

/// Reads the ARP packet that starts at `start`.
pub(super) fn parse(packet: &[u8], start: usize) -> Result<Packet, Reject> {
    let bytes = packet.get(start..).ok_or(Reject::TooShort)?;
    let (arp, _) = Layout::ref_from_prefix(bytes).map_err(|_| Reject::TooShort)?;
    let operation = match (arp.types, arp.operation.get()) {
        (ETHERNET_IPV4, REQUEST) => Operation::Request,
        (ETHERNET_IPV4, REPLY) => Operation::Reply,
        _ => return Err(Reject::BadArp),
    };
    Ok(Packet {
        operation,
        sender_mac: arp.sender_mac,
        sender: Addr::from_v4(arp.sender),
        target_mac: arp.target_mac,
        target: Addr::from_v4(arp.target),
    })
}

/// Writes a request: `link.src`, which has `sender`, asks who has `target`. To everyone if
/// `link.dst` is the broadcast address, or to one station to see whether it is still there.
///
/// Both addresses are IPv4. Returns the packet's length.
///
/// # Panics
/// If `packet` is shorter than the Ethernet header and [`LEN`].
pub fn request(packet: &mut [u8], link: Link, sender: Addr, target: Addr) -> usize {
    emit(packet, link, REQUEST, [sender, target], Mac::default())
}

/// Writes a reply: `link.src` tells `link.dst`, which has `target`, that it has `sender`.
///
/// Both addresses are IPv4. Returns the packet's length.
///
/// # Panics
/// If `packet` is shorter than the Ethernet header and [`LEN`].
pub fn reply(packet: &mut [u8], link: Link, sender: Addr, target: Addr) -> usize {
    emit(packet, link, REPLY, [sender, target], link.dst)
}

fn emit(
    packet: &mut [u8],
    link: Link,
    operation: u16,
    [sender, target]: [Addr; 2],
    target_mac: Mac,
) -> usize {
    debug_assert!(sender.is_v4() && target.is_v4(), "ARP is for IPv4");
    let bytes = &mut link.emit(EtherType::ARP, packet)[..LEN];
    bytes[..6].copy_from_slice(&ETHERNET_IPV4);
    bytes[6..8].copy_from_slice(&operation.to_be_bytes());
    bytes[8..14].copy_from_slice(&link.src.0);
    bytes[14..18].copy_from_slice(&sender.low());
    bytes[18..24].copy_from_slice(&target_mac.0);
    bytes[24..].copy_from_slice(&target.low());
    link.header_len() + LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Vlan;
    use proptest::prelude::*;

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);

    #[test]
    fn a_request_byte_for_byte() {
        let (sender, target) = (Addr::from_v4([10, 9, 0, 1]), Addr::from_v4([10, 9, 0, 2]));
        let mut bytes = [0xaa; 60];
        let link = Link { src: OURS, dst: Mac::BROADCAST, vlan: None };
        assert_eq!(request(&mut bytes, link, sender, target), 42);
        let expected = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2,
            0, 0, 0, 0, 1, 10, 9, 0, 1, 0, 0, 0, 0, 0, 0, 10, 9, 0, 2,
        ];
        assert_eq!(bytes[..42], expected);
        assert_eq!(bytes[42..], [0xaa; 18]);
        let read = parse(&bytes, 14).unwrap();
        assert_eq!(read.operation, Operation::Request);
        assert_eq!((read.sender, read.target), (sender, target));
    }

    #[test]
    fn foreign_packets_are_refused() {
        let mut good = [0; 46];
        let addr = Addr::from_v4([10, 9, 0, 1]);
        let link = Link { src: OURS, dst: THEIRS, vlan: Some(Vlan(5)) };
        assert_eq!(reply(&mut good, link, addr, addr), 46);
        assert_eq!(parse(&good, 18).unwrap().target_mac, THEIRS);
        for at in 18..26 {
            let mut bad = good;
            bad[at] ^= 0x80;
            assert_eq!(parse(&bad, 18), Err(Reject::BadArp), "byte {at}");
        }
        assert_eq!(parse(&good[..45], 18), Err(Reject::TooShort));
    }

    proptest! {
        #[test]
        fn replies_round_trip(src: [u8; 6], dst: [u8; 6], a: [u8; 4], b: [u8; 4]) {
            let (src, dst, a, b) = (Mac(src), Mac(dst), Addr::from_v4(a), Addr::from_v4(b));
            let mut bytes = [0; 42];
            reply(&mut bytes, Link { src, dst, vlan: None }, a, b);
            let expected = Packet {
                operation: Operation::Reply,
                sender_mac: src,
                sender: a,
                target_mac: dst,
                target: b,
            };
            prop_assert_eq!(parse(&bytes, 14), Ok(expected));
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, start in 0usize..64) {
            let _ = parse(&bytes, start);
        }
    }
}
