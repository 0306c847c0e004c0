//! Sends every byte back: try `nc 127.0.0.1 7777`.

use sidestep::app::{App, Peer, Refuse, Rx, Tx};
struct Echo;

impl App for Echo {
    type Conn = ();
    type Message = ();
    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }
    fn on_data(&mut self, _: &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        // What finds no space stays unread, and is offered again when there is some.
        let written = rx.chunks().map(|chunk| tx.write(chunk)).sum();
        rx.consume(written);
        if rx.fin() && rx.is_empty() {
            tx.finish();
        }
    }
}

fn main() -> Result<(), sidestep::Error> {
    let at = std::env::args().nth(1).and_then(|at| at.parse().ok());
    sidestep::Server::builder().listen(at.unwrap_or(([127, 0, 0, 1], 7777).into())).run(|_| Echo)
}
