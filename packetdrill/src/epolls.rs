//! epoll, level- and edge-triggered, over [`Ready`].

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::time::Duration;

use crate::errno::{Errno, Outcome};
use crate::ready::Ready;
use crate::shared::Shared;
use crate::sockets::reserve;
use crate::stack::Stack;

/// Events that are reported whether asked for or not.
const ALWAYS: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;

/// What is asked of one descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    pub(crate) events: u32,
    pub(crate) data: u64,
}

/// One event.
pub(crate) type Event = Interest;

#[derive(Debug)]
struct Watched {
    interest: Interest,
    /// Of a one-shot interest that has been reported.
    spent: bool,
    /// What was reported last, for edges.
    reported: Ready,
}

#[derive(Debug)]
struct Epoll {
    reserved: File,
    watched: BTreeMap<RawFd, Watched>,
}

/// The epoll descriptors.
#[derive(Debug, Default)]
pub(crate) struct Epolls {
    open: BTreeMap<RawFd, Epoll>,
}

impl Epolls {
    fn get_mut(&mut self, fd: RawFd) -> Outcome<&mut Epoll> {
        self.open.get_mut(&fd).ok_or(Errno(libc::EBADF))
    }

    /// Closes an epoll descriptor; false if it is none.
    pub(crate) fn close(&mut self, fd: RawFd) -> bool {
        self.open.remove(&fd).is_some()
    }

    /// A socket is closed.
    pub(crate) fn forget(&mut self, fd: RawFd) {
        self.open.values_mut().for_each(|epoll| {
            epoll.watched.remove(&fd);
        });
    }
}

impl Drop for Epolls {
    fn drop(&mut self) {
        // As with sockets: closed by number already.
        for (_, epoll) in std::mem::take(&mut self.open) {
            let _ = epoll.reserved.into_raw_fd();
        }
    }
}

impl Shared {
    pub(crate) fn epoll_create(&self, size: i32) -> Outcome<RawFd> {
        if size <= 0 {
            return Err(Errno(libc::EINVAL));
        }
        self.at_once(|stack| {
            let reserved = reserve()?;
            let fd = reserved.as_raw_fd();
            stack.epolls.open.insert(fd, Epoll { reserved, watched: BTreeMap::new() });
            Ok(fd)
        })
    }

    pub(crate) fn epoll_ctl(
        &self,
        epoll: RawFd,
        operation: i32,
        fd: RawFd,
        interest: Option<Interest>,
    ) -> Outcome<()> {
        self.at_once(|stack| {
            stack.sockets.get(fd)?;
            let watched = &mut stack.epolls.get_mut(epoll)?.watched;
            if operation == libc::EPOLL_CTL_DEL {
                return watched.remove(&fd).map(|_| ()).ok_or(Errno(libc::ENOENT));
            }
            let interest = interest.ok_or(Errno(libc::EFAULT))?;
            let new = Watched { interest, spent: false, reported: Ready::default() };
            match (operation, watched.contains_key(&fd)) {
                (libc::EPOLL_CTL_ADD, false) | (libc::EPOLL_CTL_MOD, true) => {
                    watched.insert(fd, new);
                    Ok(())
                }
                (libc::EPOLL_CTL_ADD, true) => Err(Errno(libc::EEXIST)),
                (libc::EPOLL_CTL_MOD, false) => Err(Errno(libc::ENOENT)),
                _ => Err(Errno(libc::EINVAL)),
            }
        })
    }

    /// Up to `most` events; `timeout` in milliseconds, negative for none.
    pub(crate) fn epoll_wait(
        &self,
        epoll: RawFd,
        most: usize,
        timeout: i32,
    ) -> Outcome<Vec<Event>> {
        if most == 0 {
            return Err(Errno(libc::EINVAL));
        }
        let attempt = |stack: &mut Stack| match stack.epoll_events(epoll, most) {
            Ok(events) if events.is_empty() => None,
            result => Some(result),
        };
        let found = match u64::try_from(timeout) {
            Ok(0) => self.at_once(attempt),
            Ok(millis) => {
                let until = self.after(Duration::from_millis(millis));
                self.wait_for(Some(until), attempt)
            }
            Err(_) => self.wait_for(None, attempt),
        };
        found.unwrap_or(Ok(Vec::new()))
    }
}

impl Stack {
    fn epoll_events(&mut self, epoll: RawFd, most: usize) -> Outcome<Vec<Event>> {
        let fds: Vec<RawFd> = self.epolls.get_mut(epoll)?.watched.keys().copied().collect();
        let mut found = Vec::new();
        for fd in fds {
            let ready = self.ready(fd);
            let Some(watched) = self.epolls.get_mut(epoll)?.watched.get_mut(&fd) else { continue };
            if found.len() == most || watched.spent {
                continue;
            }
            // The bits of poll and epoll are the same.
            let events = u32::from(ready.events as u16) & (watched.interest.events | ALWAYS);
            let edge = watched.interest.events & libc::EPOLLET as u32 != 0;
            let same = ready.count == watched.reported.count;
            let nothing_new = edge && same && ready.events & !watched.reported.events == 0;
            watched.reported = ready;
            if events == 0 || nothing_new {
                continue;
            }
            watched.spent = watched.interest.events & libc::EPOLLONESHOT as u32 != 0;
            found.push(Event { events, data: watched.interest.data });
        }
        Ok(found)
    }
}
