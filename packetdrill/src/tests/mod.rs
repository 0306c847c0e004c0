//! The table, driven in process as packetdrill drives it.

mod closing;
mod driver;
mod events;
mod opening;
mod peer;
#[path = "../../../tests/segments/mod.rs"]
mod segments;
mod time;
mod transfer;
