//! The discard service of RFC 863.

use crate::app::{App, Peer, Refuse, Rx, Tx};

/// Reads and drops everything, and finishes when the peer does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl App for Discard {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _peer: &Peer, _tx: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, _conn: &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        rx.consume(rx.len());
        if rx.fin() {
            tx.finish();
        }
    }
}
