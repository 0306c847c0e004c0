//! A peer for Rust tests of any application: segments as a script writes them, one line each.

use std::time::Duration;

use sidestep::app::App;
use sidestep::device::{Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{Engine, EngineConfig, Listen, LocalAddress};
use sidestep::time::Instant;

use super::ast::{Action, Packet};
use super::matching::{Verdict, compare};
use super::names::Names;
use super::parser::parse;
use crate::segments::codec::{Decoded, decode, encode};
use crate::segments::path::{Family, Path};
use crate::segments::segment::Segment;

/// An engine with a listener, and the other end of its wire.
pub(crate) struct Peer<A: App> {
    pub(crate) engine: Engine<A, VirtualDevice>,
    path: Path,
    port: Port,
    names: Names,
    now: Instant,
    /// The packet that came last, from its IP header on.
    pub(crate) last: Vec<u8>,
}

impl<A: App> Peer<A> {
    /// `change` may set anything in the engine's configuration.
    pub(crate) fn new(family: Family, app: A, change: impl FnOnce(&mut EngineConfig)) -> Peer<A> {
        let frames = PoolConfig { frames: 1_024, huge_pages: false, ..PoolConfig::default() };
        Peer::with_frames(frames, family, app, change)
    }

    /// The same with a pool of one's own.
    pub(crate) fn with_frames(
        frames: PoolConfig,
        family: Family,
        app: A,
        change: impl FnOnce(&mut EngineConfig),
    ) -> Peer<A> {
        let path = Path::new(family, 8_080, 40_000);
        let mut config = EngineConfig::new([7; 32]);
        let (ip, prefix_len) = (path.local.ip(), path.prefix_len());
        config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
        config.neighbours.push((path.remote.ip(), path.remote_mac));
        config.listeners.push(Listen { at: path.local });
        change(&mut config);
        let pool = Pool::new(frames).expect("memory for the frames");
        let (device, port) = VirtualDevice::new(pool, path.local_mac, 1_500);
        let engine = Engine::standalone(config, device, app).expect("an eventfd");
        let now = Instant::from_millis(1_000);
        Peer { engine, path, port, names: Names::new(900u32.wrapping_neg()), now, last: Vec::new() }
    }

    /// The three segments of a handshake.
    #[track_caller]
    pub(crate) fn handshake(&mut self) {
        self.send("S 0:0(0) win 65535 <mss 1000>");
        self.expect("S. 0:0(0) ack 1");
        self.send(". 1:1(0) ack 1 win 65535");
    }

    /// Sends a segment, as behind `<` in a script, and lets the engine act.
    #[track_caller]
    pub(crate) fn send(&mut self, segment: &str) {
        self.burst(&[segment]);
    }

    /// The same for segments that arrive in one batch.
    #[track_caller]
    pub(crate) fn burst<S: AsRef<str>>(&mut self, segments: &[S]) {
        for segment in segments {
            let packet = packet(&format!("0 < {}", segment.as_ref()));
            let live = self.names.injected(&self.path, &packet).expect("a segment to be sent");
            self.port.send(&encode(&self.path, &live));
        }
        self.turn();
    }

    /// Sends several segments before the engine acts.
    #[track_caller]
    pub(crate) fn send_together(&mut self, segments: &[&str]) {
        for segment in segments {
            let packet = packet(&format!("0 < {segment}"));
            let live = self.names.injected(&self.path, &packet).expect("a good segment");
            self.port.send(&encode(&self.path, &live));
        }
        self.turn();
    }

    /// Speaks from another address and port from now on, of a connection of its own.
    pub(crate) fn speak_from(&mut self, remote: std::net::SocketAddr) {
        self.path.remote = remote;
        self.names = Names::new(0);
    }

    /// Speaks to another address and port from now on.
    pub(crate) fn speak_to(&mut self, local: std::net::SocketAddr) {
        self.path.local = local;
    }

    /// Takes a segment, whatever it is; false if none is left.
    pub(crate) fn take(&mut self) -> bool {
        self.next().is_some()
    }

    /// Lets the engine act.
    pub(crate) fn act(&mut self) {
        self.turn();
    }

    /// Both ends' addresses.
    pub(crate) fn path(&self) -> Path {
        self.path
    }

    /// The engine has opened a connection: its next SYN tells the numbers.
    pub(crate) fn expect_syn(&mut self) {
        self.names.connect();
        self.expect("S 0:0(0)");
    }

    /// The next segment must be this, as behind `>` in a script.
    #[track_caller]
    pub(crate) fn expect(&mut self, segment: &str) {
        let packet = packet(&format!("0 > {segment}"));
        let Some(got) = self.next() else { panic!("nothing came, expected {segment}") };
        match compare(&packet, &got, true, &self.names) {
            Verdict::Same => self.names.learn_timestamp(&packet, &got),
            verdict => panic!("{got} came, expected {segment}: {verdict:?}"),
        }
    }

    /// Nothing more was sent.
    #[track_caller]
    pub(crate) fn expect_nothing(&mut self) {
        if let Some(got) = self.next() {
            panic!("{got} came, expected nothing");
        }
    }

    /// Lets time pass, timers fire as they are due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.turn().filter(|at| *at <= end);
            self.now = due.unwrap_or(end).max(self.now);
            if due.is_none() {
                self.turn();
                return;
            }
        }
    }

    fn turn(&mut self) -> Option<Instant> {
        for _ in 0..1_000 {
            let turn = self.engine.turn(self.now);
            if !turn.worked && self.port.unreceived() == 0 {
                return turn.next_deadline;
            }
        }
        panic!("the engine finds no end of work");
    }

    fn next(&mut self) -> Option<Segment> {
        loop {
            let frame = self.port.receive()?;
            self.last = frame[14..].to_vec();
            match decode(&self.path, &frame) {
                Ok(Decoded::Tcp(live)) => return Some(self.names.received(&live)),
                Ok(Decoded::Other) => {}
                Err(what) => panic!("the engine sent a bad packet: {what}"),
            }
        }
    }
}

#[track_caller]
fn packet(line: &str) -> Packet {
    let script = parse("here", line).unwrap_or_else(|what| panic!("{line}: {what}"));
    match script.events.into_iter().next().map(|event| event.action) {
        Some(Action::Inject(packet) | Action::Expect(packet)) => packet,
        other => panic!("{line} is no packet but {other:?}"),
    }
}
