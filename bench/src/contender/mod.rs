//! The servers that are measured, all on the same [`Generator`].

mod limit;
#[cfg(lwip)]
mod lwip;
mod sidestep;
mod smoltcp;

use core::fmt;
use core::time::Duration;

pub use self::limit::{Limit, Reflect};
#[cfg(lwip)]
pub use self::lwip::Lwip;
pub use self::sidestep::{Responses, Sidestep, Sink, Source};
pub use self::smoltcp::Smoltcp;
use ::sidestep::device::{Pool, PoolConfig};
use ::sidestep::time::Instant;

use crate::generator::{Generator, Load};
use crate::order::Order;
use crate::traffic::PAYLOAD;

/// The response that all of them give.
pub const RESPONSE: [u8; PAYLOAD] = [b'r'; PAYLOAD];

/// Virtual time that a measured stretch may last at most. Clients acknowledge only with their next
/// request: beyond this, servers would rightly begin to ask whether responses were lost.
const STRETCH: Duration = Duration::from_millis(20);
/// Virtual time that a request takes, if the stretch allows.
const REQUEST: Duration = Duration::from_nanos(100);
/// Frames beside those that connections hold.
const SPARE_FRAMES: u32 = 4_096;

/// What applications of bulk transfers write at once.
pub const BLOCK: [u8; 16 << 10] = [b'b'; 16 << 10];

/// What a server's application does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Answers requests.
    Respond,
    /// Reads and forgets.
    Sink,
    /// Writes as much as it may.
    Source,
}

/// A server in this process.
pub trait Server<L> {
    /// Receives what there is, and answers it.
    fn turn(&mut self, now: Instant);

    /// The load on it.
    fn load(&mut self) -> &mut L;
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Nothing but the load's own cost.
    Reflect,
    /// The stateless limit.
    Limit,
    /// Sidestep, through its public API.
    Sidestep,
    /// smoltcp, a socket for each client.
    Smoltcp,
    /// lwIP on its raw API.
    Lwip,
}

impl Kind {
    /// Beyond these it takes minutes for a single measurement.
    pub fn most_connections(self) -> u32 {
        match self {
            Kind::Smoltcp | Kind::Lwip => 10_000,
            _ => u32::MAX,
        }
    }

    /// Why it is not in this program, if it is not.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Kind::Lwip if cfg!(not(lwip)) => Some(env!("LWIP_MISSING")),
            _ => None,
        }
    }

    /// Those of `kinds` that are in this program; says which are not, and why.
    pub fn present(kinds: &[Kind]) -> Vec<Kind> {
        let mut present = Vec::new();
        for &kind in kinds {
            match kind.missing() {
                Some(why) => eprintln!("{kind}: {why}"),
                None => present.push(kind),
            }
        }
        present
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Reflect => "reflect",
            Kind::Limit => "limit",
            Kind::Sidestep => "sidestep",
            Kind::Smoltcp => "smoltcp",
            Kind::Lwip => "lwip",
        })
    }
}

/// lwIP, of which a process has one at a time.
///
/// # Panics
/// If there is another one, or it is not in this program.
pub fn lwip<L: Load + 'static>(work: Work, load: L, batch: u32) -> Box<dyn Server<L>> {
    #[cfg(lwip)]
    return Box::new(Lwip::new(work, load, batch));
    #[cfg(not(lwip))]
    panic!("no {work:?} on {}, {batch} a turn: {}", load.link().name, env!("LWIP_MISSING"));
}

/// How a server is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Clients.
    pub connections: u32,
    /// Packets a turn.
    pub batch: u32,
    /// Who sends next.
    pub order: Order,
}

/// A server with all clients connected, and its clock.
pub struct Contender {
    server: Box<dyn Server<Generator>>,
    now: Instant,
    batch: u32,
}

impl Contender {
    /// Builds the server; nobody is connected yet.
    pub fn new(kind: Kind, setup: Setup) -> Contender {
        let Setup { connections, order, .. } = setup;
        let batch = setup.batch.min(connections);
        // A response each that is not acknowledged; a quarter of a pool is kept for receiving.
        let frames = connections + connections.div_ceil(3) + SPARE_FRAMES;
        let pool = Pool::new(PoolConfig { frames, ..PoolConfig::default() });
        let pool = pool.expect("memory for the frames");
        let cycle = order.cycle(connections);
        let generator = Generator::new(pool, connections, cycle, batch as usize);
        let server: Box<dyn Server<Generator>> = match kind {
            Kind::Reflect => Box::new(Reflect::new(generator, batch)),
            Kind::Limit => Box::new(Limit::new(generator, batch)),
            Kind::Sidestep => Box::new(Sidestep::new(Responses, generator, connections, batch)),
            Kind::Smoltcp => Box::new(Smoltcp::new(Work::Respond, generator, connections, batch)),
            Kind::Lwip => lwip(Work::Respond, generator, batch),
        };
        Contender { server, now: Instant::from_millis(1_000), batch }
    }

    /// Has all clients connect. Returns how many there are.
    ///
    /// # Panics
    /// If the server stops answering.
    pub fn connect(&mut self) -> u32 {
        let generator = self.server.load();
        generator.connect(0..generator.clients());
        self.finish();
        self.server.load().opened()
    }

    /// Has all clients close. Returns how many of them the server closed in turn.
    ///
    /// # Panics
    /// If the server stops answering.
    pub fn close(&mut self) -> u32 {
        let generator = self.server.load();
        generator.close(0..generator.clients());
        self.finish();
        self.server.load().closed()
    }

    /// Has the clients send this many requests, and waits for the responses.
    ///
    /// # Panics
    /// If a response is wrong, or the server stops answering.
    #[inline(never)]
    pub fn request(&mut self, requests: u64) {
        let parts = u32::try_from(requests).unwrap_or(u32::MAX).max(1);
        let each = REQUEST.min(STRETCH / parts);
        let step = each * self.batch;
        let generator = self.server.load();
        let end = generator.answered() + requests;
        generator.request(requests);
        while self.server.load().answered() < end {
            self.now = self.now + step;
            self.server.load().set_time(self.now);
            self.server.turn(self.now);
        }
    }

    /// Has all clients acknowledge everything, so that nothing is under way.
    pub fn settle(&mut self) {
        self.server.load().acknowledge();
        self.finish();
    }

    /// Frames that somebody holds.
    pub fn frames_in_use(&mut self) -> u32 {
        let pool = self.pool();
        pool.frames() - pool.free()
    }

    /// Segments from the server that carried nothing.
    pub fn bare_acks(&mut self) -> u64 {
        self.server.load().bare_acks()
    }

    fn pool(&mut self) -> Pool {
        use ::sidestep::device::Device as _;
        self.server.load().pool().clone()
    }

    fn finish(&mut self) {
        while !self.server.load().is_idle() {
            self.turn();
        }
        // What was transmitted is completed, and what follows from the last packet done.
        for _ in 0..3 {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now = self.now + Duration::from_nanos(10);
        self.server.load().set_time(self.now);
        self.server.turn(self.now);
    }
}
