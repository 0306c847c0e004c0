//! The smallest HTTP server that is of use for measurements.

use std::io;

use super::chargen::write_pattern;
use super::http::{Answer, Body, Content, Desk, Method, Reply, Request, Status, Talk, number};
use crate::app::{App, Core, Peer, Refuse, Rx, Tx};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\n\
    Hello, World!";
const HELLO_CLOSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\
    Connection: close\r\n\r\nHello, World!";

/// Answers any GET with `Hello, World!`, `GET /bytes/N` with N bytes of the pattern of RFC 864, and
/// any POST with the number of bytes posted.
#[derive(Debug, Default)]
pub struct Hello(Desk);

/// One connection.
#[derive(Debug, Default)]
pub struct HelloConn(Talk<Pattern>);

impl App for Hello {
    type Conn = HelloConn;
    type Message = ();

    fn on_open(&mut self, _peer: &Peer, tx: &mut Tx<'_>) -> Result<HelloConn, Refuse> {
        Ok(HelloConn(Talk::on_open(tx)))
    }

    fn on_timer(&mut self, conn: &mut HelloConn, tx: &mut Tx<'_>) {
        conn.0.on_timer(tx);
    }

    fn on_data(&mut self, conn: &mut HelloConn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        conn.0.on_data(rx, tx, &mut self.0, respond);
    }

    fn on_space(&mut self, conn: &mut HelloConn, tx: &mut Tx<'_>) {
        conn.0.on_space(tx);
    }

    fn on_drain(&mut self, conn: &mut HelloConn, tx: &mut Tx<'_>) {
        conn.0.on_drain(tx);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        self.0.draining = core.draining();
    }
}

fn respond(request: &Request<'_>, answer: &mut Option<Answer<Pattern>>) {
    let length = request.path.strip_prefix("/bytes/");
    if request.method == Method::Get && length.is_none() && !request.old {
        *answer = Some(Answer::Ready(if request.keep_alive { HELLO } else { HELLO_CLOSE }));
    } else {
        *answer = Some(make(request, length));
    }
}

/// Any other answer; `length` is what the path asks for, if it asks for bytes.
fn make(request: &Request<'_>, length: Option<&str>) -> Answer<Pattern> {
    let content = match (request.method, length.map(|digits| number(digits.as_bytes()))) {
        (Method::Other, _) => {
            let reply = Reply::error(request, Status::MethodNotAllowed);
            return Answer::Made(reply.allow("GET, HEAD, POST"), None);
        }
        (Method::Post, _) => Content::Number(request.body),
        (_, None) => Content::Text("Hello, World!"),
        (_, Some(None)) => {
            return Answer::Made(Reply::error(request, Status::BadRequest), None);
        }
        (_, Some(Some(length))) => Content::Body { length, kind: "text/plain" },
    };
    let body = match content {
        Content::Body { length, .. } if request.method == Method::Get => Some(length),
        _ => None,
    };
    let body = body.map(|end| Pattern { at: 0, end });
    Answer::Made(Reply::to(request, Status::Ok, content), body)
}

/// The part of the pattern that is to be sent.
#[derive(Debug)]
struct Pattern {
    at: u64,
    end: u64,
}

impl Body for Pattern {
    fn send(&mut self, tx: &mut Tx<'_>) -> io::Result<bool> {
        self.at = write_pattern(tx, self.at, self.end);
        Ok(self.at == self.end)
    }
}
