//! The semantics of the callback API, over loopback.
