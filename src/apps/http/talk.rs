//! One connection's conversation: requests in, answers out, in order and under back-pressure.

use core::time::Duration;
use std::io;

use super::reply::{Content, Reply};
use super::request::{Parsed, Request, read_head};
use crate::app::{Rx, Tx};

/// A content that is too long to be written at once.
pub(in crate::apps) trait Body {
    /// Writes as much as there is space for; true once all is written.
    ///
    /// # Errors
    /// The content can't be had any more: the connection is reset.
    fn send(&mut self, tx: &mut Tx<'_>) -> io::Result<bool>;
}

/// The answer to one request.
#[derive(Debug)]
pub(in crate::apps) enum Answer<B> {
    /// All of it, from a table.
    Ready(&'static [u8]),
    /// Text made for it, and maybe a body behind.
    Made(Reply, Option<B>),
}

/// What the conversations of one core share.
#[derive(Clone, Debug, Default)]
pub(in crate::apps) struct Desk {
    /// Room for heads that lie in several frames.
    scratch: Vec<u8>,
    /// The server is shutting down: every answer is the last one on its connection.
    pub(in crate::apps) draining: bool,
}

/// How long a peer may take for a request, or leave a connection unused: twice that at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a request's body that must come in that time.
const LEAST_BODY: u64 = 15_000;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The state of a conversation.
#[derive(Debug)]
pub(in crate::apps) struct Talk<B> {
    /// Bytes of the request's body that were not read yet.
    body: u64,
    interim: &'static [u8],
    /// What is to be sent when the request's body was read.
    answer: Option<Answer<B>>,
    /// The answer is the last one.
    last: bool,
    /// We have finished; the peer has not.
    over: bool,
    /// Some request was answered, and nothing of a next one was read or is waiting to be read.
    idle: bool,
    /// The peer has finished, and all that it sent was read.
    drained: bool,
    /// A request came since the timer last fired.
    asked: bool,
    /// What was missing of a body then.
    body_then: u64,
}

impl<B> Default for Talk<B> {
    fn default() -> Talk<B> {
        Talk {
            body: 0,
            interim: &[],
            answer: None,
            last: false,
            over: false,
            idle: false,
            drained: false,
            asked: false,
            body_then: 0,
        }
    }
}

impl<B: Body> Talk<B> {
    /// The connection is open: its first request is waited for.
    pub(in crate::apps) fn on_open(tx: &mut Tx<'_>) -> Talk<B> {
        tx.set_timer(Some(PATIENCE));
        Talk::default()
    }

    /// Ends what is not used, and what is not meant to be: a request that comes byte by byte would
    /// keep its connection for ever. A peer that reads slowly is not the application's affair.
    pub(in crate::apps) fn on_timer(&mut self, tx: &mut Tx<'_>) {
        let uploads = self.body > 0 && self.body_then.saturating_sub(self.body) >= LEAST_BODY;
        let reads = self.answer.is_some() && self.body == 0;
        if core::mem::take(&mut self.asked) || uploads || reads {
            self.body_then = self.body;
        } else if self.idle && !self.over {
            self.over = true;
            tx.finish();
        } else {
            return tx.abort();
        }
        tx.set_timer(Some(PATIENCE));
    }

    /// Reads requests and answers them with `respond` for as long as there is space to write. It
    /// puts the answer where it is kept: moved there, it would be read in longer words than it was
    /// just written in.
    pub(in crate::apps) fn on_data(
        &mut self,
        rx: &mut Rx<'_>,
        tx: &mut Tx<'_>,
        desk: &mut Desk,
        mut respond: impl FnMut(&Request<'_>, &mut Option<Answer<B>>),
    ) {
        while self.send(tx) {
            if self.over || self.body > 0 {
                let most = if self.over { u64::MAX } else { self.body };
                let read = rx.len().min(usize::try_from(most).unwrap_or(usize::MAX));
                rx.consume(read);
                self.body = self.body.saturating_sub(read as u64);
                if self.over || self.body > 0 {
                    break;
                }
                continue;
            }
            if rx.is_empty() {
                break;
            }
            // Used where it was written: moved, it would be read in longer words than that.
            let mut parsed = read_head(rx, &mut desk.scratch);
            let head = match &mut parsed {
                Parsed::Request(request) => {
                    request.keep_alive &= !desk.draining;
                    self.last = !request.keep_alive;
                    self.idle = true;
                    self.asked = true;
                    self.body = request.body;
                    respond(request, &mut self.answer);
                    let waits = request.expects && request.body > 0 && rx.len() == request.head;
                    self.interim = if waits { CONTINUE } else { &[] };
                    request.head
                }
                Parsed::Bad(status) => {
                    self.last = true;
                    let reply = Reply::last(*status, Content::Text(status.line()));
                    self.answer = Some(Answer::Made(reply, None));
                    rx.len()
                }
                // Without its end it will never be a request.
                Parsed::Incomplete if rx.fin() => rx.len(),
                Parsed::Incomplete => break,
            };
            rx.consume(head);
        }
        self.idle &= rx.is_empty();
        self.drained = rx.fin() && rx.is_empty();
        self.finish_if_done(tx);
    }

    pub(in crate::apps) fn on_space(&mut self, tx: &mut Tx<'_>) {
        self.send(tx);
        self.finish_if_done(tx);
    }

    /// Ends the connection if it waits for a next request. A first one is still waited for.
    pub(in crate::apps) fn on_drain(&mut self, tx: &mut Tx<'_>) {
        self.over |= self.idle && self.answer.is_none() && self.body == 0;
        self.finish_if_done(tx);
    }

    /// Sends what is to be sent; false if there is not space for all of it.
    fn send(&mut self, tx: &mut Tx<'_>) -> bool {
        if !write(&mut self.interim, tx) {
            return false;
        }
        if self.body > 0 {
            return true;
        }
        let sent = match &mut self.answer {
            None => return true,
            Some(Answer::Ready(rest)) => write(rest, tx),
            Some(Answer::Made(reply, body)) => {
                reply.send(tx) && body.as_mut().is_none_or(|body| send_body(body, tx))
            }
        };
        if sent {
            self.answer = None;
            self.over = self.last;
        }
        sent
    }

    fn finish_if_done(&mut self, tx: &mut Tx<'_>) {
        if self.answer.is_some() && self.body == 0 {
            return;
        }
        if self.over || self.drained {
            tx.finish();
        }
    }
}

fn write(rest: &mut &'static [u8], tx: &mut Tx<'_>) -> bool {
    if !rest.is_empty() {
        *rest = &rest[tx.write(rest)..];
    }
    rest.is_empty()
}

fn send_body(body: &mut impl Body, tx: &mut Tx<'_>) -> bool {
    body.send(tx).unwrap_or_else(|error| {
        // The length was promised: only a reset tells the peer that it can't be kept.
        tracing::warn!(%error, "a content ended early");
        tx.abort();
        false
    })
}
