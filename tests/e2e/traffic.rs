//! What the client does to the server.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::served::Net;

/// A file of bytes that look random, in a directory of its own; removed when dropped.
pub(crate) struct Blob {
    directory: PathBuf,
    bytes: Vec<u8>,
}

impl Blob {
    pub(crate) fn new(len: usize) -> Blob {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sidestep-blob-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a temporary directory");
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = vec![0; len];
        for word in bytes.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let blob = Blob { directory, bytes };
        File::create(blob.file()).and_then(|mut f| f.write_all(&blob.bytes)).expect("written");
        blob
    }

    pub(crate) fn directory(&self) -> &str {
        self.directory.to_str().expect("text")
    }

    pub(crate) fn file(&self) -> String {
        format!("{}/blob", self.directory())
    }

    /// What `sha256sum` prints for it on its standard input.
    pub(crate) fn sha256sum(&self) -> String {
        let input = File::open(self.file()).expect("there");
        let output = Command::new("sha256sum").stdin(input).output().expect("coreutils");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A connection whose reads give up after a minute.
pub(crate) fn connect(at: &str) -> TcpStream {
    let at: SocketAddr = at.parse().expect("an address");
    let stream = TcpStream::connect_timeout(&at, Duration::from_secs(10)).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    stream
}

/// Sends everything, finishes, and expects the same back, and the end behind it.
pub(crate) fn echoed(at: &str, blob: &Blob) {
    let mut stream = connect(at);
    let mut sender = stream.try_clone().expect("a descriptor");
    thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(&blob.bytes).expect("sent");
            sender.shutdown(Shutdown::Write).expect("open until now");
        });
        let mut back = Vec::with_capacity(blob.bytes.len());
        stream.read_to_end(&mut back).expect("everything, then the end");
        assert!(back == blob.bytes, "{} of {} bytes came back", back.len(), blob.bytes.len());
    });
}

/// Sends everything, finishes, and expects nothing but the end back.
pub(crate) fn sent(at: &str, blob: &Blob) {
    let mut stream = connect(at);
    stream.write_all(&blob.bytes).expect("sent");
    stream.shutdown(Shutdown::Write).expect("open until now");
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);
}

/// Sends echo requests until one is answered, for at most five seconds.
pub(crate) fn ping(to: &str) {
    let to: IpAddr = to.parse().expect("an address");
    let (domain, protocol, request, answer) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("root");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    socket.connect(&SocketAddr::new(to, 0).into()).expect("a route");
    for number in 0..10 {
        let mut message = [request, 0, 0, 0, 0x51, 0xde, 0, number, 1, 2, 3, 4, 5, 6, 7, 8];
        let sum = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum = sum.sum::<u32>();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        if to.is_ipv4() {
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        socket.send(&message).expect("sent");
        let mut packet = [0; 256];
        while let Ok(len) = (&socket).read(&mut packet) {
            // IPv4 hands over its header too.
            let start = if to.is_ipv4() { 20 } else { 0 };
            let echo = packet.get(start..len).unwrap_or_default();
            if echo.first() == Some(&answer) && echo.get(4..) == Some(&message[4..]) {
                return;
            }
        }
    }
    panic!("{to} does not answer echo requests");
}

/// A run of wrk.
pub(crate) struct Wrk {
    pub(crate) text: String,
    pub(crate) requests: u64,
    /// Connections refused, reset or timed out.
    pub(crate) errors: u64,
    pub(crate) not_2xx: u64,
}

impl Wrk {
    pub(crate) fn run(net: &Net, connections: u32, seconds: u32, header: &str) -> Wrk {
        let (c, d) = (format!("-c{connections}"), format!("-d{seconds}s"));
        let text = net.at_client(&["wrk", "-t1", &c, &d, "-H", header, "http://10.9.0.1/"]);
        let number = |word: &str| word.trim_matches(',').parse::<u64>().ok();
        let line = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start));
        let errors = line("Socket errors:")
            .map_or(0, |line| line.split_whitespace().filter_map(number).sum::<u64>());
        let not_2xx = line("Non-2xx").and_then(|line| number(line.split_whitespace().last()?));
        let requests = text
            .lines()
            .find(|line| line.contains(" requests in "))
            .and_then(|line| number(line.split_whitespace().next()?));
        Wrk {
            requests: requests.expect("a number of requests"),
            errors,
            not_2xx: not_2xx.unwrap_or(0),
            text,
        }
    }

    /// In the background, whatever becomes of it.
    pub(crate) fn start(net: &Net, connections: u32, seconds: u32) -> Background {
        let mut command = net.client.command("wrk");
        command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
        command.arg("http://10.9.0.1/").stdout(Stdio::null()).stderr(Stdio::null());
        Background(command.spawn().expect("wrk"))
    }
}

/// A process that ends, at the latest, when dropped.
pub(crate) struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The namespaces that the process with this number made and did not remove.
pub(crate) fn namespaces(pid: u32) -> Vec<String> {
    let owner = format!("-{pid}-");
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("sidestep-demo-") && name.contains(&owner)).collect()
}

/// Living processes whose command line has all of these words.
pub(crate) fn processes(words: &[&str]) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let has_all = |line: &Vec<u8>| {
        let line = String::from_utf8_lossy(line);
        words.iter().all(|word| line.split('\0').any(|argument| argument == *word))
    };
    lines.filter(has_all).count()
}
