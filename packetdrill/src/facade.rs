//! The application behind the sockets: its connections do what the messages say.
//!
//! Received bytes stay unread until a `read` takes them, so that the window tells of them as a
//! socket's would.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sidestep::app::{App, Close, ConnId, Core, Peer, Refuse, Role, Rx, Tx};

/// What a system call does to its connection.
#[derive(Debug)]
pub(crate) enum Message {
    Write(Vec<u8>),
    /// Read up to so many bytes; with `true`, without taking them.
    Read(usize, bool),
    /// Send FIN, and go on reading.
    Finish,
    /// Send FIN; nobody will read what comes from now on.
    Close,
    Abort,
}

/// What is known of a connection outside of its callbacks.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) unread: usize,
    /// The peer has finished.
    pub(crate) fin: bool,
    pub(crate) ended: Option<Close>,
    /// A write came up short, and there has been no space since.
    pub(crate) full: bool,
    /// How many bytes the last write took.
    pub(crate) written: usize,
    /// What the last read took.
    pub(crate) taken: Vec<u8>,
    /// Counts what a waiting program would be woken for.
    pub(crate) events: u64,
}

/// State of one connection.
#[derive(Debug)]
pub(crate) struct Conn {
    id: ConnId,
    /// What a read asks for: how much, and whether only to look.
    wanted: Option<(usize, bool)>,
    deaf: bool,
    unread: usize,
}

/// A `connect` to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect {
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: SocketAddr,
    pub(crate) token: u64,
}

/// How a `connect` went.
pub(crate) type Connected = Result<Peer, Close>;

#[derive(Debug, Default)]
pub(crate) struct Facade {
    /// To be made in the next turn.
    pub(crate) connects: Vec<Connect>,
    connected: HashMap<u64, Connected>,
    /// Opened and not yet accepted.
    pub(crate) accepted: VecDeque<Peer>,
    status: HashMap<ConnId, Status>,
}

impl Facade {
    pub(crate) fn status(&self, id: ConnId) -> Option<&Status> {
        self.status.get(&id)
    }

    /// How the connect with this token went, once.
    pub(crate) fn take_connected(&mut self, token: u64) -> Option<Connected> {
        self.connected.remove(&token)
    }

    /// Whether [`Facade::take_connected`] has something to give.
    pub(crate) fn has_connected(&self, token: u64) -> Option<bool> {
        self.connected.get(&token).map(Result::is_ok)
    }

    /// The bytes that the last read took.
    pub(crate) fn take_bytes(&mut self, id: ConnId) -> Vec<u8> {
        self.status.get_mut(&id).map(|status| std::mem::take(&mut status.taken)).unwrap_or_default()
    }

    fn update(&mut self, id: ConnId, change: impl FnOnce(&mut Status)) {
        change(self.status.entry(id).or_default());
    }
}

impl App for Facade {
    type Conn = Conn;
    type Message = Message;

    fn on_open(&mut self, peer: &Peer, _tx: &mut Tx<'_>) -> Result<Conn, Refuse> {
        match peer.role {
            Role::Accepted => self.accepted.push_back(*peer),
            Role::Connected { token } => {
                self.connected.insert(token, Ok(*peer));
            }
        }
        self.status.insert(peer.id, Status { events: 1, ..Status::default() });
        Ok(Conn { id: peer.id, wanted: None, deaf: false, unread: 0 })
    }

    fn on_data(&mut self, conn: &mut Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        if conn.deaf && rx.len() > conn.unread {
            // RFC 9293 section 3.6.1, SHLD-3: the peer learns that its data was lost.
            tx.abort();
        }
        let new = rx.len() > conn.unread;
        let mut taken = Vec::new();
        if let Some((most, peek)) = conn.wanted.take() {
            let n = most.min(rx.len());
            taken = rx.chunks().flatten().copied().take(n).collect();
            rx.consume(if peek { 0 } else { n });
        }
        conn.unread = rx.len();
        let (unread, fin) = (rx.len(), rx.fin());
        self.update(conn.id, |status| {
            status.events += u64::from(new || fin && !status.fin);
            (status.unread, status.fin, status.taken) = (unread, fin, taken);
        });
    }

    fn on_space(&mut self, conn: &mut Conn, _tx: &mut Tx<'_>) {
        self.update(conn.id, |status| {
            status.full = false;
            status.events += 1;
        });
    }

    fn on_message(&mut self, conn: &mut Conn, message: Message, tx: &mut Tx<'_>) {
        match message {
            Message::Write(bytes) => {
                let n = tx.write(&bytes);
                self.update(conn.id, |status| {
                    status.written = n;
                    status.full = n < bytes.len();
                });
            }
            // The unread bytes are offered right after this.
            Message::Read(most, peek) => conn.wanted = Some((most, peek)),
            Message::Finish => tx.finish(),
            Message::Close => {
                conn.deaf = true;
                tx.finish();
            }
            Message::Abort => tx.abort(),
        }
    }

    fn on_close(&mut self, conn: Conn, why: Close) {
        self.update(conn.id, |status| {
            status.ended = Some(why);
            status.unread = 0;
            status.events += 1;
        });
    }

    fn on_connect_failed(&mut self, token: u64, why: Close) {
        self.connected.insert(token, Err(why));
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        for Connect { local, remote, token } in std::mem::take(&mut self.connects) {
            if core.connect(remote, local, token).is_err() {
                self.connected.insert(token, Err(Close::NoResources));
            }
        }
    }
}
