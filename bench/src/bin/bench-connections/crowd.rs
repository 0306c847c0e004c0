//! Very many connections that mostly do nothing: what each of them takes.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;

use sidestep::app::{App, Peer, Refuse, Rx, Tx};
use sidestep::device::{Class, Pool, PoolConfig};
use sidestep::engine::{Counter, Engine, EngineConfig, Listen, LocalAddress};
use sidestep::time::Instant;

use sidestep_bench::contender::RESPONSE;
use sidestep_bench::counting::Counting;
use sidestep_bench::generator::{Generator, Load};
use sidestep_bench::order::Order;
use sidestep_bench::spread::processor_time;
use sidestep_bench::traffic::{PAYLOAD, PORT, QUIT, SERVER};

/// Packets and timers a turn.
const BATCH: u32 = 256;
/// Frames, for requests that are under way.
const FRAMES: u32 = 8_192;
/// Requests before the clients acknowledge all responses.
const STRETCH: u64 = 4_096;
/// Connections that are closed by the server at a time.
const WAVE: u32 = 4_096;
/// Connections of the engine that the others are compared with.
const FEW: u32 = 64;
/// Idle time before a keep-alive: the shortest that RFC 9293 section 3.8.4 allows (MUST-28).
const KEEP_ALIVE: Duration = Duration::from_secs(7_200);

/// Answers requests, and closes when the client does or asks for it.
struct Requests;

impl App for Requests {
    type Conn = ();
    type Message = ();

    fn on_open(&mut self, _: &Peer, _: &mut Tx<'_>) -> Result<(), Refuse> {
        Ok(())
    }

    fn on_data(&mut self, (): &mut (), rx: &mut Rx<'_>, tx: &mut Tx<'_>) {
        while rx.len() >= PAYLOAD && tx.space() >= PAYLOAD {
            rx.consume(PAYLOAD);
            tx.write(&RESPONSE);
        }
        let quits = rx.chunks().next() == Some(&[QUIT]);
        rx.consume(usize::from(quits));
        if quits || rx.fin() && rx.is_empty() {
            tx.finish();
        }
    }
}

/// Bytes for each of many, over what an engine for few of them has.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// In memory: pages that the system had to give. The same in each run within a byte.
    pub resident: f64,
    /// Reserved: address space for the worst, most of it never touched.
    pub reserved: f64,
}

impl Bytes {
    fn per(&self, connections: u32) -> Bytes {
        let each = f64::from(connections);
        Bytes { resident: self.resident / each, reserved: self.reserved / each }
    }

    fn minus(&self, other: &Bytes) -> Bytes {
        Bytes { resident: self.resident - other.resident, reserved: self.reserved - other.reserved }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Report {
    /// For each idle connection.
    pub connection: Bytes,
    /// For each connection in TIME-WAIT.
    pub time_wait: Bytes,
    /// Bytes that were allocated after the engine was made.
    pub grown: isize,
    /// Stages, in order: what, how often, and how long that took; the load's part included.
    pub stages: Vec<(&'static str, u64, Duration)>,
}

/// Opens `connections`, all of them idle with a keep-alive timer, sends `requests` on random ones,
/// lets two hours pass and each client answer a keep-alive, has all clients close; and then opens
/// as many again, a few at a time, for the server to close, until all of them are in TIME-WAIT.
/// `counting` is the program's allocator.
///
/// # Panics
/// If any of this does not happen as it should.
pub fn hold(connections: u32, requests: u64, counting: &'static Counting) -> Report {
    // A huge page would be counted whole wherever a byte of it is touched.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let mut stages = Stages::default();
    let (connection, grown) = idle(connections, requests, counting, &mut stages);
    let time_wait = time_wait(connections, counting, &mut stages);
    Report { connection, time_wait, grown, stages: stages.0 }
}

#[derive(Default)]
struct Stages(Vec<(&'static str, u64, Duration)>);

impl Stages {
    fn run(&mut self, what: &'static str, times: u64, doing: impl FnOnce()) {
        let begun = processor_time();
        doing();
        self.0.push((what, times, processor_time() - begun));
    }
}

fn idle(
    connections: u32,
    requests: u64,
    counting: &'static Counting,
    stages: &mut Stages,
) -> (Bytes, isize) {
    let all = u64::from(connections);
    let few = {
        let mut crowd = Crowd::new(FEW, FEW, FEW, counting);
        crowd.open(0..FEW);
        crowd.bytes()
    };
    let mut crowd = Crowd::new(connections, connections, FEW, counting);
    let made = counting.in_use();
    stages.run("open", all, || crowd.open(0..connections));
    let bytes = crowd.bytes().minus(&few).per(connections - FEW);
    stages.run("request", requests, || crowd.request(requests));
    stages.run("keep-alive", all, || crowd.keep_alive(connections));
    let grown = counting.in_use() as isize - made as isize;
    stages.run("close", all, || crowd.close(0..connections));
    (bytes, grown)
}

fn time_wait(connections: u32, counting: &'static Counting, stages: &mut Stages) -> Bytes {
    let mut waves = (0..connections).step_by(WAVE as usize);
    let mut wave = |crowd: &mut Crowd| {
        let Some(from) = waves.next() else { return false };
        let clients = from..connections.min(from + WAVE);
        crowd.open(clients.clone());
        crowd.quit(clients);
        true
    };
    let few = {
        let mut crowd = Crowd::new(WAVE, WAVE, FEW, counting);
        crowd.open(0..WAVE);
        crowd.quit(0..WAVE);
        crowd.bytes()
    };
    let mut crowd = Crowd::new(connections, WAVE, connections, counting);
    stages.run("open and quit", u64::from(connections), || while wave(&mut crowd) {});
    let waiting = crowd.engine.counters().time_wait();
    assert_eq!(waiting, u64::from(connections), "all are in TIME-WAIT");
    let bytes = crowd.bytes().minus(&few).per(connections - FEW);
    stages.run("end of TIME-WAIT", waiting, || crowd.expire());
    bytes
}

/// An engine, the load on it, and the time there.
struct Crowd {
    engine: Engine<Requests, Generator>,
    now: Instant,
    counting: &'static Counting,
    /// Of the process, before the engine was made.
    before: Bytes,
}

impl Crowd {
    fn new(clients: u32, connections: u32, time_wait: u32, counting: &'static Counting) -> Crowd {
        let frames = PoolConfig { frames: FRAMES, ..PoolConfig::default() };
        let pool = Pool::new(frames).expect("memory for the frames");
        touch(&pool);
        let cycle = Order::Uniform.cycle(clients);
        let generator = Generator::new(pool, clients, cycle, BATCH as usize);
        let mut config = EngineConfig::new([7; 32]);
        config.addresses.push(LocalAddress { ip: SERVER.into(), prefix_len: 24, owned: true });
        config.listeners.push(Listen { at: SocketAddr::new(SERVER.into(), PORT) });
        config.limits.connections = connections;
        config.limits.time_wait = time_wait;
        config.limits.batch = BATCH;
        config.limits.timers_per_turn = BATCH;
        config.tcp.keep_alive = Some(KEEP_ALIVE);
        let before = in_use(counting);
        let engine = Engine::standalone(config, generator, Requests).expect("an engine");
        Crowd { engine, now: Instant::from_millis(1_000), counting, before }
    }

    /// What the engine takes.
    fn bytes(&self) -> Bytes {
        in_use(self.counting).minus(&self.before)
    }

    /// Whether there is more to do at once: timers are handed out a few at a time.
    fn turn(&mut self) -> bool {
        self.now = self.now + Duration::from_nanos(10);
        self.engine.device_mut().set_time(self.now);
        self.engine.turn(self.now).next_deadline.is_some_and(|at| at <= self.now)
    }

    fn finish(&mut self) {
        while !self.engine.device().is_idle() {
            self.turn();
        }
        // What was transmitted is completed, and what follows from the last packet done.
        while self.turn() {}
    }

    fn open(&mut self, clients: core::ops::Range<u32>) {
        let (before, wanted) = (self.engine.connections(), clients.len() as u32);
        self.engine.device_mut().connect(clients);
        self.finish();
        assert_eq!(self.engine.connections() - before, wanted, "everybody is let in");
    }

    fn request(&mut self, requests: u64) {
        let end = self.engine.device().answered() + requests;
        while self.engine.device().answered() < end {
            let left = end - self.engine.device().answered();
            self.engine.device_mut().request(left.min(STRETCH));
            self.finish();
            self.engine.device_mut().acknowledge();
            self.finish();
        }
        assert_eq!(self.engine.pool().free(), FRAMES, "all frames are back");
    }

    /// All timers are armed: after two hours each connection sends a probe, and it is answered.
    fn keep_alive(&mut self, connections: u32) {
        self.now = self.now + KEEP_ALIVE + Duration::from_secs(1);
        self.finish();
        let probes = self.engine.counters().get(Counter::KeepAliveProbes);
        assert_eq!(probes, u64::from(connections), "one keep-alive for each");
        assert_eq!(self.engine.connections(), connections, "and nobody is given up");
    }

    fn close(&mut self, clients: core::ops::Range<u32>) {
        let wanted = clients.len() as u32;
        self.engine.device_mut().close(clients);
        self.finish();
        assert_eq!(self.engine.device().closed(), wanted);
        assert_eq!(self.engine.connections(), 0, "all are gone");
    }

    fn quit(&mut self, clients: core::ops::Range<u32>) {
        let wanted = clients.len() as u32;
        self.engine.device_mut().quit(clients);
        self.finish();
        assert_eq!(self.engine.device().closed(), wanted);
        assert_eq!(self.engine.connections(), 0, "all are in TIME-WAIT");
    }

    fn expire(&mut self) {
        self.now = self.now + Duration::from_secs(61);
        self.finish();
        assert_eq!(self.engine.counters().time_wait(), 0, "TIME-WAIT ends");
    }
}

/// Has the system give the pool its memory, which is nobody's else.
fn touch(pool: &Pool) {
    let frames: Vec<_> = core::iter::from_fn(|| {
        let mut frame = pool.alloc(Class::Control)?;
        pool.extend(&mut frame, 1);
        pool.bytes_mut(&mut frame).fill(1);
        Some(frame)
    })
    .collect();
    frames.into_iter().for_each(|frame| pool.release(frame));
}

/// Bytes of this process. The page tables are walked for it: the usual counter lags behind.
fn in_use(counting: &Counting) -> Bytes {
    let text = fs::read_to_string("/proc/self/smaps_rollup").expect("a kernel from 4.14 on");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let resident = kilobytes.expect("a number of kilobytes") * 1_024.0;
    Bytes { resident, reserved: counting.in_use() as f64 }
}
