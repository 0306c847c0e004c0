//! Static files over HTTP.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::http::{Answer, Body, Content, Desk, Method, Reply, Request, Status, Talk};
use crate::app::{App, Core, Peer, Refuse, Rx, Tx};

/// Serves the files below a directory: GET and HEAD, `index.html` for a directory.
///
/// Files are read while they are sent, by `pread` straight into the frames they leave in. A file
/// that is not in the page cache makes the core wait for the disk, and all of its connections with
/// it: this is for content that fits into memory.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    desk: Desk,
}

/// Why a directory can't be served.
#[derive(Debug, thiserror::Error)]
#[error("configuration: cannot serve files of {root}: {answer}; name a directory that can be read")]
pub struct RootError {
    /// The directory.
    root: PathBuf,
    /// What the system answered.
    #[source]
    answer: io::Error,
}

impl Files {
    /// Serves what is below `root`.
    ///
    /// # Errors
    /// [`RootError`] if that is no directory, or can't be read.
    pub fn new(root: &Path) -> Result<Files, RootError> {
        let found = root.canonicalize().and_then(|found| fs::read_dir(&found).map(|_| found));
        match found {
            Ok(root) => Ok(Files { root, desk: Desk::default() }),
            Err(answer) => Err(RootError { root: root.to_owned(), answer }),
        }
    }
}

/// One connection.
#[derive(Debug, Default)]
pub struct FilesConn(Talk<Part>);

impl App for Files {
    type Conn = FilesConn;
    type Message = ();

    fn on_open(&mut self, _peer: &Peer, tx: &mut Tx<'_>) -> Result<FilesConn, Refuse> {
        Ok(FilesConn(Talk::on_open(tx)))
    }

    fn on_timer(&mut self, conn: &mut FilesConn, tx: &mut Tx<'_>) {
        conn.0.on_timer(tx);
    }

    fn on_data(&mut self, conn: &mut FilesConn, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let root = &self.root;
        conn.0.on_data(rx, tx, &mut self.desk, |request, answer| {
            *answer = Some(respond(root, request));
        });
    }

    fn on_space(&mut self, conn: &mut FilesConn, tx: &mut Tx<'_>) {
        conn.0.on_space(tx);
    }

    fn on_drain(&mut self, conn: &mut FilesConn, tx: &mut Tx<'_>) {
        conn.0.on_drain(tx);
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        self.desk.draining = core.draining();
    }
}

fn respond(root: &Path, request: &Request<'_>) -> Answer<Part> {
    if !matches!(request.method, Method::Get | Method::Head) {
        let reply = Reply::error(request, Status::MethodNotAllowed);
        return Answer::Made(reply.allow("GET, HEAD"), None);
    }
    match find(root, request.path) {
        Err(status) => Answer::Made(Reply::error(request, status), None),
        Ok((file, length, kind)) => {
            let reply = Reply::to(request, Status::Ok, Content::Body { length, kind });
            let body = (request.method == Method::Get).then_some(Part { file, at: 0, end: length });
            Answer::Made(reply, body)
        }
    }
}

/// Opens the file that `path` names: the file, its length, its media type.
fn find(root: &Path, path: &str) -> Result<(File, u64, &'static str), Status> {
    let relative = decode(path)?;
    let mut path = root.join(&relative);
    if path.is_dir() {
        path.push("index.html");
    }
    let kind = media_type(&path);
    // Without O_NONBLOCK, opening a FIFO would wait for somebody to write to it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Status::Forbidden,
        _ => Status::NotFound,
    })?;
    // What was opened, not what the path names by now: no race can lead out of the root.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let opened = fs::read_link(link).map_err(|_| Status::Forbidden)?;
    let meta = file.metadata().map_err(|_| Status::Forbidden)?;
    if !opened.starts_with(root) || !meta.is_file() {
        return Err(Status::Forbidden);
    }
    Ok((file, meta.len(), kind))
}

/// The path relative to the root, percent-decoded (RFC 3986 section 2.1).
fn decode(path: &str) -> Result<PathBuf, Status> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, later)) = rest.split_first() {
        let (byte, later) = match (byte, later) {
            (b'%', [high, low, later @ ..]) => (hex(*high)? << 4 | hex(*low)?, later),
            (b'%', _) => return Err(Status::BadRequest),
            (byte, later) => (byte, later),
        };
        if byte == 0 {
            return Err(Status::BadRequest);
        }
        decoded.push(byte);
        rest = later;
    }
    let decoded = String::from_utf8(decoded).map_err(|_| Status::NotFound)?;
    let mut relative = PathBuf::new();
    for part in decoded.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(Status::Forbidden);
        }
        relative.push(part);
    }
    Ok(relative)
}

fn hex(digit: u8) -> Result<u8, Status> {
    let value = char::from(digit).to_digit(16).ok_or(Status::BadRequest)?;
    Ok(value as u8)
}

fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "gz" => "application/gzip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// The part of a file that is to be sent.
#[derive(Debug)]
struct Part {
    file: File,
    at: u64,
    end: u64,
}

impl Body for Part {
    fn send(&mut self, tx: &mut Tx<'_>) -> io::Result<bool> {
        while self.at < self.end {
            let most = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let mut result = Ok(());
            let sent = tx.fill(most, |room| match self.file.read_at(room, self.at) {
                Ok(0) => {
                    result = Err(io::ErrorKind::UnexpectedEof.into());
                    0
                }
                Ok(read) => {
                    self.at += read as u64;
                    read
                }
                Err(error) => {
                    result = Err(error);
                    0
                }
            });
            result?;
            if sent == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_and_never_lead_up() {
        let cases = [
            ("/", Ok("")),
            ("/a/b.txt", Ok("a/b.txt")),
            ("//a/./b", Ok("a/b")),
            ("/%41%20b", Ok("A b")),
            ("/a..b", Ok("a..b")),
            ("/..", Err(Status::Forbidden)),
            ("/a/../b", Err(Status::Forbidden)),
            ("/%2e%2E/etc/passwd", Err(Status::Forbidden)),
            ("/a%2f..%2fb", Err(Status::Forbidden)),
            ("/%00", Err(Status::BadRequest)),
            ("/%4", Err(Status::BadRequest)),
            ("/%zz", Err(Status::BadRequest)),
            ("/%ff", Err(Status::NotFound)),
        ];
        for (path, want) in cases {
            assert_eq!(decode(path), want.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let text = Files::new(Path::new("/nonexistent")).expect_err("missing").to_string();
        assert!(text.contains("/nonexistent") && text.contains("No such file"), "{text}");
    }
}
