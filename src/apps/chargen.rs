//! The character generator of RFC 864, and its pattern.

use crate::app::{App, Peer, Refuse, Rx, Tx};

const LINE: usize = 74;
const CHARACTERS: usize = 95;
/// Bytes after which the pattern begins again.
pub(super) const PERIOD: usize = LINE * CHARACTERS;

/// Lines of 72 printable characters, each beginning one character further.
static PATTERN: [u8; PERIOD] = {
    let mut pattern = [0; PERIOD];
    let mut at = 0;
    while at < PERIOD {
        let (line, column) = (at / LINE, at % LINE);
        pattern[at] = match column {
            72 => b'\r',
            73 => b'\n',
            _ => b' ' + ((line + column) % CHARACTERS) as u8,
        };
        at += 1;
    }
    pattern
};

/// Writes the pattern, from `at` on, as far as there is space but not over `end`; returns how far.
pub(super) fn write_pattern(tx: &mut Tx<'_>, mut at: u64, end: u64) -> u64 {
    let most = usize::try_from(end - at).unwrap_or(usize::MAX);
    tx.fill(most, |room| {
        let mut rest = &mut room[..];
        while !rest.is_empty() {
            let from = (at % PERIOD as u64) as usize;
            let part = rest.len().min(PERIOD - from);
            let (now, later) = rest.split_at_mut(part);
            now.copy_from_slice(&PATTERN[from..from + part]);
            at += part as u64;
            rest = later;
        }
        room.len()
    });
    at
}

/// Sends the pattern until the peer finishes; what it sends is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chargen;

impl App for Chargen {
    /// Bytes written.
    type Conn = u64;
    type Message = ();

    fn on_open(&mut self, _peer: &Peer, tx: &mut Tx<'_>) -> Result<u64, Refuse> {
        Ok(write_pattern(tx, 0, u64::MAX))
    }

    fn on_data(&mut self, _at: &mut u64, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        rx.consume(rx.len());
        if rx.fin() {
            tx.finish();
        }
    }

    fn on_space(&mut self, at: &mut u64, tx: &mut Tx<'_>) {
        *at = write_pattern(tx, *at, u64::MAX);
    }
    fn on_drain(&mut self, _at: &mut u64, tx: &mut Tx<'_>) {
        tx.finish();
    }
}
