//! What an ICMP error about a segment of ours means: RFC 9293 section 3.9.2.2, RFC 1191, RFC 8201.
//!
//! Anyone can send one, so it is believed only of a segment in flight (RFC 5927 section 4.1), and
//! even then it never ends a connection that exists: in the synchronized states hard errors count
//! as soft ones (RFC 5461 section 4.1), the retransmission timer decides. Only an attempt to
//! connect ends at a hard error. Source quench isn't even parsed (MUST-55).

use super::tcb::{Facts, State, Tcb};
use crate::wire::{Quoted, Seq, icmp4, icmp6};

/// The kinds of error, in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    /// May pass: no route now, the hop limit used up, a field that somebody didn't like (MUST-56).
    Soft,
    /// Nobody is there, or nobody may talk to it (SHLD-26).
    Hard,
    /// A link on the way takes no packets longer than this. Zero from routers that don't say.
    TooBig { mtu: u32 },
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorVerdict {
    /// The quoted segment is not in flight: nothing.
    NotInFlight,
    /// It is remembered, should the connection end of silence.
    Noted,
    /// The attempt to connect is over.
    Refused,
    /// Packets must be shorter.
    TooBig { mtu: u32 },
}

impl PathError {
    /// From an ICMP message for IPv4; `None` if it is no error.
    pub(crate) fn of_v4(kind: &icmp4::Kind) -> Option<(PathError, Quoted)> {
        use icmp4::Kind;
        match *kind {
            Kind::Unreachable { code, quoted } => Some((of_code(code, &HARD_V4), quoted)),
            Kind::FragmentationNeeded { next_hop_mtu, quoted } => {
                Some((PathError::TooBig { mtu: next_hop_mtu.into() }, quoted))
            }
            Kind::TimeExceeded { quoted, .. } | Kind::ParameterProblem { quoted, .. } => {
                Some((PathError::Soft, quoted))
            }
            Kind::EchoRequest(_) | Kind::EchoReply(_) => None,
        }
    }

    /// From an ICMP message for IPv6; `None` if it is no error.
    pub(crate) fn of_v6(kind: &icmp6::Kind) -> Option<(PathError, Quoted)> {
        use icmp6::Kind;
        match *kind {
            Kind::Unreachable { code, quoted } => Some((of_code(code, &HARD_V6), quoted)),
            Kind::PacketTooBig { mtu, quoted } => Some((PathError::TooBig { mtu }, quoted)),
            Kind::TimeExceeded { quoted, .. } | Kind::ParameterProblem { quoted, .. } => {
                Some((PathError::Soft, quoted))
            }
            Kind::EchoRequest(_) | Kind::EchoReply(_) => None,
        }
    }

    /// What it means to somebody whose SYN or SYN-ACK was quoted.
    fn of_opening(self) -> ErrorVerdict {
        match self {
            PathError::Hard => ErrorVerdict::Refused,
            // No link is too small for a segment without text.
            PathError::Soft | PathError::TooBig { .. } => ErrorVerdict::Noted,
        }
    }
}

/// Codes of "unreachable" that are hard: protocol and port (RFC 1122 section 4.2.3.9).
const HARD_V4: [u8; 2] = [2, 3];
/// Administratively prohibited, and port (RFC 5461 section 2).
const HARD_V6: [u8; 2] = [1, 4];

fn of_code(code: u8, hard: &[u8]) -> PathError {
    if hard.contains(&code) { PathError::Hard } else { PathError::Soft }
}

impl Tcb {
    /// An error about the segment that began at `seq`: MUST-54.
    pub(crate) fn error_arrives(&mut self, error: PathError, seq: Seq) -> ErrorVerdict {
        // RFC 5927 section 4.1: SND.UNA =< SEG.SEQ < SND.NXT.
        if !seq.within(self.snd_una, self.flight()) {
            return ErrorVerdict::NotInFlight;
        }
        let verdict = match (self.state, error) {
            (State::SynSent | State::SynReceived, _) => error.of_opening(),
            (_, PathError::TooBig { mtu }) => ErrorVerdict::TooBig { mtu },
            (_, PathError::Soft | PathError::Hard) => ErrorVerdict::Noted,
        };
        if verdict == ErrorVerdict::Noted {
            self.facts |= Facts::UNREACHABLE;
        }
        verdict
    }
}

/// The same for a passive open whose SYN-ACK begins at `iss`.
pub(crate) fn error_arrives_half_open(error: PathError, seq: Seq, iss: Seq) -> ErrorVerdict {
    if seq == iss { error.of_opening() } else { ErrorVerdict::NotInFlight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Addr;

    fn quoted() -> Quoted {
        let nobody = Addr::UNSPECIFIED_V4;
        Quoted {
            src: nobody,
            dst: nobody,
            src_port: 1,
            dst_port: 2,
            seq: Seq(3),
            protocol: 6,
            len: 40,
        }
    }

    #[test]
    fn rfc9293_3_9_2_2_codes_are_hard_or_soft() {
        let quoted = quoted();
        for code in 0..16 {
            let hard = matches!(code, 2 | 3);
            let expected = if hard { PathError::Hard } else { PathError::Soft };
            let kind = icmp4::Kind::Unreachable { code, quoted };
            assert_eq!(PathError::of_v4(&kind), Some((expected, quoted)), "v4 code {code}");
            let hard = matches!(code, 1 | 4);
            let expected = if hard { PathError::Hard } else { PathError::Soft };
            let kind = icmp6::Kind::Unreachable { code, quoted };
            assert_eq!(PathError::of_v6(&kind), Some((expected, quoted)), "v6 code {code}");
        }
        let soft = Some((PathError::Soft, quoted));
        assert_eq!(PathError::of_v4(&icmp4::Kind::TimeExceeded { code: 0, quoted }), soft);
        assert_eq!(PathError::of_v4(&icmp4::Kind::ParameterProblem { pointer: 0, quoted }), soft);
        assert_eq!(PathError::of_v6(&icmp6::Kind::TimeExceeded { code: 0, quoted }), soft);
    }

    #[test]
    fn only_the_exact_number_concerns_a_half_open_connection() {
        let hard = |seq| error_arrives_half_open(PathError::Hard, Seq(seq), Seq(7));
        assert_eq!(hard(7), ErrorVerdict::Refused);
        assert_eq!(hard(8), ErrorVerdict::NotInFlight);
        let soft = error_arrives_half_open(PathError::Soft, Seq(7), Seq(7));
        assert_eq!(soft, ErrorVerdict::Noted);
    }
}
