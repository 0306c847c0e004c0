//! One core's world.
#![allow(dead_code, reason = "the parts come before the engine that uses them")]

pub(crate) mod wheel;
