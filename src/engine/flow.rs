//! What names a connection on the wire, and the way to its peer.

use crate::wire::tcp::Segment;
use crate::wire::{Addr, Link, Mac, Vlan};

/// A connection's addresses and ports; ours by its index among the engine's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) remote: Addr,
    pub(crate) remote_port: u16,
    pub(crate) local_port: u16,
    pub(crate) local: u16,
}

impl Flow {
    /// The flow of a received segment, to the address of ours with this index.
    #[inline]
    pub(crate) fn of(segment: &Segment, local: u16) -> Flow {
        let Segment { src, src_port, dst_port, .. } = *segment;
        Flow { remote: src, remote_port: src_port, local_port: dst_port, local }
    }
}

/// Hardware address and VLAN of the next hop to a peer: where its first segment came from. A reply
/// goes back the way the request came, whatever the routing table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    mac: [u8; 6],
    /// [`Hop::UNTAGGED`] for none.
    vlan: u16,
}

impl Hop {
    /// No VLAN: a TCI that 802.1Q reserves (VID 0xfff).
    const UNTAGGED: u16 = 0xffff;

    /// Not known yet: nothing is sent there.
    pub(crate) const UNKNOWN: Hop = Hop { mac: [0; 6], vlan: Hop::UNTAGGED };

    #[inline]
    pub(crate) fn back(link: &Link) -> Hop {
        Hop { mac: link.src.0, vlan: link.vlan.map_or(Hop::UNTAGGED, |vlan| vlan.0) }
    }

    pub(crate) fn to(mac: [u8; 6]) -> Hop {
        Hop { mac, vlan: Hop::UNTAGGED }
    }

    pub(crate) fn is_untagged(self) -> bool {
        self.vlan == Hop::UNTAGGED
    }

    pub(crate) fn mac(self) -> [u8; 6] {
        self.mac
    }

    /// Link header of a packet from `ours`.
    #[inline]
    pub(crate) fn link(self, ours: Mac) -> Link {
        let vlan = (self.vlan != Hop::UNTAGGED).then_some(Vlan(self.vlan));
        Link { src: ours, dst: Mac(self.mac), vlan }
    }
}
