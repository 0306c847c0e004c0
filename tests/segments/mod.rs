//! What several integration tests share. It knows nothing of the crate's own packet code: a judge that
//! parsed with the parser it judges would share its mistakes.
#![allow(dead_code, reason = "each test uses another part of it")]

pub(crate) mod codec;
pub(crate) mod path;
pub(crate) mod segment;
