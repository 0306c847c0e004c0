//! How a running server is told things: [`Stop`] from outside, orders to each core inside.

#[cfg(not(all(loom, test)))]
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
#[cfg(all(loom, test))]
use loom::sync::atomic::{AtomicU8, Ordering};

use super::error::Error;
use super::stats::CoreReport;
use crate::device::Waker;

/// What the thread that supervises the cores hears of.
#[derive(Debug)]
pub(super) enum Event {
    /// A core has its device and its application, and runs.
    Up(CoreReport),
    /// A core wrote down its numbers because it was ordered to.
    Report(CoreReport),
    /// A core ended.
    Down(Result<CoreReport, Error>),
    /// Somebody wants the server to stop.
    Stop(StopKind),
    /// Somebody wants accepting paused (`true`) or resumed.
    Pause(bool),
    /// Somebody wants the statistics written now.
    WriteStats,
    /// Somebody wants other cookie keys, or has changed their file.
    ChangeKeys,
}

/// How a server is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopKind {
    /// No new connections; those in flight have the drain time to finish.
    Drain,
    /// Reset everything now.
    Now,
}

#[derive(Debug, Default)]
struct Listener {
    asked: Option<StopKind>,
    paused: bool,
    events: Option<Sender<Event>>,
}

/// Stops a server, or has it pause, from any thread: give a clone to
/// [`ServerBuilder::run_until`].
///
/// [`ServerBuilder::run_until`]: super::ServerBuilder::run_until
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Mutex<Listener>>);

impl Stop {
    /// A handle that no server listens to yet. What it is told before is not forgotten.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// No new connections; those in flight have the drain time to finish, then they are reset.
    pub fn drain(&self) {
        self.ask(StopKind::Drain);
    }

    /// Resets every connection and ends.
    pub fn now(&self) {
        self.ask(StopKind::Now);
    }

    /// Pauses (`true`) or resumes accepting on all cores, whatever their applications ask for with
    /// [`Core::pause_accepting`]. Meanwhile new connections are established and wait in the accept
    /// queue, and those that find it full (`backlog`) are refused as
    /// [`Overflow`](crate::engine::Overflow) says; open connections go on, as on a machine that a
    /// load balancer is to leave alone.
    ///
    /// [`Core::pause_accepting`]: crate::app::Core::pause_accepting
    pub fn pause_accepting(&self, paused: bool) {
        let mut listener = self.listener();
        listener.paused = paused;
        if let Some(events) = &listener.events {
            // A server that has ended accepts nobody.
            let _ = events.send(Event::Pause(paused));
        }
    }

    pub(super) fn write_stats(&self) {
        if let Some(events) = &self.listener().events {
            let _ = events.send(Event::WriteStats);
        }
    }

    pub(super) fn change_keys(&self) {
        if let Some(events) = &self.listener().events {
            let _ = events.send(Event::ChangeKeys);
        }
    }

    fn ask(&self, kind: StopKind) {
        let mut listener = self.listener();
        listener.asked = listener.asked.max(Some(kind));
        if let Some(events) = &listener.events {
            // A server that has ended has nothing left to stop.
            let _ = events.send(Event::Stop(kind));
        }
    }

    pub(super) fn listen(&self, events: Sender<Event>) {
        let mut listener = self.listener();
        if let Some(kind) = listener.asked {
            let _ = events.send(Event::Stop(kind));
        }
        if listener.paused {
            let _ = events.send(Event::Pause(true));
        }
        listener.events = Some(events);
    }

    fn listener(&self) -> MutexGuard<'_, Listener> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Orders to one core, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orders(u8);

impl Orders {
    /// Take no new connections, end when there are none.
    pub(super) const DRAIN: Orders = Orders(1);
    /// Reset everything and end.
    pub(super) const END: Orders = Orders(2);
    /// Send an [`Event::Report`].
    pub(super) const REPORT: Orders = Orders(4);
    /// Let new connections wait.
    pub(super) const PAUSE: Orders = Orders(8);
    /// Take them again: the latest of the two counts.
    pub(super) const RESUME: Orders = Orders(16);

    pub(super) fn has(self, order: Orders) -> bool {
        self.0 & order.0 != 0
    }
}

/// Where one core finds its orders: a load of a line that nobody writes, once a turn.
#[derive(Clone, Debug)]
pub(super) struct OrderBox {
    orders: Arc<CachePadded<AtomicU8>>,
    waker: Waker,
}

impl OrderBox {
    pub(super) fn new(waker: Waker) -> OrderBox {
        OrderBox { orders: Arc::new(CachePadded::new(AtomicU8::new(0))), waker }
    }

    /// Orders come from one thread, the supervisor's.
    pub(super) fn give(&self, order: Orders) {
        let contrary = match order {
            Orders::PAUSE => Orders::RESUME.0,
            Orders::RESUME => Orders::PAUSE.0,
            _ => 0,
        };
        if contrary != 0 {
            self.orders.fetch_and(!contrary, Ordering::SeqCst);
        }
        self.orders.fetch_or(order.0, Ordering::SeqCst);
        self.waker.wake();
    }

    pub(super) fn any(&self) -> bool {
        self.orders.load(Ordering::Relaxed) != 0
    }

    pub(super) fn take(&self) -> Orders {
        Orders(self.orders.swap(0, Ordering::SeqCst))
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_asked_for_early_is_heard_later() {
        let stop = Stop::new();
        stop.clone().drain();
        let (sender, events) = std::sync::mpsc::channel();
        stop.listen(sender);
        assert!(matches!(events.try_recv(), Ok(Event::Stop(StopKind::Drain))));
        stop.now();
        assert!(matches!(events.try_recv(), Ok(Event::Stop(StopKind::Now))));
        assert!(events.try_recv().is_err());
    }

    #[test]
    fn orders_add_up_and_are_taken_once() {
        let orders = OrderBox::new(Waker::new().expect("eventfd"));
        assert!(!orders.any());
        orders.give(Orders::DRAIN);
        orders.give(Orders::REPORT);
        assert!(orders.any());
        let taken = orders.take();
        assert!(taken.has(Orders::DRAIN) && taken.has(Orders::REPORT) && !taken.has(Orders::END));
        assert!(!orders.any());
    }

    #[test]
    fn the_latest_of_two_contrary_orders_counts() {
        let orders = OrderBox::new(Waker::new().expect("eventfd"));
        orders.give(Orders::PAUSE);
        orders.give(Orders::RESUME);
        let taken = orders.take();
        assert!(taken.has(Orders::RESUME) && !taken.has(Orders::PAUSE));
    }
}

#[cfg(all(loom, test))]
mod loom_tests {
    use super::*;

    #[test]
    fn loom_the_last_order_to_pause_or_resume_is_the_one_that_lasts() {
        loom::model(|| {
            let orders = OrderBox::new(Waker::new().expect("eventfd"));
            let giver = orders.clone();
            let giver = loom::thread::spawn(move || {
                giver.give(Orders::PAUSE);
                giver.give(Orders::RESUME);
                giver.give(Orders::PAUSE);
            });
            let mut paused = false;
            let mut obey = |taken: Orders| {
                assert!(!(taken.has(Orders::PAUSE) && taken.has(Orders::RESUME)));
                if taken.has(Orders::PAUSE) || taken.has(Orders::RESUME) {
                    paused = taken.has(Orders::PAUSE);
                }
            };
            obey(orders.take());
            giver.join().expect("no panic");
            obey(orders.take());
            assert!(paused);
        });
    }
}
