//! Sidestep: a TCP server framework that sidesteps the kernel.
#![deny(unsafe_code)]

pub mod app;
pub mod device;
pub mod engine;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod tcp;
pub mod time;
pub mod wire;
