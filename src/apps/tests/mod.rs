//! The applications on kernel sockets.

mod files;
mod hello;
mod plain;

use crate::app::App;
use crate::kernel::testing::{Host, Peer};

/// Sends `bytes`, reading what comes meanwhile, until the peer has all and its end is reached.
fn exchange<A: App>(host: &mut Host<A>, peer: &mut Peer, mut bytes: &[u8], finish: bool) {
    host.until("the answer is complete", |_| {
        if peer.write(&mut bytes) && finish {
            peer.finish();
        }
        peer.read()
    });
}

/// Sends `request` and waits for an answer of `len` bytes on a connection that stays open.
fn ask<A: App>(host: &mut Host<A>, peer: &mut Peer, mut request: &[u8], len: usize) -> Vec<u8> {
    host.until("the answer is here", |_| {
        peer.write(&mut request);
        peer.read();
        peer.got.len() >= len
    });
    assert!(!peer.eof, "{}", String::from_utf8_lossy(&peer.got));
    core::mem::take(&mut peer.got)
}
