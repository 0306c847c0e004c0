//! lwIP with the same application, on its raw API: callbacks in one thread, `NO_SYS=1`.
//!
//! What it needs of C is in `bench/lwip/`: its options, and the application.

mod ffi;

use sidestep::device::{Batch, Class, Pool};
use sidestep::time::Instant;

use self::ffi::Stack;
use super::{BLOCK, RESPONSE, Server, Work};
use crate::generator::Load;

/// lwIP on a load. A process has one at a time.
#[derive(Debug)]
pub struct Lwip<L: Load> {
    stack: Stack<L>,
    wire: Wire<L>,
    batch: Batch,
}

/// What lwIP's packets are written to.
#[derive(Debug)]
struct Wire<L> {
    load: L,
    pool: Pool,
}

impl<L: Load> Lwip<L> {
    /// With `batch` packets a turn, and as many connections as come.
    ///
    /// # Panics
    /// If there is another one in this process.
    pub fn new(work: Work, load: L, batch: u32) -> Lwip<L> {
        static RESPONSES: [u8; RESPONSE.len()] = RESPONSE;
        static BLOCKS: [u8; BLOCK.len()] = BLOCK;
        let block: &[u8] = if work == Work::Respond { &RESPONSES } else { &BLOCKS };
        let pool = load.pool().clone();
        let stack = Stack::new(work, block, load.link().mtu);
        Lwip { stack, wire: Wire { load, pool }, batch: Batch::new(batch as usize) }
    }
}

impl<L: Load> Server<L> for Lwip<L> {
    fn turn(&mut self, now: Instant) {
        let Lwip { stack, wire, batch } = self;
        stack.turn(wire, now.millis() as u32);
        wire.load.receive(batch);
        for mut frame in batch.drain() {
            stack.input(wire, &mut frame);
            wire.pool.release(frame);
        }
        wire.load.flush();
    }

    fn load(&mut self) -> &mut L {
        &mut self.wire.load
    }
}

impl<L: Load> Wire<L> {
    /// Transmits a packet of `len` bytes.
    ///
    /// # Panics
    /// If there is no frame for it.
    fn transmit<'a>(&mut self, len: usize, pieces: impl Iterator<Item = &'a [u8]>) {
        let mut frame = self.pool.alloc(Class::Control).expect("a frame to transmit");
        self.pool.extend(&mut frame, len);
        let mut rest = self.pool.bytes_mut(&mut frame);
        for piece in pieces {
            let (to, after) = rest.split_at_mut(piece.len());
            to.copy_from_slice(piece);
            rest = after;
        }
        self.load.transmit(&frame);
        self.pool.release(frame);
    }
}
