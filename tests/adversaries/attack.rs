//! What the adversaries do, as a script of the simulator.

use std::time::Duration;

use sidestep::sim::{Rng, Script};
use sidestep::time::Instant;
use sidestep::wire::tcp::{Flags, Segment};

use super::raw::{Raw, read};

const TICK: Duration = Duration::from_millis(5);
/// What asks for far more than anybody reads.
pub(crate) const MUCH: &[u8] = b"!";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attack {
    /// Asks for much, shuts its window, and answers every probe.
    HoldsWindowShut,
    /// Asks for much and acknowledges nothing.
    NeverAcknowledges,
    /// Asks for much and takes a few bytes at a time.
    TinyWindow,
    /// Sends single bytes, every other one, and never the first.
    ScatteredBytes,
    /// Sends full segments anywhere in the window, and never the first byte.
    FloodsBeyondAHole,
    /// Answers every ACK with one that is out of the window, twice.
    AckStorm,
    /// Begins a request and sends a byte of it now and then.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "HTTP comes with that feature"))]
    SlowLoris,
}

#[derive(Debug)]
pub(crate) struct Adversary {
    attack: Attack,
    conns: Vec<Raw>,
    ticks: u32,
    rng: Rng,
}

impl Adversary {
    pub(crate) fn new(attack: Attack, connections: u16) -> Adversary {
        let conns = (0..connections).map(|n| Raw::new(10_000 + n)).collect();
        Adversary { attack, conns, ticks: 0, rng: Rng::new(5) }
    }

    /// Connections that the server has reset.
    pub(crate) fn resets(&self) -> usize {
        self.conns.iter().filter(|conn| conn.reset).count()
    }

    /// Connections that came to be.
    pub(crate) fn opened(&self) -> usize {
        self.conns.iter().filter(|conn| conn.open).count()
    }

    /// What follows the handshake.
    fn begin(&self, conn: &mut Raw, send: &mut Vec<Vec<u8>>) {
        let (window, request): (u16, &[u8]) = match self.attack {
            Attack::HoldsWindowShut => (0, MUCH),
            Attack::NeverAcknowledges => (65_535, MUCH),
            Attack::TinyWindow => (1, MUCH),
            Attack::SlowLoris => (65_535, b"GET /".as_slice()),
            _ => (65_535, &[]),
        };
        send.push(conn.data(conn.snd_nxt, window, request));
        conn.snd_nxt += request.len() as u32;
    }

    fn react(&self, conn: &Raw, segment: &Segment, send: &mut Vec<Vec<u8>>) {
        let asks = segment.payload_len > 0;
        match self.attack {
            Attack::HoldsWindowShut if asks => send.push(conn.ack(0)),
            Attack::TinyWindow if asks => send.push(conn.ack(1)),
            Attack::AckStorm => {
                let lie = conn.data(conn.snd_nxt - 100_000, 65_535, b"x");
                send.extend([lie.clone(), lie]);
            }
            _ => {}
        }
    }

    fn tick(&mut self, send: &mut Vec<Vec<u8>>) {
        self.ticks += 1;
        for conn in &mut self.conns {
            if !conn.open || conn.reset {
                continue;
            }
            match self.attack {
                Attack::ScatteredBytes => {
                    let at = 1 + self.ticks * 2 % 60_000;
                    send.push(conn.data(conn.snd_nxt + at, 65_535, b"x"));
                }
                Attack::FloodsBeyondAHole => {
                    let at = self.rng.range(1..60_000) as u32;
                    send.push(conn.data(conn.snd_nxt + at, 65_535, &[7; 1_400]));
                }
                Attack::AckStorm if self.ticks % 20 == 1 => {
                    send.push(conn.data(conn.snd_nxt - 100_000, 65_535, b"x"));
                }
                Attack::SlowLoris if self.ticks.is_multiple_of(100) => {
                    send.push(conn.data(conn.snd_nxt, 65_535, b"a"));
                    conn.snd_nxt += 1;
                }
                _ => {}
            }
        }
    }
}

impl Script for Adversary {
    fn turn(
        &mut self,
        now: Instant,
        received: &[Vec<u8>],
        send: &mut Vec<Vec<u8>>,
    ) -> Option<Instant> {
        self.conns.iter_mut().for_each(|conn| conn.begin(send));
        for segment in received.iter().filter_map(|packet| read(packet)) {
            let Some(index) = self.conns.iter().position(|c| c.port == segment.dst_port) else {
                continue;
            };
            let mut conn = self.conns[index];
            let was_open = conn.open;
            conn.take(&segment, self.attack == Attack::TinyWindow);
            if conn.open && !was_open && !conn.reset {
                self.begin(&mut conn, send);
            } else if conn.open && !segment.flags.contains(Flags::RST) {
                self.react(&conn, &segment, send);
            }
            self.conns[index] = conn;
        }
        if received.is_empty() {
            self.tick(send);
        }
        Some(now + TICK)
    }
}
