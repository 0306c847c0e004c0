//! AccECN (RFC 9768): counts instead of one bit. What a connection keeps for it, beside the others.

use super::ecn::codepoint;
use crate::wire::Seq;
use crate::wire::tcp::{AccEcn, AccEcnOrder, Flags, Segment};

/// What the three bits of ACE count up to, and what the counters of an option do.
const ACE_MASK: u32 = 7;
const COUNTER_MASK: u32 = 0xff_ffff;
/// Counters do not begin at zero, so that those that were zeroed on the way are known (RFC 9768
/// section 3.2.1).
const CEP_START: u32 = 5;
const ECT_START: u32 = 1;
/// Options sent though no counter has moved, to see whether they pass: with the ACK of the SYN-ACK
/// and with the first data (section 3.2.3.2.1).
const OPENERS_TESTS: u8 = 2;
/// Marks after which an ACK goes at once: with data unacknowledged, or without (section 3.2.2.5.1).
const MARKS_WITH_DATA: u32 = 2;
const MARKS_WITHOUT: u32 = 3;
/// Segments in a row that came again though they were acknowledged with an option: by then options
/// seem to be what is lost (section 3.2.3.2.2).
const REPEATS: u8 = 2;

/// What is known of the options that the peer sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Options {
    #[default]
    Unseen,
    Good,
    /// Zeroed on the way (section 3.2.3.2.4).
    Bad,
}

/// The counters of a connection with AccECN: `r` are ours as receiver, `s` what we know of the
/// peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accurate {
    r_cep: u32,
    r_ceb: u32,
    r_e0b: u32,
    r_e1b: u32,
    s_cep: u32,
    s_ceb: u32,
    /// Bytes taken for marked since s.ceb was last told.
    estimated: u32,
    /// r.cep in the last ACK.
    told_cep: u32,
    /// The peer's last timestamp.
    last_timestamp: Option<u32>,
    options: Options,
    /// Options that are to go whatever they say.
    tests: u8,
    repeats: u8,
    /// The last packet was marked.
    was_marked: bool,
    /// A byte counter has moved since the last option.
    moved: bool,
    /// The last ACK had an option.
    had_option: bool,
    /// No feedback has come since the handshake; of the opener, its own last segment.
    first: bool,
    /// The next pure ACK is that of the SYN-ACK, and reflects its ECN field.
    pub(crate) reflects: bool,
    /// The peer's feedback is not to be believed.
    deaf: bool,
}

/// What an ACK tells of what we sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Bytes that arrived marked, or as many as are taken for it.
    pub(crate) marked: u32,
    /// The path, or the peer, changes what it should not: nothing may be sent as ECN-capable.
    pub(crate) mangled: bool,
}

/// What an ACK is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Bytes that it says have arrived.
    pub(crate) delivered: u32,
    pub(crate) mss: u32,
    /// The connection was opened by the peer.
    pub(crate) accepted: bool,
}

impl Progress {
    /// How many segments that is.
    fn segments(&self) -> u32 {
        self.delivered.div_ceil(self.mss.max(1))
    }
}

impl Default for Accurate {
    fn default() -> Accurate {
        Accurate {
            r_cep: CEP_START,
            r_ceb: 0,
            r_e0b: ECT_START,
            r_e1b: ECT_START,
            s_cep: CEP_START,
            s_ceb: 0,
            estimated: 0,
            told_cep: CEP_START,
            last_timestamp: None,
            options: Options::Unseen,
            tests: 0,
            repeats: 0,
            was_marked: false,
            moved: false,
            had_option: false,
            first: true,
            reflects: false,
            deaf: false,
        }
    }
}

/// The ACE field.
fn ace(flags: Flags) -> u32 {
    let bit = |flag, value| if flags.contains(flag) { value } else { 0 };
    bit(Flags::AE, 4) | bit(Flags::CWR, 2) | bit(Flags::ECE, 1)
}

/// The flags of an ACE field.
fn ace_flags(count: u32) -> Flags {
    let mut flags = Flags::empty();
    flags.set(Flags::AE, count & 4 != 0);
    flags.set(Flags::CWR, count & 2 != 0);
    flags.set(Flags::ECE, count & 1 != 0);
    flags
}

/// The flags of the counter at its start, for who keeps none yet.
pub(super) fn first_ace() -> Flags {
    ace_flags(CEP_START)
}

/// The option of a SYN-ACK: every counter at its start.
pub(super) fn first_option() -> AccEcn {
    AccEcn::new(AccEcnOrder::Ect0First, &[ECT_START, 0, ECT_START])
}

impl Accurate {
    /// That of an opener, whose SYN-ACK has come. One marked SYN-ACK counts (section 3.2.2.2).
    pub(crate) fn opener(syn_ack: &Segment) -> Accurate {
        let mut new = Accurate { reflects: true, tests: OPENERS_TESTS, ..Accurate::default() };
        new.r_cep += u32::from(syn_ack.is_marked());
        new.judge_option(syn_ack.options.accecn);
        new
    }

    /// The SYN-ACK has come again.
    pub(crate) fn syn_ack_again(&mut self, syn_ack: &Segment) {
        self.reflects = true;
        if syn_ack.is_marked() && self.r_cep == CEP_START {
            self.r_cep += 1;
        }
    }

    /// An acceptable segment without SYN came (section 3.2). True if an ACK must go at once
    /// (section 3.2.2.5.1); `unacknowledged`: there are bytes that it would acknowledge.
    pub(crate) fn arrives(&mut self, segment: &Segment, unacknowledged: bool) -> bool {
        let len = u32::from(segment.payload_len);
        let marked = segment.is_marked();
        self.r_cep = self.r_cep.wrapping_add(u32::from(marked));
        let counter = match segment.ecn {
            codepoint::NOT_ECT => None,
            codepoint::ECT_0 => Some(&mut self.r_e0b),
            codepoint::ECT_1 => Some(&mut self.r_e1b),
            _ => Some(&mut self.r_ceb),
        };
        if let Some(counter) = counter.filter(|_| len > 0) {
            *counter = counter.wrapping_add(len);
            self.moved = true;
        }
        let changes = marked && !self.was_marked && len > 0;
        self.was_marked = marked;
        let enough = if unacknowledged { MARKS_WITH_DATA } else { MARKS_WITHOUT };
        changes || self.r_cep.wrapping_sub(self.told_cep) >= enough
    }

    /// Data came again that was acknowledged. True if options should no longer be sent.
    pub(crate) fn repeated(&mut self) -> bool {
        self.repeats = if self.had_option { self.repeats.saturating_add(1) } else { 0 };
        self.repeats >= REPEATS
    }

    /// The ACE field of what is sent.
    pub(crate) fn ace(&self) -> Flags {
        ace_flags(self.r_cep)
    }

    /// The option that what is sent should have: every counter that has ever moved, the fewest that
    /// include them (section 3.2.3.3).
    pub(crate) fn option(&self) -> Option<AccEcn> {
        if !self.moved && self.tests == 0 {
            return None;
        }
        let ect_0 = self.r_e0b != ECT_START;
        let ect_1 = self.r_e1b != ECT_START;
        let (order, counters) = if ect_1 && !ect_0 {
            (AccEcnOrder::Ect1First, [self.r_e1b, self.r_ceb, self.r_e0b])
        } else {
            (AccEcnOrder::Ect0First, [self.r_e0b, self.r_ceb, self.r_e1b])
        };
        let count = match (ect_0 && ect_1, self.r_ceb != 0) {
            // A test tells them all.
            _ if !self.moved => 3,
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => 1,
        };
        Some(AccEcn::new(order, &counters[..count]))
    }

    /// A segment that acknowledges was sent.
    pub(crate) fn told(&mut self, option: bool, reflected: bool) {
        self.told_cep = self.r_cep;
        self.had_option = option;
        if option {
            self.moved = false;
            self.tests = self.tests.saturating_sub(1);
        }
        if reflected {
            self.reflects = false;
        }
    }

    /// What an ACK without SYN reports. One that neither acknowledges anything new nor was sent
    /// later than what came before it has been overtaken, and says nothing (appendix A.1).
    pub(crate) fn feedback(&mut self, ack: &Segment, progress: &Progress) -> Feedback {
        let field = ace(ack.flags);
        if self.first {
            self.first = false;
            self.judge_option(ack.options.accecn);
            let pure = ack.payload_len == 0 && ack.options.sack.is_empty();
            if progress.accepted && pure {
                return self.handshake_feedback(field, progress);
            }
            if field == 0 {
                // Section 3.2.2.4: it was zeroed, or the peer has no ECN after all.
                self.deaf = true;
                return Feedback { marked: 0, mangled: true };
            }
        }
        let later = self.is_later(ack);
        if self.deaf || progress.delivered == 0 && !later {
            return Feedback::default();
        }
        self.judge_option(ack.options.accecn);
        let option = ack.options.accecn.filter(|_| self.options == Options::Good);
        let reported = option.and_then(|option| option.ce());
        let bytes = reported.map(|ceb| ceb.wrapping_sub(self.s_ceb) & COUNTER_MASK);
        // Half of the range ahead is behind: overtaken after all.
        let bytes = bytes.filter(|bytes| *bytes <= COUNTER_MASK / 2);
        let least = field.wrapping_sub(self.s_cep) & ACE_MASK;
        // An option without this counter leaves it out because it did not move.
        let packets = safe_increment(least, bytes.or(option.map(|_| 0)), progress);
        self.s_cep = self.s_cep.wrapping_add(packets);
        self.s_ceb = self.s_ceb.wrapping_add(bytes.unwrap_or(0));
        let Some(bytes) = bytes else {
            let marked = packets.saturating_mul(progress.mss);
            self.estimated = self.estimated.saturating_add(marked);
            return Feedback { marked, mangled: false };
        };
        let estimated = core::mem::take(&mut self.estimated);
        // Section 3.2.3.2.5: bytes without packets, and no doubt about the packets.
        let certain = progress.segments() <= ACE_MASK && estimated == 0;
        let mangled = certain && packets == 0 && bytes > 0;
        Feedback { marked: bytes.saturating_sub(estimated), mangled }
    }

    /// The ACK of our SYN-ACK, which was not ECN-capable (sections 3.2.2.1 and 3.2.2.3, table 4).
    fn handshake_feedback(&mut self, field: u32, progress: &Progress) -> Feedback {
        match field {
            0 => {
                self.deaf = true;
                Feedback { marked: 0, mangled: true }
            }
            // CE.
            6 => {
                self.s_cep = self.s_cep.wrapping_add(1);
                Feedback { marked: progress.mss, mangled: true }
            }
            // ECT(1), ECT(0).
            3 | 4 => Feedback { marked: 0, mangled: true },
            // Not ECT, and what is not used yet.
            _ => Feedback::default(),
        }
    }

    fn is_later(&mut self, ack: &Segment) -> bool {
        let Some(timestamps) = ack.options.timestamps else { return false };
        let last = self.last_timestamp;
        let later = last.is_none_or(|last| Seq(timestamps.value).after(Seq(last)));
        if later {
            self.last_timestamp = Some(timestamps.value);
        }
        later
    }

    /// The first option tells whether they come through (section 3.2.3.2.4).
    fn judge_option(&mut self, option: Option<AccEcn>) {
        let Some(option) = option.filter(|_| self.options == Options::Unseen) else { return };
        let zeroed = option.ect_0() == Some(0) || option.ect_1() == Some(0);
        self.options = if zeroed { Options::Bad } else { Options::Good };
    }
}

/// By how much s.cep goes on if ACE did by `least` or by eight more each time round: the worst that
/// is likely (appendices A.2.1 and A.2.2). `bytes` are what an option says were marked.
fn safe_increment(least: u32, bytes: Option<u32>, progress: &Progress) -> u32 {
    // Appendix A.2.2: segments half as large as full ones are still likely.
    const SAFETY: u32 = 2;
    let segments = progress.segments();
    if segments <= ACE_MASK || least > segments {
        return least;
    }
    let safest = segments - ((segments - least) & ACE_MASK);
    let Some(bytes) = bytes else { return safest };
    if bytes == 0 {
        return least;
    }
    let fits = least > 0 && bytes / least <= progress.mss;
    if fits && bytes / safest < progress.mss / SAFETY { least } else { safest }
}

#[cfg(test)]
mod tests;
