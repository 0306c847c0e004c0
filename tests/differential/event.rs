//! What is done to a TCP, in words that mean the same to every TCP: numbers are counted from what
//! it said itself.

use std::fmt;

use crate::segments::path::Family;
use crate::segments::segment::flag_text;

/// Where the tester's sequence number counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeqFrom {
    /// The next that the TCP wants: the last number that it acknowledged.
    Next,
    /// The right edge of the window that it advertised last.
    Edge,
    /// The tester's initial one.
    Start,
}

/// Where the tester's acknowledgement counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckFrom {
    /// All that the TCP has sent.
    Max,
    /// The largest that the tester has acknowledged.
    Una,
}

/// The timestamp of a segment, where the connection has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    Fresh,
    /// So much before the last one.
    Old(u32),
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) flags: u16,
    pub(crate) seq: (SeqFrom, i32),
    pub(crate) ack: (AckFrom, i32),
    pub(crate) len: u16,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) stamp: Stamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Segment(Shape),
    Write(usize),
    Read(usize),
    Shutdown,
    Close,
    /// Close with a reset.
    Abort,
    /// Long enough for one retransmission.
    Wait,
}

/// A conversation: what the tester offers in its SYN, and what then happens.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) seed: u64,
    pub(crate) family: Family,
    /// The TCP connects to the tester; else it listens.
    pub(crate) active: bool,
    /// The tester's initial sequence number.
    pub(crate) start: u32,
    pub(crate) mss: Option<u16>,
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
    pub(crate) timestamps: bool,
    pub(crate) events: Vec<Event>,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} seq {:?}{:+}", flag_text(self.flags), self.seq.0, self.seq.1)?;
        write!(f, " ({}) ack {:?}{:+}", self.len, self.ack.0, self.ack.1)?;
        write!(f, " win {} {:?}", self.window, self.stamp)?;
        if self.urgent > 0 { write!(f, " urg {}", self.urgent) } else { Ok(()) }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Segment(shape) => shape.fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.active { "connects" } else { "listens" };
        write!(f, "seed {}, {}, the TCP {way}; ", self.seed, self.family.name())?;
        write!(f, "the tester's ISN {}, mss {:?}, ", self.start, self.mss)?;
        let (scale, sack, stamps) = (self.scale, self.sack, self.timestamps);
        write!(f, "scale {scale:?}, SACK {sack}, timestamps {stamps}")
    }
}
