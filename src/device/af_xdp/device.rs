//! One receive queue as a [`Device`].

use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use super::abi::Descriptor;
use super::error::{AfXdpError, Attempts, Errno};
use super::jumbo::{self, Jumbo};
use super::open::{self, Opened};
use super::ring::{CompletionRing, FillRing, RxRing, TxRing};
use super::shield::QueueShield;
use super::socket::{Rings, Socket};
use super::{AfXdpConfig, Nic, Obtained, Steer};
use crate::device::{
    Batch, Device, DeviceCounters, Frame, LinkProperties, Pool, SynAckOffer, Waker, prefetch,
};
use crate::tcp::cookie::Tuple;

/// Frames by which the fill ring may lack before it is topped up: a few, for one store by many.
const REFILL_AT: u32 = 32;
/// What a `sendto` in copy mode transmits on kernels that don't let us choose.
const COPY_MODE_BUDGET: u32 = 32;
/// Bytes of a received packet to ask the cache for: its headers, and a short request behind them.
/// They are in another cache, or in memory, and the engine reads them when all are taken.
const PREFETCHED: usize = 192;
/// How soon to try again while the driver takes nothing of what is in the tx ring.
const STUCK_RETRY: Duration = Duration::from_millis(1);

/// An AF_XDP socket bound to one receive queue, with the frames of one [`Pool`].
///
/// Like its pool it stays in the thread that opened it.
#[derive(Debug)]
pub struct AfXdp {
    // The socket comes first: it is closed before the pool's memory goes.
    socket: Socket,
    fill: FillRing,
    completion: CompletionRing,
    rx: RxRing,
    tx: TxRing,
    pool: Pool,
    link: LinkProperties,
    obtained: Obtained,
    attempts: Attempts,
    /// The kernel accepted the busy-polling options.
    busy_polled: bool,
    /// And there is a NAPI instance for our calls to drive: without one they would be in vain.
    drives_napi: bool,
    /// Frames that the kernel has to receive into.
    filled: u32,
    fill_limit: u32,
    tx_size: u32,
    counters: DeviceCounters,
    /// Only where frames are larger than the kernel's.
    jumbo: Option<Jumbo>,
    shield: QueueShield,
}

impl AfXdp {
    /// Opens queue `config.queue` of `nic` over all frames of `pool`, and has `steer` redirect to
    /// it. Takes up to a second if a predecessor is just being torn down.
    ///
    /// # Errors
    /// See [`AfXdpError`]: privileges, queue, MTU, locked memory, no mode that works.
    pub fn open(
        steer: &Steer,
        nic: &Nic,
        config: &AfXdpConfig,
        pool: Pool,
    ) -> Result<AfXdp, AfXdpError> {
        let Opened { socket, rings, obtained, attempts, filled, busy_polled } =
            open::open(steer, nic, config, &pool)?;
        steer.join(config.queue, socket.as_fd())?;
        let Rings { fill, completion, rx, tx } = rings;
        let link = LinkProperties {
            mac: nic.mac,
            mtu: nic.mtu.min(u32::from(u16::MAX)) as u16,
            name: format!("af-xdp {} {}/{}", obtained.name(), nic.name, config.queue),
            accept_partial_checksums: config.accept_partial_checksums,
        };
        let drives_napi = busy_polled && socket.has_napi();
        Ok(AfXdp {
            fill_limit: open::fill_limit(config, &pool, obtained == Obtained::ZeroCopy),
            tx_size: config.tx_ring,
            jumbo: Jumbo::new(&pool),
            socket,
            fill,
            completion,
            rx,
            tx,
            pool,
            link,
            obtained,
            attempts,
            busy_polled,
            drives_napi,
            filled,
            counters: DeviceCounters::default(),
            shield: QueueShield {
                shield: Arc::clone(steer.shield()),
                queue: config.queue,
                takes_partial: config.accept_partial_checksums,
            },
        })
    }

    /// The mode obtained, read back from the socket.
    pub fn obtained(&self) -> Obtained {
        self.obtained
    }

    /// Better modes that were tried and why they failed.
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// Whether busy polling was asked for and has an effect. In copy mode that is known once the
    /// first packet has come; interfaces without NAPI, veth among them, accept the options in vain.
    pub fn is_busy_polled(&self) -> bool {
        self.drives_napi
    }

    fn complete(&mut self) {
        let frame_size = self.pool.frame_size() as u64;
        while let Some(address) = self.completion.pop() {
            let position = (address / frame_size) as u32;
            if self.jumbo.as_mut().is_none_or(|jumbo| jumbo.completed(position)) {
                self.pool.complete(position);
            }
        }
        self.completion.release();
    }

    fn refill(&mut self) {
        let wanted = self.fill_limit - self.filled;
        if wanted < REFILL_AT {
            return;
        }
        for _ in 0..self.fill.room(wanted).min(wanted) {
            let Some(position) = self.pool.take_for_fill() else { break };
            // There is room: it was just asked for.
            self.fill.push(u64::from(position) * self.pool.frame_size() as u64);
            self.filled += 1;
        }
        // Only a zero-copy driver that ran dry asks for this.
        if self.fill.publish() > 0 && self.fill.needs_wakeup() {
            self.kick_receive();
        }
    }

    fn take(&mut self, batch: &mut Batch) -> u32 {
        let frame_size = self.pool.frame_size() as u64;
        let before = batch.frames().len();
        let mut taken = 0;
        while batch.room() > 0 {
            let Some(packet) = self.rx.pop() else { break };
            let position = (packet.address / frame_size) as u32;
            let start = (packet.address % frame_size) as usize;
            let frame = self.pool.received(position, start, packet.len as usize);
            prefetch::read_first(self.pool.bytes(&frame), PREFETCHED);
            taken += 1;
            match &mut self.jumbo {
                None => batch.push(frame),
                Some(jumbo) => {
                    let more = packet.options & libc::XDP_PKT_CONTD != 0;
                    jumbo.received(&self.pool, frame, more).into_iter().for_each(|f| batch.push(f));
                }
            }
        }
        self.rx.release();
        self.filled -= taken;
        if self.counters.rx_packets == 0 && taken > 0 {
            self.drives_napi = self.busy_polled && self.socket.has_napi();
        }
        self.counters.rx_packets += (batch.frames().len() - before) as u64;
        taken
    }

    /// Puts all parts of a frame at `address` into the tx ring, or none.
    fn push_parts(&mut self, frame: &Frame, address: u64) -> bool {
        let parts = jumbo::parts(address, frame.len());
        let count = parts.len() as u32;
        if self.tx.room(count) < count {
            return false;
        }
        for (address, len, more) in parts {
            let options = if more { libc::XDP_PKT_CONTD } else { 0 };
            self.tx.push(Descriptor { address, len, options });
        }
        if let Some(jumbo) = &mut self.jumbo {
            jumbo.posted(self.pool.position(frame), count);
        }
        true
    }

    fn kick_receive(&mut self) {
        self.counters.kicks += 1;
        // Nothing to receive is no error, and a link that went down shows in other ways.
        let _ = self.socket.kick_receive();
    }

    /// One system call to have the tx ring emptied. False if trying again is of no use now.
    fn kick_send(&mut self) -> bool {
        self.counters.kicks += 1;
        // Under preferred busy polling a zero-copy driver may not hear `sendto`.
        let answer = if self.busy_polled && self.obtained == Obtained::ZeroCopy {
            self.socket.kick_poll()
        } else {
            self.socket.kick_send()
        };
        match answer {
            Ok(()) | Err(Errno(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR)) => true,
            Err(answer) => {
                tracing::debug!("transmitting on {}: {answer}", self.link.name);
                false
            }
        }
    }

    /// In copy mode the kernel transmits in the call, a limited number of packets, and stops when
    /// the completion ring is full: goes on as long as something moves.
    fn drain_copying(&mut self) {
        let mut pending = self.tx.pending();
        for _ in 0..=self.tx_size / COPY_MODE_BUDGET {
            if pending == 0 || !self.kick_send() {
                return;
            }
            let before = pending;
            pending = self.tx.pending();
            if pending == before {
                return;
            }
            if pending > 0 {
                self.complete();
            }
        }
    }
}

impl Device for AfXdp {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn link(&self) -> &LinkProperties {
        &self.link
    }

    fn receive(&mut self, batch: &mut Batch) {
        self.complete();
        let taken = self.take(batch);
        if taken == 0 && self.drives_napi {
            self.kick_receive();
            self.take(batch);
        }
        self.refill();
    }

    fn room(&self) -> usize {
        let entries = self.tx.room_now() as usize;
        // A frame may lie in all of its chunks.
        if self.jumbo.is_some() {
            entries * jumbo::CHUNK as usize / self.pool.frame_size()
        } else {
            entries
        }
    }

    fn transmit(&mut self, frame: &Frame) -> bool {
        let position = u64::from(self.pool.position(frame));
        let address = position * self.pool.frame_size() as u64 + frame.start() as u64;
        let pushed = if self.jumbo.is_some() {
            self.push_parts(frame, address)
        } else {
            self.tx.push(Descriptor { address, len: frame.len() as u32, options: 0 })
        };
        if !pushed {
            return false;
        }
        self.pool.post(frame);
        self.counters.tx_packets += 1;
        true
    }

    fn flush(&mut self) {
        self.tx.publish();
        if !self.tx.needs_wakeup() {
            return;
        }
        if self.obtained != Obtained::ZeroCopy {
            self.drain_copying();
        } else if self.tx.pending() > 0 {
            self.kick_send();
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, waker: &Waker) {
        let stuck = self.tx.pending() > 0 && self.obtained != Obtained::ZeroCopy;
        let timeout = match timeout {
            Some(timeout) if stuck => Some(timeout.min(STUCK_RETRY)),
            None if stuck => Some(STUCK_RETRY),
            timeout => timeout,
        };
        // An error is a wake-up: the engine looks for work and comes back.
        let _ = self.socket.sleep(waker.as_raw_fd(), timeout);
        if stuck {
            self.drain_copying();
        }
    }

    fn flood(&mut self, offer: Option<&SynAckOffer>) {
        let QueueShield { shield, queue, takes_partial } = &self.shield;
        shield.flood(*queue, offer, *takes_partial);
    }

    fn note_flow(&mut self, tuple: &Tuple, known: bool) {
        self.shield.shield.note(tuple, known);
    }

    fn may_know(&self, tuple: &Tuple) -> bool {
        self.shield.shield.may_know(tuple)
    }

    fn counters(&self) -> DeviceCounters {
        let kernel = self.socket.statistics();
        DeviceCounters {
            rx_dropped: kernel.rx_dropped
                + kernel.rx_ring_full
                + kernel.rx_invalid_descs
                + self.jumbo.as_ref().map_or(0, |jumbo| jumbo.dropped),
            tx_dropped: kernel.tx_invalid_descs,
            ..self.counters
        }
    }
}
