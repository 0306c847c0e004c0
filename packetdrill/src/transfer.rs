//! Reading and writing, in all the forms that system calls give them.

use std::os::fd::RawFd;

use sidestep::app::Close;

use crate::errno::{Errno, Outcome};
use crate::facade::Message;
use crate::opening::Attempt;
use crate::shared::Shared;
use crate::sockets::Kind;
use crate::stack::Stack;

/// Flags that a read knows.
const READ_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_PEEK | libc::MSG_TRUNC | libc::MSG_NOSIGNAL;
/// Flags that a write knows.
const WRITE_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

impl Shared {
    /// Up to `most` bytes.
    pub(crate) fn read(&self, fd: RawFd, most: usize, flags: i32) -> Outcome<Vec<u8>> {
        if flags & !READ_FLAGS != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let peek = flags & libc::MSG_PEEK != 0;
        if flags & libc::MSG_DONTWAIT != 0 {
            let read = self.at_once(|stack| stack.try_read(fd, most, peek));
            return read.unwrap_or(Err(Errno(libc::EAGAIN)));
        }
        self.block_on(fd, |stack| stack.try_read(fd, most, peek))
    }

    /// How many of the bytes were taken. Where it may block, a write waits until all of them were.
    pub(crate) fn write(&self, fd: RawFd, bytes: &[u8], flags: i32) -> Outcome<usize> {
        if flags & !WRITE_FLAGS != 0 {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        let once = flags & libc::MSG_DONTWAIT != 0
            || self.at_once(|stack| stack.sockets.get(fd).map(|socket| socket.nonblocking))?;
        let mut written = 0;
        let mut attempt = |stack: &mut Stack| match stack.try_write(fd, &bytes[written..])? {
            Ok(n) => {
                written += n;
                (once || written == bytes.len()).then_some(Ok(written))
            }
            Err(_) if written > 0 => Some(Ok(written)),
            Err(errno) => Some(Err(errno)),
        };
        let result = if once { self.at_once(attempt) } else { self.wait_for(None, &mut attempt) };
        match result {
            Some(result) => result,
            None if written > 0 => Ok(written),
            None => Err(Errno(libc::EAGAIN)),
        }
    }
}

impl Stack {
    fn try_read(&mut self, fd: RawFd, most: usize, peek: bool) -> Attempt<Vec<u8>> {
        self.progress(fd);
        let socket = match self.sockets.get_mut(fd) {
            Ok(socket) => socket,
            Err(errno) => return Some(Err(errno)),
        };
        let id = match (socket.kind, socket.error.take()) {
            (_, Some(error)) => return Some(Err(error)),
            (Kind::Connected { id, .. }, _) => id,
            (Kind::Connecting(_), _) => return None,
            (Kind::Failed, _) => return Some(Ok(Vec::new())),
            (Kind::Fresh | Kind::Listening(_), _) => return Some(Err(Errno(libc::ENOTCONN))),
        };
        let status = self.facade()?.status(id)?;
        let (unread, fin) = (status.unread, status.fin);
        if unread == 0 || most == 0 {
            if let Some(error) = self.tell_end(fd) {
                return Some(Err(error));
            }
            let over = fin || most == 0 || self.has_ended(id) || self.is_deaf(fd);
            return over.then(|| Ok(Vec::new()));
        }
        if let Err(errno) = self.post(id, Message::Read(most, peek)) {
            return Some(Err(errno));
        }
        Some(Ok(self.facade_mut()?.take_bytes(id)))
    }

    fn is_deaf(&self, fd: RawFd) -> bool {
        self.sockets.get(fd).is_ok_and(|socket| socket.deaf)
    }

    fn has_ended(&self, id: sidestep::app::ConnId) -> bool {
        let status = self.facade().and_then(|facade| facade.status(id));
        status.is_none_or(|status| status.ended.is_some())
    }

    /// The error that the connection ended with, the first time.
    pub(crate) fn tell_end(&mut self, fd: RawFd) -> Option<Errno> {
        let id = self.sockets.get(fd).ok()?.connection().ok()?;
        let status = self.facade()?.status(id)?;
        let why = status.ended.filter(|why| *why != Close::Finished)?;
        let socket = self.sockets.get_mut(fd).ok()?;
        let first = !std::mem::replace(&mut socket.told, true);
        first.then(|| Errno::of(why))
    }

    fn try_write(&mut self, fd: RawFd, bytes: &[u8]) -> Attempt<usize> {
        self.progress(fd);
        let socket = match self.sockets.get_mut(fd) {
            Ok(socket) => socket,
            Err(errno) => return Some(Err(errno)),
        };
        let id = match (socket.kind, socket.error.take()) {
            (_, Some(error)) => return Some(Err(error)),
            (Kind::Connected { id, .. }, _) => id,
            (Kind::Connecting(_), _) => return None,
            (Kind::Failed | Kind::Fresh | Kind::Listening(_), _) => {
                return Some(Err(Errno(libc::EPIPE)));
            }
        };
        let finished = socket.finished;
        if let Some(error) = self.tell_end(fd) {
            return Some(Err(error));
        }
        if finished || self.has_ended(id) {
            return Some(Err(Errno(libc::EPIPE)));
        }
        if bytes.is_empty() {
            return Some(Ok(0));
        }
        if self.facade()?.status(id)?.full {
            return None;
        }
        if let Err(errno) = self.post(id, Message::Write(bytes.to_vec())) {
            return Some(Err(errno));
        }
        let written = self.facade()?.status(id)?.written;
        (written > 0).then_some(Ok(written))
    }
}
