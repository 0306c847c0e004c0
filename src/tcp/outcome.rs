//! What a segment did to a connection.

use super::congestion::Prior;
use crate::wire::Seq;

/// Payload to be kept, cut to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Bytes of the segment's payload to leave out at its front.
    pub(crate) skip: u16,
    /// Bytes to keep.
    pub(crate) len: u16,
    /// Sequence number of the first byte kept.
    pub(crate) seq: Seq,
}

/// What the RFC asks us to answer at once. An ACK that may wait is the connection's own affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    #[default]
    Nothing,
    /// `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>` to a segment that was not acceptable.
    Ack,
    /// The same as a challenge (RFC 5961), counted and limited apart.
    Challenge,
    /// `<SEQ=seq><CTL=RST>`: to a segment with an ACK that cannot be.
    Reset { seq: Seq },
}

/// What became of the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Event {
    #[default]
    Nothing,
    /// The handshake of an active or simultaneous open is complete.
    Opened,
    /// The peer reset the connection.
    Reset,
    /// The peer refused the connection that we asked for.
    Refused,
    /// Both sides are finished and acknowledged: LAST-ACK to CLOSED.
    Closed,
    /// The connection is in TIME-WAIT now.
    TimeWait,
}

/// Why (part of) a segment was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    OutOfWindow,
    Paws,
    BadAck,
    BadReset,
    AfterClose,
    Duplicate,
}

/// Everything a segment did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Bytes at the front of the send queue that are acknowledged now.
    pub(crate) acked: u32,
    /// The congestion window may grow by it: left to whoever knows of marks, on a connection with
    /// ECN.
    pub(crate) grows: bool,
    /// Payload for the receive queue, in order or not.
    pub(crate) payload: Option<Payload>,
    /// Where the peer's FIN is, if the segment has it, perhaps behind a hole.
    pub(crate) fin: Option<Seq>,
    pub(crate) event: Event,
    pub(crate) answer: Answer,
    pub(crate) drop: Option<Drop>,
    /// There is an urgent pointer to be looked at.
    pub(crate) urgent: bool,
    /// The segment at SND.UNA is lost: send it again now, whatever the window.
    pub(crate) retransmit: bool,
    /// The window was reduced, without SACK, from this.
    pub(crate) reduced: Option<Prior>,
    /// A duplicate ACK by RFC 5681 section 2; only without SACK.
    pub(crate) duplicate: bool,
}

impl Outcome {
    /// Says that the segment, or the rest of it, is dropped.
    pub(crate) fn refuse(&mut self, why: Drop, answer: Answer) {
        (self.drop, self.answer) = (Some(why), answer);
    }
}
