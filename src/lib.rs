//! Sidestep: a TCP server framework that sidesteps the kernel.
#![deny(unsafe_code)]

pub mod app;
pub mod device;
pub mod tcp;
pub mod time;
pub mod wire;
