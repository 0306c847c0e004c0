//! Sidestep: a TCP server framework that sidesteps the kernel.
#![deny(unsafe_code)]

pub mod app;
#[cfg(feature = "cli")]
pub mod apps;
#[cfg(feature = "cli")]
pub mod cli;
pub mod device;
pub mod engine;
#[cfg(feature = "kernel")]
pub mod kernel;
#[cfg(feature = "runtime")]
pub mod runtime;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod tcp;
pub mod time;
pub mod wire;

#[cfg(feature = "runtime")]
pub use runtime::{Error, Server};
