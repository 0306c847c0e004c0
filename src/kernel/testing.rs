//! A core on loopback, driven by the test's own thread, and peers that never block it.

use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::config::KernelConfig;
use super::core::KernelCore;
use super::listen::Listeners;
use crate::app::{App, Inboxes, Mailbox};
use crate::device::{Place, Waker};
use crate::engine::{Counter, Listen};
use crate::time::Instant;

/// A test that waits this long for something has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Host<A: App> {
    pub(crate) core: KernelCore<A>,
    pub(crate) mailbox: Mailbox<A::Message>,
    pub(crate) at: SocketAddr,
    waker: Waker,
    started: std::time::Instant,
    /// Time that the test has let pass beside the clock's.
    pub(crate) ahead: Duration,
}

impl<A: App> Host<A> {
    pub(crate) fn start(app: A) -> Host<A> {
        Host::configured("127.0.0.1:0", KernelConfig::default(), app)
    }

    pub(crate) fn configured(at: &str, mut config: KernelConfig, app: A) -> Host<A> {
        // Tests run side by side.
        config.pool.huge_pages = false;
        let listen = Listen { at: at.parse().expect("an address") };
        let listeners = Listeners::bind(&[listen], &config.tcp, config.limits.backlog, 1);
        let listeners = listeners.expect("a free port").remove(0);
        let at = listeners.addresses().next().expect("one address");
        let waker = Waker::new().expect("eventfd");
        let (mailbox, mut readers) = Inboxes::make(core::slice::from_ref(&waker), 64);
        let core = KernelCore::new(config, listeners, &waker, readers.remove(0), app);
        let started = std::time::Instant::now();
        Host { core: core.expect("a core"), mailbox, at, waker, started, ahead: Duration::ZERO }
    }

    pub(crate) fn app(&mut self) -> &mut A {
        &mut self.core.app
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.core.counters().get(counter)
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::new(TcpStream::connect(self.at).expect("somebody listens"))
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed() + self.ahead
    }

    /// One turn; sleeps a little after one that found nothing to do.
    pub(crate) fn turn(&mut self) -> bool {
        let now = self.now();
        let turn = self.core.turn(now);
        if !turn.worked {
            self.waker.before_sleep();
            if self.core.mailbox_is_empty() {
                let timeout = turn.next_deadline.map_or(Duration::MAX, |at| at.since(now));
                self.core.wait(Some(timeout.min(Duration::from_millis(2))));
            }
            self.waker.after_sleep();
        }
        turn.worked
    }

    /// Turns until `done`, with the peers' part done before each turn.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Host<A>) -> bool) {
        let start = std::time::Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
            self.turn();
        }
    }

    /// Turns until many turns have found nothing to do.
    pub(crate) fn until_idle(&mut self) {
        let mut idle = 0;
        self.until("all is quiet", |host| {
            idle = if host.turn() { 0 } else { idle + 1 };
            idle > 5
        });
    }

    /// Ends the test: no connection is left and every frame is back in the pool.
    pub(crate) fn finish(mut self) {
        self.until("the last connection is gone", |host| host.core.connections() == 0);
        self.turn();
        let pool = self.core.pool();
        assert_eq!(pool.census().at(Place::Free), pool.frames(), "{:?}", pool.census());
    }
}

/// A client on an ordinary socket that doesn't block.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    pub(crate) got: Vec<u8>,
    pub(crate) eof: bool,
    finished: bool,
    pub(crate) error: Option<ErrorKind>,
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Peer {
        stream.set_nonblocking(true).expect("a socket");
        Peer { stream, got: Vec::new(), eof: false, finished: false, error: None }
    }

    /// Reads what is there; true at the end of the stream or when it is broken.
    pub(crate) fn read(&mut self) -> bool {
        let mut buf = vec![0; 64 << 10];
        while !self.eof && self.error.is_none() {
            match self.stream.read(&mut buf) {
                Ok(0) => self.eof = true,
                Ok(n) => self.got.extend_from_slice(&buf[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => self.error = Some(error.kind()),
            }
        }
        true
    }

    /// Writes what the kernel takes and removes it from `bytes`; true if nothing is left.
    pub(crate) fn write(&mut self, bytes: &mut &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => *bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("write: {error}"),
            }
        }
        true
    }

    pub(crate) fn send(&mut self, mut bytes: &[u8]) {
        assert!(self.write(&mut bytes), "a few bytes always fit");
    }

    /// Keeps the kernel from taking more than half a megabyte for a peer that doesn't read: its
    /// receive buffer grows to what the machine is set to, tens of megabytes on some.
    pub(crate) fn take_little(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_recv_buffer_size(256 << 10).expect("a socket");
    }

    /// Sends FIN; again, it does nothing.
    pub(crate) fn finish(&mut self) {
        if !core::mem::replace(&mut self.finished, true) {
            self.stream.shutdown(std::net::Shutdown::Write).expect("connected");
        }
    }

    pub(crate) fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }
}

/// Bytes that tell where they belong.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 7) ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}
