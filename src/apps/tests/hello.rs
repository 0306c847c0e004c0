//! HTTP, as the hello application speaks it.

use super::{ask, exchange};
use crate::apps::Hello;
use crate::kernel::testing::{Host, Peer, pattern};

const HELLO: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nHello, World!";

fn start() -> (Host<Hello>, Peer) {
    let host = Host::start(Hello::default());
    let peer = host.connect();
    (host, peer)
}

/// What comes until the server closes.
fn answer(request: &[u8], finish: bool) -> String {
    let (mut host, mut peer) = start();
    exchange(&mut host, &mut peer, request, finish);
    assert_eq!(peer.error, None);
    let answer = String::from_utf8(core::mem::take(&mut peer.got)).expect("text");
    drop(peer);
    host.finish();
    answer
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

#[test]
fn a_connection_is_kept_and_requests_are_pipelined() {
    let (mut host, mut peer) = start();
    for path in ["/", "/anything?else"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(ask(&mut host, &mut peer, request.as_bytes(), HELLO.len()), HELLO.as_bytes());
    }
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5_000);
    let answers = ask(&mut host, &mut peer, request.as_bytes(), 5_000 * HELLO.len());
    assert!(answers == HELLO.repeat(5_000).as_bytes());
    exchange(&mut host, &mut peer, b"", true);
    assert_eq!((peer.got.len(), peer.error), (0, None));
    host.finish();
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let (mut host, mut peer) = start();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for byte in &request[..request.len() - 1] {
        peer.send(&[*byte]);
        host.until_idle();
    }
    assert!(!peer.read() && peer.got.is_empty());
    assert_eq!(ask(&mut host, &mut peer, b"\n", HELLO.len()), HELLO.as_bytes());
    drop(peer);
    host.finish();
}

#[test]
fn the_last_answer_says_so_and_closes() {
    let close = answer(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET", false);
    assert!(close.contains("\r\nConnection: close\r\n") && body(&close) == "Hello, World!");
    let old = answer(b"GET / HTTP/1.0\r\n\r\n", false);
    assert!(old.contains("\r\nConnection: close\r\n") && body(&old) == "Hello, World!");
    let kept = answer(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true);
    assert!(kept.contains("\r\nConnection: keep-alive\r\n") && body(&kept) == "Hello, World!");
    // What the peer asked for before its FIN is answered after it.
    assert_eq!(answer(HELLO_TWICE, true), HELLO.repeat(2));
    // Half a request is none.
    assert_eq!(answer(b"GET / HTTP/1.1\r\nHos", true), "");
    assert_eq!(answer(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1", true), "");
}

const HELLO_TWICE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn bad_input_is_answered_and_ends_the_connection() {
    let cases: [(&[u8], &str); 5] = [
        (b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad Request"),
        (b"\x00\x01\x02", "400 Bad Request"),
        (b"GET /bytes/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "400 Bad Request"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405 Method Not Allowed"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "501 Not Implemented",
        ),
    ];
    for (request, want) in cases {
        let answer = answer(request, false);
        assert!(answer.starts_with(&format!("HTTP/1.1 {want}\r\n")), "{answer}");
        assert!(answer.contains("\r\nConnection: close\r\n") && body(&answer) == want, "{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000));
    assert!(answer(long.as_bytes(), false).starts_with("HTTP/1.1 431 "));
}

#[test]
fn many_bytes_are_streamed_to_a_peer_that_reads_late() {
    let (mut host, mut peer) = start();
    let many = 10_000_000;
    let request =
        format!("GET /bytes/{many} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    peer.send(request.as_bytes());
    host.until_idle();
    exchange(&mut host, &mut peer, b"", true);
    let head_end = peer.got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&peer.got[..head_end]);
    assert!(head.contains(&format!("\r\nContent-Length: {many}\r\n")), "{head}");
    let (bytes, rest) = peer.got[head_end..].split_at(many);
    assert_eq!((bytes[0], bytes[71], &bytes[72..75]), (b' ', b' ' + 71, &b"\r\n!"[..]));
    assert!(bytes.iter().zip(&bytes[7_030..]).all(|(a, b)| a == b), "the pattern is broken");
    assert_eq!(rest, HELLO.as_bytes());
    host.finish();
}

#[test]
fn head_tells_the_length_alone() {
    let request = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD /bytes/5 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = answer(request, true);
    let lengths: Vec<_> = answers.lines().filter(|line| line.starts_with("Content-Len")).collect();
    assert_eq!(lengths, ["Content-Length: 13", "Content-Length: 5"]);
    assert!(answers.ends_with("\r\n\r\n") && answers.matches("\r\n\r\n").count() == 2);
}

#[test]
fn posts_are_counted_and_told_to_continue() {
    let (mut host, mut peer) = start();
    let many = 6 << 20;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {many}\r\n");
    let counted =
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Type: text/plain\r\n\r\n6291456\n";
    let mut request = format!("{head}\r\n").into_bytes();
    request.extend(pattern(many));
    // Pipelined behind it: bodies end where they end.
    request.extend_from_slice(HELLO_TWICE);
    let all = [counted, HELLO, HELLO].concat();
    assert_eq!(ask(&mut host, &mut peer, &request, all.len()), all.as_bytes());

    let expects = format!("{head}Expect: 100-continue\r\n\r\n");
    let go = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(ask(&mut host, &mut peer, expects.as_bytes(), go.len()), go);
    assert_eq!(ask(&mut host, &mut peer, &pattern(many), counted.len()), counted.as_bytes());
    drop(peer);
    host.finish();
}

#[test]
fn a_drain_closes_the_idle_and_makes_every_answer_the_last() {
    let (mut host, mut idle) = start();
    let (mut fresh, mut busy) = (host.connect(), host.connect());
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (first, second) = request.split_at(9);
    ask(&mut host, &mut idle, request, HELLO.len());
    ask(&mut host, &mut busy, &[request, first].concat(), HELLO.len());
    host.until("all are open", |host| host.core.connections() == 3);
    host.core.drain();
    exchange(&mut host, &mut idle, b"", false);
    assert_eq!((idle.got.len(), idle.error), (0, None));
    for (peer, rest) in [(&mut fresh, &request[..]), (&mut busy, second)] {
        exchange(&mut host, peer, rest, false);
        let answer = String::from_utf8_lossy(&peer.got);
        assert!(answer.contains("\r\nConnection: close\r\n") && body(&answer) == "Hello, World!");
    }
    drop((idle, fresh, busy));
    host.finish();
}
