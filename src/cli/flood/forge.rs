//! Segments from addresses that nobody has.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use crate::runtime::ParseSettingError;
use crate::wire::ethernet::Link;
use crate::wire::tcp::{Flags, Headers, Options, Timestamps};
use crate::wire::{Addr, Seq};

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// SYNs with the options that Linux sends.
    Syn,
    /// ACKs of nothing, as somebody who guesses cookies would send.
    Ack,
    /// RSTs with any sequence number.
    Rst,
    /// FINs of no connection.
    Fin,
    /// Segments with payload.
    Data,
    /// All of these in turn.
    Mix,
}

impl Kind {
    const NAMES: [(&str, Kind); 6] = [
        ("syn", Kind::Syn),
        ("ack", Kind::Ack),
        ("rst", Kind::Rst),
        ("fin", Kind::Fin),
        ("data", Kind::Data),
        ("mix", Kind::Mix),
    ];
    const EACH: [Kind; 5] = [Kind::Syn, Kind::Ack, Kind::Rst, Kind::Fin, Kind::Data];

    fn flags(self) -> Flags {
        match self {
            Kind::Syn => Flags::SYN,
            Kind::Ack | Kind::Mix => Flags::ACK,
            Kind::Rst => Flags::RST,
            Kind::Fin => Flags::FIN | Flags::ACK,
            Kind::Data => Flags::ACK | Flags::PSH,
        }
    }
}

impl FromStr for Kind {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<Kind, ParseSettingError> {
        let found = Kind::NAMES.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        let expected = Kind::NAMES.map(|(name, _)| name).join(", ");
        found.ok_or_else(|| ParseSettingError::new("kind of flood", text, &expected))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::NAMES.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// Makes one segment after another, each from an address, a port and numbers drawn anew.
#[derive(Debug)]
pub(super) struct Forge {
    kind: Kind,
    link: Link,
    to: SocketAddr,
    payload: usize,
    /// Segments made: what is next, when all kinds take turns.
    made: u64,
    noise: u64,
}

impl Forge {
    /// `payload`: bytes of segments that carry data. The same `seed` makes the same segments.
    pub(super) fn new(kind: Kind, link: Link, to: SocketAddr, payload: usize, seed: u64) -> Forge {
        Forge { kind, link, to, payload, made: 0, noise: seed }
    }

    /// The headers of the next segment, and the bytes of payload that belong behind them.
    #[inline]
    pub(super) fn headers(&mut self) -> (Headers, usize) {
        let kind = match self.kind {
            Kind::Mix => Kind::EACH[(self.made % Kind::EACH.len() as u64) as usize],
            kind => kind,
        };
        self.made += 1;
        let (a, b) = (self.draw(), self.draw());
        let flags = kind.flags();
        let ack = if flags.contains(Flags::ACK) { b as u32 } else { 0 };
        let headers = Headers {
            link: self.link,
            src: self.source(),
            dst: Addr::from(self.to.ip()),
            src_port: 1_024 + (a >> 32) as u16 % (u16::MAX - 1_024),
            dst_port: self.to.port(),
            seq: Seq(a as u32),
            ack: Seq(ack),
            flags,
            window: 64_240,
            urgent: 0,
            hop_limit: 64,
            dscp: 0,
            ecn: 0,
            flow_label: (b >> 44) as u32,
            options: self.options(kind, (b >> 32) as u32),
        };
        (headers, if kind == Kind::Data { self.payload } else { 0 })
    }

    fn options(&mut self, kind: Kind, value: u32) -> Options {
        let mss = if self.to.is_ipv4() { 1_460 } else { 1_440 };
        match kind {
            Kind::Syn => Options {
                mss: Some(mss),
                window_scale: Some(7),
                sack_permitted: true,
                timestamps: Some(Timestamps { value, echo: 0 }),
                ..Options::NONE
            },
            Kind::Rst => Options::NONE,
            _ => Options::timestamps(value, self.draw() as u32),
        }
    }

    /// A unicast address, and none that hosts refuse by its looks or that the lab has itself.
    #[inline]
    fn source(&mut self) -> Addr {
        if self.to.is_ipv6() {
            let (high, low) = (self.draw(), self.draw());
            // 2000::/3 (RFC 4291 section 2.4).
            let address = u128::from(high) << 64 | u128::from(low);
            return Addr((address >> 3 | 1 << 125).to_be_bytes());
        }
        loop {
            let v4 = (self.draw() as u32).to_be_bytes();
            if !matches!(v4[0], 0 | 10 | 127 | 224..) {
                return Addr::from_v4(v4);
            }
        }
    }

    /// Deterministic noise (SplitMix64).
    #[inline]
    fn draw(&mut self) -> u64 {
        self.noise = self.noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.noise ^ self.noise >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::wire::tcp::Segment;
    use crate::wire::{Body, Checks, Mac, parse};

    const LINK: Link = Link { src: Mac([2; 6]), dst: Mac([4; 6]), vlan: None };
    const TARGETS: [&str; 2] = ["10.9.0.1:80", "[fd09::1]:80"];

    /// What a receiver that checks everything reads of `count` segments.
    fn forged(kind: Kind, to: &str, count: usize) -> Vec<Segment> {
        let to = to.parse().expect("an endpoint");
        let mut forge = Forge::new(kind, LINK, to, 100, 1);
        let segments = (0..count).map(|_| {
            let (headers, payload) = forge.headers();
            let mut packet = vec![0xab; headers.len() + payload];
            headers.emit(&mut packet);
            match parse(&packet, Checks::FULL).map(|parsed| parsed.body) {
                Ok(Body::Tcp(segment)) => segment,
                other => panic!("{kind}: {other:?}"),
            }
        });
        segments.collect()
    }

    #[test]
    fn every_segment_is_whole_and_from_somebody_else() {
        for (to, (_, kind)) in TARGETS.iter().flat_map(|to| Kind::NAMES.map(|kind| (to, kind))) {
            let segments = forged(kind, to, 2_000);
            let from: HashSet<_> = segments.iter().map(|one| (one.src, one.src_port)).collect();
            assert_eq!(from.len(), segments.len(), "{kind}");
            for segment in segments {
                assert!(segment.src.is_unicast() && segment.src_port >= 1_024, "{segment:?}");
                let lab = [Addr::from_v4([10, 9, 0, 0]).0[..13].to_vec(), vec![0xfd, 9]];
                assert!(lab.iter().all(|lab| !segment.src.0.starts_with(lab)), "{segment:?}");
                assert_eq!(segment.dst_port, 80);
            }
        }
    }

    #[test]
    fn each_kind_is_what_it_says() {
        for to in TARGETS {
            let flags = |kind| forged(kind, to, 1)[0].flags;
            assert_eq!(flags(Kind::Syn), Flags::SYN);
            assert_eq!(flags(Kind::Ack), Flags::ACK);
            assert_eq!(flags(Kind::Rst), Flags::RST);
            assert_eq!(flags(Kind::Fin), Flags::FIN | Flags::ACK);
            let data = forged(Kind::Data, to, 1)[0];
            assert_eq!((data.flags, data.payload_len), (Flags::ACK | Flags::PSH, 100));
            let syn = forged(Kind::Syn, to, 1)[0].options;
            assert!(syn.sack_permitted && syn.timestamps.is_some());
            assert_eq!((syn.mss.is_some(), syn.window_scale), (true, Some(7)));
            let mix: Vec<Flags> = forged(Kind::Mix, to, 10).iter().map(|one| one.flags).collect();
            let turns: Vec<Flags> = Kind::EACH.into_iter().map(Kind::flags).collect();
            assert_eq!(mix, [&turns[..], &turns[..]].concat());
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, kind) in Kind::NAMES {
            assert_eq!((name.parse(), kind.to_string().as_str()), (Ok(kind), name));
        }
        let error = "udp".parse::<Kind>().expect_err("no kind").to_string();
        assert!(error.contains("syn, ack, rst, fin, data, mix"), "{error}");
    }
}
