//! What <linux/if_xdp.h> and the socket options have and the `libc` crate has not, and the layouts
//! that this backend shares with the kernel and with bpf/maps.h.

use core::net::IpAddr;

/// Level `SOL_XDP`, Linux 6.17: descriptors that one `sendto` may transmit in copy mode.
pub(super) const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
/// Level `SOL_SOCKET`: microseconds that a poll may spin.
pub(super) const SO_BUSY_POLL: libc::c_int = 46;
/// Level `SOL_SOCKET`: the NAPI instance that feeds the socket, 0 if none is known.
pub(super) const SO_INCOMING_NAPI_ID: libc::c_int = 56;
/// Level `SOL_SOCKET`, Linux 5.11: the application's polling replaces interrupts.
pub(super) const SO_PREFER_BUSY_POLL: libc::c_int = 69;
/// Level `SOL_SOCKET`, Linux 5.11: packets that one poll may process.
pub(super) const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

/// Bytes that XDP keeps free in front of a received packet (`XDP_PACKET_HEADROOM`).
pub(super) const PACKET_HEADROOM: u32 = 256;

/// A descriptor of the rx and tx rings: `struct xdp_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Offset of the packet in the UMEM, in bytes.
    pub(super) address: u64,
    /// Bytes of the packet.
    pub(super) len: u32,
    pub(super) options: u32,
}

const _: () = assert!(size_of::<Descriptor>() == size_of::<libc::xdp_desc>());

/// `struct address` of bpf/maps.h: IPv6, or IPv4 mapped into it.
pub(super) fn address_key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// `struct endpoint` of bpf/maps.h.
pub(super) fn endpoint_key(address: IpAddr, port: u16) -> [u8; 20] {
    let mut key = [0; 20];
    key[..16].copy_from_slice(&address_key(address));
    key[16..18].copy_from_slice(&port.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_key_is_mapped_and_in_network_order() {
        let key = endpoint_key(IpAddr::from([10, 9, 0, 1]), 0x1234);
        assert_eq!(key[10..], [0xff, 0xff, 10, 9, 0, 1, 0x12, 0x34, 0, 0]);
        assert_eq!(key[..10], [0; 10]);
        let key = endpoint_key(IpAddr::from([7u8; 16]), 80);
        assert_eq!(key[..16], [7; 16]);
    }
}
