//! Applications that do nothing but send, and nothing but receive, as much as TCP lets them.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::app::{App, ConnId, Core, Peer, Refuse, Rx, Tx};
use crate::time::Instant;

/// Opens connections and keeps each of them full.
#[derive(Debug)]
pub struct Bulk {
    /// In the order of time.
    planned: VecDeque<(Instant, SocketAddr)>,
    conns: Vec<ConnId>,
}

impl Bulk {
    /// One that opens connections to these addresses at these moments, in the order of time.
    pub fn new(planned: Vec<(Instant, SocketAddr)>) -> Bulk {
        Bulk { planned: planned.into(), conns: Vec::new() }
    }

    /// The connections, in the order in which they came to be.
    pub fn conns(&self) -> &[ConnId] {
        &self.conns
    }
}

fn fill(tx: &mut Tx<'_>) {
    tx.fill(usize::MAX, |room| room.len());
}

impl App for Bulk {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<(), Refuse> {
        self.conns.push(peer.id);
        fill(tx);
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, _: &mut Tx<'_>) {
        rx.consume(rx.len());
    }

    fn on_space(&mut self, (): &mut (), tx: &mut Tx<'_>) {
        fill(tx);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        while let Some(&(at, to)) = self.planned.front() {
            if at > core.now() || core.connect(to, None, 0).is_err() {
                return;
            }
            self.planned.pop_front();
        }
    }
}

/// What came over one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: SocketAddr,
    /// How many bytes, each counted once.
    pub bytes: u64,
}

/// Reads everything at once, and counts.
#[derive(Debug, Default)]
pub struct Sink {
    received: Vec<Received>,
}

impl Sink {
    /// By connection, in the order in which they came to be.
    pub fn received(&self) -> &[Received] {
        &self.received
    }
}

impl App for Sink {
    type Conn = usize;
    type Message = ();

    fn on_open(&mut self, peer: &Peer, _: &mut Tx<'_>) -> Result<usize, Refuse> {
        self.received.push(Received { from: peer.remote, bytes: 0 });
        Ok(self.received.len() - 1)
    }

    fn on_data(&mut self, index: &mut usize, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        self.received[*index].bytes += rx.len() as u64;
        rx.consume(rx.len());
        if rx.fin() {
            tx.finish();
        }
    }
}
