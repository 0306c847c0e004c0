//! Static files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::exchange;
use crate::apps::Files;
use crate::kernel::testing::{Host, pattern};

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("sidestep-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("root/sub")).expect("a directory");
        Scratch(path)
    }

    fn file(&self, name: &str, content: &[u8]) {
        fs::write(self.0.join(name), content).expect("a file");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fetch(root: &Path, request: &str) -> (String, Vec<u8>) {
    let mut host = Host::start(Files::new(root).expect("a directory"));
    let mut peer = host.connect();
    exchange(&mut host, &mut peer, request.as_bytes(), true);
    assert_eq!(peer.error, None);
    let mut got = core::mem::take(&mut peer.got);
    drop(peer);
    host.finish();
    let end = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let body = got.split_off(end);
    (String::from_utf8(got).expect("text"), body)
}

fn get(root: &Path, path: &str) -> (String, Vec<u8>) {
    fetch(root, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn files_of_any_size_come_whole() {
    let scratch = Scratch::new("whole");
    let root = scratch.0.join("root");
    let large = pattern(10 << 20);
    scratch.file("root/large.png", &large);
    scratch.file("root/empty.txt", b"");
    scratch.file("root/sub/index.html", b"<p>");
    let (head, body) = get(&root, "/large.png");
    assert!(head.contains("\r\nContent-Type: image/png\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 10485760\r\n"), "{head}");
    assert!(body == large, "bytes were lost or changed");
    let (head, body) = get(&root, "/empty.txt?x=y");
    assert!(head.contains("\r\nContent-Length: 0\r\n") && body.is_empty(), "{head}");
    let (head, body) = get(&root, "/sub/");
    assert!(head.contains("Content-Type: text/html") && body == b"<p>", "{head}");
    let (head, body) = fetch(&root, "HEAD /large.png HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 10485760\r\n") && body.is_empty(), "{head}");
}

#[test]
fn nothing_outside_of_the_root_is_served() {
    let scratch = Scratch::new("outside");
    let root = scratch.0.join("root");
    scratch.file("secret.txt", b"secret");
    scratch.file("root/open.txt", b"open");
    symlink(scratch.0.join("secret.txt"), root.join("out.txt")).expect("a link");
    symlink(&scratch.0, root.join("up")).expect("a link");
    symlink("open.txt", root.join("in.txt")).expect("a link");
    let cases = [
        ("/open.txt", "200 OK"),
        ("/in.txt", "200 OK"),
        ("/out.txt", "403 Forbidden"),
        ("/up/secret.txt", "403 Forbidden"),
        ("/../secret.txt", "403 Forbidden"),
        ("/%2e%2e/secret.txt", "403 Forbidden"),
        ("/missing.txt", "404 Not Found"),
        ("/sub", "404 Not Found"),
        ("/open.txt/more", "404 Not Found"),
    ];
    for (path, want) in cases {
        let (head, body) = get(&root, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {want}\r\n")), "{path}: {head}");
        assert_eq!(body, if want == "200 OK" { b"open" } else { want.as_bytes() }, "{path}");
    }
    let (head, _) =
        fetch(&root, "POST /open.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1");
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"));
}

#[test]
fn a_file_that_shrinks_meanwhile_resets_the_connection() {
    let scratch = Scratch::new("shrinks");
    let root = scratch.0.join("root");
    scratch.file("root/large.bin", &pattern(12 << 20));
    let mut host = Host::start(Files::new(&root).expect("a directory"));
    let mut peer = host.connect();
    peer.send(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    host.until_idle();
    scratch.file("root/large.bin", b"");
    exchange(&mut host, &mut peer, b"", false);
    assert_eq!(peer.error, Some(std::io::ErrorKind::ConnectionReset));
    host.finish();
}
