//! socket, bind, listen, accept, connect.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use sidestep::app::Peer;

use crate::errno::{Errno, Outcome};
use crate::facade::Connect;
use crate::shared::Shared;
use crate::sockets::Kind;
use crate::stack::Stack;

/// `None`: the call would block.
pub(crate) type Attempt<T> = Option<Outcome<T>>;

impl Shared {
    pub(crate) fn socket(&self, domain: i32, kind: i32, protocol: i32) -> Outcome<RawFd> {
        let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
        let kind = kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
        if domain != libc::AF_INET && domain != libc::AF_INET6 {
            return Err(Errno(libc::EAFNOSUPPORT));
        }
        if kind != libc::SOCK_STREAM || ![0, libc::IPPROTO_TCP].contains(&protocol) {
            return Err(Errno(libc::EPROTONOSUPPORT));
        }
        self.at_once(|stack| stack.sockets.open(domain == libc::AF_INET6, nonblocking))
    }

    pub(crate) fn bind(&self, fd: RawFd, at: SocketAddr) -> Outcome<()> {
        self.at_once(|stack| {
            let socket = stack.sockets.get_mut(fd)?;
            if socket.kind != Kind::Fresh || socket.bound.is_some() {
                return Err(Errno(libc::EINVAL));
            }
            socket.bound = Some(at);
            Ok(())
        })
    }

    pub(crate) fn listen(&self, fd: RawFd, _backlog: i32) -> Outcome<()> {
        self.at_once(|stack| {
            let socket = stack.sockets.get_mut(fd)?;
            match (socket.kind, socket.bound) {
                (Kind::Listening(_), _) => Ok(()),
                (Kind::Fresh, Some(at)) => {
                    socket.kind = Kind::Listening(at);
                    stack.listen(at)
                }
                _ => Err(Errno(libc::EINVAL)),
            }
        })
    }

    /// The new socket, the peer's address, and whether it is to be written as IPv6.
    pub(crate) fn accept(&self, fd: RawFd) -> Outcome<(RawFd, SocketAddr, bool)> {
        self.block_on(fd, |stack| stack.try_accept(fd))
    }

    /// Tries until there is something to give, if the socket and the thread may wait; `EAGAIN` if
    /// not.
    pub(crate) fn block_on<T>(
        &self,
        fd: RawFd,
        mut attempt: impl FnMut(&mut Stack) -> Attempt<T>,
    ) -> Outcome<T> {
        let nonblocking = self.at_once(|stack| stack.sockets.get(fd).map(|s| s.nonblocking))?;
        if nonblocking {
            return self.at_once(|stack| attempt(stack)).unwrap_or(Err(Errno(libc::EAGAIN)));
        }
        self.wait_for(None, attempt).unwrap_or(Err(Errno(libc::EAGAIN)))
    }

    pub(crate) fn connect(&self, fd: RawFd, remote: SocketAddr) -> Outcome<()> {
        if let Some(done) = self.at_once(|stack| stack.begin_connect(fd, remote))? {
            return done;
        }
        let result = self.block_on(fd, |stack| {
            stack.progress(fd);
            stack.connect_result(fd)
        });
        match result {
            Err(Errno(libc::EAGAIN)) => Err(Errno(libc::EINPROGRESS)),
            result => result,
        }
    }
}

impl Stack {
    fn try_accept(&mut self, fd: RawFd) -> Attempt<(RawFd, SocketAddr, bool)> {
        let (kind, ipv6) = match self.sockets.get(fd) {
            Ok(socket) => (socket.kind, socket.ipv6),
            Err(errno) => return Some(Err(errno)),
        };
        let Kind::Listening(at) = kind else { return Some(Err(Errno(libc::EINVAL))) };
        let peer = self.take_accepted(at)?;
        let accepted = self.sockets.accepted(&peer, ipv6, false);
        Some(accepted.map(|fd| (fd, peer.remote, ipv6)))
    }

    /// Position in the queue of the first connection for this listener.
    pub(crate) fn first_accepted(&self, at: SocketAddr) -> Option<usize> {
        let mine = |peer: &Peer| {
            peer.local.port() == at.port()
                && (at.ip().is_unspecified() || peer.local.ip() == at.ip())
        };
        self.facade()?.accepted.iter().position(mine)
    }

    /// The first connection for this listener.
    pub(crate) fn take_accepted(&mut self, at: SocketAddr) -> Option<Peer> {
        let first = self.first_accepted(at)?;
        self.facade_mut()?.accepted.remove(first)
    }

    /// `Some` if the call is over already: it was made before, and there is an answer to that.
    fn begin_connect(&mut self, fd: RawFd, remote: SocketAddr) -> Outcome<Option<Outcome<()>>> {
        self.progress(fd);
        let token = self.new_token();
        let socket = self.sockets.get_mut(fd)?;
        match socket.kind {
            Kind::Fresh | Kind::Failed => {}
            Kind::Connecting(_) if socket.nonblocking => {
                return Ok(Some(Err(Errno(libc::EALREADY))));
            }
            Kind::Connecting(_) => return Ok(None),
            Kind::Connected { .. } if std::mem::replace(&mut socket.announced, true) => {
                return Ok(Some(Err(Errno(libc::EISCONN))));
            }
            Kind::Connected { .. } => return Ok(Some(Ok(()))),
            Kind::Listening(_) => return Ok(Some(Err(Errno(libc::EISCONN)))),
        }
        if let Some(error) = socket.error.take() {
            return Ok(Some(Err(error)));
        }
        socket.kind = Kind::Connecting(token);
        let local = socket.bound;
        self.connect(Connect { local, remote, token })?;
        Ok(None)
    }

    /// Lets a connecting socket become what its connect led to.
    pub(crate) fn progress(&mut self, fd: RawFd) {
        let Ok(Kind::Connecting(token)) = self.sockets.get(fd).map(|socket| socket.kind) else {
            return;
        };
        let connected = self.facade_mut().and_then(|facade| facade.take_connected(token));
        let (Some(connected), Ok(socket)) = (connected, self.sockets.get_mut(fd)) else { return };
        match connected {
            Ok(peer) => {
                socket.kind = Kind::Connected { id: peer.id, peer: peer.remote };
                socket.bound = Some(peer.local);
            }
            Err(why) => {
                socket.kind = Kind::Failed;
                socket.error = Some(Errno::of(why));
            }
        }
    }

    fn connect_result(&mut self, fd: RawFd) -> Attempt<()> {
        let socket = match self.sockets.get_mut(fd) {
            Ok(socket) => socket,
            Err(errno) => return Some(Err(errno)),
        };
        match socket.kind {
            Kind::Connected { .. } => {
                socket.announced = true;
                Some(Ok(()))
            }
            Kind::Connecting(_) => None,
            _ => Some(Err(socket.error.take().unwrap_or(Errno(libc::ECONNABORTED)))),
        }
    }
}
