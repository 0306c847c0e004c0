//! What a caller chooses: backend, mode, poll, addresses, queues and cores.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use crate::engine::{Overflow, SynCookies};

/// Which way packets or bytes reach the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// AF_XDP where it can be had, else the kernel's sockets.
    #[default]
    Auto,
    /// This crate's stack over AF_XDP sockets.
    AfXdp,
    /// This crate's stack over a TAP device.
    Tap,
    /// The kernel's own TCP sockets.
    Kernel,
}

/// How AF_XDP moves packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The best of the others that works, in their order.
    #[default]
    Auto,
    /// The driver writes straight into our frames.
    ZeroCopy,
    /// The driver runs the XDP program and copies to our frames.
    Copy,
    /// The kernel runs the XDP program after the driver: works everywhere, slowest.
    Generic,
}

/// What a core does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Poll {
    /// Look again at once: lowest latency, one whole processor.
    Busy,
    /// Sleep in the kernel until something comes.
    Sleep,
    /// Look again for 50 µs, then sleep.
    #[default]
    Adaptive,
}

macro_rules! named {
    ($($type:ident: $what:literal { $($variant:ident = $name:literal),* $(,)? })*) => {$(
        impl $type {
            /// Every value, in the order in which they are documented.
            pub const ALL: &'static [$type] = &[$($type::$variant,)*];

            /// The name, as on the command line.
            pub const fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = ParseSettingError;

            fn from_str(text: &str) -> Result<$type, ParseSettingError> {
                let named = $type::ALL.iter().copied().find(|value| value.name() == text);
                named.ok_or_else(|| ParseSettingError::new($what, text, &[$($name),*].join(", ")))
            }
        }
    )*};
}

named! {
    Backend: "backend" { Auto = "auto", AfXdp = "af-xdp", Tap = "tap", Kernel = "kernel" }
    Mode: "mode" { Auto = "auto", ZeroCopy = "zero-copy", Copy = "copy", Generic = "generic" }
    Overflow: "overflow policy" { Drop = "drop", Reset = "reset" }
    SynCookies: "cookie mode" { Off = "off", Auto = "auto", Always = "always" }
    Poll: "poll mode" { Busy = "busy", Sleep = "sleep", Adaptive = "adaptive" }
}

/// Why a setting's text was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {what}: expected {expected}")]
pub struct ParseSettingError {
    what: &'static str,
    text: String,
    expected: String,
}

impl ParseSettingError {
    pub(crate) fn new(what: &'static str, text: &str, expected: &str) -> ParseSettingError {
        ParseSettingError { what, text: text.into(), expected: expected.into() }
    }
}

/// An address with the length of its prefix: `10.9.0.1/24`, `fd09::1/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub ip: IpAddr,
    /// Length of the prefix that is on the link.
    pub prefix_len: u8,
}

impl Cidr {
    /// Whether `other` is of the same family and shares the prefix.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same_prefix(a.to_bits().into(), b.to_bits().into(), 32, self.prefix_len)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                same_prefix(a.to_bits(), b.to_bits(), 128, self.prefix_len)
            }
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, width: u32, prefix_len: u8) -> bool {
    let host_bits = width.saturating_sub(u32::from(prefix_len));
    (a ^ b).checked_shr(host_bits).unwrap_or(0) == 0
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_len)
    }
}

impl FromStr for Cidr {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Cidr, ParseSettingError> {
        let expected = "an address with its prefix length, as 10.9.0.1/24 or fd09::1/64";
        let parsed = text.split_once('/').and_then(|(ip, len)| {
            let (ip, prefix_len) = (ip.parse::<IpAddr>().ok()?, len.parse::<u8>().ok()?);
            let longest = if ip.is_ipv4() { 32 } else { 128 };
            (prefix_len <= longest).then_some(Cidr { ip, prefix_len })
        });
        parsed.ok_or_else(|| ParseSettingError::new("address", text, expected))
    }
}

/// Numbers of queues or cores: `0-3`, `0,2`, `1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers(Vec<u32>);

impl Numbers {
    /// Most numbers that one list may have: a core's number is one byte.
    pub const MAX: usize = 256;

    /// The numbers, in the order given.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }
}

impl From<core::ops::Range<u32>> for Numbers {
    fn from(range: core::ops::Range<u32>) -> Numbers {
        Numbers(range.take(Numbers::MAX).collect())
    }
}

impl From<core::ops::RangeInclusive<u32>> for Numbers {
    fn from(range: core::ops::RangeInclusive<u32>) -> Numbers {
        Numbers(range.take(Numbers::MAX).collect())
    }
}

impl FromStr for Numbers {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Numbers, ParseSettingError> {
        let expected = "different numbers as 0-3 or 0,2, at most 256 of them";
        let error = || ParseSettingError::new("list of numbers", text, expected);
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.trim().parse::<u32>(), last.trim().parse::<u32>());
            let (Ok(first), Ok(last)) = (first, last) else { return Err(error()) };
            if first > last || (last - first) as usize >= Numbers::MAX {
                return Err(error());
            }
            for number in first..=last {
                if numbers.contains(&number) || numbers.len() >= Numbers::MAX {
                    return Err(error());
                }
                numbers.push(number);
            }
        }
        Ok(Numbers(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for &backend in Backend::ALL {
            assert_eq!(backend.name().parse(), Ok(backend));
        }
        let error = "xdp".parse::<Backend>().expect_err("no such backend");
        assert_eq!(error.to_string(), "'xdp' is no backend: expected auto, af-xdp, tap, kernel");
    }

    #[test]
    fn numbers_are_ranges_and_lists() {
        let numbers = |text: &str| text.parse::<Numbers>().map(|numbers| numbers.0).ok();
        assert_eq!(numbers("0-3"), Some(vec![0, 1, 2, 3]));
        assert_eq!(numbers("0,2"), Some(vec![0, 2]));
        assert_eq!(numbers("7"), Some(vec![7]));
        for bad in ["", "3-1", "a", "0,0", "0-4000000000", "-1", "1,"] {
            assert_eq!(numbers(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_cidr_knows_its_link() {
        let cidr: Cidr = "10.9.0.1/24".parse().expect("valid");
        assert!(cidr.contains([10, 9, 0, 200].into()));
        assert!(!cidr.contains([10, 9, 1, 1].into()));
        let everything: Cidr = "::/0".parse().expect("valid");
        assert!(everything.contains("fe80::1".parse().expect("valid")));
        for bad in ["10.9.0.1", "10.9.0.1/33", "fd00::1/129", "x/8", "10.9.0.1/"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
