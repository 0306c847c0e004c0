//! The head of an answer, and short contents.

use std::io::Write as _;

use super::request::{Method, Request};
use crate::app::Tx;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apps) enum Status {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    HeadTooLarge,
    NotImplemented,
}

impl Status {
    /// Code and reason.
    pub(super) fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::NotImplemented => "501 Not Implemented",
        }
    }
}

/// What an answer carries.
#[derive(Clone, Copy, Debug)]
pub(in crate::apps) enum Content {
    /// A short text.
    Text(&'static str),
    /// A number as text.
    Number(u64),
    /// So many bytes that follow.
    Body { length: u64, kind: &'static str },
}

/// An answer but for a long content. It is written anew for each attempt to send it, because that
/// is cheaper than to keep the text in every connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::apps) struct Reply {
    status: Status,
    content: Content,
    /// Methods to name in `Allow`.
    allow: &'static str,
    /// Only tell how long the content would be.
    head_only: bool,
    keep_alive: bool,
    /// Say that the connection is kept.
    say_keep_alive: bool,
    /// Bytes of the text that were sent.
    sent: usize,
}

impl Reply {
    /// Over 80 bytes more than the longest text.
    const MAX: usize = 384;

    /// The answer to `request`.
    pub(in crate::apps) fn to(request: &Request<'_>, status: Status, content: Content) -> Reply {
        Reply {
            head_only: request.method == Method::Head,
            keep_alive: request.keep_alive,
            say_keep_alive: request.old,
            ..Reply::last(status, content)
        }
    }

    /// That `request` could not be met.
    pub(in crate::apps) fn error(request: &Request<'_>, status: Status) -> Reply {
        Reply::to(request, status, Content::Text(status.line()))
    }

    /// The answer to what was not understood, after which the connection ends.
    pub(super) fn last(status: Status, content: Content) -> Reply {
        Reply {
            status,
            content,
            allow: "",
            head_only: false,
            keep_alive: false,
            say_keep_alive: false,
            sent: 0,
        }
    }

    /// Names the methods that would be allowed.
    pub(in crate::apps) fn allow(self, allow: &'static str) -> Reply {
        Reply { allow, ..self }
    }

    /// Sends as much of the text as there is space for; true once all is sent.
    pub(super) fn send(&mut self, tx: &mut Tx<'_>) -> bool {
        let mut text = [0; Reply::MAX];
        let len = self.render(&mut text);
        self.sent += tx.write(&text[self.sent..len]);
        self.sent == len
    }

    fn render(&self, text: &mut [u8; Reply::MAX]) -> usize {
        let mut number = [0; 24];
        let number = if let Content::Number(value) = self.content {
            let mut rest = &mut number[..];
            let _ = writeln!(rest, "{value}");
            let left = rest.len();
            &number[..24 - left]
        } else {
            &[]
        };
        let (length, kind, inline) = match self.content {
            Content::Text(text) => (text.len() as u64, "text/plain", text.as_bytes()),
            Content::Number(_) => (number.len() as u64, "text/plain", number),
            Content::Body { length, kind } => (length, kind, &[][..]),
        };
        let mut rest = &mut text[..];
        // The longest text has 300 bytes: none of these writes can fail.
        let _ = write!(rest, "HTTP/1.1 {}\r\nContent-Length: {length}\r\n", self.status.line());
        let _ = write!(rest, "Content-Type: {kind}\r\n");
        if !self.allow.is_empty() {
            let _ = write!(rest, "Allow: {}\r\n", self.allow);
        }
        if !self.keep_alive {
            let _ = rest.write(b"Connection: close\r\n");
        } else if self.say_keep_alive {
            let _ = rest.write(b"Connection: keep-alive\r\n");
        }
        let _ = rest.write(b"\r\n");
        if !self.head_only {
            let _ = rest.write(inline);
        }
        Reply::MAX - rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_whole() {
        let reply = Reply::last(Status::Ok, Content::Number(u64::MAX));
        let mut text = [0; Reply::MAX];
        let len = reply.render(&mut text);
        assert_eq!(
            core::str::from_utf8(&text[..len]),
            Ok("HTTP/1.1 200 OK\r\nContent-Length: 21\r\nContent-Type: text/plain\r\n\
                Connection: close\r\n\r\n18446744073709551615\n")
        );
        let status = Status::HeadTooLarge;
        let reply = Reply::last(status, Content::Text(status.line())).allow("GET, HEAD, POST");
        let len = reply.render(&mut text);
        let text = core::str::from_utf8(&text[..len]).expect("text");
        assert!(text.ends_with("Connection: close\r\n\r\n431 Request Header Fields Too Large"));
        assert!(len < Reply::MAX - 80);
    }
}
