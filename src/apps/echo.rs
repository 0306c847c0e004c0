//! The echo service of RFC 862, without copying.

use crate::app::{App, Peer, Refuse, Rx, RxBuf, Tx};

/// Sends every byte back in the frame that it arrived in. Finishes when the peer does, or after the
/// line `QUIT`; what comes behind that line is dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

/// One conversation.
#[derive(Debug, Default)]
pub struct Conversation {
    /// Taken, and too much to be sent yet.
    kept: Option<RxBuf>,
    line: Line,
    /// `QUIT` was read.
    quit: bool,
    /// The peer has finished, and all that it sent was taken.
    drained: bool,
}

impl App for Echo {
    type Conn = Conversation;
    type Message = ();

    fn on_open(&mut self, _peer: &Peer, _tx: &mut Tx<'_>) -> Result<Conversation, Refuse> {
        Ok(Conversation::default())
    }

    fn on_data(&mut self, conn: &mut Conversation, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        if conn.kept.is_none() && !conn.quit {
            let quit = conn.line.find_quit(rx.chunks());
            conn.quit = quit.is_some();
            // Behind the line a frame is split, for which there may be none: then all goes back.
            let taken = rx.hold(quit.unwrap_or(rx.len())).or_else(|| rx.hold(rx.len()));
            conn.kept = taken.filter(|taken| !taken.is_empty());
        }
        if conn.quit {
            rx.consume(rx.len());
        }
        conn.drained = rx.fin() && rx.is_empty();
        conn.send(tx);
    }

    fn on_space(&mut self, conn: &mut Conversation, tx: &mut Tx<'_>) {
        conn.send(tx);
    }
}

impl Conversation {
    fn send(&mut self, tx: &mut Tx<'_>) {
        self.kept = self.kept.take().and_then(|kept| tx.send(kept).err());
        if self.kept.is_none() && (self.quit || self.drained) {
            tx.finish();
        }
    }
}

/// How much of a line `QUIT` was read, across any number of segments.
#[derive(Clone, Copy, Debug, Default)]
enum Line {
    /// So many bytes, all as in `QUIT`, maybe with a carriage return.
    Like(usize),
    /// Some other line.
    Other,
    #[default]
    Start,
}

impl Line {
    const QUIT: &'static [u8] = b"QUIT\r";

    /// The number of bytes up to the end of the line `QUIT`.
    fn find_quit<'a>(&mut self, chunks: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
        let mut before = 0;
        for chunk in chunks {
            let mut at = 0;
            while at < chunk.len() {
                if let Line::Other = self {
                    let Some(rest) = chunk[at..].iter().position(|byte| *byte == b'\n') else {
                        break;
                    };
                    at += rest;
                }
                if self.step(chunk[at]) {
                    return Some(before + at + 1);
                }
                at += 1;
            }
            before += chunk.len();
        }
        None
    }

    /// Whether `byte` ends a line `QUIT`.
    fn step(&mut self, byte: u8) -> bool {
        let seen = match *self {
            Line::Start => 0,
            Line::Like(seen) => seen,
            Line::Other => usize::MAX,
        };
        if byte == b'\n' {
            *self = Line::Start;
            return seen == 4 || seen == 5;
        }
        let like = Line::QUIT.get(seen) == Some(&byte);
        *self = if like { Line::Like(seen + 1) } else { Line::Other };
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quit_is_a_line_of_its_own_however_it_is_cut() {
        let cases: [(&[u8], Option<usize>); 9] = [
            (b"QUIT\n", Some(5)),
            (b"QUIT\r\nmore", Some(6)),
            (b"hello\nQUIT\n", Some(11)),
            (b"\n\nQUIT\nQUIT\n", Some(7)),
            (b"QUIT", None),
            (b"quit\n", None),
            (b"QUITE\n", None),
            (b"xQUIT\n", None),
            (b"QUIT\r\r\nQUI\nT\n", None),
        ];
        for (text, want) in cases {
            for cut in 0..=text.len() {
                let (first, second) = text.split_at(cut);
                let mut line = Line::default();
                let found = line
                    .find_quit([first].into_iter())
                    .or_else(|| line.find_quit([second].into_iter()).map(|n| n + cut));
                assert_eq!(found, want, "{text:?} cut at {cut}");
                let chunks = text.chunks(cut.max(1));
                assert_eq!(Line::default().find_quit(chunks), want, "{text:?}");
            }
        }
    }
}
