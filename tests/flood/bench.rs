//! A program that answers floods, at a moment that stands still, and frames for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sidestep::device::SynAckOffer;
use sidestep::device::af_xdp::{Nic, Shield, Steer, Verdict};
use sidestep::tcp::cookie::{CookieKeys, Ecn, Key, Tuple};
use sidestep::wire::Addr;

use crate::common;
use crate::segments::codec::{Decoded, decode, encode};
use crate::segments::path::Path;
use crate::segments::segment::{ACK, CWR, ECE, SYN, Segment, TcpOption};
use crate::steered;
use crate::vectors::Vector;

pub(crate) type Outcome = (Verdict, &'static str);

pub(crate) const PASS: Outcome = (Verdict::Pass, "passed");
pub(crate) const SENT: Outcome = (Verdict::Transmit, "syn_cookies_sent");
/// To the engine; there is no socket here.
pub(crate) const REDIRECTED: Outcome = (Verdict::Drop, "no_socket");
pub(crate) const PASSED_ON: Outcome = (Verdict::Drop, "syn_cookies_passed");
pub(crate) const FAILED: Outcome = (Verdict::Drop, "syn_cookies_failed");
pub(crate) const FLOOD_DROPPED: Outcome = (Verdict::Drop, "flood_dropped");
pub(crate) const BAD_CHECKSUM: Outcome = (Verdict::Drop, "bad_checksum");
pub(crate) const FRAGMENT: Outcome = (Verdict::Drop, "fragments_dropped");

/// What an engine with default settings offers on a link of 1,500 bytes.
pub(crate) const OFFER: SynAckOffer = SynAckOffer {
    mss_v4: 1_460,
    mss_v6: 1_440,
    window: 65_535,
    window_scale: Some(3),
    sack: true,
    timestamps: true,
    classic_ecn: true,
    accurate_ecn: false,
};

pub(crate) struct Bench {
    steer: Steer,
    keys: Arc<CookieKeys>,
    pub(crate) out: Vec<u8>,
}

impl Bench {
    pub(crate) fn new(unix_ms: u64) -> Option<Bench> {
        let steer = common::or_skip(Steer::load(1))?;
        let keys = CookieKeys::fixed(Key::new([0x5d; 16]));
        steer.shield().publish_keys(&keys);
        steer.shield().stop_clock(unix_ms);
        let bench = Bench { steer, keys, out: Vec::new() };
        bench.flood_with(false);
        Some(bench)
    }

    pub(crate) fn flood_with(&self, takes_partial: bool) {
        self.shield().flood(0, Some(&OFFER), takes_partial);
    }

    pub(crate) fn flood_queue(&self, queue: u32) {
        self.shield().flood(queue, Some(&OFFER), false);
    }

    pub(crate) fn shield(&self) -> &Shield {
        self.steer.shield()
    }

    pub(crate) fn keys(&self) -> Arc<CookieKeys> {
        Arc::clone(&self.keys)
    }

    pub(crate) fn serve(&self, tuple: &Tuple) {
        self.steer.serve(tuple.local.to_ip(), tuple.local_port).expect("an entry");
    }

    /// Makes an IPv4 address ours alone.
    pub(crate) fn own(&mut self, address: IpAddr) {
        // Only IPv6 asks for the interface: there are groups to join.
        let nic = Nic {
            name: String::new(),
            index: 0,
            mac: [0; 6],
            mtu: 1_500,
            up: true,
            driver: String::new(),
            rx_queues: 1,
            tx_queues: 1,
        };
        self.steer.own(&nic, address).expect("an entry");
    }

    /// What the program does with `frame`: its verdict and the counter that moved. Of two, the one
    /// that is not about the missing socket.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Outcome {
        let (verdict, moved) = steered::run(&mut self.steer, frame, &mut self.out);
        match moved.as_slice() {
            [one] | ["no_socket", one] | ["passed", one] => (verdict, one),
            other => panic!("moved {other:?}"),
        }
    }

    /// The SYN-ACK that the last frame has become, checked as a strict client would.
    pub(crate) fn answer(&self, tuple: &Tuple) -> Segment {
        let socket = |addr: Addr, port| SocketAddr::new(addr.to_ip(), port);
        let path = Path {
            local: socket(tuple.local, tuple.local_port),
            remote: socket(tuple.remote, tuple.remote_port),
            local_mac: Path::LOCAL_MAC,
            remote_mac: Path::REMOTE_MAC,
        };
        match decode(&path, &self.out) {
            Ok(Decoded::Tcp(segment)) if segment.flags & !ECE == SYN | ACK => segment,
            other => panic!("no SYN-ACK: {other:?}"),
        }
    }
}

pub(crate) fn tuple(path: &Path) -> Tuple {
    Tuple {
        local: Addr::from(path.local.ip()),
        remote: Addr::from(path.remote.ip()),
        local_port: path.local.port(),
        remote_port: path.remote.port(),
    }
}

fn path(tuple: &Tuple) -> Path {
    Path {
        local: SocketAddr::new(tuple.local.to_ip(), tuple.local_port),
        remote: SocketAddr::new(tuple.remote.to_ip(), tuple.remote_port),
        local_mac: Path::LOCAL_MAC,
        remote_mac: Path::REMOTE_MAC,
    }
}

/// A SYN without options.
pub(crate) fn syn(path: &Path) -> Segment {
    Segment {
        src_port: path.remote.port(),
        dst_port: path.local.port(),
        seq: 77,
        flags: SYN,
        window: 65_535,
        ..Segment::default()
    }
}

pub(crate) fn frame(path: &Path, segment: &Segment) -> Vec<u8> {
    encode(path, segment)
}

/// The SYN that a vector's cookie answers.
pub(crate) fn syn_of(vector: &Vector) -> Vec<u8> {
    let path = path(&vector.tuple);
    let said = vector.remembered;
    let mut options = vec![TcpOption::Mss(said.mss)];
    if said.sack {
        options.push(TcpOption::SackPermitted);
    }
    if said.timestamps {
        options.push(TcpOption::Timestamps { val: 99, ecr: 0 });
    }
    if let Some(scale) = said.window_scale {
        options.extend([TcpOption::Nop, TcpOption::WindowScale(scale)]);
    }
    let ask = if said.ecn == Ecn::Classic { ECE | CWR } else { 0 };
    frame(&path, &Segment { seq: vector.irs.0, flags: SYN | ask, options, ..syn(&path) })
}

/// The ACK that brings its cookie back, `off` by so much.
pub(crate) fn ack_of(vector: &Vector, off: u32) -> Vec<u8> {
    let path = path(&vector.tuple);
    let options = match vector.cookie.timestamp {
        Some(ecr) => {
            vec![TcpOption::Nop, TcpOption::Nop, TcpOption::Timestamps { val: 100, ecr }]
        }
        None => Vec::new(),
    };
    let (seq, ack) = (vector.irs.0.wrapping_add(1), vector.cookie.isn.0.wrapping_add(1 + off));
    frame(&path, &Segment { flags: ACK, seq, ack, options, ..syn(&path) })
}

/// Puts an IPv6 extension header of eight bytes before the rest.
pub(crate) fn with_extension(frame: &[u8], kind: u8, body: &[u8; 7]) -> Vec<u8> {
    let mut out = frame[..54].to_vec();
    let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    out[18..20].copy_from_slice(&length.to_be_bytes());
    out[20] = kind;
    out.push(frame[20]);
    out.extend(body);
    out.extend(&frame[54..]);
    out
}

/// The checksum of an IPv4 header that was changed, made right again.
pub(crate) fn mend_ipv4(frame: &mut [u8]) {
    let len = usize::from(frame[14] & 15) * 4;
    frame[24..26].fill(0);
    let mut sum = 0u32;
    for pair in frame[14..14 + len].chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[24..26].copy_from_slice(&(!sum as u16).to_be_bytes());
}

/// A frame whose IP header has this ECN field.
pub(crate) fn with_ecn(path: &Path, segment: &Segment, field: u8) -> Vec<u8> {
    let mut frame = frame(path, segment);
    if path.local.is_ipv4() {
        frame[15] |= field;
        mend_ipv4(&mut frame);
    } else {
        frame[15] |= field << 4;
    }
    frame
}

/// The same segment with a checksum that is only begun: the sum over the pseudo-header.
pub(crate) fn begun(path: &Path, segment: &Segment) -> Vec<u8> {
    let mut frame = frame(path, segment);
    let tcp = if path.local.is_ipv4() { 34 } else { 54 };
    let len = (frame.len() - tcp) as u16;
    let tuple = tuple(path);
    let addresses = if path.local.is_ipv4() { 12..16 } else { 0..16 };
    let mut bytes = [&tuple.local.0[addresses.clone()], &tuple.remote.0[addresses]].concat();
    bytes.extend([0, 6]);
    bytes.extend(len.to_be_bytes());
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[tcp + 16..tcp + 18].copy_from_slice(&(sum as u16).to_be_bytes());
    frame
}

/// The clock that the XDP program reads.
pub(crate) fn monotonic_ns() -> u64 {
    Shield::monotonic_ns()
}
