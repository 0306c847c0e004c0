//! Addresses of both families in one fixed-size type.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An IPv6 address, or an IPv4 address in its v4-mapped form `::ffff:a.b.c.d` (RFC 4291 section
/// 2.5.5.2), so that tables and segments need only one kind.
///
/// A packet can't forge the other family: an IPv6 header with a v4-mapped address is rejected.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Addr(pub [u8; 16]);

/// The twelve bytes before a mapped IPv4 address.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Addr {
    /// The IPv6 unspecified address `::`.
    pub const UNSPECIFIED_V6: Addr = Addr([0; 16]);
    /// The IPv4 unspecified address `0.0.0.0`.
    pub const UNSPECIFIED_V4: Addr = Addr::from_v4([0; 4]);

    /// The v4-mapped form of an IPv4 address.
    #[inline]
    pub const fn from_v4(v4: [u8; 4]) -> Addr {
        // Made in whole words, which are stored faster and read back without a stall.
        Addr((0xffff << 32 | u32::from_be_bytes(v4) as u128).to_be_bytes())
    }

    /// The address in the standard library's form; v4-mapped gives IPv4.
    #[inline]
    pub fn to_ip(self) -> IpAddr {
        match self.v4() {
            Some(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
            None => IpAddr::V6(Ipv6Addr::from(self.0)),
        }
    }

    /// Whether this is an IPv4 address.
    #[inline]
    pub fn is_v4(self) -> bool {
        self.0.first_chunk::<12>() == Some(&MAPPED)
    }

    /// The four bytes of an IPv4 address, none for IPv6.
    #[inline]
    pub fn v4(self) -> Option<[u8; 4]> {
        self.is_v4().then_some(self.low())
    }

    /// The last four bytes: the IPv4 address, if it is one.
    #[inline]
    pub(crate) const fn low(self) -> [u8; 4] {
        let [.., a, b, c, d] = self.0;
        [a, b, c, d]
    }

    /// Whether this is `0.0.0.0` or `::`.
    #[inline]
    pub fn is_unspecified(self) -> bool {
        self == Addr::UNSPECIFIED_V6 || self == Addr::UNSPECIFIED_V4
    }

    /// Whether this is a multicast group, `224.0.0.0/4` or `ff00::/8`.
    #[inline]
    pub fn is_multicast(self) -> bool {
        match self.v4() {
            Some(v4) => v4[0] & 0xf0 == 0xe0,
            None => self.0[0] == 0xff,
        }
    }

    /// Whether this is the limited broadcast address `255.255.255.255`. A subnet's own broadcast
    /// address takes its prefix to know: see [`Cidr::is_broadcast`].
    #[inline]
    pub fn is_broadcast(self) -> bool {
        self.v4() == Some([255; 4])
    }

    /// Whether this is in `127.0.0.0/8` or `::1`.
    #[inline]
    pub fn is_loopback(self) -> bool {
        self.to_ip().is_loopback()
    }

    /// Whether this is an IPv6 link-local unicast address, `fe80::/10`.
    #[inline]
    pub fn is_link_local_v6(self) -> bool {
        self.0[0] == 0xfe && self.0[1] & 0xc0 == 0x80
    }

    /// Whether one host can be meant by it: neither unspecified, multicast nor broadcast. A segment
    /// from or to any other is dropped unanswered (RFC 1122 section 4.2.3.10, RFC 9293 MUST-57).
    #[inline]
    pub fn is_unicast(self) -> bool {
        !self.is_unspecified() && !self.is_multicast() && !self.is_broadcast()
    }
}

impl From<Ipv4Addr> for Addr {
    #[inline]
    fn from(v4: Ipv4Addr) -> Addr {
        Addr::from_v4(v4.octets())
    }
}

impl From<Ipv6Addr> for Addr {
    #[inline]
    fn from(v6: Ipv6Addr) -> Addr {
        Addr(v6.octets())
    }
}

impl From<IpAddr> for Addr {
    #[inline]
    fn from(ip: IpAddr) -> Addr {
        match ip {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address together with the length of its network's prefix: `10.9.0.1/24`, `fd00::1/64`.
///
/// The host bits are kept, since an interface's address needs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address, host bits included.
    pub addr: Addr,
    /// Bits of the prefix in the address's own family: at most 32 or 128. More counts as all.
    pub prefix_len: u8,
}

impl Cidr {
    /// Whether `other` is of the same family and in the same network.
    #[inline]
    pub fn contains(&self, other: Addr) -> bool {
        let differ = u128::from_be_bytes(self.addr.0) ^ u128::from_be_bytes(other.0);
        differ & !self.host_bits() == 0 && self.addr.is_v4() == other.is_v4()
    }

    /// Whether `other` is this IPv4 network's directed broadcast address (host bits all one). There
    /// is none for prefixes of 31 and 32 bits (RFC 3021), nor in IPv6.
    pub fn is_broadcast(&self, other: Addr) -> bool {
        // Two bits of a host at least, all of them one.
        if other.0[15] & 3 != 3 {
            return false;
        }
        let host = self.host_bits();
        host > 1
            && self.addr.is_v4()
            && self.contains(other)
            && u128::from_be_bytes(other.0) & host == host
    }

    /// A mask with ones where the host part is.
    fn host_bits(&self) -> u128 {
        let width = if self.addr.is_v4() { 32 } else { 128 };
        let host = width - u32::from(self.prefix_len).min(width);
        u128::MAX.checked_shr(128 - host).unwrap_or(0)
    }
}

/// Why a text is not a [`Cidr`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// The part before the slash is not an address.
    #[error("`{0}` is not an IPv4 or IPv6 address")]
    Address(String),
    /// The part after the slash is not a number, or too large for the family.
    #[error("`{0}` is not a prefix length from 0 to {1}")]
    PrefixLen(String, u8),
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `address/prefix-length`; a bare address means that address alone.
    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| CidrError::Address(address.to_owned()))?;
        let addr = Addr::from(ip);
        let most = if addr.is_v4() { 32 } else { 128 };
        let prefix_len = match prefix {
            None => most,
            Some(digits) => match digits.parse::<u8>() {
                Ok(len) if len <= most && !digits.starts_with('+') => len,
                _ => return Err(CidrError::PrefixLen(digits.to_owned(), most)),
            },
        };
        Ok(Cidr { addr, prefix_len })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn v4_is_mapped_and_comes_back() {
        let a = addr("10.9.0.1");
        assert_eq!(a.0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 9, 0, 1]);
        assert_eq!(a.v4(), Some([10, 9, 0, 1]));
        assert_eq!(a.to_string(), "10.9.0.1");
        assert_eq!(addr("::ffff:10.9.0.1"), a);
        assert_eq!(addr("fd00::1").v4(), None);
        assert_eq!(addr("fd00::1").to_string(), "fd00::1");
    }

    #[test]
    fn only_one_host_is_unicast() {
        for bogus in ["0.0.0.0", "::", "224.0.0.1", "239.1.2.3", "ff02::1", "255.255.255.255"] {
            assert!(!addr(bogus).is_unicast(), "{bogus}");
        }
        for good in ["10.0.0.1", "223.255.255.255", "240.0.0.1", "127.0.0.1", "::1", "fe80::1"] {
            assert!(addr(good).is_unicast(), "{good}");
        }
        assert!(addr("127.9.9.9").is_loopback() && addr("::1").is_loopback());
        assert!(addr("fe80::1").is_link_local_v6() && !addr("fec0::1").is_link_local_v6());
    }

    #[test]
    fn networks_contain_their_own() {
        assert!(cidr("10.9.0.1/24").contains(addr("10.9.0.255")));
        assert!(!cidr("10.9.0.1/24").contains(addr("10.9.1.0")));
        assert!(cidr("0.0.0.0/0").contains(addr("200.1.2.3")));
        assert!(!cidr("0.0.0.0/0").contains(addr("fd00::1")));
        assert!(cidr("fd00::1/64").contains(addr("fd00::ffff:1:2:3")));
        assert!(!cidr("fd00::1/64").contains(addr("fd00:0:0:1::1")));
        assert!(!cidr("::/0").contains(addr("10.0.0.1")));
        assert!(cidr("10.9.0.1").contains(addr("10.9.0.1")));
        assert!(!cidr("10.9.0.1").contains(addr("10.9.0.0")));
        let too_long = Cidr { addr: addr("10.9.0.1"), prefix_len: 255 };
        assert!(too_long.contains(addr("10.9.0.1")) && !too_long.contains(addr("10.9.0.0")));
    }

    #[test]
    fn directed_broadcast_follows_the_prefix() {
        assert!(cidr("10.9.0.1/24").is_broadcast(addr("10.9.0.255")));
        assert!(!cidr("10.9.0.1/24").is_broadcast(addr("10.9.0.254")));
        assert!(!cidr("10.9.0.1/24").is_broadcast(addr("10.9.1.255")));
        assert!(!cidr("10.9.0.0/31").is_broadcast(addr("10.9.0.1")));
        assert!(!cidr("10.9.0.1/32").is_broadcast(addr("10.9.0.1")));
        assert!(!cidr("fd00::/64").is_broadcast(addr("fd00::ffff:ffff:ffff:ffff")));
    }

    #[test]
    fn bad_texts_name_the_bad_part() {
        let fail = |text: &str| text.parse::<Cidr>().unwrap_err().to_string();
        assert_eq!(fail("10.9.0/24"), "`10.9.0` is not an IPv4 or IPv6 address");
        assert_eq!(fail("10.9.0.1/33"), "`33` is not a prefix length from 0 to 32");
        assert_eq!(fail("fd00::1/129"), "`129` is not a prefix length from 0 to 128");
        assert_eq!(fail("fd00::1/"), "`` is not a prefix length from 0 to 128");
        assert_eq!(fail("10.9.0.1/+8"), "`+8` is not a prefix length from 0 to 32");
    }

    proptest! {
        #[test]
        fn any_address_round_trips(bytes: [u8; 16], v4: [u8; 4]) {
            prop_assert_eq!(Addr::from(Addr(bytes).to_ip()), Addr(bytes));
            prop_assert_eq!(Addr::from_v4(v4).to_ip(), IpAddr::from(v4));
        }

        #[test]
        fn a_cidr_contains_what_shares_its_prefix(a: [u8; 4], b: [u8; 4], len in 0u8..=32) {
            let shared = (u32::from_be_bytes(a) ^ u32::from_be_bytes(b)).leading_zeros();
            let net = Cidr { addr: Addr::from_v4(a), prefix_len: len };
            prop_assert_eq!(net.contains(Addr::from_v4(b)), shared >= u32::from(len));
            prop_assert_eq!(net.to_string().parse::<Cidr>().unwrap(), net);
        }
    }
}
