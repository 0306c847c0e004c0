//! What a core counts: written by its thread alone, readable by any other at any time.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::app::Close;
use crate::wire::Reject;

/// One thing that is counted. Whatever is dropped is dropped under one of these or a
/// [`Reject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// TCP segments received with a good checksum.
    SegmentsReceived,
    /// TCP segments sent, retransmissions included.
    SegmentsSent,
    /// Segments sent again.
    Retransmissions,
    /// Retransmission timeouts.
    RetransmissionTimeouts,
    /// Losses repaired without a timeout.
    FastRetransmits,
    /// Retransmission timeouts for which nothing was lost (RFC 3522, RFC 5682, DSACK).
    SpuriousTimeouts,
    /// Reductions of the congestion window taken back, since nothing was lost.
    UndoneReductions,
    /// Payload bytes delivered in order.
    BytesReceived,
    /// Payload bytes sent for the first time.
    BytesSent,
    /// SYNs received for a listener of ours.
    SynsReceived,
    /// SYNs answered with a cookie.
    SynCookiesSent,
    /// Connections made from a cookie that came back.
    SynCookiesReceived,
    /// Dropped: ACK for a listener that was to bring a cookie back, but an invalid one or too old.
    SynCookiesFailed,
    /// Connections opened (`on_open` accepted them).
    ConnectionsAccepted,
    /// Connections that we opened.
    ConnectionsConnected,
    /// Connections that the application refused.
    ConnectionsRefused,
    /// RST segments sent.
    ResetsSent,
    /// RST segments that ended a connection.
    ResetsReceived,
    /// Challenge ACKs sent (RFC 5961).
    ChallengeAcks,
    /// Tail loss probes sent (RFC 8985 section 7).
    TailLossProbes,
    /// Zero-window probes sent.
    ZeroWindowProbes,
    /// Keep-alive probes sent.
    KeepAliveProbes,
    /// Segments with payload that came out of order and were kept.
    OutOfOrderSegments,
    /// Connections that agreed on ECN, of either kind.
    EcnConnections,
    /// Of these, those that agreed on AccECN (RFC 9768).
    AccurateEcnConnections,
    /// Segments that arrived marked CE on such a connection.
    CongestionMarksReceived,
    /// ACKs by which a peer reported that segments of ours arrived marked CE.
    CongestionMarksReported,
    /// Congestion windows reduced because of marks.
    CongestionMarkReductions,
    /// Connections on which nothing is sent as ECN-capable: the handshake fell back, or the path
    /// changes what it should not.
    EcnFallbacks,
    /// Segments that claimed other bytes than had come before them: the first ones stay.
    ContradictingSegments,
    /// Times that what lay beyond a hole was forgotten, frames being scarce and the hole unfilled.
    HolesForgotten,
    /// Connections reset because they held frames, frames were scarce, and they did not move.
    StalledResets,
    /// ARP and NDP packets answered.
    NeighbourReplies,
    /// Echo requests answered.
    EchoReplies,
    /// ICMP errors received.
    IcmpErrors,
    /// ICMP errors about a segment in flight that were remembered, and changed nothing.
    IcmpErrorsNoted,
    /// ICMP errors that ended an attempt to connect.
    IcmpErrorsHard,
    /// Dropped: ICMP errors about nothing of ours.
    DropIcmpUnmatched,
    /// Dropped: ICMP errors about a segment that is not in flight (RFC 5927 section 4.1).
    DropIcmpNotInFlight,
    /// Dropped: a path MTU below the minimum, or that the quoted packet doesn't exceed.
    DropPathMtu,
    /// Path MTUs kept until the segment is lost too (RFC 5927 section 7.2).
    PathMtuDeferred,
    /// Connections whose segments became shorter because a router said so.
    PathMtuLowered,
    /// Connections whose segments became shorter because long ones timed out (RFC 4821).
    BlackHoles,
    /// Longer segments sent to see whether they get through.
    PathProbes,
    /// Of these, how many did not.
    PathProbesLost,
    /// And how many did, so that segments became longer.
    PathMtuRaised,
    /// Dropped: segment of no connection and no listener (answered with RST).
    DropNoConnection,
    /// Segments of no connection here, copied to the other cores: a flow changes its queue when its
    /// sender hashes anew after a timeout.
    StraysPassedOn,
    /// Dropped: passed on by another core, and of no connection here either.
    DropStray,
    /// Dropped: addressed to somebody else, or from an address that nobody can have.
    DropNotOurs,
    /// SYNs and last segments of handshakes that found the accept queue full.
    ListenOverflows,
    /// SYNs and last segments of handshakes that were refused, for whatever reason; each counts
    /// under its reason too.
    ListenDrops,
    /// Refused: SYN while the half-open table was full.
    DropHalfOpenFull,
    /// Refused: new connection while there were as many as may be, of this core or this listener.
    DropConnectionsFull,
    /// Refused: new connection while frames were few.
    DropNewcomerFrames,
    /// Refused: new connection from a source that had as many as it may.
    DropSourceFull,
    /// Refused: new connection while the server was shutting down.
    DropDraining,
    /// Dropped: sequence number outside of the window (answered with ACK).
    DropOutOfWindow,
    /// Dropped: timestamp too old (PAWS, RFC 7323 section 5).
    DropPaws,
    /// Dropped: an ACK of what was never sent, or none at all where one must be.
    DropBadAck,
    /// Dropped: RST whose sequence number was not exact (RFC 5961).
    DropBadReset,
    /// Dropped: payload after our application was gone, or after the peer's FIN.
    DropAfterClose,
    /// Dropped: payload for which there was no frame or no window.
    DropNoRoom,
    /// Dropped: payload beyond a hole, when the budget of such was used up.
    DropOutOfOrder,
    /// Dropped: nothing in it was new.
    DropDuplicate,
    /// Not sent: the transmit ring was full.
    DropTransmitFull,
    /// Not sent: no free frame, the reserve included.
    DropNoFrames,
    /// Not sent: the rate limit of unasked replies was hit.
    DropReplyLimit,
    /// Not sent: the next hop's hardware address is unknown.
    DropNoNeighbour,
    /// Messages to connections that were gone.
    DropMessages,
    /// TIME-WAIT entries ended early to make room.
    TimeWaitEvictions,
    /// Turns of the engine.
    Turns,
    /// Turns that found nothing to do.
    IdleTurns,
}

impl Counter {
    /// Number of counters.
    pub const COUNT: usize = Counter::IdleTurns as usize + 1;
}

/// The counters of one core.
#[derive(Debug)]
pub struct Counters {
    counts: [AtomicU64; Counter::COUNT],
    rejects: [AtomicU64; Reject::COUNT],
    closes: [AtomicU64; Close::COUNT],
    connections: AtomicU64,
    half_open: AtomicU64,
    time_wait: AtomicU64,
}

impl Counters {
    /// All zero, to be shared with those who report.
    pub fn new() -> Arc<CachePadded<Counters>> {
        Arc::new(CachePadded::new(Counters {
            counts: [const { AtomicU64::new(0) }; Counter::COUNT],
            rejects: [const { AtomicU64::new(0) }; Reject::COUNT],
            closes: [const { AtomicU64::new(0) }; Close::COUNT],
            connections: AtomicU64::new(0),
            half_open: AtomicU64::new(0),
            time_wait: AtomicU64::new(0),
        }))
    }

    /// The value of one counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize].load(Ordering::Relaxed)
    }

    /// Packets that the parser refused for this reason.
    pub fn rejected(&self, reason: Reject) -> u64 {
        self.rejects[reason as usize].load(Ordering::Relaxed)
    }

    /// Connections that ended for this reason.
    pub fn closed(&self, reason: Close) -> u64 {
        self.closes[reason as usize].load(Ordering::Relaxed)
    }

    /// Open connections now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Half-open connections now.
    pub fn half_open(&self) -> u64 {
        self.half_open.load(Ordering::Relaxed)
    }

    /// Connections in TIME-WAIT now.
    pub fn time_wait(&self) -> u64 {
        self.time_wait.load(Ordering::Relaxed)
    }

    pub(crate) fn inc(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: Counter, n: u64) {
        bump(&self.counts[counter as usize], n);
    }

    pub(crate) fn reject(&self, reason: Reject) {
        bump(&self.rejects[reason as usize], 1);
    }

    pub(crate) fn close(&self, reason: Close) {
        bump(&self.closes[reason as usize], 1);
    }

    pub(crate) fn set_gauges(&self, connections: u32, half_open: u32, time_wait: u32) {
        self.connections.store(u64::from(connections), Ordering::Relaxed);
        self.half_open.store(u64::from(half_open), Ordering::Relaxed);
        self.time_wait.store(u64::from(time_wait), Ordering::Relaxed);
    }
}

/// One thread writes, so a load and a store do; no locked instruction on the path.
fn bump(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}
