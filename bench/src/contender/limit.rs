//! Servers that are none: the stateless limit, and the mirror that shows what the load costs.

use sidestep::device::{Batch, Device};
use sidestep::time::Instant;
use sidestep::wire::Addr;

use super::{RESPONSE, Server};
use crate::generator::Generator;
use crate::stateless::Stateless;
use crate::traffic::{PORT, SERVER};

/// Where the control bits are, and which of them ask for an answer: PSH, SYN, FIN.
const FLAGS_AT: usize = 47;
const ANSWERED: u8 = 0b1011;

/// [`Stateless`] in a loop.
#[derive(Debug)]
pub struct Limit {
    generator: Generator,
    batch: Batch,
    stateless: Stateless,
}

impl Limit {
    /// On this load, `batch` packets a turn.
    pub fn new(generator: Generator, batch: u32) -> Limit {
        let stateless = Stateless::new(Addr::from(SERVER), PORT, &RESPONSE);
        Limit { generator, batch: Batch::new(batch as usize), stateless }
    }
}

impl Server<Generator> for Limit {
    fn turn(&mut self, _now: Instant) {
        self.generator.receive(&mut self.batch);
        for mut frame in self.batch.drain() {
            if self.stateless.answer(self.generator.pool(), &mut frame) {
                self.generator.transmit(&frame);
            }
            self.generator.pool().release(frame);
        }
        self.generator.flush();
    }

    fn load(&mut self) -> &mut Generator {
        &mut self.generator
    }
}

/// Transmits what it receives and is to be answered, untouched: all it costs is the load and the
/// moving of frames.
#[derive(Debug)]
pub struct Reflect {
    generator: Generator,
    batch: Batch,
}

impl Reflect {
    /// On this load, `batch` packets a turn.
    pub fn new(generator: Generator, batch: u32) -> Reflect {
        Reflect { generator: generator.reflected(), batch: Batch::new(batch as usize) }
    }
}

impl Server<Generator> for Reflect {
    fn turn(&mut self, _now: Instant) {
        self.generator.receive(&mut self.batch);
        for frame in self.batch.drain() {
            if self.generator.pool().bytes(&frame)[FLAGS_AT] & ANSWERED != 0 {
                self.generator.transmit(&frame);
            }
            self.generator.pool().release(frame);
        }
        self.generator.flush();
    }

    fn load(&mut self) -> &mut Generator {
        &mut self.generator
    }
}
