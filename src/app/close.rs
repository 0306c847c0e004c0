//! How connections begin and end.

use std::net::SocketAddr;

use super::conn_id::ConnId;

/// Which side opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The peer did: a listener of ours accepted it.
    Accepted,
    /// We did, by [`Core::connect`](super::Core::connect) with this token.
    Connected {
        /// The caller's own name for the request.
        token: u64,
    },
}

/// Who is at the other end of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Name of the connection, good until its `on_close`.
    pub id: ConnId,
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// Which side opened it.
    pub role: Role,
}

/// An application's refusal of a new connection: it is reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refuse;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// Both sides finished and everything was delivered.
    Finished,
    /// The peer reset it.
    Reset,
    /// The application aborted it.
    Aborted,
    /// The peer stopped acknowledging: retransmissions, probes or keep-alives ran out
    /// (RFC 9293 section 3.8.3, R2).
    TimedOut,
    /// The same, and the last that was heard was an ICMP error, or no answer ever came to ARP or
    /// neighbour discovery: there is no way to the peer now.
    Unreachable,
    /// A connection attempt was answered by a reset, or by an ICMP error that says that nobody is
    /// there.
    Refused,
    /// The server is shutting down and its drain time is over.
    Drained,
    /// A limit of this machine was hit: no slot, no port, no route.
    NoResources,
}

/// What an application may want to know of a connection that goes on (RFC 9293 section 3.9.1.8).
///
/// On kernel sockets there are none: the kernel keeps this to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Notice {
    /// The peer does not answer: the same data was sent again three times (RFC 9293 section 3.8.3,
    /// R1). The connection is given up after the user timeout, R2.
    Stalled,
}

impl Close {
    /// Number of reasons.
    pub const COUNT: usize = 8;
    /// All reasons, in the order of `as usize`.
    pub const ALL: [Close; Close::COUNT] = [
        Close::Finished,
        Close::Reset,
        Close::Aborted,
        Close::TimedOut,
        Close::Unreachable,
        Close::Refused,
        Close::Drained,
        Close::NoResources,
    ];

    /// Name in reports, snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Close::Finished => "finished",
            Close::Reset => "reset",
            Close::Aborted => "aborted",
            Close::TimedOut => "timed_out",
            Close::Unreachable => "unreachable",
            Close::Refused => "refused",
            Close::Drained => "drained",
            Close::NoResources => "no_resources",
        }
    }
}
