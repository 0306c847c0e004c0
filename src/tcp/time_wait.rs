//! TIME-WAIT, compact: RFC 9293 section 3.4.2 and 3.10.7.4, RFC 1337, RFC 6191.

use super::outcome::Drop;
use super::tcb::{Facts, Tcb, timestamp_clock};
use crate::time::Instant;
use crate::wire::Seq;
use crate::wire::tcp::{Flags, Options, Segment, Timestamps};

/// The flags of ECN are those from this bit on, and no more than three.
const ECN_SHIFT: u32 = Flags::ECE.bits().trailing_zeros();
/// Beside them: timestamps in every segment.
const TIMESTAMPS: u8 = 1 << 7;

/// What is left of a connection in TIME-WAIT.
///
/// Packed: 19 bytes, and none lost to alignment where it lies among others.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed)]
pub(crate) struct TimeWait {
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    ts_recent: u32,
    ts_offset: u32,
    /// Window field of the last ACK.
    pub(crate) window: u16,
    /// What the flags of ECN said last, shifted to the lowest bits; and [`TIMESTAMPS`].
    facts: u8,
}

/// What a segment means in TIME-WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeWaitVerdict {
    /// Acknowledge; the wait starts over, as the peer sent its FIN again.
    Restart,
    /// Acknowledge what is not acceptable.
    Answer(Drop),
    /// A new SYN that can't be of the old connection: forget this one and let it in.
    Reuse,
    Ignore(Drop),
}

impl TimeWait {
    /// `ecn`: the flags by which the connection's last ACK reports marks.
    pub(crate) fn new(tcb: &Tcb, window: u16, ecn: Flags) -> TimeWait {
        let timestamps = if tcb.has(Facts::TIMESTAMPS) { TIMESTAMPS } else { 0 };
        TimeWait {
            snd_nxt: tcb.snd_max,
            rcv_nxt: tcb.rcv_nxt,
            ts_recent: tcb.ts_recent,
            ts_offset: tcb.ts_offset,
            window,
            facts: (ecn.bits() >> ECN_SHIFT) as u8 | timestamps,
        }
    }

    /// Control bits of our ACK.
    pub(crate) fn flags(&self) -> Flags {
        let ecn = self.facts & !TIMESTAMPS;
        Flags::ACK | Flags::from_bits_truncate(u16::from(ecn) << ECN_SHIFT)
    }

    /// Options of our ACK.
    pub(crate) fn options(&self, now: Instant) -> Options {
        let timestamps = self.has_timestamps().then(|| Timestamps {
            value: timestamp_clock(now).wrapping_add(self.ts_offset),
            echo: self.ts_recent,
        });
        Options { timestamps, ..Options::default() }
    }

    /// SEGMENT ARRIVES in TIME-WAIT.
    pub(crate) fn segment_arrives(&self, segment: &Segment) -> TimeWaitVerdict {
        let (flags, rcv_nxt) = (segment.flags, self.rcv_nxt);
        if flags.contains(Flags::RST) {
            // RFC 1337: a RST must not end the wait.
            return TimeWaitVerdict::Ignore(Drop::BadReset);
        }
        if flags.contains(Flags::SYN) {
            return if !flags.contains(Flags::ACK) && self.is_new(segment) {
                TimeWaitVerdict::Reuse
            } else {
                TimeWaitVerdict::Answer(Drop::OutOfWindow)
            };
        }
        let is_fin =
            flags.contains(Flags::FIN) && segment.seq + segment.payload_len.into() + 1 == rcv_nxt;
        if is_fin {
            TimeWaitVerdict::Restart
        } else if segment.seg_len() == 0 && segment.seq == rcv_nxt {
            // The peer's ACK of our FIN, late or again: nothing to say, or two of us would go on.
            TimeWaitVerdict::Ignore(Drop::Duplicate)
        } else {
            TimeWaitVerdict::Answer(Drop::OutOfWindow)
        }
    }

    fn has_timestamps(&self) -> bool {
        self.facts & TIMESTAMPS != 0
    }

    /// RFC 6191 section 2: a later timestamp, or a higher sequence number.
    fn is_new(&self, syn: &Segment) -> bool {
        match syn.options.timestamps {
            Some(timestamps) if self.has_timestamps() => {
                Seq(timestamps.value).after(Seq(self.ts_recent))
                    || timestamps.value == self.ts_recent && syn.seq.after(self.rcv_nxt)
            }
            _ => syn.seq.after(self.rcv_nxt),
        }
    }
}
