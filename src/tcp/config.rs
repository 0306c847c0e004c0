//! The protocol's settings. Defaults are for servers on fast networks.

use core::time::Duration;

use super::congestion::Algorithm;
use super::ecn::Ecn;

/// How connections behave. One value for all connections of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// Send small segments at once (RFC 9293 section 3.7.4 calls the opposite the Nagle algorithm).
    pub no_delay: bool,
    /// How long an ACK may wait for company: at most 500 ms (RFC 9293 section 3.8.6.3, MUST-40).
    pub delayed_ack: Duration,
    /// Retransmission timeout before the first measurement (RFC 6298 section 2.1).
    pub rto_initial: Duration,
    /// Floor of the retransmission timeout. RFC 6298 (2.4) says 1 s; 200 ms is what Linux uses.
    pub rto_min: Duration,
    /// Ceiling of the retransmission timeout: at least 60 s (RFC 6298 section 2.5).
    pub rto_max: Duration,
    /// SYN-ACK retransmissions before a connection that a peer opens is forgotten: few, for a flood
    /// of SYNs makes us keep as many.
    pub syn_retries: u8,
    /// SYN retransmissions before a connection that we open is given up: those of three minutes at
    /// least (RFC 9293 section 3.8.3, MUST-23). The application may cancel earlier.
    pub connect_retries: u8,
    /// R2: how long data may stay unacknowledged before the connection is given up; at least 100 s
    /// (RFC 9293 section 3.8.3, MUST-20, SHLD-11). `Duration::MAX` for no end. An application may
    /// set another for one connection.
    pub user_timeout: Duration,
    /// Tell the peer our user timeout when the application sets it, and let the peer's change ours,
    /// within these limits (RFC 5482). `None`, the default, for neither.
    pub user_timeout_option: Option<UserTimeoutLimits>,
    /// Idle time before the first keep-alive. `None`, the default, for none (RFC 9293 section
    /// 3.8.4, MUST-25); if there are any, two hours or more (MUST-28).
    pub keep_alive: Option<Duration>,
    /// Time between keep-alive probes.
    pub keep_alive_interval: Duration,
    /// Unanswered keep-alive probes before the connection is given up.
    pub keep_alive_probes: u8,
    /// Length of TIME-WAIT: 2 MSL (RFC 9293 section 3.4.2), at most four minutes.
    pub time_wait: Duration,
    /// How long the peer may be silent after it has acknowledged our FIN, before keep-alive probes
    /// ask whether it still lives. A half-closed connection may last (RFC 9293 section 3.6): one
    /// that should not is the application's to abort, by its timer.
    pub fin_wait_2: Duration,
    /// Bytes that a peer may have on the way or unread: the receive window.
    pub receive_buffer: u32,
    /// Bytes that an application may have queued, sent or not.
    pub send_buffer: u32,
    /// Offer and accept timestamps (RFC 7323 section 3).
    pub timestamps: bool,
    /// Offer and accept selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Offer and accept window scaling (RFC 7323 section 2).
    pub window_scaling: bool,
    /// Find out what no router tells: try shorter segments when full ones keep timing out, and
    /// every ten minutes a longer one where they are short (RFC 4821).
    pub path_mtu_probing: bool,
    /// How the sending rate follows what the network can carry, for connections opened from now on.
    pub congestion: Algorithm,
    /// Spread what the congestion window allows over the round trip, instead of sending it as soon
    /// as it allows it. BBR does in any case, the others only if this is set.
    pub pacing: bool,
    /// Explicit congestion notification: whether to ask for it, and what to agree to. With DCTCP,
    /// which is nothing without, it is asked for wherever it would be agreed to.
    pub ecn: Ecn,
    /// Least time between two answers to what a connection can't accept and what has neither data
    /// nor FIN: two ends that disagree must not answer each other for ever (RFC 5961 section 7).
    pub answer_interval: Duration,
    /// Time to live, or hop limit, of what we send (RFC 9293 section 3.9.2, MUST-49).
    pub hop_limit: u8,
    /// Differentiated Services code point of what we send, 0 to 63. An application may set another
    /// for one connection (RFC 9293 section 3.9.1.9, MUST-48).
    pub dscp: u8,
    /// Largest segment to use, whatever the link and the peer allow.
    pub mss_clamp: Option<u16>,
}

/// What a peer may make of a connection's user timeout (RFC 5482 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserTimeoutLimits {
    /// L_LIMIT: it becomes no shorter; 100 s or more, and longer than any retransmission timeout.
    pub shortest: Duration,
    /// U_LIMIT: it becomes no longer.
    pub longest: Duration,
}

impl Default for UserTimeoutLimits {
    fn default() -> UserTimeoutLimits {
        let (shortest, longest) = (Duration::from_secs(120), Duration::from_secs(3_600));
        UserTimeoutLimits { shortest, longest }
    }
}

impl TcpConfig {
    /// Two maximum segment lifetimes of two minutes each (RFC 9293 section 3.4.2).
    pub(crate) const LONGEST_TIME_WAIT: Duration = Duration::from_secs(240);
}

impl Default for TcpConfig {
    fn default() -> TcpConfig {
        TcpConfig {
            no_delay: true,
            delayed_ack: Duration::from_millis(40),
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            syn_retries: 5,
            connect_retries: 7,
            user_timeout: Duration::from_secs(300),
            user_timeout_option: None,
            keep_alive: None,
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_probes: 9,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            receive_buffer: 256 << 10,
            send_buffer: 256 << 10,
            timestamps: true,
            sack: true,
            window_scaling: true,
            path_mtu_probing: true,
            congestion: Algorithm::default(),
            pacing: false,
            ecn: Ecn::default(),
            answer_interval: Duration::from_millis(500),
            hop_limit: 64,
            dscp: 0,
            mss_clamp: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9293_3_8_the_defaults_are_those_that_the_rfc_asks_for() {
        let config = TcpConfig::default();
        // MUST-25, SHLD-11, MUST-40 and RFC 6298 section 2.5.
        assert_eq!(config.keep_alive, None);
        assert!(config.user_timeout >= Duration::from_secs(100));
        assert!(config.delayed_ack < Duration::from_millis(500));
        assert!(config.rto_max >= Duration::from_secs(60));
        // MUST-29: no single probe decides.
        assert!(config.keep_alive_probes > 1);
        // RFC 5482 section 3.1: ENABLED is false.
        assert_eq!(config.user_timeout_option, None);
    }
}
