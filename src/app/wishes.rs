//! What an application may set for one connection, other than for all.

use core::time::Duration;

use super::tx::Tx;

/// What a callback set; carried out after it returns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    /// Whether there is anything to carry out.
    pub(crate) any: bool,
    pub(crate) no_delay: Option<bool>,
    /// `Some(None)` turns it off.
    pub(crate) keep_alive: Option<Option<Duration>>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) dscp: Option<u8>,
    /// So many of the bytes that are not acknowledged yet are urgent.
    pub(crate) urgent: Option<u32>,
}

impl Wishes {
    /// None.
    pub(crate) const NONE: Wishes = Wishes {
        any: false,
        no_delay: None,
        keep_alive: None,
        user_timeout: None,
        dscp: None,
        urgent: None,
    };
}

impl Tx<'_> {
    /// Sends small segments at once, or lets them wait for company (the Nagle algorithm), on this
    /// connection, whatever [`TcpConfig::no_delay`] says (RFC 9293 section 3.7.4, MUST-17).
    ///
    /// [`TcpConfig::no_delay`]: crate::tcp::TcpConfig::no_delay
    pub fn set_no_delay(&mut self, on: bool) {
        self.wish().no_delay = Some(on);
    }

    /// Probes the peer after it has been silent for so long, or never, on this connection, whatever
    /// [`TcpConfig::keep_alive`] says (RFC 9293 section 3.8.4, MUST-24). `None` stops the probes
    /// of a half-closed connection too. At most 39 hours.
    ///
    /// [`TcpConfig::keep_alive`]: crate::tcp::TcpConfig::keep_alive
    pub fn set_keep_alive(&mut self, idle: Option<Duration>) {
        self.wish().keep_alive = Some(idle);
    }

    /// How long data may stay unacknowledged before this connection is given up, in place of
    /// [`TcpConfig::user_timeout`]: R2 of RFC 9293 section 3.8.3 (MUST-21). `None` for no end.
    /// At most 39 hours else. With [`TcpConfig::user_timeout_option`] the peer is told (RFC 5482).
    ///
    /// [`TcpConfig::user_timeout`]: crate::tcp::TcpConfig::user_timeout
    /// [`TcpConfig::user_timeout_option`]: crate::tcp::TcpConfig::user_timeout_option
    pub fn set_user_timeout(&mut self, timeout: Option<Duration>) {
        self.wish().user_timeout = Some(timeout.unwrap_or(Duration::MAX));
    }

    /// Differentiated Services code point of what this connection sends from now on, in place of
    /// [`TcpConfig::dscp`]: the six lower bits count (RFC 9293 section 3.9.1.9, MUST-48).
    ///
    /// [`TcpConfig::dscp`]: crate::tcp::TcpConfig::dscp
    pub fn set_dscp(&mut self, dscp: u8) {
        self.wish().dscp = Some(dscp & 0x3f);
    }

    /// Everything written so far is urgent: the segments that carry it say so, and where it ends
    /// (RFC 9293 section 3.8.5). The peer gets the bytes in line, as all others.
    ///
    /// For old protocols: new applications should not use it (SHLD-13). On kernel sockets it does
    /// nothing.
    pub fn urgent(&mut self) {
        let bytes = self.outbox.bytes();
        self.wish().urgent = Some(bytes);
    }

    fn wish(&mut self) -> &mut Wishes {
        self.commands.wishes.any = true;
        &mut self.commands.wishes
    }
}
