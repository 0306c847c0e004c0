//! Responses, as far as a load needs to understand them: where they end and whether they are good.

use crate::app::Rx;

/// Longest head of a response.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// The bytes of one request.
pub(super) fn request(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// What is left of a response that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rest {
    /// All of it.
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// A body that ends with the connection.
    ToEnd,
}

/// A whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The status is 2xx or 3xx.
    pub(super) good: bool,
    /// The server closes the connection behind it.
    pub(super) closes: bool,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// More must come.
    Partly,
    Whole(Reply),
    /// It is no response that this program understands.
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    len: usize,
    body: Rest,
    reply: Reply,
}

/// Reads responses. Servers repeat themselves: a head that is the same as the last one is not
/// parsed again.
#[derive(Debug, Default)]
pub(super) struct Reader {
    last: Vec<u8>,
    last_head: Option<Head>,
    scratch: Vec<u8>,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply { good: true, closes: false }
    }
}

/// A response of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Response {
    rest: Rest,
    reply: Reply,
}

impl Reader {
    /// Reads on; adds what it read to `bytes`.
    pub(super) fn read(
        &mut self,
        response: &mut Response,
        rx: &mut Rx<'_>,
        bytes: &mut u64,
    ) -> Read {
        if response.rest == Rest::Head {
            let mut scratch = std::mem::take(&mut self.scratch);
            let head = self.head(rx.contiguous(&mut scratch));
            self.scratch = scratch;
            let Ok(head) = head else { return Read::Malformed };
            let Some(head) = head else {
                return if rx.fin() { Read::Malformed } else { Read::Partly };
            };
            rx.consume(head.len);
            *bytes += head.len as u64;
            *response = Response { rest: head.body, reply: head.reply };
        }
        let unread = rx.len() as u64;
        let now = match response.rest {
            Rest::Body(left) => left.min(unread),
            _ => unread,
        };
        rx.consume(now as usize);
        *bytes += now;
        match &mut response.rest {
            Rest::Body(left) => {
                *left -= now;
                if *left > 0 {
                    return if rx.fin() { Read::Malformed } else { Read::Partly };
                }
            }
            _ if rx.fin() => {}
            _ => return Read::Partly,
        }
        let reply = response.reply;
        *response = Response::default();
        Read::Whole(reply)
    }

    /// The head at the start of `bytes`; `None` if its end has not come yet.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<Head>, ()> {
        if let Some(head) = self.last_head
            && bytes.starts_with(&self.last)
        {
            return Ok(Some(head));
        }
        let head = parse(bytes)?;
        if let Some(head) = head {
            self.last.clear();
            self.last.extend_from_slice(&bytes[..head.len]);
            self.last_head = Some(head);
        } else if bytes.len() > MAX_HEAD {
            return Err(());
        }
        Ok(head)
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Head>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(()),
    };
    let status = response.code.unwrap_or(0);
    let mut body = Rest::ToEnd;
    let mut closes = response.version == Some(0);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).map_err(|_| ())?;
            body = Rest::Body(text.trim().parse().map_err(|_| ())?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            // Chunks are not understood.
            return Err(());
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    if matches!(status, 204 | 304) {
        body = Rest::Body(0);
    }
    closes |= body == Rest::ToEnd;
    let reply = Reply { good: (200..400).contains(&status), closes };
    if status < 200 { Err(()) } else { Ok(Some(Head { len, body, reply })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, ()> {
        Reader::default().head(text.as_bytes())
    }

    #[test]
    fn a_head_tells_where_the_response_ends() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello";
        let good = Reply { good: true, closes: false };
        let len = text.len() - "Hello".len();
        assert_eq!(head(text), Ok(Some(Head { len, body: Rest::Body(13), reply: good })));
        assert_eq!(head(&text[..len - 1]), Ok(None), "the last line has not ended");
        let closing = Reply { good: true, closes: true };
        let text = "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(head(text).map(|head| head.map(|head| head.reply)), Ok(Some(closing)));
        let text = "HTTP/1.1 200 OK\r\n\r\n";
        let until_the_end = Head { len: text.len(), body: Rest::ToEnd, reply: closing };
        assert_eq!(head(text), Ok(Some(until_the_end)));
    }

    #[test]
    fn what_is_not_understood_is_malformed() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
        ] {
            assert_eq!(head(text), Err(()), "{text}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(MAX_HEAD));
        assert_eq!(head(&long), Err(()), "endless");
    }

    #[test]
    fn bad_statuses_are_told_from_good_ones() {
        for (status, good) in [(200, true), (204, true), (304, true), (404, false), (503, false)] {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\n");
            let head = head(&text).expect("a head").expect("whole");
            assert_eq!(head.reply.good, good, "{status}");
            let empty = matches!(status, 204 | 304);
            assert_eq!(head.body, Rest::Body(if empty { 0 } else { 3 }), "{status}");
        }
    }

    #[test]
    fn the_last_head_is_known_again_and_another_one_is_not_mistaken_for_it() {
        let mut reader = Reader::default();
        let text = |len| format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\nxxx");
        for len in [3, 3, 4, 3] {
            let head = reader.head(text(len).as_bytes()).expect("a head").expect("whole");
            assert_eq!(head.body, Rest::Body(len));
        }
    }
}
