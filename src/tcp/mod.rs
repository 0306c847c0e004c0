//! The protocol.

pub mod congestion;
pub mod isn;
pub mod rtt;
