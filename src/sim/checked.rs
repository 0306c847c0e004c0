//! Any application, with every promise of the callback contract checked around it.

use core::time::Duration;
use std::collections::BTreeMap;

use super::violation::Violation;
use crate::app::{App, Close, ConnId, Core, Notice, Peer, Refuse, Rx, Tx};
use crate::time::Instant;

/// How late a connection's timer may fire: the wheel's resolution and the end of a turn.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// An application whose callbacks are checked: no callback after `on_close`, `on_close` exactly
/// once, at most one `on_data` a turn, exactly one `on_space` after a short write, none but
/// `on_close` after an abort, timers neither early nor late.
#[derive(Debug)]
pub struct Checked<A: App> {
    inner: A,
    watched: BTreeMap<u64, Watch>,
    turn: u64,
    opened: u64,
    closed: u64,
    now: Instant,
    violation: Option<Violation>,
}

/// The state of a connection of the application inside, and its name.
#[derive(Debug)]
pub struct Tracked<C> {
    inner: C,
    id: ConnId,
}

#[derive(Debug)]
struct Watch {
    id: ConnId,
    data_turn: Option<u64>,
    space_owed: bool,
    aborted: bool,
    timer: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Callback {
    Open,
    Data,
    Space,
    Timer,
    Notice,
    Message,
    Drain,
}

impl<A: App> Checked<A> {
    /// Checks `inner`.
    pub fn new(inner: A) -> Checked<A> {
        Checked {
            inner,
            watched: BTreeMap::new(),
            turn: 0,
            opened: 0,
            closed: 0,
            now: Instant::ZERO,
            violation: None,
        }
    }

    /// The application inside.
    pub fn inner(&self) -> &A {
        &self.inner
    }

    /// The application inside, to be changed.
    pub fn inner_mut(&mut self) -> &mut A {
        &mut self.inner
    }

    /// Calls of `on_turn` so far.
    pub fn turns(&self) -> u64 {
        self.turn
    }

    /// Connections opened so far.
    pub fn opened(&self) -> u64 {
        self.opened
    }

    /// Connections closed so far.
    pub fn closed(&self) -> u64 {
        self.closed
    }

    /// The first promise that was broken, timers overdue at `now` included.
    pub fn violation(&self, now: Instant) -> Option<Violation> {
        let overdue = || {
            let late = |due: Instant| now > due + TIMER_SLACK;
            let watch = self.watched.values().find(|watch| watch.timer.is_some_and(late))?;
            let due = watch.timer;
            Some(Violation::Timer { id: watch.id, due, now, what: "has not fired" })
        };
        self.violation.clone().or_else(overdue)
    }

    fn broken(&mut self, id: ConnId, what: &'static str) {
        self.violation.get_or_insert(Violation::Callback { id, what });
    }

    fn before(&mut self, id: ConnId, callback: Callback, tx: &Tx<'_>) {
        self.now = tx.now();
        if tx.id() != id {
            self.broken(id, "Tx has the name of another connection");
        }
        let (turn, now) = (self.turn, self.now);
        let Some(watch) = self.watched.get_mut(&id.to_bits()) else {
            return self.broken(id, "callback on a connection that is not open");
        };
        if watch.aborted {
            return self.broken(id, "callback other than on_close after an abort");
        }
        match callback {
            Callback::Data if watch.data_turn.replace(turn) == Some(turn) => {
                self.broken(id, "on_data twice in a turn");
            }
            Callback::Space if !core::mem::take(&mut watch.space_owed) => {
                self.broken(id, "on_space without a short write");
            }
            Callback::Timer => {
                let due = watch.timer.take();
                if due.is_none_or(|due| now < due) {
                    let what = "fired early or unasked";
                    self.violation.get_or_insert(Violation::Timer { id, due, now, what });
                }
            }
            _ => {}
        }
    }

    fn after(&mut self, id: ConnId, tx: &Tx<'_>) {
        let Some(watch) = self.watched.get_mut(&id.to_bits()) else { return };
        watch.space_owed |= tx.commands.wants_space;
        watch.aborted |= tx.commands.abort;
        if let Some(timer) = tx.commands.timer {
            watch.timer = timer.map(|after| tx.now() + after);
        }
        if watch.aborted {
            watch.timer = None;
        }
    }
}

impl<A: App> App for Checked<A> {
    type Conn = Tracked<A::Conn>;
    type Message = A::Message;

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<Self::Conn, Refuse> {
        let id = peer.id;
        let watch = Watch { id, data_turn: None, space_owed: false, aborted: false, timer: None };
        if self.watched.insert(id.to_bits(), watch).is_some() {
            self.broken(id, "on_open twice");
        }
        self.before(id, Callback::Open, tx);
        match self.inner.on_open(peer, tx) {
            Ok(inner) => {
                self.after(id, tx);
                self.opened += 1;
                Ok(Tracked { inner, id })
            }
            Err(refuse) => {
                self.watched.remove(&id.to_bits());
                Err(refuse)
            }
        }
    }

    fn on_data(&mut self, conn: &mut Self::Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        self.before(conn.id, Callback::Data, tx);
        self.inner.on_data(&mut conn.inner, rx, tx);
        self.after(conn.id, tx);
    }

    fn on_space(&mut self, conn: &mut Self::Conn, tx: &mut Tx<'_>) {
        self.before(conn.id, Callback::Space, tx);
        self.inner.on_space(&mut conn.inner, tx);
        self.after(conn.id, tx);
    }

    fn on_timer(&mut self, conn: &mut Self::Conn, tx: &mut Tx<'_>) {
        self.before(conn.id, Callback::Timer, tx);
        self.inner.on_timer(&mut conn.inner, tx);
        self.after(conn.id, tx);
    }

    fn on_notice(&mut self, conn: &mut Self::Conn, what: Notice, tx: &mut Tx<'_>) {
        self.before(conn.id, Callback::Notice, tx);
        self.inner.on_notice(&mut conn.inner, what, tx);
        self.after(conn.id, tx);
    }

    fn on_message(&mut self, conn: &mut Self::Conn, message: A::Message, tx: &mut Tx<'_>) {
        self.before(conn.id, Callback::Message, tx);
        self.inner.on_message(&mut conn.inner, message, tx);
        self.after(conn.id, tx);
    }

    fn on_drain(&mut self, conn: &mut Self::Conn, tx: &mut Tx<'_>) {
        self.before(conn.id, Callback::Drain, tx);
        self.inner.on_drain(&mut conn.inner, tx);
        self.after(conn.id, tx);
    }

    fn on_close(&mut self, conn: Self::Conn, why: Close) {
        match self.watched.remove(&conn.id.to_bits()) {
            None => self.broken(conn.id, "on_close twice"),
            Some(watch) if watch.aborted && why != Close::Aborted => {
                self.broken(conn.id, "an aborted connection closed for another reason");
            }
            Some(_) => {}
        }
        self.closed += 1;
        self.inner.on_close(conn.inner, why);
    }

    fn on_connect_failed(&mut self, token: u64, why: Close) {
        self.inner.on_connect_failed(token, why);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        self.now = core.now();
        self.inner.on_turn(core);
        self.turn += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Commands, CoreCommands, CoreId, Outbox, Role, TxContext};
    use crate::device::{FrameQueue, Pool, PoolConfig};

    /// Writes far too much at each chance, and does as it is told.
    #[derive(Default)]
    struct Greedy {
        abort: bool,
        timer: Option<Duration>,
    }

    impl App for Greedy {
        type Conn = ();
        type Message = ();

        fn on_open(&mut self, _peer: &Peer, tx: &mut Tx<'_>) -> Result<(), Refuse> {
            tx.set_timer(self.timer);
            Ok(())
        }

        fn on_data(&mut self, (): &mut (), _rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
            tx.write(&[0; 100_000]);
            if self.abort {
                tx.abort();
            }
        }
    }

    /// Calls back as an engine would, for one connection.
    struct Caller {
        pool: Pool,
        app: Checked<Greedy>,
        outbox: Outbox,
        now: Instant,
    }

    const ID: ConnId = ConnId::from_bits(7);

    impl Caller {
        fn new(app: Greedy) -> (Caller, Tracked<()>) {
            let config = PoolConfig { frames: 16, reserve: 2, ..PoolConfig::default() };
            let pool = Pool::new(PoolConfig { huge_pages: false, ..config }).expect("a pool");
            let (app, outbox) = (Checked::new(app), Outbox::new());
            let mut caller = Caller { pool, app, outbox, now: Instant::from_millis(5) };
            let conn = caller.open().expect("accepted");
            (caller, conn)
        }

        fn open(&mut self) -> Result<Tracked<()>, Refuse> {
            let any = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
            let peer = Peer { id: ID, local: any, remote: any, role: Role::Accepted };
            self.with(|app, _, tx| app.on_open(&peer, tx))
        }

        fn with<R>(
            &mut self,
            f: impl FnOnce(&mut Checked<Greedy>, &mut Rx<'_>, &mut Tx<'_>) -> R,
        ) -> R {
            let mut commands = Commands::NONE;
            let mut inbox = FrameQueue::new();
            let mut rx = Rx {
                pool: &self.pool,
                inbox: &mut inbox,
                held: &mut 0,
                owner: ID,
                fin: false,
                urgent: None,
            };
            let context =
                TxContext { pool: &self.pool, limit: 4_000, segment: 1_460, now: self.now };
            let outbox = &mut self.outbox;
            f(&mut self.app, &mut rx, &mut Tx { context, outbox, commands: &mut commands, id: ID })
        }

        fn data(&mut self, conn: &mut Tracked<()>) {
            self.with(|app, rx, tx| app.on_data(conn, rx, tx));
        }

        fn end_of_turn(&mut self) {
            self.app.on_turn(&mut Core {
                id: CoreId(0),
                now: self.now,
                connections: 1,
                draining: false,
                commands: &mut CoreCommands::default(),
            });
        }

        fn verdict(&self) -> Option<&'static str> {
            match self.app.violation(self.now)? {
                Violation::Callback { what, .. } | Violation::Timer { what, .. } => Some(what),
                other => panic!("not of the callbacks: {other}"),
            }
        }
    }

    #[test]
    fn an_honest_engine_passes() {
        let (mut engine, mut conn) = Caller::new(Greedy::default());
        for _ in 0..3 {
            engine.data(&mut conn);
            engine.with(|app, _, tx| app.on_space(&mut conn, tx));
            engine.end_of_turn();
        }
        engine.app.on_close(conn, Close::Finished);
        assert_eq!(engine.verdict(), None);
        assert_eq!((engine.app.opened(), engine.app.closed(), engine.app.turns()), (1, 1, 3));
    }

    #[test]
    fn data_twice_in_a_turn_is_seen() {
        let (mut engine, mut conn) = Caller::new(Greedy::default());
        engine.data(&mut conn);
        engine.data(&mut conn);
        assert_eq!(engine.verdict(), Some("on_data twice in a turn"));
    }

    #[test]
    fn space_twice_for_one_short_write_is_seen() {
        let (mut engine, mut conn) = Caller::new(Greedy::default());
        engine.data(&mut conn);
        engine.with(|app, _, tx| app.on_space(&mut conn, tx));
        engine.with(|app, _, tx| app.on_space(&mut conn, tx));
        assert_eq!(engine.verdict(), Some("on_space without a short write"));
    }

    #[test]
    fn callbacks_on_what_is_closed_or_aborted_are_seen() {
        let (mut engine, mut conn) = Caller::new(Greedy { abort: true, timer: None });
        engine.data(&mut conn);
        engine.end_of_turn();
        engine.data(&mut conn);
        assert_eq!(engine.verdict(), Some("callback other than on_close after an abort"));

        let (mut engine, conn) = Caller::new(Greedy::default());
        let mut again = Tracked { inner: (), id: conn.id };
        engine.app.on_close(conn, Close::Reset);
        engine.data(&mut again);
        assert_eq!(engine.verdict(), Some("callback on a connection that is not open"));

        let (mut engine, conn) = Caller::new(Greedy::default());
        let again = Tracked { inner: (), id: conn.id };
        engine.app.on_close(conn, Close::Reset);
        engine.app.on_close(again, Close::Reset);
        assert_eq!(engine.verdict(), Some("on_close twice"));
    }

    #[test]
    fn an_open_connection_that_opens_is_seen() {
        let (mut engine, _conn) = Caller::new(Greedy::default());
        let _ = engine.open();
        assert_eq!(engine.verdict(), Some("on_open twice"));
    }

    #[test]
    fn timers_early_unasked_and_forgotten_are_seen() {
        let second = Some(Duration::from_secs(1));
        let (mut engine, mut conn) = Caller::new(Greedy { abort: false, timer: second });
        engine.now = Instant::from_millis(900);
        engine.with(|app, _, tx| app.on_timer(&mut conn, tx));
        assert_eq!(engine.verdict(), Some("fired early or unasked"));

        let (mut engine, mut conn) = Caller::new(Greedy::default());
        engine.with(|app, _, tx| app.on_timer(&mut conn, tx));
        assert_eq!(engine.verdict(), Some("fired early or unasked"));

        let (mut engine, _conn) = Caller::new(Greedy { abort: false, timer: second });
        engine.now = Instant::from_millis(1_007);
        assert_eq!(engine.verdict(), Some("has not fired"));
    }
}
