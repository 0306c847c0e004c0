//! A TCP segment as values, and how it reads in a trace.

use std::fmt;

pub(crate) const FIN: u16 = 0x01;
pub(crate) const SYN: u16 = 0x02;
pub(crate) const RST: u16 = 0x04;
pub(crate) const PSH: u16 = 0x08;
pub(crate) const ACK: u16 = 0x10;
pub(crate) const URG: u16 = 0x20;
pub(crate) const ECE: u16 = 0x40;
pub(crate) const CWR: u16 = 0x80;
pub(crate) const AE: u16 = 0x100;

/// Names of the ECN field of an IP header, by its value.
pub(crate) const ECN_NAMES: [&str; 4] = ["noecn", "ect1", "ect0", "ce"];

/// Letters of the script language, in its order.
pub(crate) const FLAG_LETTERS: [(u16, char); 9] = [
    (FIN, 'F'),
    (SYN, 'S'),
    (RST, 'R'),
    (PSH, 'P'),
    (URG, 'U'),
    (ECE, 'E'),
    (CWR, 'W'),
    (AE, 'A'),
    (ACK, '.'),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TcpOption {
    End,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps {
        val: u32,
        ecr: u32,
    },
    /// The counters e0b, ceb, e1b, as many as there are; the other way round if `reversed`.
    AccEcn {
        reversed: bool,
        counters: Vec<u32>,
    },
    /// Any bytes at all, well formed or not.
    Raw(Vec<u8>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    /// The ECN field of the IP header.
    pub(crate) ecn: u8,
    pub(crate) options: Vec<TcpOption>,
    pub(crate) payload: Vec<u8>,
}

impl Segment {
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// Nothing but an acknowledgement (a probe of one old byte has payload and is none).
    pub(crate) fn is_pure_ack(&self) -> bool {
        self.flags & !(PSH | ECE | CWR | AE) == ACK && self.payload.is_empty()
    }

    /// Sequence numbers that it occupies.
    pub(crate) fn seq_len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    pub(crate) fn mss(&self) -> Option<u16> {
        self.options.iter().find_map(|option| match option {
            TcpOption::Mss(mss) => Some(*mss),
            _ => None,
        })
    }

    pub(crate) fn timestamps(&self) -> Option<(u32, u32)> {
        self.options.iter().find_map(|option| match option {
            TcpOption::Timestamps { val, ecr } => Some((*val, *ecr)),
            _ => None,
        })
    }

    pub(crate) fn window_scale(&self) -> Option<u8> {
        self.options.iter().find_map(|option| match option {
            TcpOption::WindowScale(shift) => Some(*shift),
            _ => None,
        })
    }
}

pub(crate) fn flag_text(flags: u16) -> String {
    let text: String =
        FLAG_LETTERS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, c)| *c).collect();
    if text.is_empty() { String::from("-") } else { text }
}

/// The counters of an AccECN option, in its order (RFC 9768 section 3.2.3).
pub(crate) fn accecn_names(reversed: bool) -> [&'static str; 3] {
    if reversed { ["e1b", "ceb", "e0b"] } else { ["e0b", "ceb", "e1b"] }
}

impl fmt::Display for TcpOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TcpOption::End => f.write_str("eol"),
            TcpOption::Nop => f.write_str("nop"),
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackPermitted => f.write_str("sackOK"),
            TcpOption::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(from, to)| write!(f, " {from}:{to}"))
            }
            TcpOption::Timestamps { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOption::AccEcn { reversed, counters } => {
                f.write_str("ECN")?;
                let names = accecn_names(*reversed).into_iter().zip(counters);
                names.into_iter().try_for_each(|(name, counter)| write!(f, " {name} {counter}"))
            }
            TcpOption::Raw(bytes) => {
                f.write_str("hex ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.payload.len() as u32;
        let end = self.seq.wrapping_add(len);
        if self.ecn != 0 {
            write!(f, "[{}] ", ECN_NAMES[usize::from(self.ecn)])?;
        }
        write!(f, "{} {}:{end}({len})", flag_text(self.flags), self.seq)?;
        if self.has(ACK) {
            write!(f, " ack {}", self.ack)?;
        }
        write!(f, " win {}", self.window)?;
        if self.has(URG) {
            write!(f, " urg {}", self.urgent)?;
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self.options.iter().map(TcpOption::to_string).collect();
            write!(f, " <{}>", options.join(","))?;
        }
        Ok(())
    }
}
