//! Explicit congestion notification: what it agrees on, and the classic kind (RFC 3168).
//!
//! | | SYN | SYN-ACK | data | ACK |
//! | --- | --- | --- | --- | --- |
//! | classic | ECE, CWR | ECE | ECT(0), CWR once after a reduction | ECE until CWR comes |
//! | accurate (RFC 9768) | AE, ECE, CWR | the ECN field of the SYN | ECT(0) | a count of CE |
//!
//! Only new data is sent as ECN-capable: no pure ACKs, probes or retransmissions (RFC 3168 sections
//! 6.1.4 to 6.1.6).

use core::fmt;
use core::str::FromStr;

use bitflags::bitflags;

use super::accurate;
use super::congestion::{Algorithm, CongestionControl};
use super::cookie;
use super::outcome::Outcome;
use super::tcb::{Facts, Tcb};
use crate::time::Instant;
use crate::wire::tcp::{AccEcn, Flags, Segment};

/// The values of the ECN field of an IP header (RFC 3168 section 5).
pub(crate) mod codepoint {
    pub(crate) const NOT_ECT: u8 = 0;
    pub(crate) const ECT_1: u8 = 1;
    pub(crate) const ECT_0: u8 = 2;
}

/// What to ask for when opening a connection, and what to agree to when a peer asks. The numbers
/// are those of the sysctl `net.ipv4.tcp_ecn` of Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// Nothing (0): `off`.
    Off,
    /// Asks for classic ECN and agrees to it (1): `classic`.
    Classic,
    /// Asks for nothing, agrees to classic ECN (2): `accept-classic`.
    AcceptClassic,
    /// Asks for AccECN, agrees to both (3): `accurate`.
    Accurate,
    /// Asks for classic ECN, agrees to both (4): `ask-classic`.
    AskClassic,
    /// Asks for nothing, agrees to both (5): `accept`. The default: who asks has found out that his
    /// network lets it pass, and a server learns of congestion before it costs a segment.
    #[default]
    Accept,
}

/// How congestion is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feedback {
    None,
    Classic,
    Accurate,
}

impl Ecn {
    /// All of them, by their numbers.
    pub const ALL: [Ecn; 6] =
        [Ecn::Off, Ecn::Classic, Ecn::AcceptClassic, Ecn::Accurate, Ecn::AskClassic, Ecn::Accept];

    const fn name(self) -> &'static str {
        match self {
            Ecn::Off => "off",
            Ecn::Classic => "classic",
            Ecn::AcceptClassic => "accept-classic",
            Ecn::Accurate => "accurate",
            Ecn::AskClassic => "ask-classic",
            Ecn::Accept => "accept",
        }
    }

    /// What our SYN asks for.
    pub(crate) fn asks(self) -> Feedback {
        match self {
            Ecn::Off | Ecn::AcceptClassic | Ecn::Accept => Feedback::None,
            Ecn::Classic | Ecn::AskClassic => Feedback::Classic,
            Ecn::Accurate => Feedback::Accurate,
        }
    }

    /// Whether we agree to classic ECN.
    pub(crate) fn agrees_to_classic(self) -> bool {
        self.accepts() >= Feedback::Classic
    }

    /// Whether we agree to AccECN.
    pub(crate) fn agrees_to_accurate(self) -> bool {
        self.accepts() == Feedback::Accurate
    }

    /// The most that we agree to.
    pub(crate) fn accepts(self) -> Feedback {
        match self {
            Ecn::Off => Feedback::None,
            Ecn::Classic | Ecn::AcceptClassic => Feedback::Classic,
            Ecn::Accurate | Ecn::AskClassic | Ecn::Accept => Feedback::Accurate,
        }
    }
}

impl Ecn {
    /// The same, asking for what it would agree to.
    pub(super) fn asking(self) -> Ecn {
        match self {
            Ecn::AcceptClassic => Ecn::Classic,
            Ecn::Accept => Ecn::Accurate,
            asking => asking,
        }
    }
}

impl fmt::Display for Ecn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No setting of ECN has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no setting of ecn is called {0:?}: there are off, classic, accept-classic, accurate, \
     ask-classic and accept"
)]
pub struct UnknownEcn(String);

impl FromStr for Ecn {
    type Err = UnknownEcn;

    fn from_str(name: &str) -> Result<Ecn, UnknownEcn> {
        let found = Ecn::ALL.into_iter().find(|ecn| ecn.name() == name);
        found.ok_or_else(|| UnknownEcn(name.to_owned()))
    }
}

bitflags! {
    /// What a connection, open or half-open, knows of ECN. All empty where there is none.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct EcnFacts: u8 {
        /// Feedback as in RFC 3168. Before the handshake is over: asked for.
        const CLASSIC = 1;
        /// Feedback as in RFC 9768. Before the handshake is over: asked for.
        const ACCURATE = 1 << 1;
        /// Nothing of ours may be sent as ECN-capable.
        const NO_ECT = 1 << 2;
        /// CE has come: ECE goes with every ACK until CWR comes.
        const ECHO = 1 << 3;
        /// The window was reduced: CWR goes with the next new data.
        const CWR_DUE = 1 << 4;
        /// AccECN options seem to be lost on the way: none are sent.
        const NO_OPTION = 1 << 5;
        /// The ECN field of the peer's last SYN or SYN-ACK, to be fed back: its lower bit.
        const SYN_ECN_LOW = 1 << 6;
        /// Its upper bit.
        const SYN_ECN_HIGH = 1 << 7;
    }
}

const SYN_ECN_SHIFT: u32 = 6;
const ACE: Flags = Flags::AE.union(Flags::CWR).union(Flags::ECE);
const ASKS_CLASSIC: Flags = Flags::CWR.union(Flags::ECE);

/// SYNs that ask for classic ECN before it is taken for the reason why none is answered (RFC 3168
/// section 6.1.1.1), and those that ask for AccECN (RFC 9768 section 3.1.4.1).
const CLASSIC_SYNS: u8 = 1;
const ACCURATE_SYNS: u8 = 2;

impl EcnFacts {
    /// Whether the connection has ECN of either kind: the one test of those that haven't.
    #[inline]
    pub(crate) fn is_on(self) -> bool {
        self.intersects(EcnFacts::CLASSIC.union(EcnFacts::ACCURATE))
    }

    /// What an opener begins with.
    pub(super) fn asking(ecn: Ecn) -> EcnFacts {
        EcnFacts::of(ecn.asks())
    }

    fn of(feedback: Feedback) -> EcnFacts {
        match feedback {
            Feedback::None => EcnFacts::empty(),
            Feedback::Classic => EcnFacts::CLASSIC,
            Feedback::Accurate => EcnFacts::ACCURATE,
        }
    }

    /// What is agreed to when the peer's SYN has come (RFC 3168 section 6.1.1, RFC 9768 sections
    /// 3.1.1 to 3.1.3).
    pub(super) fn answering(syn: &Segment, ecn: Ecn) -> EcnFacts {
        let asked = match syn.flags & ACE {
            flags if flags.is_empty() => Feedback::None,
            ASKS_CLASSIC => Feedback::Classic,
            // What nobody asks for yet is to be taken for AccECN, by those who know it.
            _ if ecn.accepts() == Feedback::Accurate => Feedback::Accurate,
            flags if flags.contains(ASKS_CLASSIC) => Feedback::Classic,
            _ => Feedback::None,
        };
        EcnFacts::of(asked.min(ecn.accepts())).with_syn_ecn(syn.ecn)
    }

    /// The peer's SYN has crossed ours, sent so many times again: he has agreed to what ours asked
    /// for, if to anything.
    pub(super) fn crossing(self, syn: &Segment, ecn: Ecn, tries: u8) -> EcnFacts {
        let peer = EcnFacts::answering(syn, ecn);
        let both = match (self.kind().min(peer.kind()), tries) {
            (Feedback::Accurate, _) => return peer,
            (Feedback::Classic, 0) => EcnFacts::CLASSIC,
            // RFC 3168 section 6.1.1: no ECT for who may have sent a SYN without.
            (Feedback::Classic, _) => EcnFacts::CLASSIC | EcnFacts::NO_ECT,
            (Feedback::None, _) => EcnFacts::empty(),
        };
        both.with_syn_ecn(syn.ecn)
    }

    fn kind(self) -> Feedback {
        if self.contains(EcnFacts::ACCURATE) {
            Feedback::Accurate
        } else if self.contains(EcnFacts::CLASSIC) {
            Feedback::Classic
        } else {
            Feedback::None
        }
    }

    /// What a cookie keeps of it.
    pub(super) fn in_cookie(self) -> cookie::Ecn {
        if self.contains(EcnFacts::CLASSIC) {
            cookie::Ecn::Classic
        } else if self.contains(EcnFacts::ACCURATE) {
            cookie::Ecn::Accurate
        } else {
            cookie::Ecn::None
        }
    }

    /// From what a cookie has kept.
    pub(super) fn from_cookie(kept: cookie::Ecn, ecn: Ecn) -> EcnFacts {
        EcnFacts::of(match kept {
            cookie::Ecn::Classic if ecn.accepts() >= Feedback::Classic => Feedback::Classic,
            cookie::Ecn::Accurate if ecn.accepts() == Feedback::Accurate => Feedback::Accurate,
            _ => Feedback::None,
        })
    }

    /// A repeated SYN asks for another kind of feedback: no honest peer does, and the two would
    /// misunderstand each other (RFC 9768 section 3.1.5).
    pub(super) fn contradicts(self, syn: &Segment, ecn: Ecn) -> bool {
        let now = EcnFacts::answering(syn, ecn);
        self.is_on() && now.is_on() && self.kind() != now.kind()
    }

    /// A valid SYN has come again.
    pub(super) fn syn_again(&mut self, syn: &Segment) {
        *self = self.with_syn_ecn(syn.ecn);
        if !syn.flags.intersects(ACE) {
            // Its sender may not have meant what we agreed to (RFC 3168 section 6.1.1, RFC 9768
            // section 3.1.5).
            *self |= EcnFacts::NO_ECT;
        }
        *self |= EcnFacts::NO_OPTION;
    }

    /// ECN's flags of our SYN, after so many retransmissions.
    pub(super) fn syn_flags(self, tries: u8) -> Flags {
        if self.contains(EcnFacts::ACCURATE) && tries < ACCURATE_SYNS {
            ACE
        } else if self.contains(EcnFacts::CLASSIC) && tries < CLASSIC_SYNS {
            ASKS_CLASSIC
        } else {
            Flags::empty()
        }
    }

    /// ECN's flags of our SYN-ACK: AccECN feeds back the ECN field of the SYN (RFC 9768 table 2),
    /// and falls back when two went unanswered (section 3.2.3.2.2).
    pub(super) fn syn_ack_flags(self, tries: u8) -> Flags {
        if self.contains(EcnFacts::CLASSIC) {
            Flags::ECE
        } else if self.contains(EcnFacts::ACCURATE) && tries < ACCURATE_SYNS {
            self.handshake_encoding()
        } else {
            Flags::empty()
        }
    }

    /// The ECN field of the peer's SYN or SYN-ACK in three flags (RFC 9768 tables 2 and 3).
    pub(crate) fn handshake_encoding(self) -> Flags {
        match self.syn_ecn() {
            codepoint::NOT_ECT => Flags::CWR,
            codepoint::ECT_1 => Flags::CWR | Flags::ECE,
            codepoint::ECT_0 => Flags::AE,
            _ => Flags::AE | Flags::CWR,
        }
    }

    /// Whether our SYN-ACK may have an AccECN option, after so many retransmissions.
    pub(super) fn syn_ack_option(self, tries: u8) -> Option<AccEcn> {
        let may =
            tries == 0 && self.contains(EcnFacts::ACCURATE) && !self.contains(EcnFacts::NO_OPTION);
        may.then(accurate::first_option)
    }

    /// The flags of an acknowledgement from a connection that keeps no counters yet.
    pub(super) fn first_ack_flags(self) -> Flags {
        let accurate = self.contains(EcnFacts::ACCURATE);
        if accurate { accurate::first_ace() } else { Flags::empty() }
    }

    pub(crate) fn syn_ecn(self) -> u8 {
        self.bits() >> SYN_ECN_SHIFT
    }

    pub(crate) fn with_syn_ecn(self, ecn: u8) -> EcnFacts {
        let low = self.bits() & ((1 << SYN_ECN_SHIFT) - 1);
        EcnFacts::from_bits_retain(low | ecn << SYN_ECN_SHIFT)
    }

    /// The half-open connection after so many retransmissions of its SYN-ACK becomes a whole one.
    pub(super) fn completed(mut self, tries: u8) -> EcnFacts {
        if self.contains(EcnFacts::ACCURATE) && tries >= ACCURATE_SYNS {
            // RFC 9768 section 3.1.5: the peer may know nothing of AccECN.
            self |= EcnFacts::NO_ECT;
        }
        if tries > 0 {
            self |= EcnFacts::NO_OPTION;
        }
        self
    }

    /// What is agreed on, when the SYN-ACK to our SYN has come, after so many retransmissions.
    pub(super) fn answered(self, syn_ack: &Segment, tries: u8) -> EcnFacts {
        let flags = syn_ack.flags & ACE;
        let accurate = self.contains(EcnFacts::ACCURATE);
        // ECN-setup SYN-ACK: RFC 3168 section 6.1.1. AE is not for those who asked for less.
        let classic = if accurate {
            flags == Flags::ECE
        } else {
            self.contains(EcnFacts::CLASSIC) && flags - Flags::AE == Flags::ECE
        };
        if classic {
            let asked = if accurate { ACCURATE_SYNS } else { CLASSIC_SYNS };
            // RFC 3168 section 6.1.1: no ECT for who has sent a SYN without.
            let fell_back = if tries >= asked { EcnFacts::NO_ECT } else { EcnFacts::empty() };
            return EcnFacts::CLASSIC | fell_back;
        }
        // RFC 9768 table 2: all set is a server that only reflects.
        if !accurate || flags.is_empty() || flags == ACE {
            return EcnFacts::empty();
        }
        let mut facts = EcnFacts::ACCURATE.with_syn_ecn(syn_ack.ecn);
        // Section 3.2.2.3: our SYN was not ECN-capable, and should have arrived so. One combination
        // is reserved, and to be taken for that (section 3.1.3).
        if !(flags == Flags::CWR || flags == Flags::AE | Flags::ECE) {
            facts |= EcnFacts::NO_ECT;
        }
        facts
    }
}

impl Tcb {
    /// The ECN field of new data.
    pub(crate) fn ect(&self) -> u8 {
        if self.ecn.contains(EcnFacts::NO_ECT) { codepoint::NOT_ECT } else { codepoint::ECT_0 }
    }

    /// ECN's flags of our SYN or SYN-ACK.
    pub(crate) fn syn_ecn_flags(&self, flags: Flags) -> Flags {
        if flags.contains(Flags::ACK) {
            self.ecn.syn_ack_flags(self.tries)
        } else {
            self.ecn.syn_flags(self.tries)
        }
    }

    /// The AccECN option of our SYN-ACK of a simultaneous open.
    pub(crate) fn syn_ack_option(&self) -> Option<AccEcn> {
        self.ecn.syn_ack_option(self.tries)
    }

    /// What an ACK echoes.
    pub(crate) fn echo_flags(&self) -> Flags {
        if self.ecn.contains(EcnFacts::ECHO) { Flags::ECE } else { Flags::empty() }
    }

    /// What goes with new data only (RFC 3168 section 6.1.2).
    pub(crate) fn cwr_flags(&self) -> Flags {
        if self.ecn.contains(EcnFacts::CWR_DUE) { Flags::CWR } else { Flags::empty() }
    }

    /// CWR was sent.
    pub(crate) fn cwr_sent(&mut self) {
        self.ecn -= EcnFacts::CWR_DUE;
    }

    /// The congestion window was reduced, for whatever reason (RFC 3168 section 6.1.2).
    pub(crate) fn window_reduced(&mut self) {
        if self.ecn.contains(EcnFacts::CLASSIC) {
            self.ecn |= EcnFacts::CWR_DUE;
        }
    }

    /// DCTCP on both sides: ECE says of each ACK whether what it acknowledges was marked.
    fn is_dctcp(&self) -> bool {
        self.congestion.algorithm() == Algorithm::Dctcp
    }

    /// RFC 8257 section 3.2: before the echo changes, what came until now is acknowledged with the
    /// one that it deserves.
    pub(crate) fn owes_echo_of_the_past(&self, segment: &Segment) -> bool {
        let changes = self.ecn.contains(EcnFacts::ECHO) != segment.is_marked();
        self.is_dctcp() && changes && self.last_ack_sent != self.rcv_nxt
    }

    /// RFC 3168 section 6.1.3: what an acceptable segment with payload says of the way here.
    pub(crate) fn classic_data_arrives(&mut self, segment: &Segment) {
        let marked = segment.is_marked();
        if self.is_dctcp() {
            self.ecn.set(EcnFacts::ECHO, marked);
            return;
        }
        if segment.flags.contains(Flags::CWR) {
            self.ecn -= EcnFacts::ECHO;
        }
        if marked && !self.ecn.contains(EcnFacts::ECHO) {
            self.ecn |= EcnFacts::ECHO;
            // The sooner it is known, the better.
            self.facts |= Facts::ACK_NOW;
        }
    }

    /// How much of what an ACK delivers counts as marked (RFC 3168 section 6.1.2).
    pub(crate) fn classic_marked(&self, segment: &Segment, delivered: u32) -> u32 {
        if !segment.flags.contains(Flags::ECE) {
            return 0;
        }
        if self.is_dctcp() {
            return delivered;
        }
        // Until CWR has gone out, ECE is the echo of what was answered already; and with nothing on
        // the way it is nobody's congestion.
        let old = self.ecn.contains(EcnFacts::CWR_DUE) || self.flight() + delivered == 0;
        if old { 0 } else { delivered.max(1) }
    }

    /// Tells the congestion control of an ACK on a connection with ECN: first the marks, then,
    /// unless it reports any, the growth. `delivered`: bytes that it says have arrived. True if the
    /// window was reduced.
    pub(crate) fn take_marks(
        &mut self,
        outcome: &Outcome,
        delivered: u32,
        marked: u32,
        reports: bool,
        now: Instant,
    ) -> bool {
        let flight = self.flight() + outcome.acked;
        let reduced = self.congestion.on_ecn(delivered, marked, flight);
        if reduced {
            self.window_reduced();
        }
        if outcome.grows && !reports {
            self.grow(outcome.acked, flight, now);
        }
        reduced
    }
}

#[cfg(test)]
mod tests;
