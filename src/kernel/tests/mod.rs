//! The semantics of the callback API, over loopback.

mod ends;
mod flow;
mod limits;
mod opening;

use crate::app::{App, Close, ConnId, Core, Peer, Refuse, Role, Rx, RxBuf, Tx};

type Callback<T> = Box<dyn FnMut(&mut Conn, T, &mut Tx<'_>)>;
type OnOpen = Box<dyn FnMut(&Peer, &mut Tx<'_>) -> Result<(), Refuse>>;
type OnData = Box<dyn FnMut(&mut Conn, &mut Rx<'_>, &mut Tx<'_>)>;

/// What a test wants each callback to do, and what happened.
struct Script {
    open: OnOpen,
    data: OnData,
    space: Callback<()>,
    timer: Callback<()>,
    message: Callback<u32>,
    drain: Callback<()>,
    turn: Box<dyn FnMut(&mut Core<'_>)>,
    turns: u64,
    opened: Vec<(ConnId, Role)>,
    closed: Vec<(ConnId, Close, Conn)>,
    failed: Vec<(u64, Close)>,
}

/// State of a connection: what its callbacks saw.
#[derive(Debug)]
struct Conn {
    id: ConnId,
    got: Vec<u8>,
    kept: Vec<RxBuf>,
    written: usize,
    short_writes: u32,
    spaces: u32,
    timers: u32,
    datas: u32,
    fins: u32,
    messages: Vec<u32>,
    drains: u32,
    last_data: u64,
}

impl Script {
    /// Reads everything, and finishes when the peer does.
    fn new() -> Script {
        Script {
            open: Box::new(|_, _| Ok(())),
            data: Box::new(|conn, rx, tx| {
                read_all(conn, rx);
                if rx.fin() {
                    tx.finish();
                }
            }),
            space: Box::new(|_, (), _| {}),
            timer: Box::new(|_, (), _| {}),
            message: Box::new(|_, _, _| {}),
            drain: Box::new(|_, (), _| {}),
            turn: Box::new(|_| {}),
            turns: 0,
            opened: Vec::new(),
            closed: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn closes(&self) -> Vec<Close> {
        self.closed.iter().map(|(_, why, _)| *why).collect()
    }
}

fn read_all(conn: &mut Conn, rx: &mut Rx<'_>) {
    for chunk in rx.chunks() {
        conn.got.extend_from_slice(chunk);
    }
    rx.consume(rx.len());
}

/// Writes `bytes` from where the last call stopped, noting short writes.
fn write_on(conn: &mut Conn, bytes: &[u8], tx: &mut Tx<'_>) {
    let rest = &bytes[conn.written..];
    let written = tx.write(rest);
    conn.written += written;
    conn.short_writes += u32::from(written < rest.len());
}

impl App for Script {
    type Conn = Conn;
    type Message = u32;

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<Conn, Refuse> {
        assert_eq!(peer.id, tx.id());
        (self.open)(peer, tx)?;
        self.opened.push((peer.id, peer.role));
        Ok(Conn {
            id: peer.id,
            got: Vec::new(),
            kept: Vec::new(),
            written: 0,
            short_writes: 0,
            spaces: 0,
            timers: 0,
            datas: 0,
            fins: 0,
            messages: Vec::new(),
            drains: 0,
            last_data: u64::MAX,
        })
    }

    fn on_data(&mut self, conn: &mut Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        assert_ne!(conn.last_data, self.turns, "on_data twice in one turn");
        conn.last_data = self.turns;
        conn.datas += 1;
        conn.fins += u32::from(rx.fin());
        (self.data)(conn, rx, tx);
    }

    fn on_space(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        conn.spaces += 1;
        (self.space)(conn, (), tx);
    }

    fn on_timer(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        conn.timers += 1;
        (self.timer)(conn, (), tx);
    }

    fn on_message(&mut self, conn: &mut Conn, message: u32, tx: &mut Tx<'_>) {
        conn.messages.push(message);
        (self.message)(conn, message, tx);
    }

    fn on_drain(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        conn.drains += 1;
        (self.drain)(conn, (), tx);
    }

    fn on_close(&mut self, conn: Conn, why: Close) {
        let opened = self.opened.iter().any(|(id, _)| *id == conn.id);
        let again = self.closed.iter().any(|(id, _, _)| *id == conn.id);
        assert!(opened && !again, "on_close of {:?}: opened {opened}, again {again}", conn.id);
        self.closed.push((conn.id, why, conn));
    }

    fn on_connect_failed(&mut self, token: u64, why: Close) {
        self.failed.push((token, why));
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        self.turns += 1;
        (self.turn)(core);
    }
}
