//! The same applications on the kernel's own TCP: works anywhere and needs no privilege.
//!
//! Bytes are read by the kernel straight into frames of the core's [`Pool`](crate::device::Pool)
//! and written straight from them, so [`Rx`](crate::app::Rx) and [`Tx`](crate::app::Tx) are the
//! same types as on the other backends and nothing is copied beside what the kernel copies. One
//! core is one `KernelCore`: an edge-triggered poll, a table of connections with their state
//! inline, and a queue of those that have something to do. `turn` never blocks, `wait` does.
//!
//! What differs, because the kernel's TCP is not ours to command: it buffers some more in both
//! directions than the configuration says; the bytes of an ended connection are *written*, maybe
//! not yet acknowledged; retransmission timeouts, delayed ACKs, TIME-WAIT and the half-open queue
//! follow the kernel's own settings (`net.ipv4.tcp_*`).

mod accept;
mod config;
mod connect;
mod core;
mod listen;
mod own;
mod serve;
mod slots;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use config::{KernelConfig, KernelError};
pub use listen::Listeners;

pub(crate) use self::core::KernelCore;
