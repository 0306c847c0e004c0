//! Our engine over the virtual device, in virtual time.

use std::time::Duration;

use sidestep::app::{Close, ConnId};
use sidestep::tcp::TcpConfig;

use super::event::{Event, Sequence};
use super::subject::{Subject, View};
use crate::packet::{Message, Settings, World};
use crate::segments::path::Path;
use crate::segments::segment::Segment;

/// Longer than a delayed ACK, shorter than a retransmission timeout.
const REST: Duration = Duration::from_millis(3);
/// One retransmission timeout, and not two.
pub(crate) const LONG_WAIT: Duration = Duration::from_millis(350);

pub(crate) struct Ours {
    world: World,
    path: Path,
    conn: Option<ConnId>,
    closed: bool,
    read: usize,
}

impl Ours {
    pub(crate) fn new(sequence: &Sequence, path: Path) -> Ours {
        let tcp = TcpConfig {
            delayed_ack: Duration::from_millis(1),
            // No limit of answers, as in the kernel's settings.
            answer_interval: Duration::ZERO,
            ..TcpConfig::default()
        };
        let mut settings = Settings::default();
        settings.tcp = tcp;
        let world = World::new(&settings, path, !sequence.active);
        Ours { world, path, conn: None, closed: false, read: 0 }
    }

    fn conn(&mut self) -> Option<ConnId> {
        let facade = self.world.facade();
        self.conn = self.conn.or(facade.accepted.front().copied()).or(facade.connected);
        self.conn
    }

    fn result(&mut self, conn: ConnId) -> usize {
        self.world.facade().status(conn).map_or(0, |status| status.result)
    }
}

impl Subject for Ours {
    fn path(&self) -> Path {
        self.path
    }

    fn connect(&mut self) -> Result<(), String> {
        self.world.connect(self.path.local, self.path.remote)
    }

    fn inject(&mut self, segment: &Segment) -> Result<(), String> {
        self.world.inject(segment)
    }

    fn call(&mut self, event: Event) -> Result<Option<usize>, String> {
        let Some(conn) = self.conn().filter(|_| !self.closed) else { return Ok(None) };
        self.closed = matches!(event, Event::Close | Event::Abort);
        let ended = self.world.facade().status(conn).is_some_and(|status| status.ended.is_some());
        let message = match event {
            Event::Write(n) => Message::Write(n),
            Event::Read(n) => Message::Read(n),
            Event::Shutdown => Message::Shutdown,
            Event::Close => Message::Close,
            Event::Abort => Message::Abort,
            Event::Segment(_) | Event::Wait => return Ok(None),
        };
        if ended {
            return Ok(Some(0));
        }
        let unread = self.world.facade().status(conn).map_or(0, |status| status.unread);
        if matches!(event, Event::Read(_)) && unread == 0 {
            return Ok(Some(0));
        }
        self.world.post(conn, message)?;
        Ok(match event {
            Event::Write(_) => Some(self.result(conn)),
            Event::Read(_) => {
                let n = self.result(conn);
                self.read += n;
                Some(n)
            }
            _ => Some(0),
        })
    }

    fn answers(&mut self, long: bool) -> Result<Vec<Segment>, String> {
        let end = self.world.elapsed() + if long { LONG_WAIT } else { REST };
        while let Some(at) = self.world.next_deadline().filter(|at| *at <= end) {
            self.world.advance(at)?;
        }
        self.world.advance(end)?;
        Ok(self.world.sent.drain(..).map(|(_, segment)| segment).collect())
    }

    fn view(&mut self) -> Result<View, String> {
        let Some(conn) = self.conn() else { return Ok(View::default()) };
        let Some(status) = self.world.facade().status(conn) else { return Ok(View::default()) };
        if let Some(at) = status.wrong {
            return Err(format!("the application was given a wrong byte at {at}"));
        }
        Ok(View {
            opened: true,
            read: self.read + status.unread,
            fin: status.fin,
            reset: status.ended == Some(Close::Reset),
        })
    }
}
