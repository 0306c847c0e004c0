//! One direction of a simulated link: what it does to the packets that cross it.

use core::time::Duration;

use super::mark::mark;
use super::rng::Rng;
use crate::time::Instant;

/// Bytes of an Ethernet header: corruption spares them, as a real frame check sequence would catch
/// it there and everywhere; what is simulated is damage done behind it (RFC 1071's job, not CRC's).
const ETHERNET: usize = 14;

/// A burst of losses has an end in time too: retransmissions that back off would all fall into it.
const LONGEST_BURST: Duration = Duration::from_secs(1);

/// What one direction of a link does. Chances are in millionths per packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkConfig {
    /// Propagation delay.
    pub delay: Duration,
    /// Up to this much more, drawn for each packet: if larger than the gap between packets, it
    /// reorders.
    pub jitter: Duration,
    /// Bytes per second; `None` for no limit.
    pub rate: Option<u64>,
    /// Bytes that may wait for the line when `rate` is set; what comes on top is lost.
    pub queue: u32,
    /// Chance that a packet is lost.
    pub loss: u32,
    /// Chance that a burst of losses begins.
    pub burst_loss: u32,
    /// Packets that such a burst takes, at most; after a second it is over in any case.
    pub burst_length: u32,
    /// Chance that a packet arrives twice.
    pub duplicate: u32,
    /// Chance that a packet is held back by `reorder_by`.
    pub reorder: u32,
    /// How long such a packet is held back.
    pub reorder_by: Duration,
    /// Chance that one byte of an IP packet changes.
    pub corrupt: u32,
    /// Chance that an ECN-capable packet is marked CE.
    pub mark: u32,
    /// Bytes waiting for the line above which every ECN-capable packet is marked; zero for never.
    pub mark_above: u32,
    /// Largest IP packet that passes; zero for any.
    pub mtu: u16,
}

impl LinkConfig {
    /// Packets of a million that do not arrive whole, when nothing queues. A burst takes all.
    pub fn damage(&self) -> u32 {
        let burst = if self.burst_loss > 0 { 1_000_000 } else { 0 };
        (self.loss + self.corrupt + burst).min(1_000_000)
    }

    /// Whether every packet arrives, once, whole and in order.
    pub fn is_perfect(&self) -> bool {
        let chances = [self.loss, self.burst_loss, self.duplicate, self.reorder, self.corrupt];
        chances == [0; 5] && self.jitter.is_zero() && self.rate.is_none() && self.mtu == 0
    }
}

/// What a link did to the packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Packets offered.
    pub offered: u64,
    /// Packets lost, for whatever reason.
    pub lost: u64,
    /// Packets that arrived twice.
    pub duplicated: u64,
    /// Packets held back.
    pub reordered: u64,
    /// Packets changed.
    pub corrupted: u64,
    /// Packets marked CE, copies counted apart.
    pub marked: u64,
}

/// Changes packets in ways of its own, after everything else; a packet that it empties is lost.
pub type Tamper = Box<dyn FnMut(&mut Vec<u8>)>;

/// One direction of a link at work.
pub(super) struct Link {
    pub(super) config: LinkConfig,
    pub(super) counters: LinkCounters,
    pub(super) tamper: Option<Tamper>,
    rng: Rng,
    /// When the line has sent everything that was given to it.
    line_free: Instant,
    burst_left: u32,
    burst_end: Instant,
}

impl Link {
    pub(super) fn new(config: LinkConfig, rng: Rng) -> Link {
        Link {
            config,
            counters: LinkCounters::default(),
            tamper: None,
            rng,
            line_free: Instant::ZERO,
            burst_left: 0,
            burst_end: Instant::ZERO,
        }
    }

    /// Takes a packet; `deliver` is called for each copy that arrives, with the moment.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        packet: &[u8],
        mut deliver: impl FnMut(Instant, Vec<u8>),
    ) {
        self.counters.offered += 1;
        let too_large = self.config.mtu != 0
            && packet.len().saturating_sub(ETHERNET) > usize::from(self.config.mtu);
        let queued = self.queued(now);
        let Some(sent) = self.serialise(now, packet.len()) else {
            self.counters.lost += 1;
            return;
        };
        if too_large || self.loses(now) {
            self.counters.lost += 1;
            return;
        }
        let copies = 1 + u32::from(self.rng.chance(self.config.duplicate));
        self.counters.duplicated += u64::from(copies - 1);
        for _ in 0..copies {
            let mut copy = packet.to_vec();
            self.mark(queued, &mut copy);
            if self.rng.chance(self.config.corrupt) {
                self.corrupt(&mut copy);
            }
            if let Some(tamper) = &mut self.tamper {
                tamper(&mut copy);
            }
            if copy.is_empty() {
                self.counters.lost += 1;
                continue;
            }
            let at = sent + self.config.delay + self.extra_delay();
            deliver(at, copy);
        }
    }

    /// Bytes that wait for the line.
    fn queued(&self, now: Instant) -> u64 {
        let wait = self.line_free.max(now) - now;
        let bytes = wait.as_nanos() * u128::from(self.config.rate.unwrap_or(0)) / 1_000_000_000;
        bytes as u64
    }

    fn mark(&mut self, queued: u64, packet: &mut [u8]) {
        let full = self.config.mark_above > 0 && queued > u64::from(self.config.mark_above);
        // Nothing is drawn where nothing is to be marked.
        let marks = full || self.config.mark > 0 && self.rng.chance(self.config.mark);
        self.counters.marked += u64::from(marks && mark(packet));
    }

    /// When the packet's last byte has left, or `None` if the queue before the line is full.
    fn serialise(&mut self, now: Instant, len: usize) -> Option<Instant> {
        let Some(rate) = self.config.rate else { return Some(now) };
        let start = self.line_free.max(now);
        if self.queued(now) > u64::from(self.config.queue) {
            return None;
        }
        let nanos = len as u64 * 1_000_000_000 / rate.max(1);
        self.line_free = start + Duration::from_nanos(nanos);
        Some(self.line_free)
    }

    fn loses(&mut self, now: Instant) -> bool {
        if now > self.burst_end {
            self.burst_left = 0;
        }
        if self.burst_left == 0 && self.rng.chance(self.config.burst_loss) {
            self.burst_left = self.rng.range(1..u64::from(self.config.burst_length) + 2) as u32;
            self.burst_end = now + LONGEST_BURST;
        }
        if self.burst_left > 0 {
            self.burst_left -= 1;
            return true;
        }
        self.rng.chance(self.config.loss)
    }

    fn extra_delay(&mut self) -> Duration {
        let jitter = self.rng.range(0..self.config.jitter.as_nanos() as u64 + 1);
        let mut extra = Duration::from_nanos(jitter);
        if self.rng.chance(self.config.reorder) {
            self.counters.reordered += 1;
            extra += self.config.reorder_by;
        }
        extra
    }

    /// Changes one byte: the ones' complement sum notices any change within 16 bits but that of
    /// all zeros to all ones, which one byte cannot make.
    fn corrupt(&mut self, packet: &mut [u8]) {
        let is_ip = packet.len() > ETHERNET
            && matches!((packet[12], packet[13]), (0x08, 0x00) | (0x86, 0xdd));
        if !is_ip {
            return; // ARP has no checksum: only the frame check sequence protects it.
        }
        let at = self.rng.range(ETHERNET as u64..packet.len() as u64) as usize;
        packet[at] ^= self.rng.range(1..256) as u8;
        self.counters.corrupted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(config: LinkConfig, packets: u64) -> (Vec<(Instant, u64)>, LinkCounters) {
        let mut link = Link::new(config, Rng::new(1));
        let mut arrived = Vec::new();
        for n in 0..packets {
            let mut packet = [0u8; 114];
            packet[12..22].copy_from_slice(&[8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            packet[20..28].copy_from_slice(&n.to_be_bytes());
            link.offer(Instant::from_micros(n), &packet, |at, bytes| {
                let id = bytes[20..28].iter().fold(0, |id, b| id << 8 | u64::from(*b));
                arrived.push((at, id));
            });
        }
        (arrived, link.counters)
    }

    #[test]
    fn a_perfect_link_only_delays() {
        let config = LinkConfig { delay: Duration::from_millis(1), ..LinkConfig::default() };
        assert!(config.is_perfect());
        let (arrived, counters) = arrivals(config, 100);
        let expected: Vec<_> = (0..100).map(|n| (Instant::from_micros(1_000 + n), n)).collect();
        assert_eq!(arrived, expected);
        assert_eq!(counters, LinkCounters { offered: 100, ..LinkCounters::default() });
    }

    #[test]
    fn each_misfortune_happens_as_often_as_asked() {
        let ten_percent = 100_000;
        let config = LinkConfig {
            loss: ten_percent,
            duplicate: ten_percent,
            corrupt: ten_percent,
            reorder: ten_percent,
            ..LinkConfig::default()
        };
        let (_, counters) = arrivals(config, 10_000);
        let LinkCounters { lost, duplicated, reordered, corrupted, .. } = counters;
        for happened in [lost, duplicated, reordered, corrupted] {
            assert!((800..1_200).contains(&happened), "{counters:?}");
        }
    }

    #[test]
    fn a_slow_line_spaces_packets_and_drops_what_does_not_fit_its_queue() {
        let config = LinkConfig { rate: Some(1_140_000), queue: 1_140, ..LinkConfig::default() };
        let (arrived, counters) = arrivals(config, 100);
        assert!(arrived.windows(2).all(|pair| (pair[1].0 - pair[0].0).as_micros() == 100));
        assert_eq!(counters.lost, 100 - arrived.len() as u64);
        assert!((10..14).contains(&arrived.len()), "{} of 100 fit", arrived.len());
    }

    #[test]
    fn a_queue_marks_before_it_drops() {
        let config = LinkConfig {
            rate: Some(1_140_000),
            queue: 20_000,
            mark_above: 5_000,
            ..LinkConfig::default()
        };
        let mut link = Link::new(config, Rng::new(1));
        let mut packet = [0u8; 114];
        packet[12..16].copy_from_slice(&[8, 0, 0x45, 2]);
        let mut marks = Vec::new();
        for n in 0..100 {
            link.offer(Instant::from_micros(n), &packet, |_, bytes| marks.push(bytes[15] == 3));
        }
        let first = marks.iter().position(|marked| *marked).expect("a mark");
        assert!((40..50).contains(&first), "{first}");
        assert!(marks[first..].iter().all(|marked| *marked));
        assert_eq!(link.counters.marked, (100 - first) as u64);
        assert_eq!(link.counters.lost, 0);
    }

    #[test]
    fn a_burst_takes_neighbours() {
        let config = LinkConfig { burst_loss: 10_000, burst_length: 20, ..LinkConfig::default() };
        let (arrived, counters) = arrivals(config, 10_000);
        let gaps = arrived.windows(2).filter(|pair| pair[1].1 != pair[0].1 + 1).count() as u64;
        assert!(gaps > 10 && counters.lost > 4 * gaps, "{} lost in {gaps} gaps", counters.lost);
    }
}
