//! What Sidestep is measured against, and with.
//!
//! [`Stateless`] is the limit: it answers segments from nothing but themselves. On the wire it is
//! the ceiling that the `responder` program shows over AF_XDP; in one process `bench-engine` puts
//! it beside Sidestep and other stacks, all driven by the same [`Generator`].

pub mod bulk;
pub mod contender;
pub mod counting;
pub mod generator;
pub mod order;
pub mod spread;
mod stateless;
pub mod traffic;

pub use generator::{Generator, Load};
pub use stateless::Stateless;
