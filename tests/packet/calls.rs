//! System calls, as far as scripts need them.

use std::collections::BTreeMap;

use sidestep::app::{Close, ConnId};

use super::ast::{Arg, Call};
use super::facade::Message;
use super::names::Names;
use super::settings::Settings;
use super::world::World;
use crate::segments::path::Path;

/// What a call gave: a value, or the name of an error.
pub(crate) type Outcome = Result<i64, &'static str>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fresh,
    Listening,
    Connecting,
    Connected(ConnId),
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) kind: Kind,
    /// SO_LINGER with zero time: close resets.
    pub(super) resets: bool,
    finished: bool,
    /// The error was given to the caller once.
    told: bool,
}

/// The descriptors of a script.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<i64, Socket>,
}

/// What a call works on.
pub(crate) struct Context<'a> {
    pub(crate) world: &'a mut Option<World>,
    pub(crate) names: &'a mut Names,
    pub(crate) settings: &'a Settings,
    pub(crate) path: Path,
}

impl Context<'_> {
    /// The engine, started by the first call or packet that needs it.
    pub(crate) fn world(&mut self, listen: bool) -> &mut World {
        let (settings, path) = (self.settings, self.path);
        self.world.get_or_insert_with(|| World::new(settings, path, listen))
    }
}

impl Sockets {
    /// `Ok(None)`: the call would block.
    pub(crate) fn call(
        &mut self,
        call: &Call,
        cx: &mut Context<'_>,
    ) -> Result<Option<Outcome>, String> {
        let done = |value: i64| Ok(Some(Ok(value)));
        match call.name.as_str() {
            "socket" => {
                let fd = (3..).find(|fd| !self.open.contains_key(fd)).unwrap_or(3);
                self.insert(fd, Kind::Fresh);
                done(fd)
            }
            "bind" | "fcntl" => self.plain(call),
            "setsockopt" => self.set_option(call, cx),
            "getsockopt" => self.get_option(call, cx),
            "listen" => self.listen(call, cx),
            "accept" => self.accept(call, cx),
            "connect" => self.connect(call, cx),
            "read" | "recv" => self.read(call, cx),
            "write" | "send" => self.write(call, cx),
            "shutdown" => self.shutdown(call, cx),
            "close" => self.close(call, cx),
            name => Err(format!("the system call {name} is not understood")),
        }
    }

    fn insert(&mut self, fd: i64, kind: Kind) {
        self.open.insert(fd, Socket { kind, resets: false, finished: false, told: false });
    }

    fn fd(call: &Call) -> Result<i64, String> {
        let fd = call.args.first().and_then(Arg::integer);
        fd.ok_or_else(|| format!("{}: expected a descriptor", call.name))
    }

    pub(super) fn socket(&mut self, call: &Call) -> Result<&mut Socket, String> {
        let fd = Self::fd(call)?;
        self.open.get_mut(&fd).ok_or_else(|| format!("{}: {fd} is not open", call.name))
    }

    fn connection(&mut self, call: &Call) -> Result<(ConnId, &mut Socket), String> {
        let name = call.name.clone();
        match self.socket(call)? {
            socket @ Socket { kind: Kind::Connected(_), .. } => {
                let Kind::Connected(id) = socket.kind else { return Err(name) };
                Ok((id, socket))
            }
            socket => Err(format!("{name}: not connected, but {:?}", socket.kind)),
        }
    }

    fn plain(&mut self, call: &Call) -> Result<Option<Outcome>, String> {
        self.socket(call)?;
        let flags = call.args.get(1).is_some_and(|arg| arg.is_word("F_GETFL"));
        // O_RDWR, which is all that is remembered: every call says by its form whether it blocks.
        Ok(Some(Ok(if flags { 2 } else { 0 })))
    }

    fn listen(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        if cx.world.is_some() {
            return Err(String::from("listen: the engine has started already"));
        }
        self.socket(call)?.kind = Kind::Listening;
        cx.world(true);
        Ok(Some(Ok(0)))
    }

    fn accept(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        self.socket(call)?;
        cx.world(true).accept()?;
        let Some(id) = cx.world(true).facade_mut().accepted.pop_front() else { return Ok(None) };
        let fd = (3..).find(|fd| !self.open.contains_key(fd)).unwrap_or(3);
        self.insert(fd, Kind::Connected(id));
        Ok(Some(Ok(fd)))
    }

    /// A connect that has begun is asked again until it has an end.
    fn connect(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        if self.socket(call)?.kind == Kind::Fresh {
            self.socket(call)?.kind = Kind::Connecting;
            cx.names.connect();
            let path = cx.path;
            cx.world(false).connect(path.local, path.remote)?;
        }
        self.connected(cx);
        let failed = cx.world(false).facade().connect_failed;
        match (self.socket(call)?.kind, failed) {
            (Kind::Connected(_), _) => Ok(Some(Ok(0))),
            (_, Some(why)) => Ok(Some(Err(errno(why)))),
            _ if call.end.is_none() => Ok(Some(Err("EINPROGRESS"))),
            _ => Ok(None),
        }
    }

    /// Lets the connecting socket become a connected one if its connection has opened.
    pub(super) fn connected(&mut self, cx: &mut Context<'_>) {
        let connecting = |socket: &&mut Socket| socket.kind == Kind::Connecting;
        if let Some(socket) = self.open.values_mut().find(connecting)
            && let Some(id) = cx.world(false).facade_mut().connected.take()
        {
            socket.kind = Kind::Connected(id);
        }
    }

    fn read(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        self.connected(cx);
        let most = Self::count(call)?;
        let (id, socket) = self.connection(call)?;
        let world = cx.world(false);
        let status = world.facade().status(id).ok_or("read: no such connection")?;
        if let Some(position) = status.wrong {
            return Err(format!("byte {position} that was delivered is not the one sent"));
        }
        let (unread, fin) = (status.unread, status.fin);
        match status.ended.filter(|why| *why != Close::Finished) {
            Some(why) if !std::mem::replace(&mut socket.told, true) => {
                return Ok(Some(Err(errno(why))));
            }
            Some(_) => return Ok(Some(Ok(0))),
            None => {}
        }
        if unread == 0 {
            return Ok(if fin { Some(Ok(0)) } else { None });
        }
        world.post(id, Message::Read(most))?;
        let read = world.facade().status(id).map_or(0, |status| status.result);
        Ok(Some(Ok(read as i64)))
    }

    fn write(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        self.connected(cx);
        let bytes = Self::count(call)?;
        let (id, socket) = self.connection(call)?;
        let world = cx.world(false);
        let status = world.facade().status(id).ok_or("write: no such connection")?;
        if let Some(why) = status.ended {
            let again = std::mem::replace(&mut socket.told, true);
            return Ok(Some(Err(if again { "EPIPE" } else { errno(why) })));
        }
        if socket.finished {
            return Ok(Some(Err("EPIPE")));
        }
        let urgent = call.args.get(3).is_some_and(|flags| flags.is_word("MSG_OOB"));
        let how = if urgent { Message::WriteUrgent } else { Message::Write };
        world.post(id, how(bytes))?;
        let written = world.facade().status(id).map_or(0, |status| status.result);
        Ok(if written == 0 && bytes > 0 { None } else { Some(Ok(written as i64)) })
    }

    fn count(call: &Call) -> Result<usize, String> {
        let count = call.args.get(2).and_then(Arg::integer).and_then(|n| usize::try_from(n).ok());
        count.ok_or_else(|| format!("{}(fd, ..., bytes)", call.name))
    }

    fn shutdown(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        let writes = |arg: &Arg| arg.is_word("SHUT_WR") || arg.is_word("SHUT_RDWR");
        if !call.args.get(1).is_some_and(writes) {
            return Err(String::from("shutdown: only SHUT_WR is understood"));
        }
        self.connected(cx);
        let (id, socket) = self.connection(call)?;
        socket.finished = true;
        cx.world(false).post(id, Message::Shutdown)?;
        Ok(Some(Ok(0)))
    }

    fn close(&mut self, call: &Call, cx: &mut Context<'_>) -> Result<Option<Outcome>, String> {
        self.connected(cx);
        let fd = Self::fd(call)?;
        let socket = self.socket(call)?;
        if let Kind::Connected(id) = socket.kind {
            let how = if socket.resets { Message::Abort } else { Message::Close };
            let world = cx.world(false);
            if world.facade().status(id).is_some_and(|status| status.ended.is_none()) {
                world.post(id, how)?;
            }
        }
        self.open.remove(&fd);
        Ok(Some(Ok(0)))
    }
}

pub(super) fn errno(why: Close) -> &'static str {
    match why {
        Close::Reset => "ECONNRESET",
        Close::TimedOut => "ETIMEDOUT",
        Close::Unreachable => "EHOSTUNREACH",
        Close::Refused => "ECONNREFUSED",
        Close::Aborted | Close::Drained => "ECONNABORTED",
        Close::NoResources => "ENOBUFS",
        Close::Finished => "EPIPE",
    }
}
