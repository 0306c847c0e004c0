//! Sockets over the callback API: an application whose connections do what messages say.
//!
//! Received bytes are left unread until a `read` takes them, so that the window tells of them as a
//! socket's would. `close` is RFC 9293 section 3.6.1: with unread bytes, or when bytes come
//! later, the connection is reset (SHLD-3); otherwise it finishes.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use sidestep::app::{App, Close, ConnId, Core, Peer, Refuse, Role, Rx, Tx};

/// What a system call does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Write this many bytes of the stream.
    Write(usize),
    /// The same, and everything so far is urgent.
    WriteUrgent(usize),
    /// Read up to this many.
    Read(usize),
    Shutdown,
    Close,
    Abort,
    Set(Wish),
}

/// What is set for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    NoDelay(bool),
    KeepAlive(Option<Duration>),
    UserTimeout(Option<Duration>),
}

/// What is known of a connection outside of its callbacks.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) unread: usize,
    pub(crate) fin: bool,
    /// Urgent bytes from the first unread one on.
    pub(crate) urgent: usize,
    pub(crate) ended: Option<Close>,
    /// What the last write or read did.
    pub(crate) result: usize,
    /// The first byte that was not the stream's.
    pub(crate) wrong: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Conn {
    id: ConnId,
    /// What a `read` asks for.
    wanted: usize,
    /// Bytes read; behind them lie the unread ones.
    read: u64,
    /// Bytes seen, read or not.
    seen: u64,
    written: u64,
    closed: bool,
}

/// A `connect` to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connect {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

#[derive(Debug, Default)]
pub(crate) struct Facade {
    pub(crate) connect: Option<Connect>,
    pub(crate) connected: Option<ConnId>,
    /// Does not accept for now.
    pub(crate) pauses: bool,
    /// Accepts nobody.
    pub(crate) refuses: bool,
    pub(crate) connect_failed: Option<Close>,
    /// Opened and not yet accepted.
    pub(crate) accepted: VecDeque<ConnId>,
    status: HashMap<ConnId, Status>,
}

/// The stream that both sides of every script send, by position.
pub(crate) fn stream_byte(position: u64) -> u8 {
    (position ^ (position >> 8).wrapping_mul(3) ^ (position >> 16)) as u8
}

impl Facade {
    pub(crate) fn status(&self, id: ConnId) -> Option<&Status> {
        self.status.get(&id)
    }

    fn update(&mut self, id: ConnId, change: impl FnOnce(&mut Status)) {
        change(self.status.entry(id).or_default());
    }

    /// Compares what is new with the stream.
    fn look(&mut self, conn: &mut Conn, rx: &Rx<'_>) -> bool {
        let numbered = (conn.read..).zip(rx.chunks().flatten());
        let mut new = numbered.filter(|(position, _)| *position >= conn.seen);
        let wrong = new.find(|(position, byte)| **byte != stream_byte(*position));
        let seen = conn.read + rx.len() as u64;
        let any = seen > conn.seen;
        conn.seen = seen;
        if let Some((position, _)) = wrong {
            self.update(conn.id, |status| status.wrong = status.wrong.or(Some(position)));
        }
        any
    }
}

impl Conn {
    fn write(&mut self, most: usize, tx: &mut Tx<'_>) -> usize {
        let from = self.written;
        let bytes: Vec<u8> = (from..from + most as u64).map(stream_byte).collect();
        let n = tx.write(&bytes);
        self.written += n as u64;
        n
    }

    fn unread(&self) -> usize {
        (self.seen - self.read) as usize
    }
}

impl App for Facade {
    type Conn = Conn;
    type Message = Message;

    fn on_open(&mut self, peer: &Peer, _tx: &mut Tx<'_>) -> Result<Conn, Refuse> {
        if self.refuses {
            return Err(Refuse);
        }
        match peer.role {
            Role::Accepted => self.accepted.push_back(peer.id),
            Role::Connected { .. } => self.connected = Some(peer.id),
        }
        self.status.insert(peer.id, Status::default());
        Ok(Conn { id: peer.id, wanted: 0, read: 0, seen: 0, written: 0, closed: false })
    }

    fn on_data(&mut self, conn: &mut Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let new = self.look(conn, rx);
        let wanted = std::mem::take(&mut conn.wanted);
        let n = wanted.min(rx.len());
        rx.consume(n);
        conn.read += n as u64;
        if conn.closed && new {
            tx.abort();
        }
        let (unread, fin, urgent) = (rx.len(), rx.fin(), rx.urgent().unwrap_or(0));
        self.update(conn.id, |status| {
            status.urgent = urgent;
            status.unread = unread;
            status.fin |= fin;
            if wanted > 0 {
                status.result = n;
            }
        });
    }

    fn on_message(&mut self, conn: &mut Conn, message: Message, tx: &mut Tx<'_>) {
        let mut result = 0;
        match message {
            Message::Write(n) => result = conn.write(n, tx),
            Message::WriteUrgent(n) => {
                result = conn.write(n, tx);
                tx.urgent();
            }
            // The unread bytes are offered right after this.
            Message::Read(n) => conn.wanted = n,
            Message::Set(Wish::NoDelay(on)) => tx.set_no_delay(on),
            Message::Set(Wish::KeepAlive(idle)) => tx.set_keep_alive(idle),
            Message::Set(Wish::UserTimeout(timeout)) => tx.set_user_timeout(timeout),
            Message::Shutdown => tx.finish(),
            Message::Close if conn.unread() == 0 => {
                conn.closed = true;
                tx.finish();
            }
            Message::Close | Message::Abort => tx.abort(),
        }
        self.update(conn.id, |status| status.result = result);
    }

    fn on_close(&mut self, conn: Conn, why: Close) {
        self.update(conn.id, |status| status.ended = Some(why));
    }

    fn on_connect_failed(&mut self, _token: u64, why: Close) {
        self.connect_failed = Some(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        core.pause_accepting(self.pauses);
        if let Some(Connect { local, remote }) = self.connect.take()
            && core.connect(remote, Some(local), 0).is_err()
        {
            self.connect_failed = Some(Close::NoResources);
        }
    }
}
