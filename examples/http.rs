//! A web server for the files of a directory: GET and HEAD send them, POST counts what is posted.
//! Try `cargo run --release --example http -- DIR` and `curl 127.0.0.1:8080/FILE`.

use std::path::{Path, PathBuf};
use std::{fs::File, ops::Range, os::unix::fs::FileExt};

use sidestep::app::{App, Peer, Refuse, Rx, Tx};

const MAX_HEAD: usize = 16 << 10;

struct Http(PathBuf);

#[derive(Default)]
struct Conn {
    /// Bytes of the request's body that are still to come; the answer waits for them.
    body: u64,
    answer: Option<Answer>,
    /// The last answer was sent: what still comes is dropped.
    over: bool,
    /// The peer has finished, and all that it sent was read.
    drained: bool,
}

struct Answer {
    text: Vec<u8>,
    /// What follows the text, and the part of it that is still to be sent.
    file: Option<File>,
    part: Range<u64>,
    last: bool,
}

impl App for Http {
    type Conn = Conn;
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<Conn, Refuse> {
        Ok(Conn::default())
    }

    fn on_data(&mut self, conn: &mut Conn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        while conn.send(tx) && !rx.is_empty() {
            if conn.over || conn.body > 0 {
                let read = if conn.over { rx.len() } else { rx.len().min(conn.body as usize) };
                rx.consume(read);
                conn.body = conn.body.saturating_sub(read as u64);
                continue;
            }
            let first = rx.chunks().next().and_then(|first| parse(first, &self.0));
            let parsed = first.or_else(|| parse(rx.contiguous(&mut vec![]), &self.0));
            let Some((head, body, expects, answer)) = parsed else { break };
            rx.consume(head);
            (conn.body, conn.answer) = (body, Some(answer));
            if expects && tx.space() > 25 {
                tx.write(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        conn.drained = rx.fin() && (rx.is_empty() || conn.answer.is_none());
        conn.finish_if_done(tx);
    }

    fn on_space(&mut self, conn: &mut Conn, tx: &mut Tx<'_>) {
        conn.send(tx); // What was left unread is offered after this.
        conn.finish_if_done(tx);
    }
}

impl Conn {
    /// False if there is not space for all of the answer.
    fn send(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(answer) = self.answer.as_mut().filter(|_| self.body == 0) else { return true };
        answer.text.drain(..tx.write(&answer.text));
        if !answer.text.is_empty() {
            return false;
        }
        while let (Some(file), false) = (&answer.file, answer.part.is_empty()) {
            let sent = tx.fill((answer.part.end - answer.part.start) as usize, |room| {
                let read = file.read_at(room, answer.part.start).unwrap_or(0);
                answer.part.start += read as u64;
                read
            });
            if sent == 0 {
                if tx.space() > 0 {
                    tx.abort(); // The file is shorter than was promised.
                }
                return false;
            }
        }
        self.over = answer.last;
        self.answer = None;
        true
    }

    fn finish_if_done(&self, tx: &mut Tx<'_>) {
        if (self.over || self.drained) && (self.answer.is_none() || self.body > 0) {
            tx.finish();
        }
    }
}

impl Answer {
    fn new(status: &str, length: u64, file: Option<File>, last: bool) -> Answer {
        let close = if last { "Connection: close\r\n" } else { "" };
        let text = format!("HTTP/1.1 {status}\r\n{close}Content-Length: {length}\r\n\r\n");
        Answer { text: text.into_bytes(), file, part: 0..length, last }
    }
}

/// Length of the head, length of the body, whether the client waits for leave to send it, and the
/// answer; `None` if the head is not complete.
fn parse(bytes: &[u8], root: &Path) -> Option<(usize, u64, bool, Answer)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let bad = || Some((bytes.len(), 0, false, Answer::new("400 Bad Request", 0, None, true)));
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return None,
        _ => return bad(),
    };
    let (mut body, mut expects, mut last) = (0, false, request.version == Some(0));
    for header in request.headers {
        let value = std::str::from_utf8(header.value).unwrap_or("?");
        match header.name.to_ascii_lowercase().as_str() {
            "connection" => last |= value.eq_ignore_ascii_case("close"),
            "expect" => expects = true,
            "content-length" => match value.parse() {
                Ok(length) if !value.starts_with('+') => body = length,
                _ => return bad(),
            },
            "transfer-encoding" => return bad(),
            _ => {}
        }
    }
    let path = request.path.unwrap_or("/").trim_start_matches('/');
    let file = File::open(root.join(path)).ok().filter(|_| !path.contains(".."));
    let file = file.and_then(|file| Some((file.metadata().ok().filter(|m| m.is_file())?, file)));
    let answer = match (request.method.unwrap_or_default(), file) {
        ("POST", _) => Answer::new(&format!("200 OK\r\nX-Received: {body}"), 0, None, last),
        ("GET", Some((meta, file))) => Answer::new("200 OK", meta.len(), Some(file), last),
        ("HEAD", Some((meta, _))) => Answer::new("200 OK", meta.len(), None, last),
        ("GET" | "HEAD", None) => Answer::new("404 Not Found", 0, None, last),
        _ => Answer::new("405 Method Not Allowed", 0, None, last),
    };
    Some((head, body, expects && body > 0, answer))
}

fn main() -> Result<(), sidestep::Error> {
    let root = std::env::args_os().nth(1).map_or(PathBuf::from("."), PathBuf::from);
    let server = sidestep::Server::builder().listen(([127, 0, 0, 1], 8080).into());
    server.run(|_| Http(root.clone()))
}
