//! Hosts without an engine: a script sees every packet that comes, and sends whatever it likes.

use core::any::Any;
use core::marker::PhantomData;

use super::simulation::Host;
use super::violation::Violation;
use crate::device::{Batch, Class, Device, Pool, VirtualDevice};
use crate::engine::Turn;
use crate::time::Instant;

/// Packets that a script is given at once.
const BATCH: usize = 256;

/// A host that keeps no promise.
pub trait Script {
    /// Packets have come, or the moment is there that was asked for. `send` takes whole frames,
    /// headers included. Returns when it is to be called again at the latest.
    fn turn(
        &mut self,
        now: Instant,
        received: &[Vec<u8>],
        send: &mut Vec<Vec<u8>>,
    ) -> Option<Instant>;
}

/// A host of a simulation that follows an `S`.
#[derive(Debug)]
pub struct ScriptId<S>(pub(super) usize, pub(super) PhantomData<fn() -> S>);

impl<S> Clone for ScriptId<S> {
    fn clone(&self) -> ScriptId<S> {
        *self
    }
}

impl<S> Copy for ScriptId<S> {}

/// The script and its device.
pub(super) struct ScriptHost<S> {
    pub(super) script: S,
    device: VirtualDevice,
    batch: Batch,
    turns: u64,
    next: Option<Instant>,
    begun: bool,
}

impl<S> ScriptHost<S> {
    pub(super) fn new(script: S, device: VirtualDevice) -> ScriptHost<S> {
        ScriptHost { script, device, batch: Batch::new(BATCH), turns: 0, next: None, begun: false }
    }
}

impl<S: Script + 'static> Host for ScriptHost<S> {
    fn turn(&mut self, now: Instant) -> Turn {
        self.turns += 1;
        self.device.receive(&mut self.batch);
        let pool = self.device.pool().clone();
        let mut received = Vec::new();
        for frame in self.batch.drain() {
            received.push(pool.bytes(&frame).to_vec());
            pool.release(frame);
        }
        let due =
            self.next.is_some_and(|at| at <= now) || !core::mem::replace(&mut self.begun, true);
        if received.is_empty() && !due {
            return Turn { worked: false, next_deadline: self.next };
        }
        let mut send = Vec::new();
        self.next = self.script.turn(now, &received, &mut send);
        for packet in send {
            // A frame is free again when the next turn completes it: what comes on top is lost.
            let Some(mut frame) = pool.alloc(Class::Control) else { break };
            pool.extend(&mut frame, packet.len());
            pool.bytes_mut(&mut frame).copy_from_slice(&packet);
            self.device.transmit(&frame);
            pool.release(frame);
        }
        Turn { worked: true, next_deadline: self.next }
    }

    fn turns(&self) -> u64 {
        self.turns
    }

    fn pool(&self) -> &Pool {
        self.device.pool()
    }

    fn violation(&self, _: Instant) -> Option<Violation> {
        None
    }

    fn leftovers(&self) -> Option<String> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
