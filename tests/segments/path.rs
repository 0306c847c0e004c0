//! The two ends that a test talks between, in either family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Family; 2] = [Family::V4, Family::V6];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    /// Bytes of IP and TCP headers without options.
    pub(crate) fn headers(self) -> u16 {
        match self {
            Family::V4 => 40,
            Family::V6 => 60,
        }
    }

    /// The segment size that holds where nobody says one (RFC 9293 section 3.7.1).
    pub(crate) fn default_mss(self) -> u16 {
        match self {
            Family::V4 => 536,
            Family::V6 => 1_220,
        }
    }
}

/// The engine's end (`local`) and the test's end (`remote`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) local_mac: [u8; 6],
    pub(crate) remote_mac: [u8; 6],
}

impl Path {
    pub(crate) const LOCAL_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
    pub(crate) const REMOTE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

    pub(crate) fn new(family: Family, local_port: u16, remote_port: u16) -> Path {
        let host = |n: u16| match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, n as u8)),
            Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)),
        };
        Path {
            local: SocketAddr::new(host(1), local_port),
            remote: SocketAddr::new(host(2), remote_port),
            local_mac: Path::LOCAL_MAC,
            remote_mac: Path::REMOTE_MAC,
        }
    }

    pub(crate) fn family(&self) -> Family {
        if self.local.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    pub(crate) fn prefix_len(&self) -> u8 {
        if self.local.is_ipv4() { 24 } else { 64 }
    }
}
