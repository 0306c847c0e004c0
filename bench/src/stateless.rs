//! The limit: what must be done for a request by anything that speaks TCP, and nothing else.

use sidestep::device::{Frame, Pool};
use sidestep::wire::tcp::{Flags, Headers, Options, Segment, Timestamps};
use sidestep::wire::{self, Addr, Body, Checks, DEFAULT_HOP_LIMIT, Parsed, Seq};

/// Most payload bytes of a segment that it says it takes.
const MSS: u16 = 1_460;
/// The window that it claims: nothing is ever kept, so it never changes.
const WINDOW: u16 = u16::MAX;

/// Answers each segment from what the segment itself says: parses it, verifies its checksums,
/// builds the answer in the frame that it came in, and sums that.
///
/// It remembers nothing, not even which connections there are, and so does nothing for reliability:
/// what a real server needs beyond this is what it is measured for.
#[derive(Clone, Debug)]
pub struct Stateless {
    addr: Addr,
    port: u16,
    checks: Checks,
    response: Vec<u8>,
}

impl Stateless {
    /// Answers everything with payload for `addr` and `port` with `response`, which must fit one
    /// segment.
    ///
    /// # Panics
    /// If `response` is longer than 1,448 bytes.
    pub fn new(addr: Addr, port: u16, response: &[u8]) -> Stateless {
        assert!(response.len() <= usize::from(MSS) - 12, "a response is one segment");
        Stateless { addr, port, checks: Checks::FULL, response: response.to_vec() }
    }

    /// Turns the packet in `frame` into the answer to it. False if nothing is to be sent: the
    /// packet is not a segment to us, or is one that takes no answer.
    #[inline]
    pub fn answer(&self, pool: &Pool, frame: &mut Frame) -> bool {
        let mut parsed = Parsed::NOTHING;
        let Ok(()) = wire::parse_into(pool.bytes(frame), self.checks, &mut parsed) else {
            return false;
        };
        let Body::Tcp(segment) = &parsed.body else { return false };
        if segment.dst != self.addr || segment.dst_port != self.port {
            return false;
        }
        let Some((flags, seq, with_payload)) = plan(segment) else { return false };
        let headers = Headers {
            link: parsed.link.reversed(),
            src: segment.dst,
            dst: segment.src,
            src_port: segment.dst_port,
            dst_port: segment.src_port,
            seq,
            ack: segment.seq + segment.seg_len(),
            flags,
            window: WINDOW,
            urgent: 0,
            hop_limit: DEFAULT_HOP_LIMIT,
            dscp: 0,
            ecn: 0,
            flow_label: 0,
            options: options(segment, flags),
        };
        let payload: &[u8] = if with_payload { &self.response } else { &[] };
        write(pool, frame, &headers, payload);
        true
    }
}

/// Flags and sequence number of the answer, and whether it carries the response.
#[inline]
fn plan(segment: &Segment) -> Option<(Flags, Seq, bool)> {
    let flags = segment.flags;
    if flags.intersects(Flags::RST | Flags::SYN) {
        // Any number will do for the first one of ours.
        return (flags == Flags::SYN).then_some((Flags::SYN | Flags::ACK, segment.seq, false));
    }
    if flags.contains(Flags::FIN) {
        return Some((Flags::FIN | Flags::ACK, segment.ack, false));
    }
    let has_payload = segment.payload_len > 0;
    has_payload.then_some((Flags::PSH | Flags::ACK, segment.ack, true))
}

/// The peer's own clock serves as ours: it never runs backwards.
#[inline]
fn options(segment: &Segment, flags: Flags) -> Options {
    let timestamps = segment
        .options
        .timestamps
        .map(|Timestamps { value, .. }| Timestamps { value, echo: value });
    let mut options = Options { timestamps, ..Options::NONE };
    if flags.contains(Flags::SYN) {
        options.mss = Some(MSS);
        options.window_scale = segment.options.window_scale;
    }
    options
}

#[inline]
fn write(pool: &Pool, frame: &mut Frame, headers: &Headers, payload: &[u8]) {
    let start = headers.len();
    let len = start + payload.len();
    if len > frame.len() {
        pool.extend(frame, len - frame.len());
    } else {
        frame.truncate(len);
    }
    let bytes = pool.bytes_mut(frame);
    bytes[start..].copy_from_slice(payload);
    headers.emit(bytes);
}
