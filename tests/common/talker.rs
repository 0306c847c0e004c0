//! An application that echoes, and may be the one that connects.

use std::net::SocketAddr;

use sidestep::app::{App, Close, Core, Peer, Refuse, Rx, Tx};
use sidestep::apps::Echo;

type Conversation = <Echo as App>::Conn;

pub(crate) struct Talker {
    echo: Echo,
    connects_to: Option<SocketAddr>,
    /// How its connections ended, those included that never began.
    pub(crate) closed: Vec<Close>,
}

impl Talker {
    /// Connects in its first turn, if there is an address.
    pub(crate) fn new(connects_to: Option<SocketAddr>) -> Talker {
        Talker { echo: Echo, connects_to, closed: Vec::new() }
    }
}

impl App for Talker {
    type Conn = Conversation;
    type Message = ();

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<Conversation, Refuse> {
        self.echo.on_open(peer, tx)
    }

    fn on_data(&mut self, conn: &mut Conversation, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        self.echo.on_data(conn, rx, tx);
    }

    fn on_space(&mut self, conn: &mut Conversation, tx: &mut Tx<'_>) {
        self.echo.on_space(conn, tx);
    }

    fn on_close(&mut self, _conn: Conversation, why: Close) {
        self.closed.push(why);
    }

    fn on_connect_failed(&mut self, _token: u64, why: Close) {
        self.closed.push(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        if let Some(to) = self.connects_to.take() {
            core.connect(to, None, 1).expect("the first request");
        }
    }
}
