//! A received segment.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Flags, HEADER_LEN, Options};
use crate::wire::addr::Addr;
use crate::wire::checksum::{Sum, sum};
use crate::wire::ip::Datagram;
use crate::wire::parse::Checks;
use crate::wire::reject::Reject;
use crate::wire::seq::Seq;

/// Everything a TCP segment says, without borrowing from the packet, so that a batch of them can
/// stand in an array beside their frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The sender's address.
    pub src: Addr,
    /// The receiver's address.
    pub dst: Addr,
    /// The sender's port.
    pub src_port: u16,
    /// The receiver's port.
    pub dst_port: u16,
    /// The sequence number of the first byte, or of the SYN.
    pub seq: Seq,
    /// The next sequence number expected from the other side; means nothing without ACK.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, unscaled.
    pub window: u16,
    /// The urgent pointer; means nothing without URG.
    pub urgent: u16,
    /// Bytes from the beginning of the packet to the payload.
    pub payload_start: u16,
    /// Bytes of payload.
    pub payload_len: u16,
    /// The two ECN bits of the IP header (RFC 3168 section 5): 0 not capable, 1 ECT(1), 2 ECT(0),
    /// 3 congestion experienced.
    pub ecn: u8,
    /// The options.
    pub options: Options,
}

impl Segment {
    /// Says nothing.
    pub(in crate::wire) const NOTHING: Segment = Segment {
        src: Addr::UNSPECIFIED_V4,
        dst: Addr::UNSPECIFIED_V4,
        src_port: 0,
        dst_port: 0,
        seq: Seq(0),
        ack: Seq(0),
        flags: Flags::empty(),
        window: 0,
        urgent: 0,
        payload_start: 0,
        payload_len: 0,
        ecn: 0,
        options: Options::NONE,
    };

    /// SEG.LEN of RFC 9293: the sequence numbers taken by payload, SYN and FIN.
    #[inline]
    pub const fn seg_len(&self) -> u32 {
        // FIN and SYN are the two lowest bits: each counts one.
        let bits = self.flags.bits();
        let control = (bits & 1) + (bits >> 1 & 1);
        self.payload_len as u32 + control as u32
    }

    /// Whether it met congestion on its way: ECN field CE.
    #[inline]
    pub const fn is_marked(&self) -> bool {
        self.ecn == 3
    }

    /// The payload, given the packet this segment was parsed from.
    #[inline]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let start = usize::from(self.payload_start);
        packet.get(start..start + usize::from(self.payload_len)).unwrap_or_default()
    }
}

/// The header as it lies in memory, without options.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    src_port: U16,
    dst_port: U16,
    seq: U32,
    ack: U32,
    offset_flags: U16,
    window: U16,
    checksum: U16,
    urgent: U16,
}

impl Header {
    /// Bytes of the header with options, as it says itself.
    #[inline(always)]
    fn len(&self) -> usize {
        usize::from(self.offset_flags.get() >> 12) * 4
    }
}

/// A segment found to be sound: where its parts are.
#[derive(Clone, Copy)]
pub(in crate::wire) struct Found<'a> {
    header: &'a Header,
    options: &'a [u8],
    payload_len: u16,
}

impl<'a> Found<'a> {
    /// Finds the segment in an IP packet.
    #[inline(always)]
    pub(in crate::wire) fn in_datagram(
        datagram: &Datagram<'a>,
        checks: Checks,
    ) -> Result<Found<'a>, Reject> {
        let bytes = datagram.payload;
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| Reject::TooShort)?;
        let options_len = header.len().checked_sub(HEADER_LEN).ok_or(Reject::BadTcpHeader)?;
        let (options, payload) = rest.split_at_checked(options_len).ok_or(Reject::BadTcpHeader)?;
        let found = Found { header, options, payload_len: payload.len() as u16 };
        found.verify(checks, datagram.pseudo_header(), || sum(bytes))?;
        Ok(found)
    }

    /// Bytes of header and options.
    #[inline(always)]
    pub(in crate::wire) fn len(&self) -> u16 {
        (HEADER_LEN + self.options.len()) as u16
    }

    /// The same, where the parts are known.
    #[inline(always)]
    pub(in crate::wire) fn of_parts(
        header: &'a [u8; HEADER_LEN],
        options: &'a [u8],
        payload_len: usize,
    ) -> Found<'a> {
        let header = Header::ref_from_bytes(header).expect("as long as a header");
        Found { header, options, payload_len: payload_len as u16 }
    }

    /// Verifies the checksum, given the sum of the pseudo-header and how to get that of the rest.
    ///
    /// # Errors
    /// It is neither right, nor only begun where that is accepted.
    #[inline(always)]
    pub(in crate::wire) fn verify(
        &self,
        checks: Checks,
        pseudo: Sum,
        rest: impl FnOnce() -> Sum,
    ) -> Result<(), Reject> {
        match !checks.verify || self.is_whole(checks.accept_partial, pseudo, rest) {
            true => Ok(()),
            false => Err(Reject::BadTcpChecksum),
        }
    }

    /// Whether the checksum is right, or only begun where that is accepted.
    #[inline(always)]
    fn is_whole(&self, accept_partial: bool, pseudo: Sum, rest: impl FnOnce() -> Sum) -> bool {
        // First the cheap one: where checksums come unfinished, nearly all do.
        let field = self.header.checksum.get();
        accept_partial && field == pseudo.fold() || pseudo.combine(rest()).is_whole()
    }

    /// Reads it into `segment`, and with it what else is known of it. Field by field: what is put
    /// together elsewhere and copied is read in longer words than it was just written in, and waits
    /// for the writes.
    #[inline(always)]
    pub(in crate::wire) fn read(
        &self,
        (src, dst): (Addr, Addr),
        ecn: u8,
        payload_start: u16,
        segment: &mut Segment,
    ) {
        let header = self.header;
        (segment.src, segment.dst) = (src, dst);
        segment.src_port = header.src_port.get();
        segment.dst_port = header.dst_port.get();
        segment.seq = Seq(header.seq.get());
        segment.ack = Seq(header.ack.get());
        segment.flags = Flags::from_bits_truncate(header.offset_flags.get());
        segment.window = header.window.get();
        segment.urgent = header.urgent.get();
        segment.payload_start = payload_start;
        segment.payload_len = self.payload_len;
        segment.ecn = ecn;
        match Options::parse_aligned(self.options) {
            Some(timestamps) => segment.options.become_plain(timestamps),
            None => segment.options.read_any(self.options),
        }
    }
}
