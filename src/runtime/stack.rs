//! This crate's own stack as the world of a core, over whatever device.

use core::time::Duration;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::core_loop::World;
use crate::app::{App, Close};
use crate::device::{Census, Device, DeviceCounters, Waker};
use crate::engine::{Counters, Engine, Turn};
use crate::time::Instant;

impl<A: App, D: Device> World for Engine<A, D> {
    fn turn(&mut self, now: Instant) -> Turn {
        Engine::turn(self, now)
    }

    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker) {
        self.device_mut().wait(timeout, waker);
    }

    fn mailbox_is_empty(&self) -> bool {
        Engine::mailbox_is_empty(self)
    }

    fn start_drain(&mut self) {
        Engine::start_drain(self);
    }

    fn pause_accepting(&mut self, paused: bool) {
        Engine::pause_accepting(self, paused);
    }

    fn abort_all(&mut self, why: Close) {
        Engine::abort_all(self, why);
    }

    fn connections(&self) -> u32 {
        Engine::connections(self)
    }

    fn counters(&self) -> &Arc<CachePadded<Counters>> {
        Engine::counters(self)
    }

    fn census(&self) -> Census {
        self.pool().census()
    }

    fn device_counters(&self) -> DeviceCounters {
        self.device().counters()
    }
}
