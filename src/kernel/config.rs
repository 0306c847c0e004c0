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
    /// the two buffer sizes and `fin_wait_2` are kept to here; the rest is the kernel's business.
    pub tcp: TcpConfig,
    /// The maxima: `connections`, `timers_per_turn` and `messages_per_turn` count here, `backlog`
    /// when the [`Listeners`](super::Listeners) are made.
    pub limits: Limits,
    /// What happens to new connections when there is no slot left: they wait in the kernel's accept
    /// queue (`Drop`), or are accepted and reset.
    pub overflow: Overflow,
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
