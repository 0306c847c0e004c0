//! Sockets over the callback API: an application whose connections do what messages say.
//!
//! Received bytes are held where they are until a `read` takes them, so that the window tells of them
//! as a socket's would. `close` is RFC 9293 section 3.6.1: with unread bytes, or when bytes come
//! later, the connection is reset (SHLD-3); otherwise it finishes.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sidestep::app::{App, Close, ConnId, Core, Peer, Refuse, Role, Rx, RxBuf, Tx};

/// What a system call does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Write this many bytes of the stream.
    Write(usize),
    /// Read up to this many.
    Read(usize),
    Shutdown,
    Close,
    Abort,
}

/// What is known of a connection outside of its callbacks.
#[derive(Debug, Default)]
pub struct Status {
    pub unread: usize,
    pub fin: bool,
    pub ended: Option<Close>,
    /// What the last write or read did.
    pub result: usize,
    /// The first byte that was not the stream's.
    pub wrong: Option<u64>,
}

#[derive(Debug)]
pub struct Conn {
    id: ConnId,
    held: VecDeque<RxBuf>,
    /// Bytes of the first held buffer that were read already.
    taken: usize,
    received: u64,
    written: u64,
    closed: bool,
}

/// A `connect` to be made.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

#[derive(Debug, Default)]
pub struct Facade {
    pub connect: Option<Connect>,
    pub connected: Option<ConnId>,
    pub connect_failed: Option<Close>,
    /// Opened and not yet accepted.
    pub accepted: VecDeque<ConnId>,
    status: HashMap<ConnId, Status>,
}

/// The stream that both sides of every script send, by position.
pub fn stream_byte(position: u64) -> u8 {
    (position ^ (position >> 8).wrapping_mul(3) ^ (position >> 16)) as u8
}

impl Facade {
    pub fn status(&self, id: ConnId) -> Option<&Status> {
        self.status.get(&id)
    }

    fn update(&mut self, id: ConnId, change: impl FnOnce(&mut Status)) {
        change(self.status.entry(id).or_default());
    }

    fn take_in(&mut self, conn: &mut Conn, rx: &mut Rx<'_>) {
        let mut wrong = None;
        let lens: Vec<usize> = rx.chunks().map(<[u8]>::len).collect();
        let mut position = conn.received;
        for byte in rx.chunks().flatten() {
            if *byte != stream_byte(position) {
                wrong = wrong.or(Some(position));
            }
            position += 1;
        }
        for len in lens {
            // Whole frames: none is split, so this needs no frame.
            if let Some(buf) = rx.hold(len) {
                conn.received += len as u64;
                conn.held.push_back(buf);
            }
        }
        let unread = conn.unread();
        let fin = rx.fin();
        self.update(conn.id, |status| {
            status.unread = unread;
            status.fin |= fin;
            status.wrong = status.wrong.or(wrong);
        });
    }
}

impl Conn {
    fn unread(&self) -> usize {
        self.held.iter().map(RxBuf::len).sum::<usize>() - self.taken
    }

    fn read(&mut self, most: usize) -> usize {
        let n = most.min(self.unread());
        self.taken += n;
        while let Some(first) = self.held.front().filter(|first| first.len() <= self.taken) {
            self.taken -= first.len();
            self.held.pop_front();
        }
        n
    }

    fn write(&mut self, most: usize, tx: &mut Tx<'_>) -> usize {
        let from = self.written;
        let bytes: Vec<u8> = (from..from + most as u64).map(stream_byte).collect();
        let n = tx.write(&bytes);
        self.written += n as u64;
        n
    }
}

impl App for Facade {
    type Conn = Conn;
    type Message = Message;

    fn on_open(&mut self, peer: &Peer, _tx: &mut Tx<'_>) -> Result<Conn, Refuse> {
        match peer.role {
            Role::Accepted => self.accepted.push_back(peer.id),
            Role::Connected { .. } => self.connected = Some(peer.id),
        }
        self.status.insert(peer.id, Status::default());
        let (id, held) = (peer.id, VecDeque::new());
        Ok(Conn { id, held, taken: 0, received: 0, written: 0, closed: false })
    }

    fn on_data(&mut self, conn: &mut Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let bytes = !rx.is_empty();
        self.take_in(conn, rx);
        if conn.closed && bytes {
            tx.abort();
        }
    }

    fn on_message(&mut self, conn: &mut Conn, message: Message, tx: &mut Tx<'_>) {
        let result = match message {
            Message::Write(n) => conn.write(n, tx),
            Message::Read(n) => conn.read(n),
            Message::Shutdown => {
                tx.finish();
                0
            }
            Message::Close if conn.unread() == 0 => {
                conn.closed = true;
                tx.finish();
                0
            }
            Message::Close | Message::Abort => {
                tx.abort();
                0
            }
        };
        let unread = conn.unread();
        self.update(conn.id, |status| {
            status.result = result;
            status.unread = unread;
        });
    }

    fn on_close(&mut self, conn: Conn, why: Close) {
        self.update(conn.id, |status| status.ended = Some(why));
    }

    fn on_connect_failed(&mut self, _token: u64, why: Close) {
        self.connect_failed = Some(why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        if let Some(Connect { local, remote }) = self.connect.take()
            && core.connect(remote, Some(local), 0).is_err()
        {
            self.connect_failed = Some(Close::NoResources);
        }
    }
}
