//! From a caller's wishes to running cores.

mod interface;
pub mod lab;
mod netlink;

pub use interface::{Interface, InterfaceError, Neighbour, Route};
