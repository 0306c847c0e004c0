//! Bulk transfers, of the servers that are measured and of none.

use core::time::Duration;

use sidestep::device::{Batch, Class, Device as _, Frame, Pool, PoolConfig};
use sidestep::time::Instant;
use sidestep::wire::tcp::{Flags, Headers, Options};
use sidestep::wire::{Addr, DEFAULT_HOP_LIMIT, Link, Mac, Seq};

use sidestep_bench::bulk::{Bulk, Direction};
use sidestep_bench::contender::{Kind, Server, Sidestep, Sink, Smoltcp, Source, Work, lwip};
use sidestep_bench::traffic::{FIRST_CLIENT, FIRST_PORT, PORT, ROUTER_MAC, SERVER, SERVER_MAC};

/// Virtual time of a turn: so little that no client, when its turn comes, is overdue.
const TURN: Duration = Duration::from_nanos(20);

/// A bulk transfer.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Whose bytes they are.
    pub direction: Direction,
    /// Clients.
    pub connections: u32,
    /// Bytes of a full segment, TCP options included.
    pub mss: u16,
    /// Packets a turn.
    pub batch: u32,
}

/// A server in the midst of a transfer.
pub struct Transferring {
    server: Box<dyn Server<Bulk>>,
    direction: Direction,
    now: Instant,
}

impl Transferring {
    /// Has all clients connect to a server of this kind; [`Kind::Reflect`] and [`Kind::Limit`] are
    /// the load alone.
    ///
    /// # Panics
    /// If they can't, or a frame takes no such segments.
    pub fn new(kind: Kind, transfer: Transfer) -> Transferring {
        let Transfer { direction, connections, mss, batch } = transfer;
        let needed = Pool::RX_HEADROOM as u32 + 54 + u32::from(mss);
        let sizes = [2_048, 4_096, 16_384];
        let frame_size = sizes.into_iter().find(|size| needed <= *size);
        let frame_size = frame_size.expect("a frame that takes such a segment");
        let frames = 16_384 + connections * 512;
        let config = PoolConfig { frames, frame_size, ..PoolConfig::default() };
        let pool = Pool::new(config).expect("memory for the frames");
        let load = Bulk::new(pool, direction, connections, mss);
        let server: Box<dyn Server<Bulk>> = match (kind, direction) {
            (Kind::Reflect | Kind::Limit, _) => Box::new(Nothing::new(load.alone(), transfer)),
            (Kind::Sidestep, Direction::ToServer) => {
                Box::new(Sidestep::new(Sink, load, connections, batch))
            }
            (Kind::Sidestep, Direction::ToClients) => {
                Box::new(Sidestep::new(Source, load, connections, batch))
            }
            (Kind::Smoltcp, Direction::ToServer) => {
                Box::new(Smoltcp::new(Work::Sink, load, connections, batch))
            }
            (Kind::Smoltcp, Direction::ToClients) => {
                Box::new(Smoltcp::new(Work::Source, load, connections, batch))
            }
            (Kind::Lwip, Direction::ToServer) => lwip(Work::Sink, load, batch),
            (Kind::Lwip, Direction::ToClients) => lwip(Work::Source, load, batch),
        };
        let mut it = Transferring { server, direction, now: Instant::from_millis(1_000) };
        while !it.server.load().is_open() {
            it.turn();
        }
        it
    }

    /// Transfers about so many bytes; returns how many it were.
    ///
    /// # Panics
    /// If a byte is missing, or the server stops.
    #[inline(never)]
    pub fn transfer(&mut self, bytes: u64) -> u64 {
        if self.direction == Direction::ToServer {
            let load = self.server.load();
            let payload = u64::from(load.payload());
            load.send(bytes);
            while !self.server.load().is_sent() {
                self.turn();
            }
            // What was received in the last turn is worked on in it.
            return bytes.next_multiple_of(payload);
        }
        let before = self.server.load().received();
        while self.server.load().received() - before < bytes {
            self.turn();
        }
        self.server.load().received() - before
    }

    fn turn(&mut self) {
        use sidestep_bench::generator::Load as _;
        self.now = self.now + TURN;
        self.server.load().set_time(self.now);
        self.server.turn(self.now);
    }
}

/// Transmits the same segments again and again, or receives and forgets them: all it costs is the
/// load and the moving of frames.
struct Nothing {
    load: Bulk,
    batch: Batch,
    ready: Vec<Frame>,
    seq: u32,
}

impl Nothing {
    fn new(load: Bulk, transfer: Transfer) -> Nothing {
        let count = match transfer.direction {
            Direction::ToServer => 0,
            Direction::ToClients => transfer.batch,
        };
        let payload = load.payload() as usize;
        let ready = (0..count).map(|_| segment(load.pool(), payload)).collect();
        Nothing { load, batch: Batch::new(transfer.batch as usize), ready, seq: 0 }
    }
}

/// A segment to the first client whose sequence number is still to be written.
fn segment(pool: &Pool, payload: usize) -> Frame {
    let headers = Headers {
        link: Link { src: Mac(SERVER_MAC), dst: Mac(ROUTER_MAC), vlan: None },
        src: Addr::from(SERVER),
        dst: Addr::from(core::net::Ipv4Addr::from(FIRST_CLIENT)),
        src_port: PORT,
        dst_port: FIRST_PORT,
        seq: Seq(0),
        ack: Seq(0),
        flags: Flags::ACK,
        window: 501,
        urgent: 0,
        hop_limit: DEFAULT_HOP_LIMIT,
        dscp: 0,
        ecn: 0,
        flow_label: 0,
        options: Options::timestamps(0, 0),
    };
    let mut frame = pool.alloc(Class::Control).expect("a pool of many frames");
    pool.extend(&mut frame, headers.len() + payload);
    headers.emit(pool.bytes_mut(&mut frame));
    frame
}

impl Server<Bulk> for Nothing {
    fn turn(&mut self, _now: Instant) {
        self.load.receive(&mut self.batch);
        for frame in self.batch.drain() {
            self.load.pool().release(frame);
        }
        let payload = self.load.payload();
        for frame in &mut self.ready {
            let bytes = self.load.pool().bytes_mut(frame);
            bytes[38..42].copy_from_slice(&self.seq.to_be_bytes());
            self.seq = self.seq.wrapping_add(payload);
            self.load.transmit(frame);
        }
    }

    fn load(&mut self) -> &mut Bulk {
        &mut self.load
    }
}
