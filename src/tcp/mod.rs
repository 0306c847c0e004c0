//! The protocol.

pub mod isn;
pub mod rtt;
