//! Membership in the multicast groups that neighbour solicitations for our IPv6 addresses come to
//! (RFC 4291 section 2.7.1): without it a network card filters them out before XDP.
#![allow(unsafe_code)]

use core::mem::size_of_val;
use core::net::Ipv6Addr;
use core::ptr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::error::Errno;

/// A packet socket that receives nothing and holds memberships, which end when it is closed.
#[derive(Debug)]
pub(super) struct SolicitedNodes {
    fd: OwnedFd,
    interface: u32,
}

impl SolicitedNodes {
    pub(super) fn new(interface: u32) -> Result<SolicitedNodes, Errno> {
        // SAFETY: the call takes no pointers. Protocol 0 receives no packets.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        Ok(SolicitedNodes { fd: unsafe { OwnedFd::from_raw_fd(fd) }, interface })
    }

    pub(super) fn join(&self, address: Ipv6Addr) -> Result<(), Errno> {
        let mut request = libc::packet_mreq {
            mr_ifindex: self.interface as i32,
            mr_type: libc::PACKET_MR_MULTICAST as u16,
            mr_alen: 6,
            mr_address: [0; 8],
        };
        request.mr_address[..6].copy_from_slice(&group_mac(address));
        let len = size_of_val(&request) as libc::socklen_t;
        // SAFETY: `request` is `len` readable bytes.
        let answer = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                ptr::from_ref(&request).cast(),
                len,
            )
        };
        if answer < 0 { Err(Errno::last()) } else { Ok(()) }
    }
}

fn group_mac(address: Ipv6Addr) -> [u8; 6] {
    let [.., a, b, c] = address.octets();
    [0x33, 0x33, 0xff, a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_has_the_last_three_bytes() {
        let address = "fd00::1:2:abcd:ef01".parse().expect("an address");
        assert_eq!(group_mac(address), [0x33, 0x33, 0xff, 0xcd, 0xef, 0x01]);
    }
}
