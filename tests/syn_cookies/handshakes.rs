//! Whole handshakes with an engine that keeps nothing, while keys change and servers are restarted.

use std::sync::Arc;
use std::time::Duration;

use sidestep::app::{App, Close, Peer, Refuse, Rx, Tx};
use sidestep::device::{Pool, PoolConfig, Port, VirtualDevice};
use sidestep::engine::{
    CookieConfig, Counter, Engine, EngineConfig, Listen, LocalAddress, SynCookies,
};
use sidestep::tcp::cookie::{CookieKeys, Key, KeyWriter, step_at};
use sidestep::time::Instant;

use crate::segments::codec::{Decoded, decode, encode};
use crate::segments::path::{Family, Path};
use crate::segments::segment::{ACK, PSH, SYN, Segment, TcpOption};

/// UNIX time at which the test begins.
const START_MS: u64 = 1_767_225_600_000;

/// Counts what it is called for.
#[derive(Default)]
struct Opened(u64);

impl App for Opened {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, tx: &mut Tx<'_>) -> Result<(), Refuse> {
        self.0 += 1;
        // The test needs no more of it.
        tx.abort();
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), _: &mut Rx<'_>, _: &mut Tx<'_>) {}

    fn on_close(&mut self, (): (), _: Close) {}
}

struct Server {
    engine: Engine<Opened, VirtualDevice>,
    port: Port,
    path: Path,
}

impl Server {
    fn new(keys: Arc<CookieKeys>, secret: u8) -> Server {
        let path = Path::new(Family::V4, 80, 40_000);
        let mut config = EngineConfig::new([secret; 32]);
        let (ip, prefix_len) = (path.local.ip(), path.prefix_len());
        config.addresses.push(LocalAddress { ip, prefix_len, owned: true });
        config.listeners.push(Listen { at: path.local });
        let keys = Some(keys);
        config.cookies = CookieConfig { when: SynCookies::Always, keys, ..CookieConfig::default() };
        let frames = PoolConfig { frames: 256, reserve: 16, ..PoolConfig::default() };
        let pool = Pool::new(frames).expect("memory for the frames");
        let (device, port) = VirtualDevice::new(pool, path.local_mac, 1_500);
        let engine = Engine::standalone(config, device, Opened::default()).expect("an eventfd");
        Server { engine, port, path }
    }

    fn client(&self, port: u16) -> Path {
        Path { remote: (self.path.remote.ip(), port).into(), ..self.path }
    }

    /// What the server answers first.
    fn say(&mut self, path: &Path, segment: &Segment, now: Instant) -> Option<Segment> {
        self.port.send(&encode(path, segment));
        while self.engine.turn(now).worked {}
        let mut first = None;
        while let Some(frame) = self.port.receive() {
            if let Ok(Decoded::Tcp(segment)) = decode(path, &frame) {
                first = first.or(Some(segment));
            }
        }
        first
    }

    /// A SYN; the ACK to its answer, to be sent whenever.
    fn ask(&mut self, client: u16, timestamps: bool, now: Instant) -> Segment {
        let path = self.client(client);
        let time = TcpOption::Timestamps { val: 5, ecr: 0 };
        let options = if timestamps { vec![time] } else { vec![TcpOption::Mss(1_400)] };
        let syn = Segment {
            src_port: client,
            dst_port: 80,
            seq: u32::from(client) * 99_991,
            flags: SYN,
            window: 1_000,
            options,
            ..Segment::default()
        };
        let answer = self.say(&path, &syn, now).expect("a SYN-ACK");
        assert_eq!(answer.flags, SYN | ACK);
        let options = match answer.timestamps() {
            Some((ecr, _)) => vec![TcpOption::Timestamps { val: 6, ecr }],
            None => Vec::new(),
        };
        let (seq, ack) = (syn.seq.wrapping_add(1), answer.seq.wrapping_add(1));
        Segment { seq, ack, flags: ACK, options, ..syn }
    }

    fn opened(&self) -> u64 {
        self.engine.app().0
    }
}

#[test]
fn changes_of_keys_under_load_lose_no_handshake() {
    const HANDSHAKES: u64 = 4_000;
    let mut writer = KeyWriter::new(Key::new([0; 16]));
    writer.set_clock(START_MS);
    let mut server = Server::new(writer.keys(), 1);
    let mut pending: Vec<(u64, Segment)> = Vec::new();
    let mut changes = 0;
    // A quarter of a second apart; each ACK takes up to 60 s.
    for n in 0..HANDSHAKES + 240 {
        let at = Instant::from_millis(n * 250);
        let step = step_at(START_MS + n * 250);
        // As often as can be.
        if writer.rotate(Key::new([(n % 251) as u8 + 1; 16]), step + 2).is_ok() {
            changes += 1;
        }
        if n < HANDSHAKES {
            let client = 1_024 + n as u16;
            let ack = server.ask(client, n % 2 == 0, at);
            pending.push((n + n * 7 % 240, ack));
        }
        let (due, later): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(due, _)| *due <= n);
        pending = later;
        for (_, ack) in due {
            let path = server.client(ack.src_port);
            // Some bring data along.
            let payload = if ack.src_port % 3 == 0 { b"GET /".to_vec() } else { Vec::new() };
            let flags = if payload.is_empty() { ACK } else { ACK | PSH };
            server.say(&path, &Segment { flags, payload, ..ack }, at);
        }
    }
    assert!(changes >= 10, "{changes} changes");
    assert_eq!((pending.len(), server.opened()), (0, HANDSHAKES));
    let counters = server.engine.counters();
    assert_eq!(counters.get(Counter::SynCookiesReceived), HANDSHAKES);
    assert_eq!(counters.get(Counter::SynCookiesFailed), 0);
    assert_eq!(counters.half_open(), 0, "nothing is kept");
}

#[test]
fn a_restarted_server_accepts_cookies_of_its_former_self() {
    let keys = |origin_ms| {
        let mut writer = KeyWriter::new(Key::new([4; 16]));
        writer.set_clock(origin_ms);
        writer.keys()
    };
    let mut former = Server::new(keys(START_MS), 1);
    // It had been up for an hour.
    let hour = Duration::from_secs(3_600);
    let acks: Vec<Segment> =
        (0..20).map(|n| former.ask(2_000 + n, n % 2 == 0, Instant::ZERO + hour)).collect();
    drop(former);
    // Two seconds later, with another secret, and a clock that begins anew.
    let mut server = Server::new(keys(START_MS + 3_602_000), 2);
    for ack in &acks {
        let path = server.client(ack.src_port);
        server.say(&path, ack, Instant::from_millis(1));
    }
    assert_eq!(server.opened(), 20);
    // A machine without the file accepts nothing.
    let mut stranger = Server::new(CookieKeys::fixed(Key::new([5; 16])), 2);
    for ack in &acks {
        let path = stranger.client(ack.src_port);
        stranger.say(&path, ack, Instant::from_millis(1));
    }
    assert_eq!(stranger.opened(), 0);
}
