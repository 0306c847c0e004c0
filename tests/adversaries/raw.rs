//! One end of a connection that is told what to send, segment by segment.

use std::net::{IpAddr, Ipv4Addr};

use sidestep::wire::tcp::{Flags, Headers, Options, Segment};
use sidestep::wire::{Addr, Body, Checks, DEFAULT_HOP_LIMIT, Link, Mac, Seq, parse};

pub(crate) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const SERVER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const RAW_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
pub(crate) const RAW_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
pub(crate) const PORT: u16 = 80;

/// What the peer knows of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    pub(crate) port: u16,
    pub(crate) snd_nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    /// The SYN was sent.
    begun: bool,
    pub(crate) open: bool,
    /// The server has reset it.
    pub(crate) reset: bool,
}

impl Raw {
    pub(crate) fn new(port: u16) -> Raw {
        let snd_nxt = Seq(u32::from(port) << 16);
        Raw { port, snd_nxt, rcv_nxt: Seq(0), begun: false, open: false, reset: false }
    }

    /// Sends the SYN, the first time.
    pub(crate) fn begin(&mut self, send: &mut Vec<Vec<u8>>) {
        if !core::mem::replace(&mut self.begun, true) {
            send.push(self.segment(self.snd_nxt, Flags::SYN, 65_535, &[]));
            self.snd_nxt += 1;
        }
    }

    /// One turn of who has this connection alone and reads all that comes. Whether it was opened
    /// now.
    pub(crate) fn opens(&mut self, received: &[Vec<u8>], send: &mut Vec<Vec<u8>>) -> bool {
        self.begin(send);
        let was_open = self.open;
        for segment in received.iter().filter_map(|packet| read(packet)) {
            self.take(&segment, true);
        }
        self.open && !was_open
    }

    /// An ACK of everything received that carries `payload` at `seq`.
    pub(crate) fn data(&self, seq: Seq, window: u16, payload: &[u8]) -> Vec<u8> {
        self.segment(seq, Flags::ACK | Flags::PSH, window, payload)
    }

    pub(crate) fn ack(&self, window: u16) -> Vec<u8> {
        self.segment(self.snd_nxt, Flags::ACK, window, &[])
    }

    fn segment(&self, seq: Seq, flags: Flags, window: u16, payload: &[u8]) -> Vec<u8> {
        let mss = flags.contains(Flags::SYN).then_some(1_460);
        let headers = Headers {
            link: Link { src: Mac(RAW_MAC), dst: Mac(SERVER_MAC), vlan: None },
            src: Addr::from(RAW_IP),
            dst: Addr::from(SERVER_IP),
            src_port: self.port,
            dst_port: PORT,
            seq,
            ack: self.rcv_nxt,
            flags,
            window,
            urgent: 0,
            hop_limit: DEFAULT_HOP_LIMIT,
            dscp: 0,
            ecn: 0,
            flow_label: 0,
            options: Options { mss, ..Options::default() },
        };
        let mut packet = vec![0; headers.len()];
        packet.extend_from_slice(payload);
        headers.emit(&mut packet);
        packet
    }

    /// Takes in what changes the connection; what arrives in order counts as received if `reads`.
    pub(crate) fn take(&mut self, segment: &Segment, reads: bool) {
        if segment.flags.contains(Flags::RST) {
            self.reset = true;
        } else if segment.flags.contains(Flags::SYN) {
            self.rcv_nxt = segment.seq + 1;
            self.open = true;
        } else if reads && segment.seq == self.rcv_nxt {
            self.rcv_nxt += u32::from(segment.payload_len);
        }
    }
}

/// The TCP segment in a frame, if it is one.
pub(crate) fn read(packet: &[u8]) -> Option<Segment> {
    match parse(packet, Checks::FULL).ok()?.body {
        Body::Tcp(segment) => Some(segment),
        _ => None,
    }
}
