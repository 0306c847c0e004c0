//! ICMP errors in scripts: `icmp unreachable frag_needed mtu 1200 [1:1461(1460)]`.
//!
//! The names are packetdrill's for IPv4. A script that runs in both families sends the message of
//! IPv6 that means the same, with an MTU that is 20 more, so that segment sizes are the same.

use super::lexer::Token;
use super::parser::{Parsed, Parser};
use crate::segments::codec::Quote;
use crate::segments::path::Family;

/// A message that a router sends to the engine.
#[derive(Clone, Debug)]
pub(crate) struct Icmp {
    names: &'static Names,
    mtu: u16,
    /// Sequence number and payload length of the segment that it quotes.
    pub(crate) seq: u32,
    pub(crate) len: u32,
}

#[derive(Debug)]
struct Names {
    kind: &'static str,
    code: &'static str,
    /// Type and code.
    v4: Option<(u8, u8)>,
    v6: Option<(u8, u8)>,
}

const fn names(
    kind: &'static str,
    code: &'static str,
    v4: Option<(u8, u8)>,
    v6: Option<(u8, u8)>,
) -> Names {
    Names { kind, code, v4, v6 }
}

const TOO_BIG_V6: (u8, u8) = (2, 0);

const NAMES: [Names; 16] = [
    names("unreachable", "net_unreachable", Some((3, 0)), Some((1, 0))),
    names("unreachable", "host_unreachable", Some((3, 1)), Some((1, 3))),
    names("unreachable", "protocol_unreachable", Some((3, 2)), None),
    names("unreachable", "port_unreachable", Some((3, 3)), Some((1, 4))),
    names("unreachable", "frag_needed", Some((3, 4)), Some(TOO_BIG_V6)),
    names("unreachable", "source_route_failed", Some((3, 5)), None),
    names("unreachable", "host_prohibited", Some((3, 10)), None),
    names("unreachable", "packet_filtered", Some((3, 13)), None),
    names("unreachable", "no_route", None, Some((1, 0))),
    names("unreachable", "admin_prohibited", None, Some((1, 1))),
    names("unreachable", "address_unreachable", None, Some((1, 3))),
    names("packet_too_big", "", None, Some(TOO_BIG_V6)),
    names("source_quench", "", Some((4, 0)), None),
    names("time_exceeded", "", Some((11, 0)), Some((3, 0))),
    names("parameter_problem", "", Some((12, 0)), Some((4, 0))),
    names("parameter_problem", "unknown_next_header", None, Some((4, 1))),
];

impl Parser {
    /// `icmp type [code] [mtu n] [[seq:end(len)]]`, behind `<`.
    pub(crate) fn icmp(&mut self) -> Parsed<Icmp> {
        self.next();
        let kind = self.word()?;
        let code = match self.peek() {
            Some(Token::Word(word)) if word != "mtu" => self.word()?,
            _ => String::new(),
        };
        let Some(names) = NAMES.iter().find(|names| names.kind == kind && names.code == code)
        else {
            return self.error(format!("`icmp {kind} {code}` is no message that is understood"));
        };
        let mtu = if self.skip_word("mtu") { self.unsigned("an MTU")? } else { 0 };
        let (mut seq, mut len) = (0, 0);
        if self.skip_punct('[') {
            (seq, len) = self.sequence(0)?;
            self.expect_punct(']')?;
        }
        Ok(Icmp { names, mtu, seq, len })
    }
}

impl Icmp {
    /// The message in a family, about the live sequence number `seq`.
    pub(crate) fn quote(&self, family: Family, seq: u32) -> Result<Quote, String> {
        let of_family = match family {
            Family::V4 => self.names.v4,
            Family::V6 => self.names.v6,
        };
        let Some((kind, code)) = of_family else {
            let Names { kind, code, .. } = self.names;
            return Err(format!("`icmp {kind} {code}` is not of {}", family.name()));
        };
        let both = self.names.v4.is_some() && self.mtu != 0;
        let larger = family.headers() - Family::V4.headers();
        let mtu = if both { self.mtu + larger } else { self.mtu };
        let is_too_big = self.names.v6 == Some(TOO_BIG_V6);
        let mtu = if is_too_big { mtu } else { 0 };
        Ok(Quote { kind, code, mtu, seq, len: self.len as u16 })
    }
}

impl std::fmt::Display for Icmp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Names { kind, code, .. } = self.names;
        let end = self.seq.wrapping_add(self.len);
        write!(f, "icmp {kind} {code} mtu {} [{}:{end}({})]", self.mtu, self.seq, self.len)
    }
}
