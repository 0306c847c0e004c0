//! Sidestep: a TCP server framework that sidesteps the kernel.
//!
//! Packets arrive over AF_XDP in frames of memory that the program owns. One engine per core parses
//! them, runs TCP to completion, and calls the application back with the bytes still in the frames
//! they arrived in. What the application writes goes into frames too, and these are posted to the
//! device as they are, again if they are lost, until they are acknowledged.
//!
//! # An application
//!
//! An application is a type that implements [`app::App`]; there is one value of it per core, so it
//! needs no locks and no `Send`.
//!
//! ```
//! use sidestep::app::{App, Peer, Refuse, Rx, Tx};
//!
//! struct Echo;
//!
//! impl App for Echo {
//!     type Conn = ();
//!     type Message = ();
//!
//!     fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
//!         Ok(())
//!     }
//!
//!     fn on_data(&mut self, _: &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
//!         // What finds no space stays unread, and is offered again when there is some.
//!         let written = rx.chunks().map(|chunk| tx.write(chunk)).sum();
//!         rx.consume(written);
//!         if rx.fin() && rx.is_empty() {
//!             tx.finish();
//!         }
//!     }
//! }
//! ```
//!
//! `Server::builder()` runs it on real interfaces; [`engine::Engine::standalone`] over a
//! [`device::VirtualDevice`] runs the very same engine in a test, one [`engine::Engine::turn`] at a
//! time.
//!
//! # How to read it
//!
//! The folders are the architecture, and each uses only those above it in this table. A test holds
//! them to that.
//!
//! | room | what |
//! | --- | --- |
//! | [`time`] | time as a value: the engine never reads a clock |
//! | [`wire`] | packets read into plain values and written from them |
//! | [`tcp`] | the protocol as functions of (connection, segment, now): start here to learn how TCP works |
//! | [`device`] | the frame pool and what moves frames: AF_XDP, TAP, a wire in memory; all unsafe code |
//! | [`app`] | the callback API |
//! | [`engine`] | one core's world: demux, slots, timers, handshakes, the turn |
//! | `kernel` | the same applications on kernel sockets |
//! | `runtime` | threads, queues, set-up, signals, statistics |
//! | `apps`, `cli` | the servers that come along, and the command |
//! | `sim` | a bad network, a virtual clock and an oracle, for tests |
//!
//! To follow a request, read [`engine`]'s `turn`, then `segments`, then `tcp`'s `synchronized`,
//! then `callbacks` and `send`. To follow a handshake, `handshake` and `tcp`'s `half_open`. The XDP
//! program is `bpf/steer.bpf.c`.
//!
//! # Contracts
//!
//! * A frame is in exactly one place at a time ([`device::Place`]), and a token that is lost is a
//!   test failure: the simulator counts them every turn.
//! * `on_close` comes exactly once for each connection that `on_open` accepted; no callback runs
//!   inside another; at most one `on_data` a turn.
//! * Bytes that are unread or held stay on the charge of the advertised window; a short write is
//!   followed by exactly one `on_space`.
//! * Every queue, table and loop has a named maximum ([`engine::Limits`]), and whatever is dropped
//!   is counted ([`engine::Counter`], [`wire::Reject`]).
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
