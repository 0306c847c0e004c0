//! What a descriptor is ready for, and poll.

use std::os::fd::RawFd;
use std::time::Duration;

use sidestep::app::Close;

use crate::shared::Shared;
use crate::sockets::Kind;
use crate::stack::Stack;

/// Readiness, in the bits of poll, and a count that grows with every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) events: i16,
    pub(crate) count: u64,
}

/// One descriptor of a poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    pub(crate) fd: RawFd,
    pub(crate) events: i16,
}

const ALWAYS: i16 = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
const BOTH: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLRDNORM | libc::POLLWRNORM;

impl Shared {
    /// The events of each descriptor; `timeout` in milliseconds, negative for none.
    pub(crate) fn poll(&self, fds: &[Polled], timeout: i32) -> Vec<i16> {
        let look = |stack: &mut Stack| -> Vec<i16> {
            let of = |polled: &Polled| match polled.fd {
                ..0 => 0,
                fd => stack.ready(fd).events & (polled.events | ALWAYS),
            };
            fds.iter().map(of).collect()
        };
        let attempt = |stack: &mut Stack| {
            let events = look(stack);
            events.iter().any(|events| *events != 0).then_some(events)
        };
        let found = match u64::try_from(timeout) {
            Ok(0) => self.at_once(attempt),
            Ok(millis) => {
                let until = self.after(Duration::from_millis(millis));
                self.wait_for(Some(until), attempt)
            }
            Err(_) => self.wait_for(None, attempt),
        };
        found.unwrap_or_else(|| vec![0; fds.len()])
    }
}

impl Stack {
    /// What a descriptor is ready for.
    pub(crate) fn ready(&self, fd: RawFd) -> Ready {
        let Ok(socket) = self.sockets.get(fd) else {
            return Ready { events: libc::POLLNVAL, count: 0 };
        };
        match socket.kind {
            Kind::Fresh => {
                Ready { events: libc::POLLOUT | libc::POLLWRNORM | libc::POLLHUP, count: 0 }
            }
            Kind::Listening(at) => {
                let waiting = self.facade().map_or(0, |facade| facade.accepted.len() as u64);
                let any = self.first_accepted(at).is_some();
                let events = if any { libc::POLLIN | libc::POLLRDNORM } else { 0 };
                Ready { events, count: waiting }
            }
            Kind::Connecting(token) => {
                let open = self.facade().and_then(|facade| facade.has_connected(token));
                let events = match open {
                    Some(true) => libc::POLLOUT | libc::POLLWRNORM,
                    Some(false) => BOTH | ALWAYS & !libc::POLLNVAL,
                    None => 0,
                };
                Ready { events, count: u64::from(open.is_some()) }
            }
            Kind::Connected { id, .. } => self.connection_ready(id, socket.finished, socket.told),
            Kind::Failed => Ready { events: BOTH | libc::POLLHUP, count: 1 },
        }
    }

    fn connection_ready(&self, id: sidestep::app::ConnId, finished: bool, told: bool) -> Ready {
        let Some(status) = self.facade().and_then(|facade| facade.status(id)) else {
            return Ready::default();
        };
        let mut events = 0;
        if status.unread > 0 || status.fin || status.ended.is_some() {
            events |= libc::POLLIN | libc::POLLRDNORM;
        }
        if !status.full || status.ended.is_some() {
            events |= libc::POLLOUT | libc::POLLWRNORM;
        }
        if status.fin || status.ended.is_some() {
            events |= libc::POLLRDHUP;
        }
        if status.fin && finished || status.ended.is_some() {
            events |= libc::POLLHUP;
        }
        if status.ended.is_some_and(|why| why != Close::Finished) && !told {
            events |= libc::POLLERR;
        }
        Ready { events, count: status.events }
    }
}
