//! A bad network in front of a good device, for tests: in builds with debug assertions only.

use core::time::Duration;

use super::{
    Batch, Class, Device, DeviceCounters, Frame, LinkProperties, Pool, SynAckOffer, Waker,
};
use crate::tcp::cookie::Tuple;

/// Frames that one direction holds back at a time.
const HELD_BACK: usize = 16;

/// Drops, duplicates and delays a share of the frames, each way, by a fixed seed.
#[derive(Debug)]
pub struct Faulty<D> {
    inner: D,
    percent: u8,
    random: u64,
    arriving: Batch,
    /// Received, and let through after some later ones.
    late_in: Vec<Frame>,
    /// Copies of frames to transmit, sent after some later ones.
    late_out: Vec<Frame>,
}

enum Fate {
    Pass,
    Drop,
    Duplicate,
    Delay,
}

impl<D: Device> Faulty<D> {
    /// Puts `percent` of each fault in front of `inner`.
    pub fn new(inner: D, percent: u8) -> Faulty<D> {
        Faulty {
            inner,
            percent: percent.min(30),
            random: 0x5eed_5eed_5eed_5eed,
            arriving: Batch::new(64),
            late_in: Vec::new(),
            late_out: Vec::new(),
        }
    }

    fn fate(&mut self) -> Fate {
        // xorshift64: good enough to spread faults.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let percent = u64::from(self.percent);
        match self.random % 100 {
            n if n < percent => Fate::Drop,
            n if n < 2 * percent => Fate::Duplicate,
            n if n < 3 * percent => Fate::Delay,
            _ => Fate::Pass,
        }
    }

    fn copy(&self, frame: &Frame) -> Option<Frame> {
        let pool = self.inner.pool();
        let mut copy = pool.alloc(Class::Control)?;
        if frame.len() > pool.tailroom(&copy) {
            pool.release(copy);
            return None;
        }
        pool.extend(&mut copy, frame.len());
        pool.bytes_mut(&mut copy).copy_from_slice(pool.bytes(frame));
        Some(copy)
    }

    /// The frames that this turn's came before leave now.
    fn send_late(&mut self) {
        for frame in self.late_out.drain(..) {
            self.inner.transmit(&frame);
            self.inner.pool().release(frame);
        }
        self.inner.flush();
    }

    /// The engine must take the frame for transmitted.
    fn pretend(&self, frame: &Frame) -> bool {
        let pool = self.inner.pool();
        pool.post(frame);
        pool.complete(pool.position(frame));
        true
    }
}

impl<D: Device> Device for Faulty<D> {
    fn pool(&self) -> &Pool {
        self.inner.pool()
    }

    fn link(&self) -> &LinkProperties {
        self.inner.link()
    }

    fn receive(&mut self, batch: &mut Batch) {
        if !self.late_out.is_empty() {
            self.send_late();
        }
        self.inner.receive(&mut self.arriving);
        let earlier = core::mem::take(&mut self.late_in);
        let arrived: Vec<Frame> = self.arriving.drain().collect();
        for frame in arrived {
            if batch.room() < 2 {
                self.inner.pool().release(frame);
                continue;
            }
            match self.fate() {
                Fate::Drop => self.inner.pool().release(frame),
                Fate::Delay if self.late_in.len() < HELD_BACK => self.late_in.push(frame),
                Fate::Duplicate => {
                    if let Some(copy) = self.copy(&frame) {
                        batch.push(copy);
                    }
                    batch.push(frame);
                }
                Fate::Delay | Fate::Pass => batch.push(frame),
            }
        }
        for frame in earlier {
            if batch.room() > 0 {
                batch.push(frame);
            } else {
                self.inner.pool().release(frame);
            }
        }
    }

    fn room(&self) -> usize {
        self.inner.room().saturating_sub(HELD_BACK)
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        if self.room() == 0 {
            return false;
        }
        match self.fate() {
            Fate::Drop => self.pretend(frame),
            Fate::Duplicate => {
                if let Some(copy) = self.copy(frame) {
                    self.inner.transmit(&copy);
                    self.inner.pool().release(copy);
                }
                self.inner.transmit(frame)
            }
            Fate::Delay if self.late_out.len() < HELD_BACK => match self.copy(frame) {
                Some(copy) => {
                    self.late_out.push(copy);
                    self.pretend(frame)
                }
                None => self.inner.transmit(frame),
            },
            Fate::Delay | Fate::Pass => self.inner.transmit(frame),
        }
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker) {
        // What is held back must not wait for a packet that may never come.
        let soon = Duration::from_millis(1);
        let held = !self.late_in.is_empty() || !self.late_out.is_empty();
        let timeout = if held { Some(timeout.unwrap_or(soon).min(soon)) } else { timeout };
        self.inner.wait(timeout, waker);
    }

    fn flood(&mut self, offer: Option<&SynAckOffer>) {
        self.inner.flood(offer);
    }

    fn note_flow(&mut self, tuple: &Tuple, known: bool) {
        self.inner.note_flow(tuple, known);
    }

    fn may_know(&self, tuple: &Tuple) -> bool {
        self.inner.may_know(tuple)
    }

    fn counters(&self) -> DeviceCounters {
        self.inner.counters()
    }
}
