//! The way out: headers are put before payloads and handed to the device, one kick a turn.

use core::hash::Hasher;
use std::sync::Arc;

use crossbeam_utils::CachePadded;
use siphasher::sip::SipHasher24;

use super::config::Limits;
use super::counters::{Counter, Counters};
use super::ends::{Ends, FarAddresses};
use super::flow::{Flow, Hop};
use super::flow_hash::FlowHash;
use super::rare::Rare;
use super::reassembly::Reassembly;
use super::rows::Rows;
use super::samples::Samples;
use super::slab::Slab;
use crate::device::{Class, Device, Frame, Pool};
use crate::tcp::{Accurate, LocalOffer, Own, Settings};
use crate::time::{Instant, Tick};
use crate::wire::tcp::{COMMON_HEADERS, Flags, Headers, Options};
use crate::wire::{Addr, Cidr, Link, Mac, Seq};

/// One of our addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Local {
    pub(crate) cidr: Cidr,
    pub(crate) owned: bool,
}

/// The fields of a segment that differ from one to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// The ECN field of the IP header.
    pub(crate) ecn: u8,
    /// The urgent pointer, where URG is set.
    pub(crate) urgent: u16,
    /// Differentiated Services code point, if not that of all.
    pub(crate) dscp: Option<u8>,
    pub(crate) options: Options,
}

/// What everything that sends needs: device, pool, our addresses, the time.
pub(crate) struct Io<D> {
    pub(crate) device: D,
    pub(crate) pool: Pool,
    pub(crate) counters: Arc<CachePadded<Counters>>,
    pub(crate) locals: Vec<Local>,
    pub(crate) settings: Settings,
    pub(crate) now: Instant,
    /// Frames of the batch in hand that nobody has looked at yet.
    pub(crate) unprocessed: u32,
    mac: Mac,
    labels: FlowHash,
    offer_v4: LocalOffer,
    offer_v6: LocalOffer,
    /// Addresses too long for a slot.
    pub(crate) far: FarAddresses,
    /// What few connections have.
    pub(crate) rare: Slab<Rare>,
    pub(crate) samples: Samples,
    /// When the next segment of each paced connection may leave.
    pub(crate) departures: Rows<Instant>,
    pub(crate) own: Rows<Own>,
    /// When the application's timer is due, for connections where it is set.
    pub(crate) timers: Rows<Tick>,
    /// Bytes that the application holds, for connections where it does: still on the charge of the
    /// window.
    pub(crate) held: Rows<u32>,
    /// Where the peer's FIN is, for connections where it lies behind a hole.
    pub(crate) fins: Rows<u32>,
    /// The counters of connections with AccECN.
    pub(crate) accurate: Rows<Accurate>,
    /// The budget of segments out of order.
    pub(crate) reassembly: Reassembly,
    /// Segments that answer nothing of ours, still allowed in this second.
    replies_left: u32,
    replies_per_second: u32,
    replies_since: Instant,
    /// Draws how many they are: the same number in each second would tell those who count them
    /// what happens on connections that are not theirs.
    draw: SipHasher24,
}

impl<D: Device> Io<D> {
    pub(crate) fn new(
        device: D,
        locals: Vec<Local>,
        settings: Settings,
        limits: &Limits,
        key: &[u8; 16],
    ) -> Io<D> {
        let link = device.link();
        let mtu = link.mtu.min(max_packet(device.pool()));
        let mut io = Io {
            pool: device.pool().clone(),
            counters: Counters::new(),
            locals,
            now: Instant::ZERO,
            unprocessed: 0,
            mac: Mac(link.mac),
            labels: FlowHash::for_labels(*key),
            offer_v4: LocalOffer::new(&settings.config, mtu, true),
            offer_v6: LocalOffer::new(&settings.config, mtu, false),
            settings,
            far: FarAddresses::new(limits.connections),
            rare: Slab::new(limits.connections),
            samples: Samples::default(),
            departures: Rows::new(limits.connections),
            own: Rows::new(limits.connections),
            timers: Rows::new(limits.connections),
            held: Rows::new(limits.connections),
            fins: Rows::new(limits.connections),
            accurate: Rows::new(limits.connections),
            reassembly: Reassembly::new(limits.out_of_order, device.pool()),
            replies_left: limits.replies_per_second,
            replies_per_second: limits.replies_per_second,
            replies_since: Instant::ZERO,
            draw: SipHasher24::new_with_key(key),
            device,
        };
        io.samples.prepare(&io.settings, &io.pool);
        io
    }

    /// Takes other settings; what we offer from now on follows.
    pub(crate) fn configure(&mut self, settings: Settings) {
        let mtu = self.device.link().mtu.min(max_packet(&self.pool));
        self.offer_v4 = LocalOffer::new(&settings.config, mtu, true);
        self.offer_v6 = LocalOffer::new(&settings.config, mtu, false);
        self.settings = settings;
        self.samples.prepare(&self.settings, &self.pool);
    }

    /// Whether a received payload may stay in its frame. What waits behind it in the batch counts
    /// as free, or a burst would be dropped from its front, and so would be its repetition.
    pub(crate) fn may_receive(&self) -> bool {
        self.pool.free() + self.unprocessed > self.pool.reserve()
    }

    pub(crate) fn mac(&self) -> Mac {
        self.mac
    }

    /// What we offer in a handshake with a peer of this family.
    pub(crate) fn offer(&self, is_v4: bool) -> LocalOffer {
        if is_v4 { self.offer_v4 } else { self.offer_v6 }
    }

    /// Index of one of our addresses.
    pub(crate) fn local_index(&self, addr: Addr) -> Option<u16> {
        self.locals.iter().position(|local| local.cidr.addr == addr).map(|index| index as u16)
    }

    /// RFC 6437: the same for all packets of a connection, and nobody can tell it beforehand. It
    /// follows from the addresses and ports, so it needs no room, and stays as it is on a timeout.
    #[inline]
    fn flow_label(&self, flow: &Flow) -> u32 {
        if flow.remote.is_v4() {
            return 0;
        }
        let local = &self.locals[usize::from(flow.local)].cidr.addr;
        let hash = self.labels.hash(&local.0, flow.local_port, &flow.remote.0, flow.remote_port);
        // Zero would say that there is none.
        ((hash >> 44) as u32).max(1)
    }

    /// The same for both families: IPv4, IPv6.
    pub(crate) fn offers(&self) -> (LocalOffer, LocalOffer) {
        (self.offer_v4, self.offer_v6)
    }

    #[inline]
    fn headers(&self, flow: &Flow, hop: Hop, fields: &Fields) -> Headers {
        Headers {
            link: hop.link(self.mac),
            src: self.locals[usize::from(flow.local)].cidr.addr,
            dst: flow.remote,
            src_port: flow.local_port,
            dst_port: flow.remote_port,
            seq: fields.seq,
            ack: fields.ack,
            flags: fields.flags,
            window: fields.window,
            urgent: fields.urgent,
            hop_limit: self.settings.config.hop_limit,
            dscp: fields.dscp.unwrap_or(self.settings.config.dscp & 0x3f),
            ecn: fields.ecn,
            flow_label: self.flow_label(flow),
            options: fields.options,
        }
    }

    /// Sends the payload in `frame` with headers in front; its view is the payload again
    /// afterwards. False, and nothing sent, if the device has no room.
    pub(crate) fn send(
        &mut self,
        frame: &mut Frame,
        flow: &Flow,
        hop: Hop,
        fields: &Fields,
    ) -> bool {
        if hop == Hop::UNKNOWN {
            // As if it were lost: the timer sends it again, and by then the way may be known.
            self.counters.inc(Counter::DropNoNeighbour);
            return true;
        }
        let headers = self.headers(flow, hop, fields);
        self.send_behind(headers.len(), frame, |packet| headers.emit(packet))
    }

    /// [`send`](Io::send) to `ends`, where nearly always all is IPv4, without a VLAN, and with
    /// timestamps for the only option: headers built from that have their length, and the place of
    /// every field, when this is compiled.
    #[inline(always)]
    pub(crate) fn send_usual(
        &mut self,
        frame: &mut Frame,
        ends: &Ends,
        hop: Hop,
        fields: &Fields,
    ) -> bool {
        let local = self.locals[usize::from(ends.local())].cidr.addr.v4();
        if let (Some(remote), Some(local)) = (ends.remote_v4(), local)
            && let Some(timestamps) = fields.options.timestamps
            && fields.options.is_plain()
            && hop.is_untagged()
            && hop != Hop::UNKNOWN
        {
            let (src, dst) = (Addr::from_v4(local), Addr::from_v4(remote));
            let (remote_port, local_port) = (ends.remote_port(), ends.local_port());
            let flow = Flow { remote: dst, remote_port, local_port, local: ends.local() };
            let headers = Headers {
                link: Link { vlan: None, ..hop.link(self.mac) },
                src,
                options: Options { timestamps: Some(timestamps), ..Options::NONE },
                ..self.headers(&flow, hop, fields)
            };
            return self.send_behind(COMMON_HEADERS, frame, |packet| headers.emit_common(packet));
        }
        let flow = self.far.flow(ends);
        self.send(frame, &flow, hop, fields)
    }

    /// The same, not compiled anew for each who calls it.
    #[inline(never)]
    pub(crate) fn send_to(
        &mut self,
        frame: &mut Frame,
        ends: &Ends,
        hop: Hop,
        fields: &Fields,
    ) -> bool {
        self.send_usual(frame, ends, hop, fields)
    }

    #[inline(always)]
    fn send_behind(&mut self, len: usize, frame: &mut Frame, emit: impl Fn(&mut [u8])) -> bool {
        if self.device.room() == 0 {
            return false;
        }
        frame.prepend(len);
        emit(self.pool.bytes_mut(frame));
        let sent = self.device.transmit(frame);
        frame.advance(len);
        if sent {
            self.counters.inc(Counter::SegmentsSent);
        }
        sent
    }

    /// Sends a segment without payload for what has no slot, in a frame of its own. False (counted)
    /// if there is no frame or no room.
    pub(crate) fn send_control(&mut self, flow: &Flow, hop: Hop, fields: &Fields) -> bool {
        let Some(mut frame) = self.control_frame() else { return false };
        let sent = self.send(&mut frame, flow, hop, fields);
        self.pool.release(frame);
        sent
    }

    /// The same for a connection: no payload, or the few bytes of `payload`.
    pub(crate) fn send_control_to(
        &mut self,
        ends: &Ends,
        hop: Hop,
        fields: &Fields,
        payload: &[u8],
    ) -> bool {
        let Some(mut frame) = self.control_frame() else { return false };
        if !payload.is_empty() {
            self.pool.extend(&mut frame, payload.len());
            self.pool.bytes_mut(&mut frame).copy_from_slice(payload);
        }
        let sent = self.send_to(&mut frame, ends, hop, fields);
        self.pool.release(frame);
        sent
    }

    fn control_frame(&mut self) -> Option<Frame> {
        if self.device.room() == 0 {
            self.counters.inc(Counter::DropTransmitFull);
            return None;
        }
        let frame = self.pool.alloc(Class::Control);
        if frame.is_none() {
            self.counters.inc(Counter::DropNoFrames);
        }
        frame
    }

    /// RST, with an ACK if `ack` is given. `options`: the timestamps of a connection that has them
    /// (RFC 7323 section 3.2).
    pub(crate) fn send_reset(
        &mut self,
        flow: &Flow,
        hop: Hop,
        seq: Seq,
        ack: Option<Seq>,
        options: Options,
    ) -> bool {
        let flags = if ack.is_some() { Flags::RST | Flags::ACK } else { Flags::RST };
        let ack = ack.unwrap_or(Seq(0));
        let fields = Fields { seq, ack, flags, window: 0, urgent: 0, dscp: None, ecn: 0, options };
        let sent = self.send_control(flow, hop, &fields);
        if sent {
            self.counters.inc(Counter::ResetsSent);
        }
        sent
    }

    /// Whether one more answer to something unasked may go out (RFC 5961 section 7); counted if
    /// not.
    pub(crate) fn may_reply(&mut self) -> bool {
        if self.now.since(self.replies_since).as_secs() >= 1 {
            self.replies_since = self.now;
            // Half of them at least.
            self.draw.write_u64(self.now.nanos());
            let fewer = self.draw.finish() % (u64::from(self.replies_per_second) / 2 + 1);
            self.replies_left = self.replies_per_second - fewer as u32;
        }
        if self.replies_left == 0 {
            self.counters.inc(Counter::DropReplyLimit);
            return false;
        }
        self.replies_left -= 1;
        true
    }

    /// Sends a packet that is neither TCP nor built from a received one: `write` fills it and
    /// returns its length.
    pub(crate) fn send_packet(&mut self, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let Some(mut frame) = self.pool.alloc(Class::Control) else {
            self.counters.inc(Counter::DropNoFrames);
            return false;
        };
        let room = self.pool.tailroom(&frame);
        self.pool.extend(&mut frame, room);
        let len = write(self.pool.bytes_mut(&mut frame));
        frame.truncate(len);
        let sent = self.device.transmit(&frame);
        if !sent {
            self.counters.inc(Counter::DropTransmitFull);
        }
        self.pool.release(frame);
        sent
    }
}

/// Largest IP packet that fits a frame when we build it: its payload begins at the headroom, and
/// the shortest headers of IP and TCP are before that.
fn max_packet(pool: &Pool) -> u16 {
    (pool.frame_size() - Pool::TX_HEADROOM + SHORTEST_HEADERS) as u16
}

/// IPv4 and TCP without options.
const SHORTEST_HEADERS: usize = 40;
