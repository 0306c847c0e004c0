//! One core's world.
#![allow(dead_code, reason = "the parts come before the engine that uses them")]

pub(crate) mod demux;
pub(crate) mod flow_hash;
pub(crate) mod neighbours;
pub(crate) mod wheel;
