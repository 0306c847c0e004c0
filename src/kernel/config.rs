//! What a core on kernel sockets is told, and why it could not be made.

use std::io;

use crate::app::{ConnId, CoreId};
use crate::device::{PoolConfig, PoolError};
use crate::engine::{Limits, Overflow};
use crate::tcp::TcpConfig;

/// Everything a core is told.
#[derive(Clone, Debug, Default)]
pub struct KernelConfig {
    /// Which core of the server this is.
    pub core: CoreId,
    /// The protocol's settings. The kernel takes `no_delay`, the keep-alive settings,
    /// `user_timeout`, and `congestion` if it is not the default, which leaves the kernel its own;
    /// the two buffer sizes and `fin_wait_2` are kept to here. `syn_retries` other than the default
    /// goes to the listening sockets, where it is 1 at least. The rest is the kernel's business.
    pub tcp: TcpConfig,
    /// The maxima: all three of `connections`, `newcomer_frames`, `timers_per_turn` and
    /// `messages_per_turn` count here, `backlog` when the [`Listeners`](super::Listeners) are made.
    /// Half-open connections and cookies are the kernel's business (`net.ipv4.tcp_max_syn_backlog`,
    /// `tcp_syncookies`), and so is counting those who found its accept queue full (`nstat`,
    /// `TcpExtListenOverflows`).
    pub limits: Limits,
    /// What happens to new connections for which there is no room: they wait in the kernel's accept
    /// queue (`Drop`), or are accepted and reset. A connection of a source that has its share is
    /// reset in any case: it can't be told from the others before it is accepted.
    pub overflow: Overflow,
    /// Secret of the table of sources.
    pub source_key: [u8; 16],
    /// The frames that bytes are read into and written from.
    pub pool: PoolConfig,
}

impl KernelConfig {
    pub(super) fn check(&self) -> Result<(), KernelError> {
        let connections = self.limits.connections;
        if connections == 0 || connections > ConnId::MAX_SLOTS {
            return Err(KernelError::Configuration("connections must be 1 to 2^28"));
        }
        if self.tcp.receive_buffer == 0 || self.tcp.send_buffer == 0 {
            return Err(KernelError::Configuration("receive_buffer and send_buffer can't be zero"));
        }
        Ok(())
    }
}

/// Why a core could not be made. The message is one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The caller's configuration makes no sense.
    #[error("configuration: {0}")]
    Configuration(&'static str),
    /// The frame pool could not be made.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The system refused something.
    #[error("machine: {tried} failed ({answer}): {advice}")]
    Machine {
        /// What was tried.
        tried: String,
        /// What the system answered.
        answer: io::Error,
        /// What to do about it.
        advice: String,
    },
}
