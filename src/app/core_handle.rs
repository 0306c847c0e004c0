//! What an application may ask of its core once a turn.

use std::net::SocketAddr;

use super::conn_id::CoreId;
use crate::time::Instant;
use crate::wire::Addr;

/// A connection that the application asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectRequest {
    pub(crate) remote: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) token: u64,
}

/// Commands of one `on_turn`, carried out after it.
#[derive(Debug, Default)]
pub(crate) struct CoreCommands {
    pub(crate) connects: Vec<ConnectRequest>,
    pub(crate) accept_paused: bool,
}

impl CoreCommands {
    /// Connections that may be asked for in one turn.
    pub(crate) const MAX_CONNECTS: usize = 256;
}

/// Why [`Core::connect`] did not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// 256 requests were made in this turn; ask again in the next.
    #[error("256 connections were asked for in this turn; ask again in the next")]
    Busy,
    /// The remote address is of no single host: unspecified, multicast or broadcast (RFC 9293
    /// section 3.9.2.3, MUST-46).
    #[error("{0} is the address of no single host; connect to a host's own address")]
    NotAHost(SocketAddr),
}

/// One core, during [`App::on_turn`](super::App::on_turn).
#[derive(Debug)]
pub struct Core<'a> {
    pub(crate) id: CoreId,
    pub(crate) now: Instant,
    pub(crate) connections: u32,
    pub(crate) draining: bool,
    pub(crate) commands: &'a mut CoreCommands,
}

impl Core<'_> {
    /// Which core this is.
    pub fn id(&self) -> CoreId {
        self.id
    }

    /// The time of this turn.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Open connections of this core.
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// Whether the server is shutting down.
    pub fn draining(&self) -> bool {
        self.draining
    }

    /// Opens a connection to `remote`, from `local` or from an address and port that the core
    /// chooses. Answered by `on_open` with [`Role::Connected`](super::Role::Connected) and this
    /// token, or by `on_connect_failed`.
    ///
    /// # Errors
    /// [`ConnectError::Busy`] after 256 requests in one turn, [`ConnectError::NotAHost`] if nobody
    /// can be there. A network's own broadcast address is found out later: `on_connect_failed`.
    pub fn connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        token: u64,
    ) -> Result<(), ConnectError> {
        if self.commands.connects.len() >= CoreCommands::MAX_CONNECTS {
            return Err(ConnectError::Busy);
        }
        if !Addr::from(remote.ip()).is_unicast() {
            return Err(ConnectError::NotAHost(remote));
        }
        self.commands.connects.push(ConnectRequest { remote, local, token });
        Ok(())
    }

    /// Stops (`true`) or resumes accepting, as if nobody called accept(2): new connections are
    /// established and wait in the accept queue until it is full (`backlog`), and the next ones are
    /// refused as [`Overflow`](crate::engine::Overflow) says. Open ones go on.
    pub fn pause_accepting(&mut self, paused: bool) {
        self.commands.accept_paused = paused;
    }
}
