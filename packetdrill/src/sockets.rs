//! Descriptors and the sockets behind them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use sidestep::app::{ConnId, Peer};

use crate::errno::{Errno, Outcome};

/// What a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Fresh,
    Listening(SocketAddr),
    /// With the token of its connect.
    Connecting(u64),
    Connected {
        id: ConnId,
        peer: SocketAddr,
    },
    /// Its connect failed.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Socket {
    /// A descriptor of the kernel's, for its number: packetdrill closes what a script leaves open.
    reserved: File,
    pub(crate) kind: Kind,
    pub(crate) ipv6: bool,
    pub(crate) nonblocking: bool,
    pub(crate) bound: Option<SocketAddr>,
    /// SO_LINGER with zero time: close resets.
    pub(crate) resets: bool,
    /// Keep-alive is on.
    pub(crate) keep_alive: bool,
    /// Will write no more.
    pub(crate) finished: bool,
    /// Will read no more than what is there.
    pub(crate) deaf: bool,
    /// The first connect after the connection opened says so; later ones are wrong.
    pub(crate) announced: bool,
    /// An error that the next call is to give.
    pub(crate) error: Option<Errno>,
    /// How the connection ended was told.
    pub(crate) told: bool,
    /// Options that are kept and have no effect, by level and name.
    pub(crate) kept: BTreeMap<(i32, i32), i32>,
}

impl Socket {
    fn new(reserved: File, kind: Kind, ipv6: bool, nonblocking: bool) -> Socket {
        Socket {
            reserved,
            kind,
            ipv6,
            nonblocking,
            bound: None,
            resets: false,
            keep_alive: false,
            finished: false,
            deaf: false,
            announced: false,
            error: None,
            told: false,
            kept: BTreeMap::new(),
        }
    }

    /// The connection.
    ///
    /// # Errors
    /// ENOTCONN if there is none.
    pub(crate) fn connection(&self) -> Outcome<ConnId> {
        match self.kind {
            Kind::Connected { id, .. } => Ok(id),
            _ => Err(Errno(libc::ENOTCONN)),
        }
    }
}

/// The open sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<RawFd, Socket>,
}

impl Sockets {
    pub(crate) fn get(&self, fd: RawFd) -> Outcome<&Socket> {
        self.open.get(&fd).ok_or(Errno(libc::EBADF))
    }

    pub(crate) fn get_mut(&mut self, fd: RawFd) -> Outcome<&mut Socket> {
        self.open.get_mut(&fd).ok_or(Errno(libc::EBADF))
    }

    /// A new socket.
    pub(crate) fn open(&mut self, ipv6: bool, nonblocking: bool) -> Outcome<RawFd> {
        self.insert(Kind::Fresh, ipv6, nonblocking)
    }

    /// The socket of a connection that was accepted.
    pub(crate) fn accepted(
        &mut self,
        peer: &Peer,
        ipv6: bool,
        nonblocking: bool,
    ) -> Outcome<RawFd> {
        let kind = Kind::Connected { id: peer.id, peer: peer.remote };
        let fd = self.insert(kind, ipv6, nonblocking)?;
        let socket = self.get_mut(fd)?;
        (socket.bound, socket.announced) = (Some(peer.local), true);
        Ok(fd)
    }

    fn insert(&mut self, kind: Kind, ipv6: bool, nonblocking: bool) -> Outcome<RawFd> {
        let reserved = reserve()?;
        let fd = reserved.as_raw_fd();
        self.open.insert(fd, Socket::new(reserved, kind, ipv6, nonblocking));
        Ok(fd)
    }

    /// Takes a socket out and frees its descriptor.
    pub(crate) fn remove(&mut self, fd: RawFd) -> Outcome<Socket> {
        self.open.remove(&fd).ok_or(Errno(libc::EBADF))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // What is left was closed by number: closing it again would hit another's descriptor.
        for (_, socket) in std::mem::take(&mut self.open) {
            let _ = socket.reserved.into_raw_fd();
        }
    }
}

/// A descriptor that nobody else has.
pub(crate) fn reserve() -> Outcome<File> {
    File::open("/dev/null").map_err(|error| Errno(error.raw_os_error().unwrap_or(libc::EMFILE)))
}
