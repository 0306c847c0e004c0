//! Peers that keep to the letter of TCP, or not even that, to cost us as much as they can: each is
//! bounded by a named budget, and an honest client next to them hardly notices.

#[path = "adversaries/attack.rs"]
mod attack;
#[path = "adversaries/raw.rs"]
mod raw;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sidestep::app::{App, Core, Peer, Refuse, Role, Rx, Tx};
use sidestep::device::{Place, PoolConfig};
use sidestep::engine::{Counter, EngineConfig, Listen, LocalAddress};
use sidestep::sim::{HostConfig, HostId, LinkConfig, Network, Rng, Script, ScriptId, Simulation};
use sidestep::time::Instant;

use attack::{Adversary, Attack};
use raw::{PORT, RAW_IP, RAW_MAC, Raw, SERVER_IP, SERVER_MAC};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const CLIENT_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const LITTLE: usize = 20_000;
const MUCH: usize = 1_000_000;
/// The honest client's connections.
const HONEST: u32 = 4;
const TIME: Duration = Duration::from_secs(12);

/// Answers `?` with little and `!` with much; keeps what else it reads.
#[derive(Debug, Default)]
struct Answers {
    read: Vec<u8>,
}

impl App for Answers {
    /// Bytes still to be written.
    type Conn = usize;
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<usize, Refuse> {
        Ok(0)
    }

    fn on_data(&mut self, left: &mut usize, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        for byte in rx.chunks().flatten() {
            match byte {
                b'?' => *left += LITTLE,
                b'!' => *left += MUCH,
                other => self.read.push(*other),
            }
        }
        rx.consume(rx.len());
        self.on_space(left, tx);
    }

    fn on_space(&mut self, left: &mut usize, tx: &mut Tx<'_>) {
        *left -= tx.fill(*left, |room| room.len());
    }
}

/// Asks for little, again and again, on each of its connections.
#[derive(Debug, Default)]
struct Asks {
    asked: u32,
    answers: u64,
    lost: u32,
}

impl App for Asks {
    type Conn = usize;
    type Message = ();

    fn on_open(&mut self, peer: &Peer, tx: &mut Tx<'_>) -> Result<usize, Refuse> {
        assert!(matches!(peer.role, Role::Connected { .. }));
        tx.write(b"?");
        Ok(LITTLE)
    }

    fn on_data(&mut self, left: &mut usize, rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        *left -= rx.len();
        rx.consume(rx.len());
        if *left == 0 {
            self.answers += 1;
            *left = LITTLE;
            tx.write(b"?");
        }
    }

    fn on_close(&mut self, _: usize, _: sidestep::app::Close) {
        self.lost += 1;
    }

    fn on_turn(&mut self, core: &mut Core<'_>) {
        while self.asked < HONEST {
            core.connect(SocketAddr::new(SERVER_IP, PORT), None, 0).expect("room for a request");
            self.asked += 1;
        }
    }
}

fn host(ip: IpAddr, mac: [u8; 6], frames: u32) -> HostConfig {
    let mut engine = EngineConfig::new([mac[5]; 32]);
    engine.addresses.push(LocalAddress { ip, prefix_len: 24, owned: true });
    let all = [(SERVER_IP, SERVER_MAC), (CLIENT_IP, CLIENT_MAC), (RAW_IP, RAW_MAC)];
    engine.neighbours.extend(all.iter().filter(|(other, _)| *other != ip));
    engine.limits.connections = 512;
    engine.limits.patience = Duration::from_secs(2);
    engine.tcp.send_buffer = 64 << 10;
    engine.tcp.receive_buffer = 64 << 10;
    let pool = PoolConfig { frames, frame_size: 2_048, reserve: 64, huge_pages: false };
    HostConfig { engine, pool, mac, mtu: 1_500 }
}

struct World<A, S> {
    simulation: Simulation,
    server: HostId<A>,
    client: HostId<Asks>,
    script: ScriptId<S>,
}

impl<A: App + 'static, S: Script + 'static> World<A, S> {
    fn new(app: A, script: S) -> World<A, S> {
        let link = LinkConfig { delay: Duration::from_millis(2), ..LinkConfig::default() };
        let mut simulation = Simulation::new(1, Network::new(2, link), Instant::from_millis(1));
        let mut config = host(SERVER_IP, SERVER_MAC, 1_024);
        config.engine.listeners.push(Listen { at: SocketAddr::new(SERVER_IP, PORT) });
        let server = simulation.add(config, app).expect("a pool");
        let script = simulation.add_script(RAW_MAC, script).expect("a pool");
        let client = host(CLIENT_IP, CLIENT_MAC, 1_024);
        let client = simulation.add(client, Asks::default()).expect("a pool");
        World { simulation, server, client, script }
    }

    fn run(&mut self, time: Duration) {
        let until = self.simulation.now() + time;
        self.simulation.wake(0, until);
        self.simulation.run(until).expect("no promise broken");
    }

    fn counter(&self, counter: Counter) -> u64 {
        self.simulation.engine(self.server).counters().get(counter)
    }
}

/// Lets an attack go on next to the honest client. Returns the world, and the client's answers in
/// percent of what it gets on its own.
fn under(attack: Attack, connections: u16) -> (World<Answers, Adversary>, u64) {
    let run = |connections| {
        let mut world = World::new(Answers::default(), Adversary::new(attack, connections));
        world.run(TIME);
        let client = world.simulation.app(world.client);
        assert_eq!(client.lost, 0, "an honest connection was lost");
        let answers = client.answers;
        (world, answers)
    };
    let (_, alone) = run(0);
    let (world, attacked) = run(connections);
    let opened = world.simulation.script(world.script).opened();
    assert_eq!(opened, usize::from(connections), "the attack must take place");
    println!("{attack:?}: {attacked} answers, {alone} alone");
    (world, attacked * 100 / alone)
}

#[test]
fn who_holds_its_window_shut_is_given_up_when_frames_are_scarce() {
    let (world, share) = under(Attack::HoldsWindowShut, 100);
    assert!(share >= 80, "{share} %");
    assert!(world.counter(Counter::StalledResets) > 50);
    assert!(world.simulation.script(world.script).resets() > 50);
}

#[test]
fn who_never_acknowledges_is_given_up_when_frames_are_scarce() {
    let (world, share) = under(Attack::NeverAcknowledges, 100);
    assert!(share >= 80, "{share} %");
    assert!(world.counter(Counter::StalledResets) > 50);
}

#[test]
fn who_takes_a_few_bytes_at_a_time_is_given_up_when_frames_are_scarce() {
    let (world, share) = under(Attack::TinyWindow, 100);
    // The last of them write when the first are gone: that takes a second watch.
    assert!(share >= 60, "{share} %");
    assert!(world.counter(Counter::StalledResets) > 50);
}

#[test]
fn with_frames_to_spare_nobody_is_given_up() {
    for attack in [Attack::HoldsWindowShut, Attack::NeverAcknowledges, Attack::TinyWindow] {
        let (world, share) = under(attack, 4);
        assert!(share >= 95, "{attack:?}: {share} %");
        assert_eq!(world.counter(Counter::StalledResets), 0, "{attack:?}");
    }
}

#[test]
fn scattered_bytes_cost_no_more_frames_than_their_budget() {
    let (world, share) = under(Attack::ScatteredBytes, 100);
    assert!(share >= 95, "{share} %");
    assert!(world.counter(Counter::DropOutOfOrder) > 10_000);
    assert!(world.counter(Counter::HolesForgotten) > 50);
    assert_eq!(world.counter(Counter::StalledResets), 0, "they owe nothing");
}

#[test]
fn a_flood_beyond_a_hole_costs_no_more_frames_than_its_budget() {
    let (world, share) = under(Attack::FloodsBeyondAHole, 100);
    assert!(share >= 95, "{share} %");
    assert!(world.counter(Counter::DropOutOfOrder) > 10_000);
}

#[test]
fn an_ack_storm_ends_at_the_limit_of_replies() {
    let (world, share) = under(Attack::AckStorm, 20);
    assert!(share >= 95, "{share} %");
    assert!(world.counter(Counter::DropReplyLimit) > 1_000);
    let limit = u64::from(host(SERVER_IP, SERVER_MAC, 64).engine.limits.replies_per_second);
    let sent = world.counter(Counter::SegmentsSent);
    let honest = world.simulation.app(world.client).answers * 30;
    assert!(sent < honest + limit * (TIME.as_secs() + 2), "{sent} segments");
}

/// Sends the same bytes twice and differently, beyond a hole, and then fills the hole with yet
/// others.
#[derive(Debug)]
struct Contradicts {
    conn: Raw,
}

impl Script for Contradicts {
    fn turn(
        &mut self,
        _now: Instant,
        received: &[Vec<u8>],
        send: &mut Vec<Vec<u8>>,
    ) -> Option<Instant> {
        if self.conn.opens(received, send) {
            let (conn, at) = (&self.conn, self.conn.snd_nxt);
            send.push(conn.data(at + 4, 65_535, b"EFGH"));
            send.push(conn.data(at + 10, 65_535, b"KL"));
            // Over both and what lies between; then over the hole too.
            send.push(conn.data(at + 2, 65_535, b"cdefghijklmn"));
            send.push(conn.data(at, 65_535, b"0123456789ab"));
        }
        None
    }
}

#[test]
fn contradicting_bytes_never_replace_those_that_came_first() {
    let script = Contradicts { conn: Raw::new(9_000) };
    let mut world = World::new(Answers::default(), script);
    world.run(Duration::from_secs(1));
    let read = String::from_utf8_lossy(&world.simulation.app(world.server).read).into_owned();
    assert_eq!(read, "01cdEFGHijKLmn");
    assert_eq!(world.counter(Counter::ContradictingSegments), 2);
}

/// Sends a stream in single bytes, all but the first in some order (islands no more than the budget
/// allows), and the first at last.
#[derive(Debug)]
struct Crumbs {
    conn: Raw,
    order: Vec<u32>,
    fills_at: Option<Instant>,
}

const CRUMBS: u32 = 1_500;

impl Crumbs {
    fn new(seed: Option<u64>, backwards: bool) -> Crumbs {
        let mut order: Vec<u32> = (1..CRUMBS).collect();
        if let Some(mut rng) = seed.map(Rng::new) {
            order.sort_by_cached_key(|n| (n / 100, rng.next_u64()));
        }
        if backwards {
            order.reverse();
        }
        Crumbs { conn: Raw::new(9_000), order, fills_at: None }
    }

    fn crumb(&self, n: u32) -> Vec<u8> {
        self.conn.data(self.conn.snd_nxt + n, 65_535, &[n as u8 | 0x80])
    }
}

impl Script for Crumbs {
    fn turn(
        &mut self,
        now: Instant,
        received: &[Vec<u8>],
        send: &mut Vec<Vec<u8>>,
    ) -> Option<Instant> {
        if self.conn.opens(received, send) {
            send.push(self.conn.ack(65_535));
            send.extend(self.order.iter().map(|n| self.crumb(*n)));
            self.fills_at = Some(now + Duration::from_secs(1));
        }
        if self.fills_at.is_some_and(|at| at <= now) {
            self.fills_at = None;
            send.push(self.crumb(0));
        }
        self.fills_at
    }
}

#[test]
fn neighbouring_crumbs_share_frames_in_whatever_order_they_come() {
    for (seed, backwards) in [(None, false), (None, true), (Some(3), false)] {
        let mut world = World::new(Answers::default(), Crumbs::new(seed, backwards));
        world.run(Duration::from_millis(900));
        let kept = world.simulation.engine(world.server).pool().census().at(Place::Received);
        assert_eq!(world.counter(Counter::OutOfOrderSegments), u64::from(CRUMBS) - 1);
        assert!(kept <= 8, "{kept} frames for {CRUMBS} bytes: {seed:?} {backwards}");
        world.run(Duration::from_secs(1));
        let read = &world.simulation.app(world.server).read;
        let expected: Vec<u8> = (0..CRUMBS).map(|n| n as u8 | 0x80).collect();
        assert_eq!(*read, expected, "{seed:?} {backwards}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn a_request_that_never_ends_is_given_up() {
    let adversary = Adversary::new(Attack::SlowLoris, 100);
    let mut world = World::new(sidestep::apps::Hello::default(), adversary);
    world.run(Duration::from_secs(20));
    assert_eq!(world.simulation.script(world.script).resets(), 0, "it is given time");
    world.run(Duration::from_secs(60));
    assert_eq!(world.simulation.script(world.script).resets(), 100);
}
