//! From a caller's wishes to running cores: one thread per queue, pinned to its processor, with the
//! device, the engine and the application of that core inside.
#![cfg_attr(
    not(all(feature = "af-xdp", feature = "tap", feature = "kernel")),
    allow(dead_code, reason = "some of it is used by backends only that are left out")
)]

mod builder;
mod clock;
mod control;
mod cookie_keys;
mod core_loop;
mod cores;
mod error;
mod interface;
pub mod lab;
mod limits;
mod netlink;
#[cfg(any(feature = "af-xdp", feature = "tap"))]
mod network;
#[cfg(feature = "af-xdp")]
mod on_af_xdp;
#[cfg(feature = "kernel")]
mod on_kernel;
#[cfg(feature = "tap")]
mod on_tap;
mod plan;
mod ready;
#[cfg(feature = "af-xdp")]
mod reserve;
mod server;
mod settings;
mod signals;
#[cfg(any(feature = "af-xdp", feature = "tap"))]
mod stack;
mod stats;

pub use builder::{Server, ServerBuilder};
pub use control::Stop;
pub use error::Error;
pub use interface::{Interface, InterfaceError, Neighbour, Route};
pub use ready::Ready;
pub use settings::{Backend, Cidr, Mode, Numbers, ParseSettingError, Poll};
