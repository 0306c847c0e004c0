//! The peer that packetdrill plays, and connections to it.

use std::ffi::c_int;

use super::driver::Driver;
use super::segments::codec::{Decoded, decode, encode};
use super::segments::path::{Family, Path};
use super::segments::segment::{ACK, SYN, Segment, TcpOption};

const ETHERNET: usize = 14;
/// The peer's first sequence number.
const IRS: u32 = 7_000;
pub(super) const MSS: u16 = 1_000;

/// One connection, seen from its other end.
pub(super) struct Peer<'a> {
    pub(super) driver: &'a Driver,
    pub(super) path: Path,
    /// The next sequence number of each side, as far as this end has kept count.
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
}

impl<'a> Peer<'a> {
    pub(super) fn new(driver: &'a Driver, family: Family) -> Peer<'a> {
        let path = Path::new(family, 8_080, 40_000);
        Peer { driver, path, seq: IRS, ack: 0, window: 65_535 }
    }

    /// Sends a segment at this end's sequence number, which moves on.
    pub(super) fn send(&mut self, flags: u16, payload: &[u8]) {
        let options = if flags & SYN != 0 { vec![TcpOption::Mss(MSS)] } else { Vec::new() };
        let segment = Segment {
            src_port: self.path.remote.port(),
            dst_port: self.path.local.port(),
            seq: self.seq,
            ack: if flags & ACK != 0 { self.ack } else { 0 },
            flags,
            window: self.window,
            urgent: 0,
            ecn: 0,
            options,
            payload: payload.to_vec(),
        };
        self.seq = self.seq.wrapping_add(segment.seq_len());
        let frame = encode(&self.path, &segment);
        assert_eq!(self.driver.netdev_send(&frame[ETHERNET..]), Ok(0));
    }

    /// The next segment, with the time; this end acknowledges it in what it sends next.
    pub(super) fn receive(&mut self) -> Option<(i64, Segment)> {
        let (at, packet) = self.driver.netdev_receive()?;
        let kind = if packet[0] >> 4 == 4 { 0x0800u16 } else { 0x86dd };
        let mut frame = [self.path.remote_mac, self.path.local_mac].concat();
        frame.extend(kind.to_be_bytes());
        frame.extend(packet);
        match decode(&self.path, &frame) {
            Ok(Decoded::Tcp(segment)) => {
                self.ack = self.ack.max(segment.seq.wrapping_add(segment.seq_len()));
                Some((at, segment))
            }
            other => panic!("expected a segment: {other:?}"),
        }
    }

    /// The next segment's flags and payload length.
    pub(super) fn flags(&mut self) -> (u16, usize) {
        let (_, segment) = self.receive().expect("a segment");
        (segment.flags, segment.payload.len())
    }

    /// A listening socket.
    pub(super) fn listen(&self) -> c_int {
        let domain = if self.path.local.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = self.driver.socket(domain);
        assert_eq!(self.driver.bind(fd, self.path.local), Ok(0));
        assert_eq!(self.driver.listen(fd), Ok(0));
        fd
    }

    /// Three segments: a connection that waits to be accepted.
    pub(super) fn open(&mut self) {
        self.send(SYN, &[]);
        let (flags, _) = self.flags();
        assert_eq!(flags, SYN | ACK);
        self.send(ACK, &[]);
    }

    /// Listens, opens, accepts: the sockets of listener and connection.
    pub(super) fn accepted(&mut self) -> (c_int, c_int) {
        let listener = self.listen();
        self.open();
        (listener, self.driver.accept(listener).expect("a connection") as c_int)
    }
}
