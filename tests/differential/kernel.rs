//! The kernel's TCP, reached through a TAP device, in real time.

use std::collections::VecDeque;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sidestep::device::{Batch, Class, Device, Pool, PoolConfig, Tap, TapConfig, Waker};
use sidestep::runtime::lab::Namespace;
use socket2::{Domain, SockRef, Socket, Type};

use super::event::{Event, Sequence};
use super::ours::LONG_WAIT;
use super::subject::{Subject, View};
use crate::packet::stream_byte;
use crate::segments::codec::{Decoded, decode, encode};
use crate::segments::path::{Family, Path};
use crate::segments::segment::Segment;

pub(crate) const PORT: u16 = 8_080;
const INTERFACE: &str = "d0";
/// Settings that make the kernel strict and quick.
const SYSCTLS: [(&str, &str); 10] = [
    ("tcp_rfc1337", "1"),
    ("tcp_invalid_ratelimit", "0"),
    ("tcp_challenge_ack_limit", "2147483647"),
    ("tcp_ecn", "0"),
    ("tcp_early_retrans", "0"),
    ("tcp_congestion_control", "reno"),
    ("tcp_syncookies", "0"),
    ("tcp_fastopen", "0"),
    ("tcp_autocorking", "0"),
    ("tcp_timestamps", "1"),
];

/// The kernel's end of the wire: one for all sequences.
pub(crate) struct Wire {
    tap: Tap,
    waker: Waker,
    batch: Batch,
    listeners: [TcpListener; 2],
    /// How long it must be silent to be at rest.
    pub(crate) quiet: Duration,
    connections: u16,
}

/// Makes the device and gives the kernel its address and ours. To be called outside.
pub(crate) fn prepare(host: &Namespace) {
    let ip = |arguments: &[&str]| host.ip(arguments).expect("root");
    ip(&["tuntap", "add", "dev", INTERFACE, "mode", "tap"]);
    let mac = mac_text(Path::LOCAL_MAC);
    // That of IPv6 is the larger by 20, as in our own world: segments are of one size.
    ip(&["link", "set", "dev", INTERFACE, "address", &mac, "mtu", "1520", "up"]);
    for family in Family::BOTH {
        let path = Path::new(family, PORT, 1);
        let address = format!("{}/{}", path.local.ip(), path.prefix_len());
        let mut add = vec!["address", "add", &address, "dev", INTERFACE];
        let mut net = vec!["route", "replace"];
        let (prefix, mtu, metric) = match family {
            Family::V4 => ("192.0.2.0/24", "1500", "0"),
            Family::V6 => {
                add.push("nodad");
                ("2001:db8::/64", "1520", "256")
            }
        };
        ip(&add);
        net.extend([prefix, "dev", INTERFACE, "metric", metric, "mtu", mtu, "quickack", "1"]);
        ip(&net);
        let remote = path.remote.ip().to_string();
        let mac = mac_text(Path::REMOTE_MAC);
        ip(&["neighbour", "add", &remote, "lladdr", &mac, "dev", INTERFACE]);
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Wire {
    /// To be called inside, by the thread that uses it.
    pub(crate) fn open() -> Wire {
        for (name, value) in SYSCTLS {
            let path = format!("/proc/sys/net/ipv4/{name}");
            fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        let pool = PoolConfig { frames: 1_024, huge_pages: false, ..PoolConfig::default() };
        let config = TapConfig { mtu: 1_520, ..TapConfig::new(INTERFACE) };
        let tap = Tap::open(&config, Pool::new(pool).expect("memory")).expect("our device");
        let listeners = Family::BOTH.map(|family| {
            let listener = TcpListener::bind(Path::new(family, PORT, 1).local).expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            listener
        });
        Wire {
            tap,
            waker: Waker::new().expect("an eventfd"),
            batch: Batch::new(64),
            listeners,
            quiet: Duration::from_millis(2),
            connections: 0,
        }
    }

    /// The ends of the next connection: no two sequences have the same.
    fn next_path(&mut self, sequence: &Sequence) -> Path {
        self.connections += 1;
        let port = 10_000 + self.connections;
        let (local, remote) = if sequence.active { (port, 40_000) } else { (PORT, port) };
        Path::new(sequence.family, local, remote)
    }

    pub(crate) fn connection(&mut self, sequence: &Sequence) -> Kernel<'_> {
        let path = self.next_path(sequence);
        Kernel {
            wire: self,
            path,
            socket: None,
            written: 0,
            read: 0,
            shut: false,
            view: View::default(),
        }
    }
}

/// One connection.
pub(crate) struct Kernel<'a> {
    wire: &'a mut Wire,
    path: Path,
    socket: Option<TcpStream>,
    written: u64,
    read: u64,
    /// We have said that there is no more to write.
    shut: bool,
    view: View,
}

impl Kernel<'_> {
    fn accept(&mut self) {
        let listener = &self.wire.listeners[usize::from(self.path.local.is_ipv6())];
        while let Ok((socket, from)) = listener.accept() {
            socket.set_nonblocking(true).expect("a socket");
            socket.set_nodelay(true).expect("a socket");
            SockRef::from(&socket).set_out_of_band_inline(true).expect("a socket");
            // What an earlier sequence left in the queue is dropped.
            if from.port() == self.path.remote.port() {
                self.socket = Some(socket);
                self.view.opened = true;
            }
        }
    }

    fn receive(&mut self, segments: &mut VecDeque<Segment>) -> Result<bool, String> {
        let Wire { tap, batch, .. } = &mut *self.wire;
        tap.receive(batch);
        let mut any = false;
        for frame in batch.drain() {
            let decoded = decode(&self.path, tap.pool().bytes(&frame));
            tap.pool().release(frame);
            if let Ok(Decoded::Tcp(segment)) = decoded {
                let ports = (segment.src_port, segment.dst_port);
                if ports == (self.path.local.port(), self.path.remote.port()) {
                    segments.push_back(segment);
                    any = true;
                }
            }
        }
        Ok(any)
    }

    fn read(&mut self, most: usize) -> Result<usize, String> {
        let Some(mut socket) = self.socket.as_ref() else { return Ok(0) };
        let mut bytes = vec![0; most];
        match socket.read(&mut bytes) {
            Ok(0) => {
                self.view.fin = true;
                Ok(0)
            }
            Ok(n) => {
                let wrong = (self.read..).zip(&bytes[..n]).find(|(at, b)| stream_byte(*at) != **b);
                self.read += n as u64;
                self.view.read += n;
                wrong.map_or(Ok(n), |(at, _)| Err(format!("a wrong byte was read at {at}")))
            }
            Err(error) => {
                self.view.reset |= error.kind() == ErrorKind::ConnectionReset;
                Ok(0)
            }
        }
    }

    fn write(&mut self, most: usize) -> usize {
        let Some(mut socket) = self.socket.as_ref() else { return 0 };
        let bytes: Vec<u8> = (self.written..).take(most).map(stream_byte).collect();
        match socket.write(&bytes) {
            Ok(n) => {
                self.written += n as u64;
                n
            }
            Err(error) => {
                let pipe = error.kind() == ErrorKind::BrokenPipe && !self.shut;
                self.view.reset |= pipe || error.kind() == ErrorKind::ConnectionReset;
                0
            }
        }
    }
}

impl Subject for Kernel<'_> {
    fn path(&self) -> Path {
        self.path
    }

    fn connect(&mut self) -> Result<(), String> {
        let domain = if self.path.local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, None).map_err(|e| e.to_string())?;
        socket.set_nonblocking(true).map_err(|e| e.to_string())?;
        socket.set_tcp_nodelay(true).map_err(|e| e.to_string())?;
        socket.set_out_of_band_inline(true).map_err(|e| e.to_string())?;
        socket.bind(&self.path.local.into()).map_err(|e| e.to_string())?;
        let remote: SocketAddr = self.path.remote;
        match socket.connect(&remote.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(error.to_string());
            }
            _ => self.socket = Some(socket.into()),
        }
        Ok(())
    }

    fn inject(&mut self, segment: &Segment) -> Result<(), String> {
        let bytes = encode(&self.path, segment);
        let tap = &mut self.wire.tap;
        let mut frame = tap.pool().alloc(Class::Control).ok_or("no frame")?;
        tap.pool().extend(&mut frame, bytes.len());
        tap.pool().bytes_mut(&mut frame).copy_from_slice(&bytes);
        let sent = tap.transmit(&frame);
        tap.pool().release(frame);
        tap.flush();
        if sent { Ok(()) } else { Err(String::from("the device is full")) }
    }

    fn call(&mut self, event: Event) -> Result<Option<usize>, String> {
        if !self.view.opened || self.socket.is_none() {
            return Ok(None);
        }
        Ok(Some(match event {
            Event::Write(n) => self.write(n),
            Event::Read(n) => self.read(n)?,
            Event::Shutdown => {
                let socket = self.socket.as_ref().expect("checked");
                // An error says that it is over.
                let _ = socket.shutdown(std::net::Shutdown::Write);
                self.shut = true;
                0
            }
            Event::Close => {
                self.socket = None;
                0
            }
            Event::Abort => {
                let socket = self.socket.take().expect("checked");
                SockRef::from(&socket).set_linger(Some(Duration::ZERO)).expect("a socket");
                0
            }
            Event::Segment(_) | Event::Wait => return Ok(None),
        }))
    }

    fn answers(&mut self, long: bool) -> Result<Vec<Segment>, String> {
        let mut segments = VecDeque::new();
        let mut end = Instant::now() + if long { LONG_WAIT } else { self.wire.quiet };
        loop {
            if self.receive(&mut segments)? {
                end = end.max(Instant::now() + self.wire.quiet);
            }
            let now = Instant::now();
            if now >= end {
                break;
            }
            self.wire.tap.wait(Some(end - now), &self.wire.waker);
        }
        if let Some(socket) = &self.socket {
            // What is not yet established refuses to send, be it nothing at all.
            self.view.opened = self.view.opened || SockRef::from(socket).send(&[]).is_ok();
        } else if !self.view.opened {
            self.accept();
        }
        Ok(segments.into())
    }

    fn view(&mut self) -> Result<View, String> {
        if !self.view.opened {
            return Ok(View::default());
        }
        while self.read(1 << 20)? > 0 {}
        let error = self.socket.as_ref().and_then(|socket| socket.take_error().ok().flatten());
        self.view.reset |= error.is_some();
        Ok(self.view.clone())
    }
}

impl Drop for Kernel<'_> {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // Nothing of it stays behind.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}
