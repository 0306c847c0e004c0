//! What an engine is told when it is made: addresses, listeners, limits.

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::app::CoreId;
use crate::tcp::TcpConfig;
use crate::tcp::cookie::CookieKeys;

/// An address of ours on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: IpAddr,
    /// Length of the prefix that is on the link.
    pub prefix_len: u8,
    /// The kernel does not have this address: we answer ARP, NDP and echo requests for it.
    pub owned: bool,
}

/// Where to accept connections. An unspecified address means all of ours of that family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port.
    pub at: SocketAddr,
}

/// What to do with a SYN, or with the last segment of a handshake, for which there is no room: in
/// the half-open table, in the accept queue, or in a budget of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Say nothing: the peer tries again (what Linux does by default). A handshake that can't be
    /// completed now stays half open.
    #[default]
    Drop,
    /// Answer with RST: the peer knows at once (`tcp_abort_on_overflow` of Linux, and for SYNs
    /// too).
    Reset,
}

/// When SYNs are answered with cookies, which keep no state: see [`cookie`](crate::tcp::cookie).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SynCookies {
    /// Never: a SYN that finds the half-open table full is an [`Overflow`].
    Off,
    /// Beyond [`Limits::syn_cookies_at`] half-open connections.
    #[default]
    Auto,
    /// Always.
    Always,
}

/// Everything about SYN cookies.
#[derive(Clone, Debug, Default)]
pub struct CookieConfig {
    /// When.
    pub when: SynCookies,
    /// What to do with an ACK for a listener that brings no valid cookie back, in the two minutes
    /// after a cookie was sent. At other times it is answered with RST (RFC 9293 section 3.10.7.2).
    ///
    /// Default: nothing is said. If the first data segment of a client is lost together with the
    /// ACK before it, the next one is such an ACK, and a RST would end an honest handshake.
    pub bad_ack: Overflow,
    /// The keys, shared with the other cores, with the driver and perhaps with other machines.
    /// `None`: one key, made from the [secret](EngineConfig::secret).
    pub keys: Option<Arc<CookieKeys>>,
}

/// The named maximum of every table, queue and loop of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: u32,
    /// Of these, as many as one listener may have accepted. Default: no limit of its own.
    pub connections_per_listener: u32,
    /// Connections that peers of one [source](Limits::source_prefix) may have opened, so that none
    /// of them has all. Only completed handshakes count: nobody can use up another's share with
    /// forged SYNs. Default: no limit.
    pub connections_per_source: u32,
    /// Leading bits of an IPv4 address that make a source, 24 to 32. Of IPv6 it is always 64.
    pub source_prefix: u8,
    /// Frames that must be free, the reserve not counted, for a new connection to be let in: with
    /// fewer there would be none for what it sends. Never more than a sixteenth of the pool. 0: no
    /// such limit.
    pub newcomer_frames: u32,
    /// Connections whose handshake is not complete, per listener (`max_half_open`).
    pub half_open: u32,
    /// Half-open connections of a listener from which on its SYNs are answered with cookies, if
    /// they may be.
    pub syn_cookies_at: u32,
    /// Connections that are established and wait for `on_open`, per listener. They wait longer than
    /// a turn only while accepting is paused.
    pub backlog: u32,
    /// Connections in TIME-WAIT; the oldest makes room.
    pub time_wait: u32,
    /// Frames received in one turn.
    pub batch: u32,
    /// Timers fired in one turn.
    pub timers_per_turn: u32,
    /// Frames of segments that wait for earlier ones, of all connections together, and never more
    /// than a quarter of the pool. One connection may take as many as are left. With zero nothing
    /// is kept: a sender must go back and send everything behind a loss again.
    pub out_of_order: u32,
    /// Once more than half of the frames for payload are taken: in this time a peer must take an
    /// eighth of what is held for it, or is reset.
    pub patience: Duration,
    /// Messages delivered in one turn.
    pub messages_per_turn: u32,
    /// Messages waiting for this core.
    pub mailbox: u32,
    /// Next hops known.
    pub neighbours: u32,
    /// Destinations whose path takes less than our link.
    pub paths: u32,
    /// RST segments and challenge ACKs per second that answer nothing of ours, at most; half of
    /// them at least, how many is drawn anew each second (RFC 5961 section 7).
    pub replies_per_second: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 65_536,
            connections_per_listener: u32::MAX,
            connections_per_source: u32::MAX,
            source_prefix: 32,
            newcomer_frames: 64,
            half_open: 4_096,
            syn_cookies_at: 2_048,
            backlog: 1_024,
            time_wait: 65_536,
            batch: 64,
            timers_per_turn: 256,
            out_of_order: 4_096,
            patience: Duration::from_secs(10),
            messages_per_turn: 256,
            mailbox: 4_096,
            neighbours: 1_024,
            paths: 1_024,
            replies_per_second: 1_000,
        }
    }
}

/// Everything an engine is told.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Which core of the server this engine is.
    pub core: CoreId,
    /// Our addresses on the link.
    pub addresses: Vec<LocalAddress>,
    /// Next hops for what is not on the link, one for each family.
    pub gateways: Vec<IpAddr>,
    /// Hardware addresses known beforehand, as from the kernel's neighbour table.
    pub neighbours: Vec<(IpAddr, [u8; 6])>,
    /// Where to accept.
    pub listeners: Vec<Listen>,
    /// Ports for connections that we open and whose port is not given.
    pub ephemeral_ports: core::ops::RangeInclusive<u16>,
    /// What happens when a queue is full.
    pub overflow: Overflow,
    /// When handshakes keep no state.
    pub cookies: CookieConfig,
    /// The protocol's settings.
    pub tcp: TcpConfig,
    /// The maxima.
    pub limits: Limits,
    /// Keys of the connection hash and of initial sequence numbers: random, secret, one per start.
    pub secret: [u8; 32],
}

impl EngineConfig {
    /// Defaults with no addresses and no listeners.
    pub fn new(secret: [u8; 32]) -> EngineConfig {
        EngineConfig {
            core: CoreId::default(),
            addresses: Vec::new(),
            gateways: Vec::new(),
            neighbours: Vec::new(),
            listeners: Vec::new(),
            ephemeral_ports: 49_152..=65_535,
            overflow: Overflow::default(),
            cookies: CookieConfig::default(),
            tcp: TcpConfig::default(),
            limits: Limits::default(),
            secret,
        }
    }
}
