//! Reading the head of a request.

use core::mem::MaybeUninit;

use httparse::{Header, Status as Progress};

use super::reply::Status;
use crate::app::Rx;

/// Longest head that may lie in several frames.
const MAX_HEAD: usize = 16 << 10;
/// Most header fields of a request.
const MAX_HEADERS: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apps) enum Method {
    Get,
    Head,
    Post,
    Other,
}

/// The head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::apps) struct Request<'a> {
    pub(in crate::apps) method: Method,
    /// The target without the query.
    pub(in crate::apps) path: &'a str,
    pub(in crate::apps) keep_alive: bool,
    /// A client of HTTP/1.0, which must be told that we keep the connection.
    pub(in crate::apps) old: bool,
    /// Waits for `100 Continue` before it sends the body.
    pub(super) expects: bool,
    /// Length of the body.
    pub(in crate::apps) body: u64,
    /// Length of the head.
    pub(super) head: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Request(Request<'a>),
    Incomplete,
    Bad(Status),
}

/// The head at the front of the unread bytes: in its frame if it lies in one, else from `scratch`.
pub(super) fn read_head<'a>(rx: &'a Rx<'_>, scratch: &'a mut Vec<u8>) -> Parsed<'a> {
    let first = rx.chunks().next().unwrap_or_default();
    match parse(first) {
        Parsed::Incomplete if first.len() < rx.len() => {}
        parsed => return parsed,
    }
    scratch.clear();
    for chunk in rx.chunks() {
        let room = MAX_HEAD - scratch.len();
        scratch.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    match parse(scratch) {
        Parsed::Incomplete if scratch.len() == MAX_HEAD => Parsed::Bad(Status::HeadTooLarge),
        parsed => parsed,
    }
}

fn parse(bytes: &[u8]) -> Parsed<'_> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let head = match request.parse_with_uninit_headers(bytes, &mut headers) {
        Ok(Progress::Complete(head)) => head,
        Ok(Progress::Partial) => return Parsed::Incomplete,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(Status::HeadTooLarge),
        Err(_) => return Parsed::Bad(Status::BadRequest),
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Parsed::Bad(Status::BadRequest);
    };
    let fields = match Fields::read(request.headers) {
        Ok(fields) => fields,
        Err(status) => return Parsed::Bad(status),
    };
    // RFC 9112 section 3.2: a request of HTTP/1.1 without exactly one Host is bad.
    if fields.hosts != 1 && (version == 1 || fields.hosts > 1) {
        return Parsed::Bad(Status::BadRequest);
    }
    Parsed::Request(Request {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            _ => Method::Other,
        },
        path: target.split_once('?').map_or(target, |(path, _)| path),
        keep_alive: !fields.close && (version == 1 || fields.keep_alive),
        old: version == 0,
        expects: fields.expects && version == 1,
        body: fields.length.unwrap_or(0),
        head,
    })
}

/// The header fields that matter here.
#[derive(Debug, Default)]
struct Fields {
    hosts: u32,
    close: bool,
    keep_alive: bool,
    expects: bool,
    length: Option<u64>,
}

impl Fields {
    fn read(headers: &[Header<'_>]) -> Result<Fields, Status> {
        let mut fields = Fields::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // By length first: most fields are none of these.
            match header.name.len() {
                4 if is("host") => fields.hosts += 1,
                6 if is("expect") => {
                    fields.expects = header.value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if is("connection") => {
                    for option in header.value.split(|byte| *byte == b',') {
                        let option = option.trim_ascii();
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is("content-length") => {
                    let length = number(header.value).ok_or(Status::BadRequest)?;
                    if fields.length.is_some_and(|before| before != length) {
                        return Err(Status::BadRequest);
                    }
                    fields.length = Some(length);
                }
                // RFC 9112 section 6.1: what we can't decode, we must not guess the end of.
                17 if is("transfer-encoding") => return Err(Status::NotImplemented),
                _ => {}
            }
        }
        Ok(fields)
    }
}

/// A number written in decimal digits and nothing else.
pub(in crate::apps) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Parsed::Request(request) => request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn keep_alive_follows_version_and_options() {
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nconnection: Close\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: te, close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false),
        ];
        for (text, want) in cases {
            assert_eq!(request(text).keep_alive, want, "{text:?}");
        }
    }

    #[test]
    fn what_is_bad_is_called_bad() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", Status::BadRequest),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Status::BadRequest),
            ("GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", Status::BadRequest),
            ("\x16\x03\x01", Status::BadRequest),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Status::BadRequest),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", Status::BadRequest),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Status::BadRequest),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
                Status::BadRequest,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Status::BadRequest,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                Status::NotImplemented,
            ),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text.as_bytes()), Parsed::Bad(want), "{text:?}");
        }
    }

    #[test]
    fn the_parts_are_found_and_the_rest_is_left() {
        let text = "POST /a?b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                    Content-Length: 7\r\n\r\nignored";
        let request = request(text);
        assert_eq!((request.method, request.path), (Method::Post, "/a"));
        assert!(request.expects && request.keep_alive && !request.old);
        assert_eq!((request.body, request.head), (7, text.len() - 7));
        for cut in 1..request.head {
            assert_eq!(parse(&text.as_bytes()[..cut]), Parsed::Incomplete);
        }
    }
}
