//! lwIP beside the load: what the peers are measured by must be what they do. Skipped where its
//! sources are not.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use sidestep::device::{
    Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, PoolConfig, Waker,
};
use sidestep::time::Instant;
use sidestep::wire::{Body, Checks, parse};
use sidestep_bench::bulk::{Bulk, Direction};
use sidestep_bench::contender::{Kind, RESPONSE, Server, Work, lwip};
use sidestep_bench::generator::{Generator, Load};

/// A process has one lwIP at a time; tests take turns.
static ONE: Mutex<()> = Mutex::new(());

fn skipped() -> bool {
    let why = Kind::Lwip.missing();
    if let Some(why) = why {
        eprintln!("SKIPPED: lwip: {why}");
    }
    why.is_some()
}

/// The load, with a look at all bytes that it is sent.
struct Checked {
    load: Generator,
    responses: u64,
}

impl Checked {
    fn new(clients: u32) -> Checked {
        let pool = Pool::new(PoolConfig { frames: 1_024, ..PoolConfig::default() });
        let load = Generator::new(pool.expect("memory"), clients, (0..clients).collect(), 4);
        Checked { load, responses: 0 }
    }

    fn check(&mut self, packet: &[u8]) {
        let parsed = parse(packet, Checks::FULL).expect("a packet that is whole");
        let Body::Tcp(segment) = parsed.body else { return };
        assert!(segment.options.timestamps.is_some(), "{segment:?}");
        if segment.payload_len > 0 {
            assert_eq!(segment.payload(packet), RESPONSE);
            self.responses += 1;
        }
    }
}

impl Load for Checked {
    fn set_time(&mut self, now: Instant) {
        self.load.set_time(now);
    }
}

impl Device for Checked {
    fn pool(&self) -> &Pool {
        self.load.pool()
    }

    fn link(&self) -> &LinkProperties {
        self.load.link()
    }

    fn receive(&mut self, batch: &mut Batch) {
        self.load.receive(batch);
    }

    fn room(&self) -> usize {
        self.load.room()
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        let pool = self.load.pool().clone();
        self.check(pool.bytes(frame));
        self.load.transmit(frame)
    }

    fn flush(&mut self) {}

    fn wait(&mut self, _: Option<Duration>, _: &Waker) {}

    fn counters(&self) -> DeviceCounters {
        self.load.counters()
    }
}

/// Turns until `done`; a load that gets no answers panics.
fn turn_until<L: Load>(server: &mut dyn Server<L>, done: impl Fn(&L) -> bool) {
    let mut now = Instant::from_millis(1_000);
    while !done(server.load()) {
        now = now + Duration::from_micros(1);
        server.load().set_time(now);
        server.turn(now);
    }
}

/// A server with eight clients, whose requests are answered.
fn answered() -> Box<dyn Server<Checked>> {
    let mut server = lwip(Work::Respond, Checked::new(8), 4);
    server.load().load.connect(0..8);
    turn_until(&mut *server, |it| it.load.is_idle() && it.load.opened() == 8);
    server.load().load.request(1_000);
    turn_until(&mut *server, |it| it.load.answered() == 1_000);
    assert_eq!(server.load().responses, 1_000);
    server
}

#[test]
fn requests_are_answered_and_connections_closed_and_opened_again() {
    if skipped() {
        return;
    }
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut server = answered();
    server.load().load.close(0..8);
    turn_until(&mut *server, |it| it.load.is_idle() && it.load.closed() == 8);
    server.load().load.connect(0..8);
    turn_until(&mut *server, |it| it.load.is_idle() && it.load.opened() == 8);
    server.load().load.request(8);
    turn_until(&mut *server, |it| it.load.answered() == 1_008);
    server.load().load.acknowledge();
    turn_until(&mut *server, |it| it.load.is_idle() && it.load.pool().free() == 1_024);
}

#[test]
fn the_next_one_knows_nothing_of_the_last_and_there_is_one_at_a_time() {
    if skipped() {
        return;
    }
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = answered();
    let second = std::panic::catch_unwind(|| drop(lwip(Work::Respond, Checked::new(8), 4)));
    assert!(second.is_err(), "lwIP's state is global");
    // With all connections open, and responses that nobody has acknowledged.
    drop(server);
    // The same addresses, ports and sequence numbers once more: an old connection would refuse.
    answered();
}

#[test]
fn bulk_goes_both_ways() {
    if skipped() {
        return;
    }
    let _turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for direction in [Direction::ToServer, Direction::ToClients] {
        let pool = Pool::new(PoolConfig { frames: 4_096, ..PoolConfig::default() });
        let load = Bulk::new(pool.expect("memory"), direction, 2, 1_460);
        let work = if direction == Direction::ToServer { Work::Sink } else { Work::Source };
        let mut server = lwip(work, load, 32);
        turn_until(&mut *server, Bulk::is_open);
        server.load().send(1_000_000);
        turn_until(&mut *server, |load| match direction {
            Direction::ToServer => load.is_sent(),
            Direction::ToClients => load.received() >= 1_000_000,
        });
    }
}
