//! Segments for which there is no connection: the states CLOSED and LISTEN.

use crate::wire::Seq;
use crate::wire::tcp::{Flags, Segment};

/// A RST for a segment that belongs to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) seq: Seq,
    /// Set if the RST acknowledges.
    pub(crate) ack: Option<Seq>,
}

/// CLOSED (RFC 9293 section 3.10.7.1): everything but a RST is answered with one.
pub(crate) fn closed(segment: &Segment) -> Option<Reset> {
    if segment.flags.contains(Flags::RST) {
        return None;
    }
    Some(if segment.flags.contains(Flags::ACK) {
        Reset { seq: segment.ack, ack: None }
    } else {
        Reset { seq: Seq(0), ack: Some(segment.seq + segment.seg_len()) }
    })
}

/// What a segment means to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A SYN: a connection may begin.
    Syn,
    /// An ACK that nothing of ours can have asked for.
    Reset(Reset),
    Ignore,
}

/// LISTEN (RFC 9293 section 3.10.7.2).
pub(crate) fn listen(segment: &Segment) -> Listen {
    // First: check for a RST.
    if segment.flags.contains(Flags::RST) {
        return Listen::Ignore;
    }
    // Second: check for an ACK.
    if segment.flags.contains(Flags::ACK) {
        return Listen::Reset(Reset { seq: segment.ack, ack: None });
    }
    // Third: check for a SYN. SYN with FIN is nothing that an honest peer sends.
    if segment.flags.contains(Flags::SYN) && !segment.flags.contains(Flags::FIN) {
        return Listen::Syn;
    }
    Listen::Ignore
}
