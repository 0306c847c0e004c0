//! What travels on the wire: packets read into plain values, and values written as packets.
//!
//! [`parse`](parse()) reads a frame once, at the edge, and checks all there is to check; what comes
//! out is `Copy`, borrows nothing, and is trusted from there on. A packet that can't be taken
//! yields a [`Reject`], one reason among a fixed number, to be counted. The other way,
//! [`tcp::Headers::emit`] writes everything before a payload that is already in place, and [`arp`],
//! [`ndp`], [`icmp4`] and [`icmp6`] write the few packets that a host must answer with.
//!
//! Nothing here allocates, does input or output, or keeps state.
//!
//! # Why nothing panics on any input
//!
//! Reading takes bytes only in ways that can fail softly: a header is a view (`ref_from_prefix`) or
//! a slice pattern, a part whose place or length the packet itself names is taken with `get` or
//! `split_at_checked`, and each failure becomes a [`Reject`]. Sums of lengths can't overflow: a
//! length field has at most 16 bits, and the offset of a payload stays below 2^15 because there are
//! at most [`MAX_EXTENSION_HEADERS`] extension headers of at most 2,048 bytes. Sequence numbers and
//! checksums wrap by definition. No loop is longer than the bytes it eats.
//!
//! Writing trusts its caller, who owns the buffer: it panics when that is shorter than the length
//! stated on each function, and on nothing that a peer can send.

pub mod addr;
pub mod arp;
pub mod checksum;
mod common;
mod echo;
pub mod ethernet;
pub mod icmp4;
pub mod icmp6;
mod ip;
mod ipv4;
mod ipv6;
pub mod ndp;
mod parse;
mod quoted;
mod reject;
pub mod seq;
pub mod tcp;
#[cfg(test)]
mod tests;

pub use addr::{Addr, Cidr};
pub use echo::Echo;
pub use ethernet::{EtherType, Link, Mac, Vlan};
pub use ip::{DEFAULT_HOP_LIMIT, protocol};
pub use ipv6::{MAX_EXTENSION_HEADERS, MAX_OPTIONS_PER_HEADER};
pub use parse::{Body, Checks, Parsed, parse, parse_into};
pub use quoted::Quoted;
pub use reject::Reject;
pub use seq::Seq;
