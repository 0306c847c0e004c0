//! Broken worlds: the oracle must see each of them.

use std::net::SocketAddr;
use std::time::Duration;

use sidestep::app::{App, Core, Peer, Refuse, Rx, RxBuf, Tx};
use sidestep::device::{Class, PoolConfig};
use sidestep::engine::{EngineConfig, Listen, LocalAddress};
use sidestep::sim::{
    HostConfig, HostId, LinkConfig, Network, PlanLimits, Planned, Rng, Simulation, Violation,
    Workload,
};
use sidestep::time::Instant;

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const LIMITS: PlanLimits = PlanLimits { seed: 5, bytes: 20_000, aborts: 0 };

fn address(host: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host as u8 + 1], port))
}

fn host(index: usize) -> HostConfig {
    let mut engine = EngineConfig::new([index as u8; 32]);
    let ip = address(index, 0).ip();
    engine.addresses.push(LocalAddress { ip, prefix_len: 24, owned: true });
    engine.neighbours.push((address(1 - index, 0).ip(), MACS[1 - index]));
    engine.listeners.push(Listen { at: address(index, 80) });
    engine.tcp.time_wait = Duration::from_secs(1);
    let pool = PoolConfig { frames: 512, frame_size: 2_048, reserve: 16, huge_pages: false };
    HostConfig { engine, pool, mac: MACS[index], mtu: 1_500 }
}

fn world() -> Simulation {
    let link = LinkConfig { delay: Duration::from_micros(50), ..LinkConfig::default() };
    Simulation::new(1, Network::new(2, link), Instant::from_millis(1))
}

fn client(flows: u16) -> Workload {
    let at = Instant::from_millis(2);
    let plan = |n| Planned { at, local: address(0, 5_000 + n), remote: address(1, 80) };
    Workload::new(LIMITS, (0..flows).map(plan).collect(), Rng::new(4))
}

fn add_client(world: &mut Simulation) -> HostId<Workload> {
    let id = world.add(host(0), client(8)).expect("a pool");
    world.wake(0, Instant::from_millis(2));
    id
}

fn server() -> Workload {
    Workload::new(LIMITS, Vec::new(), Rng::new(3))
}

#[test]
fn an_honest_world_passes() {
    let mut world = world();
    let client = add_client(&mut world);
    let server = world.add(host(1), server()).expect("a pool");
    world.run(Instant::from_millis(1_000_000)).expect("no violation");
    world.check_end().expect("nothing left");
    assert_eq!(world.app(client).violation(), None);
    assert_eq!(world.app(server).violation(), None);
    assert_eq!(world.app(server).outcomes().len(), 8);
}

/// Changes the last payload byte of a segment and mends the checksum (RFC 1624).
fn tamper_with_payload(frame: &mut [u8]) {
    let ip = 14;
    if frame.len() < ip + 40 || frame[12..14] != [8, 0] {
        return;
    }
    let total = usize::from(u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]));
    let header = 20 + usize::from(frame[ip + 32] >> 4) * 4;
    if total <= header {
        return;
    }
    let at = ip + total - 1;
    let word = |frame: &[u8]| match (total - 20) % 2 {
        0 => u16::from_be_bytes([frame[at - 1], frame[at]]),
        _ => u16::from_be_bytes([frame[at], 0]),
    };
    let old = word(frame);
    frame[at] ^= 0x10;
    let new = word(frame);
    let field = u16::from_be_bytes([frame[ip + 36], frame[ip + 37]]);
    let mut sum = u32::from(!field) + u32::from(!old) + u32::from(new);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    frame[ip + 36..ip + 38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[test]
fn a_byte_changed_under_a_good_checksum_is_seen() {
    let mut world = world();
    add_client(&mut world);
    let server = world.add(host(1), server()).expect("a pool");
    world.network().set_tamper(0, 1, Box::new(|frame| tamper_with_payload(frame)));
    world.run(Instant::from_millis(1_000_000)).expect("the frames are all there");
    let violation = world.app(server).violation();
    assert!(matches!(violation, Some(Violation::Bytes { .. })), "{violation:?}");
}

#[test]
fn a_frame_that_is_lost_from_the_pool_is_seen() {
    let mut world = world();
    let client = add_client(&mut world);
    world.add(host(1), server()).expect("a pool");
    world.run(Instant::from_millis(1)).expect("nothing wrong yet");
    let frame = world.engine(client).pool().alloc(Class::Data).expect("a frame");
    std::mem::forget(frame);
    let verdict = world.run(Instant::from_millis(1_000_000));
    assert!(matches!(verdict, Err(Violation::Frames { host: 0, .. })), "{verdict:?}");
}

/// Breaks the rules of an application, or lets the engine look as if it broke its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Keeps received bytes for ever.
    LeakHeld,
    /// Never finishes.
    NeverFinish,
}

struct Faulty(Fault);

impl App for Faulty {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _peer: &Peer, _tx: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        let all: Option<RxBuf> = rx.hold(rx.len());
        if self.0 == Fault::LeakHeld {
            std::mem::forget(all);
        }
        if rx.fin() && self.0 != Fault::NeverFinish {
            tx.finish();
        }
    }

    fn on_turn(&mut self, _core: &mut Core<'_>) {}
}

#[test]
fn a_buffer_that_is_never_given_back_is_seen() {
    let mut world = world();
    add_client(&mut world);
    world.add(host(1), Faulty(Fault::LeakHeld)).expect("a pool");
    world.run(Instant::from_millis(10_000_000)).expect("nothing wrong on the way");
    let verdict = world.check_end();
    let seen = matches!(verdict, Err(Violation::Frames { .. } | Violation::Unfinished { .. }));
    assert!(seen, "{verdict:?}");
}

#[test]
fn a_connection_that_never_ends_is_seen() {
    let mut world = world();
    add_client(&mut world);
    world.add(host(1), Faulty(Fault::NeverFinish)).expect("a pool");
    world.run(Instant::from_millis(10_000)).expect("nothing wrong on the way");
    let verdict = world.check_end();
    assert!(matches!(verdict, Err(Violation::Unfinished { .. })), "{verdict:?}");
}
