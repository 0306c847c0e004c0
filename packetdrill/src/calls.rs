//! shutdown, close, fcntl, ioctl, names, and packetdrill's end of the wire.

use std::os::fd::RawFd;

use crate::errno::{Errno, Outcome};
use crate::facade::Message;
use crate::shared::Shared;
use crate::sockets::Kind;
use crate::stack::Stack;

impl Shared {
    pub(crate) fn shutdown(&self, fd: RawFd, how: i32) -> Outcome<()> {
        self.at_once(|stack| {
            stack.progress(fd);
            let id = stack.sockets.get(fd)?.connection()?;
            let ended = stack.facade().and_then(|f| f.status(id)).is_none_or(|s| s.ended.is_some());
            if ended {
                return Err(Errno(libc::ENOTCONN));
            }
            let (reading, writing) = match how {
                libc::SHUT_RD => (true, false),
                libc::SHUT_WR => (false, true),
                libc::SHUT_RDWR => (true, true),
                _ => return Err(Errno(libc::EINVAL)),
            };
            let socket = stack.sockets.get_mut(fd)?;
            socket.deaf |= reading;
            if !writing {
                return Ok(());
            }
            socket.finished = true;
            let message = if socket.deaf { Message::Close } else { Message::Finish };
            stack.post(id, message)
        })
    }

    pub(crate) fn close(&self, fd: RawFd) -> Outcome<()> {
        self.at_once(|stack| {
            if stack.epolls.close(fd) {
                return Ok(());
            }
            stack.progress(fd);
            stack.epolls.forget(fd);
            let socket = stack.sockets.remove(fd)?;
            match socket.kind {
                Kind::Connected { id, .. } => stack.close_connection(id, socket.resets),
                Kind::Listening(at) => {
                    stack.stop_listening(at);
                    while let Some(peer) = stack.take_accepted(at) {
                        stack.post(peer.id, Message::Abort)?;
                    }
                    Ok(())
                }
                Kind::Connecting(token) => {
                    stack.cancel_connect(token);
                    Ok(())
                }
                Kind::Fresh | Kind::Failed => Ok(()),
            }
        })
    }

    pub(crate) fn fcntl(&self, fd: RawFd, command: i32, argument: i32) -> Outcome<i32> {
        self.at_once(|stack| {
            let socket = stack.sockets.get_mut(fd)?;
            match command {
                libc::F_GETFL => {
                    let flags = if socket.nonblocking { libc::O_NONBLOCK } else { 0 };
                    Ok(libc::O_RDWR | flags)
                }
                libc::F_SETFL => {
                    socket.nonblocking = argument & libc::O_NONBLOCK != 0;
                    Ok(0)
                }
                libc::F_GETFD | libc::F_SETFD => Ok(0),
                _ => Err(Errno(libc::ENOSYS)),
            }
        })
    }

    /// Requests that give a number.
    pub(crate) fn ioctl(&self, fd: RawFd, request: u64) -> Outcome<i32> {
        self.at_once(|stack| {
            stack.progress(fd);
            let socket = stack.sockets.get(fd)?;
            let id = match socket.kind {
                Kind::Listening(_) => return Err(Errno(libc::EINVAL)),
                Kind::Connected { id, .. } => id,
                Kind::Fresh | Kind::Connecting(_) | Kind::Failed => return Ok(0),
            };
            // SIOCINQ is FIONREAD.
            if request != libc::FIONREAD {
                return Err(Errno(libc::ENOSYS));
            }
            let status = stack.facade().and_then(|facade| facade.status(id));
            Ok(status.map_or(0, |status| status.unread as i32))
        })
    }

    pub(crate) fn netdev_send(&self, packet: &[u8]) -> Outcome<()> {
        self.at_once(|stack| stack.inject(packet))
    }
}

impl Stack {
    /// CLOSE: with unread bytes it is a reset (RFC 9293 section 3.6.1, RFC 2525 section 2.17).
    fn close_connection(&mut self, id: sidestep::app::ConnId, resets: bool) -> Outcome<()> {
        let Some(status) = self.facade().and_then(|facade| facade.status(id)) else {
            return Ok(());
        };
        if status.ended.is_some() {
            return Ok(());
        }
        let abort = resets || status.unread > 0;
        self.post(id, if abort { Message::Abort } else { Message::Close })
    }
}
