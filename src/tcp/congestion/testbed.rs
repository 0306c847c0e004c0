//! A closed loop for the controllers: flows of packets over one bottleneck with a buffer, in
//! simulated time. Packets are acknowledged one by one, as with SACK; a packet is lost when three
//! later ones were delivered; what is lost counts as repaired by the next packet sent.

use super::{CongestionControl, initial_window};
use crate::tcp::delivery_rate::{DeliveryRate, RateSample, Snapshot};
use crate::tcp::prr::Prr;
use crate::time::Instant;
use core::cmp::Reverse;
use core::time::Duration;
use std::collections::{BinaryHeap, VecDeque};

pub(super) const MSS: u32 = 1_000;
const REORDERING: u64 = 3;
const SECOND: u64 = 1_000_000_000;

/// The bottleneck.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// Bytes a second.
    pub(super) rate: u64,
    /// Bytes that may wait.
    pub(super) buffer: u64,
    pub(super) rtt: Duration,
    /// Packets that find more than so many bytes waiting are marked.
    pub(super) mark_above: u64,
    /// One packet in so many is lost at random; zero: none.
    pub(super) lose_one_in: u64,
}

impl Link {
    /// `mbit` megabits a second, `rtt_ms` round trip, a buffer of `bdp_percent` of their product.
    pub(super) fn new(mbit: u64, rtt_ms: u64, bdp_percent: u64) -> Link {
        let rate = mbit * 125_000;
        Link {
            rate,
            buffer: rate * rtt_ms / 1_000 * bdp_percent / 100,
            rtt: Duration::from_millis(rtt_ms),
            mark_above: u64::MAX,
            lose_one_in: 0,
        }
    }

    pub(super) fn bdp(&self) -> u64 {
        self.rate * self.rtt.as_millis() as u64 / 1_000
    }
}

struct Packet {
    id: u64,
    snapshot: Snapshot,
    delivered: bool,
}

struct Recovery {
    /// Packets sent before this one were sent before the recovery.
    high: u64,
    /// The recovery ends when this one is delivered: the repair of the last loss found among those.
    end: u64,
    prr: Prr,
}

pub(super) struct Flow<C> {
    pub(super) cc: C,
    rate: DeliveryRate,
    packets: VecDeque<Packet>,
    pub(super) in_flight: u32,
    next_id: u64,
    recovery: Option<Recovery>,
    allowance: u32,
    srtt_us: u64,
    min_rtt_us: u32,
    next_send_ns: u64,
    last_ack_ns: u64,
    limited_id: u64,
    /// The earliest wake-up scheduled.
    wakes_ns: u64,
    pub(super) paced: bool,
    busy: bool,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) marked: u64,
    pub(super) recoveries: u32,
    pub(super) timeouts: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ack { flow: usize, id: u64, marked: bool },
    Wake { flow: usize },
}

/// The flows, the bottleneck and what is under way.
pub(super) struct Testbed<C> {
    pub(super) link: Link,
    pub(super) flows: Vec<Flow<C>>,
    pub(super) now_ns: u64,
    busy_until_ns: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    serial: u64,
    pub(super) largest_queue: u64,
}

impl<C: CongestionControl> Testbed<C> {
    pub(super) fn new(link: Link, controllers: impl IntoIterator<Item = C>) -> Testbed<C> {
        let flow = |(i, mut cc): (usize, C)| {
            cc.set_seed(i as u32 * 77_777 + 1);
            Flow {
                paced: cc.wants_rate_samples(),
                cc,
                rate: DeliveryRate::default(),
                packets: VecDeque::new(),
                in_flight: 0,
                next_id: 0,
                recovery: None,
                allowance: 0,
                srtt_us: 0,
                min_rtt_us: u32::MAX,
                next_send_ns: 0,
                last_ack_ns: 0,
                limited_id: 0,
                wakes_ns: u64::MAX,
                busy: true,
                delivered: 0,
                lost: 0,
                marked: 0,
                recoveries: 0,
                timeouts: 0,
            }
        };
        Testbed {
            link,
            flows: controllers.into_iter().enumerate().map(flow).collect(),
            now_ns: SECOND,
            busy_until_ns: 0,
            events: BinaryHeap::new(),
            serial: 0,
            largest_queue: 0,
        }
    }

    /// One flow with a fresh controller.
    pub(super) fn single(link: Link) -> Testbed<C> {
        Testbed::new(link, [C::new(MSS as u16, initial_window(MSS as u16, 0))])
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ns)
    }

    /// Bytes waiting at the bottleneck.
    pub(super) fn queue(&self) -> u64 {
        self.busy_until_ns.saturating_sub(self.now_ns) * self.link.rate / SECOND
    }

    /// From now on the application of a flow has (or has not) something to send.
    pub(super) fn set_busy(&mut self, i: usize, busy: bool) {
        let flow = &mut self.flows[i];
        if busy && !flow.busy && flow.in_flight < flow.cc.cwnd() {
            flow.rate.on_app_limited(flow.in_flight);
        }
        flow.busy = busy;
    }

    /// Runs for `ms` milliseconds; after each event `look` sees what has come about.
    pub(super) fn run(&mut self, ms: u64, look: impl FnMut(&Testbed<C>)) {
        self.run_us(ms * 1_000, look);
    }

    /// The same for `us` microseconds.
    pub(super) fn run_us(&mut self, us: u64, mut look: impl FnMut(&Testbed<C>)) {
        let end = self.now_ns + us * 1_000;
        for i in 0..self.flows.len() {
            self.send(i);
        }
        while let Some(&Reverse((at, _, event))) = self.events.peek() {
            if at > end {
                break;
            }
            self.events.pop();
            self.now_ns = at;
            match event {
                Event::Ack { flow, id, marked } => self.ack(flow, id, marked),
                // An earlier one took its place.
                Event::Wake { flow } if self.flows[flow].wakes_ns != at => {}
                Event::Wake { flow } => {
                    self.flows[flow].wakes_ns = u64::MAX;
                    self.time_out(flow);
                    self.send(flow);
                }
            }
            look(self);
        }
        self.now_ns = end;
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.serial += 1;
        self.events.push(Reverse((at, self.serial, event)));
    }

    fn wake(&mut self, i: usize, at: u64) {
        if at < self.flows[i].wakes_ns {
            self.flows[i].wakes_ns = at;
            self.schedule(at, Event::Wake { flow: i });
        }
    }

    fn send(&mut self, i: usize) {
        while self.flows[i].busy {
            let (now_ns, flow) = (self.now_ns, &mut self.flows[i]);
            let room = if flow.recovery.is_some() && flow.cc.uses_prr() {
                flow.allowance
            } else {
                flow.cc.cwnd().saturating_sub(flow.in_flight)
            };
            if room < MSS {
                flow.limited_id = flow.next_id;
                self.wake(i, now_ns + SECOND);
                return;
            }
            if flow.paced && flow.next_send_ns > now_ns {
                let at = flow.next_send_ns;
                self.wake(i, at);
                return;
            }
            self.send_packet(i);
        }
    }

    fn send_packet(&mut self, i: usize) {
        let now = self.now();
        let flow = &mut self.flows[i];
        if flow.in_flight == 0 {
            flow.last_ack_ns = self.now_ns;
            if flow.rate.is_app_limited() {
                flow.cc.on_restart(now);
            }
        }
        let snapshot = flow.rate.on_sent(MSS, flow.in_flight, now);
        let id = flow.next_id;
        flow.next_id += 1;
        flow.in_flight += MSS;
        flow.packets.push_back(Packet { id, snapshot, delivered: false });
        flow.allowance = flow.allowance.saturating_sub(MSS);
        if let Some(recovery) = &mut flow.recovery {
            recovery.prr.on_sent(MSS);
        }
        let srtt = Duration::from_micros(flow.srtt_us);
        if let Some(rate) = flow.cc.pacing_rate(srtt).filter(|_| flow.paced) {
            let from = flow.next_send_ns.max(self.now_ns);
            flow.next_send_ns = from + u64::from(MSS) * SECOND / rate.max(1);
        }
        self.enqueue(i, id);
    }

    fn enqueue(&mut self, flow: usize, id: u64) {
        let queue = self.queue();
        let unlucky = self.link.lose_one_in > 0 && hash(id).is_multiple_of(self.link.lose_one_in);
        if queue + u64::from(MSS) > self.link.buffer || unlucky {
            return;
        }
        self.largest_queue = self.largest_queue.max(queue);
        let transmission = u64::from(MSS) * SECOND / self.link.rate;
        self.busy_until_ns = self.busy_until_ns.max(self.now_ns) + transmission;
        let at = self.busy_until_ns + self.link.rtt.as_nanos() as u64;
        let marked = queue > self.link.mark_above;
        self.schedule(at, Event::Ack { flow, id, marked });
    }

    fn ack(&mut self, i: usize, id: u64, marked: bool) {
        let now = self.now();
        let flow = &mut self.flows[i];
        let Some(front) = flow.packets.front().map(|p| p.id) else { return };
        let Some(index) = id.checked_sub(front).map(|n| n as usize) else { return };
        flow.last_ack_ns = self.now_ns;
        let flight = flow.in_flight;
        let snapshot = flow.packets[index].snapshot;
        flow.packets[index].delivered = true;
        flow.in_flight -= MSS;
        flow.delivered += u64::from(MSS);
        let safe = index == 0;

        let mut rs = RateSample::default();
        flow.rate.on_delivered(&snapshot, MSS, &mut rs, now);
        flow.measure(rs.rtt_us);
        flow.find_losses(id, flight, now);
        flow.rate.finish(&mut rs, flow.in_flight, flow.min_rtt_us);
        let limited = id < flow.limited_id;
        flow.cc.on_rtt(Duration::from_micros(rs.rtt_us.into()));
        if self.link.mark_above != u64::MAX {
            flow.marked += u64::from(marked);
            flow.cc.on_ecn(MSS, if marked { MSS } else { 0 }, flight);
        }
        flow.advance(id, flight, limited, safe, now);
        flow.cc.on_rate_sample(&rs, limited, now);
        if !flow.busy && flow.in_flight < flow.cc.cwnd() {
            flow.rate.on_app_limited(flow.in_flight);
        }
        self.send(i);
    }

    /// Nothing came back for a second (and there is something out): all of it is lost.
    fn time_out(&mut self, i: usize) {
        let (now, now_ns) = (self.now(), self.now_ns);
        let flow = &mut self.flows[i];
        if flow.in_flight == 0 || now_ns < flow.last_ack_ns + SECOND {
            return;
        }
        flow.timeouts += 1;
        flow.last_ack_ns = now_ns;
        flow.cc.on_timeout(flow.in_flight, true);
        for p in flow.packets.drain(..).filter(|p| !p.delivered) {
            let lost = flow.rate.on_lost(&p.snapshot, MSS, true);
            flow.cc.on_packet_lost(&lost, now);
            flow.lost += 1;
        }
        (flow.in_flight, flow.recovery) = (0, None);
        flow.cc.on_recovery_end(0);
        flow.cc.set_cwnd(MSS);
    }
}

impl<C: CongestionControl> Flow<C> {
    fn measure(&mut self, rtt_us: u32) {
        self.min_rtt_us = self.min_rtt_us.min(rtt_us);
        let rtt_us = u64::from(rtt_us);
        self.srtt_us = if self.srtt_us == 0 { rtt_us } else { (self.srtt_us * 7 + rtt_us) / 8 };
    }

    /// Packets sent `REORDERING` or more before the one delivered are lost.
    fn find_losses(&mut self, newest: u64, flight: u32, now: Instant) {
        let mut adjacent = false;
        while let Some(p) = self.packets.front() {
            if p.delivered {
                adjacent = false;
            } else if p.id + REORDERING <= newest {
                self.in_flight -= MSS;
                self.lost += 1;
                let next_id = self.next_id;
                if let Some(recovery) = &mut self.recovery {
                    if p.id < recovery.high {
                        recovery.end = next_id;
                    }
                } else {
                    self.recoveries += 1;
                    self.cc.on_congestion(flight);
                    let prr = Prr::new(self.cc.ssthresh(), flight, MSS as u16);
                    self.recovery = Some(Recovery { high: next_id, end: next_id, prr });
                }
                let snapshot = p.snapshot;
                let lost = self.rate.on_lost(&snapshot, MSS, adjacent);
                self.cc.on_packet_lost(&lost, now);
                adjacent = true;
            } else {
                return;
            }
            self.packets.pop_front();
        }
    }

    /// What the ACK means for the window, in a recovery or out of it.
    fn advance(&mut self, id: u64, flight: u32, limited: bool, safe: bool, now: Instant) {
        match &mut self.recovery {
            Some(recovery) if id >= recovery.end => {
                self.recovery = None;
                self.cc.on_recovered();
            }
            Some(recovery) => self.allowance = recovery.prr.on_ack(MSS, self.in_flight, safe),
            None => {
                let srtt = Duration::from_micros(self.srtt_us);
                self.cc.on_ack(MSS, flight, limited, now, srtt);
            }
        }
    }
}

/// Spreads numbers evenly, the same in each run.
fn hash(n: u64) -> u64 {
    let x = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}
