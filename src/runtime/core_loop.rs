//! What one core does all day: turn, and when there is nothing to do, spin or sleep as was chosen.

use core::time::Duration;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::clock::Clock;
use super::control::{OrderBox, Orders};
use super::settings::Poll;
use crate::app::Close;
use crate::device::{Census, DeviceCounters, Waker};
use crate::engine::Counters;
use crate::engine::Turn;
use crate::time::Instant;

/// One core's share of a server, on whatever backend.
pub(super) trait World {
    /// Does everything there is to do now.
    fn turn(&mut self, now: Instant) -> Turn;
    /// Sleeps until a packet comes, the waker is used or the timeout is over.
    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker);
    /// Whether no message waits for this core.
    fn mailbox_is_empty(&self) -> bool;
    /// Takes no new connections from now on.
    fn start_drain(&mut self);
    /// Lets new connections wait in the accept queue, or takes them again.
    fn pause_accepting(&mut self, paused: bool);
    /// Resets every connection.
    fn abort_all(&mut self, why: Close);
    /// Open connections.
    fn connections(&self) -> u32;
    /// What was counted: shared, so that others can read it at any time.
    fn counters(&self) -> &Arc<CachePadded<Counters>>;
    /// Where the frames are.
    fn census(&self) -> Census;
    /// What the device counted.
    fn device_counters(&self) -> DeviceCounters;
}

/// How long `adaptive` looks for work before it sleeps: the cost of a few sleeps and wake-ups, so
/// that at most about half of the processor time is lost against the better of the two others.
pub(super) const ADAPTIVE_SPIN: Duration = Duration::from_micros(50);

/// Turns after the last connection is gone, for what is still to be transmitted.
const LAST_TURNS: u32 = 64;

/// Runs a world until it is ordered to end.
pub(super) struct CoreLoop<'a> {
    pub(super) world: &'a mut dyn World,
    pub(super) poll: Poll,
    pub(super) orders: &'a OrderBox,
    pub(super) clock: Clock,
    /// How long connections may take to finish.
    pub(super) drain: Duration,
}

impl<'a> CoreLoop<'a> {
    /// Turns until an order to end, or one to drain and the end of its time; then gives the world
    /// back, with every connection over. `report` is called when an order asks for it.
    pub(super) fn run(mut self, mut report: impl FnMut(&dyn World)) -> &'a dyn World {
        let mut last_work = self.clock.now();
        let mut drained_at: Option<Instant> = None;
        loop {
            let now = self.clock.now();
            let turn = self.world.turn(now);
            if self.orders.any() {
                let orders = self.orders.take();
                if orders.has(Orders::REPORT) {
                    report(self.world);
                }
                if orders.has(Orders::END) {
                    return self.end();
                }
                let pauses = orders.has(Orders::PAUSE);
                if pauses || orders.has(Orders::RESUME) {
                    self.world.pause_accepting(pauses);
                }
                if orders.has(Orders::DRAIN) && drained_at.is_none() {
                    self.world.start_drain();
                    drained_at = Some(now + self.drain);
                }
                // What has changed has its turn before any sleep.
                continue;
            }
            if drained_at.is_some_and(|end| now >= end || self.world.connections() == 0) {
                return self.end();
            }
            if turn.worked {
                last_work = now;
            } else if self.spins(now.since(last_work)) {
                core::hint::spin_loop();
            } else {
                let earliest = [turn.next_deadline, drained_at].into_iter().flatten().min();
                self.sleep(earliest.map(|at| at.since(now)));
            }
        }
    }

    fn spins(&self, idle: Duration) -> bool {
        match self.poll {
            Poll::Busy => true,
            Poll::Sleep => false,
            Poll::Adaptive => idle < ADAPTIVE_SPIN,
        }
    }

    fn sleep(&mut self, timeout: Option<Duration>) {
        let waker = self.orders.waker();
        waker.before_sleep();
        // Whoever posts after this sees the announcement and wakes us; look for what came before.
        if self.world.mailbox_is_empty() && !self.orders.any() {
            self.world.wait(timeout, waker);
        }
        waker.after_sleep();
    }

    fn end(self) -> &'a dyn World {
        self.world.abort_all(Close::Drained);
        for _ in 0..LAST_TURNS {
            if !self.world.turn(self.clock.now()).worked {
                break;
            }
        }
        self.world
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has `connections` for `turns_left` turns, works in every second one, and sleeps on nothing.
    struct Fake {
        counters: Arc<CachePadded<Counters>>,
        connections: u32,
        turns_left: u32,
        turns: u32,
        slept: u32,
        draining: bool,
        paused: bool,
        aborted: Option<Close>,
    }

    impl Fake {
        fn new(turns_left: u32) -> Fake {
            Fake {
                counters: Counters::new(),
                connections: 1,
                turns_left,
                turns: 0,
                slept: 0,
                draining: false,
                paused: false,
                aborted: None,
            }
        }
    }

    impl World for Fake {
        fn turn(&mut self, _now: Instant) -> Turn {
            self.turns += 1;
            self.turns_left = self.turns_left.saturating_sub(1);
            if self.turns_left == 0 {
                self.connections = 0;
            }
            Turn { worked: self.turns % 2 == 1, next_deadline: None }
        }

        fn wait(&mut self, _timeout: Option<Duration>, _waker: &Waker) {
            self.slept += 1;
        }

        fn mailbox_is_empty(&self) -> bool {
            true
        }

        fn start_drain(&mut self) {
            self.draining = true;
        }

        fn pause_accepting(&mut self, paused: bool) {
            self.paused = paused;
        }

        fn abort_all(&mut self, why: Close) {
            self.aborted = Some(why);
        }

        fn connections(&self) -> u32 {
            self.connections
        }

        fn counters(&self) -> &Arc<CachePadded<Counters>> {
            &self.counters
        }

        fn census(&self) -> Census {
            Census::default()
        }

        fn device_counters(&self) -> DeviceCounters {
            DeviceCounters::default()
        }
    }

    fn run(poll: Poll, order: Orders, turns_left: u32, drain: Duration) -> (Fake, u32) {
        let orders = OrderBox::new(Waker::new().expect("eventfd"));
        orders.give(order);
        orders.give(Orders::REPORT);
        let mut world = Fake::new(turns_left);
        let mut reports = 0;
        let clock = Clock::start();
        let core = CoreLoop { world: &mut world, poll, orders: &orders, clock, drain };
        core.run(|_| reports += 1);
        (world, reports)
    }

    #[test]
    fn a_drain_ends_when_the_last_connection_does() {
        let (world, reports) = run(Poll::Sleep, Orders::DRAIN, 10, Duration::from_secs(3_600));
        assert!(world.draining && world.turns >= 10 && world.slept > 0);
        assert_eq!(reports, 1);
    }

    #[test]
    fn a_drain_resets_what_does_not_finish_in_time() {
        let (world, _) = run(Poll::Busy, Orders::DRAIN, u32::MAX, Duration::ZERO);
        assert_eq!((world.aborted, world.connections), (Some(Close::Drained), 1));
        assert_eq!(world.slept, 0, "busy never sleeps");
    }

    #[test]
    fn a_pause_is_an_order() {
        let orders = OrderBox::new(Waker::new().expect("eventfd"));
        for (order, paused) in [(Orders::PAUSE, true), (Orders::RESUME, false)] {
            orders.give(order);
            orders.give(Orders::DRAIN);
            let mut world = Fake { paused: !paused, ..Fake::new(3) };
            let (poll, clock, drain) = (Poll::Busy, Clock::start(), Duration::ZERO);
            let core = CoreLoop { world: &mut world, poll, orders: &orders, clock, drain };
            core.run(|_| {});
            assert_eq!(world.paused, paused);
        }
    }

    #[test]
    fn an_order_to_end_waits_for_nothing() {
        let (world, _) = run(Poll::Adaptive, Orders::END, u32::MAX, Duration::from_secs(3_600));
        assert!(!world.draining && world.aborted == Some(Close::Drained));
    }
}
