//! The beginning of our own packet that an ICMP error quotes.

use zerocopy::FromBytes;

use super::addr::Addr;
use super::ipv4;
use super::ipv6;
use super::reject::Reject;
use super::seq::Seq;

/// What an ICMP error says about the packet it complains of.
///
/// Anyone can send one: the ports, and the sequence number against what is in flight, must be
/// checked before it is believed (RFC 5927 section 4). Ports and sequence number are meant only if
/// `protocol` is TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Who sent the packet: one of our addresses, if it is ours.
    pub src: Addr,
    /// Whom it was for.
    pub dst: Addr,
    /// The sender's port.
    pub src_port: u16,
    /// The receiver's port.
    pub dst_port: u16,
    /// The sequence number.
    pub seq: Seq,
    /// The IP protocol number.
    pub protocol: u8,
    /// Length of the packet when it was whole, IP header included.
    pub len: u16,
}

impl Quoted {
    /// Reads a quoted IPv4 packet. Its length and checksum are not looked at: it is cut short, and
    /// routers change it.
    pub(super) fn parse_v4(bytes: &[u8]) -> Result<Quoted, Reject> {
        let (header, _) = ipv4::Header::ref_from_prefix(bytes).map_err(|_| Reject::BadIcmp)?;
        let header_len = header.len().ok_or(Reject::BadIcmp)?;
        if header.is_fragment() {
            return Err(Reject::BadIcmp);
        }
        let bytes = bytes.get(header_len..).ok_or(Reject::BadIcmp)?;
        let (src, dst) = (Addr::from_v4(header.src), Addr::from_v4(header.dst));
        let transport = Transport { protocol: header.protocol, len: header.total_len.get() };
        transport.quoted(src, dst, bytes)
    }

    /// Reads a quoted IPv6 packet. We send no extension headers, so none are walked: the quote of
    /// a packet that has them names their protocol number, which is not TCP.
    pub(super) fn parse_v6(bytes: &[u8]) -> Result<Quoted, Reject> {
        let (header, rest) = ipv6::Header::ref_from_prefix(bytes).map_err(|_| Reject::BadIcmp)?;
        let (src, dst) = (Addr(header.src), Addr(header.dst));
        if !header.is_v6() || src.is_v4() || dst.is_v4() {
            return Err(Reject::BadIcmp);
        }
        let len = header.payload_len.get().saturating_add(ipv6::HEADER_LEN as u16);
        Transport { protocol: header.next_header, len }.quoted(src, dst, rest)
    }
}

/// What the IP header says of what follows it.
struct Transport {
    protocol: u8,
    len: u16,
}

impl Transport {
    /// The first 8 bytes after the IP header are all that is promised (RFC 792).
    fn quoted(self, src: Addr, dst: Addr, rest: &[u8]) -> Result<Quoted, Reject> {
        let &[a, b, c, d, e, f, g, h, ..] = rest else {
            return Err(Reject::BadIcmp);
        };
        Ok(Quoted {
            src,
            dst,
            src_port: u16::from_be_bytes([a, b]),
            dst_port: u16::from_be_bytes([c, d]),
            seq: Seq(u32::from_be_bytes([e, f, g, h])),
            protocol: self.protocol,
            len: self.len,
        })
    }
}
