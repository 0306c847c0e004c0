//! The headers of a segment to be sent.

use super::options::TIMESTAMPS_LEN;
use super::{Flags, HEADER_LEN, MAX_OPTIONS, Options};
use crate::wire::addr::Addr;
use crate::wire::checksum::{Sum, sum, sum_array, sum_words};
use crate::wire::ethernet::{self, EtherType, Link};
use crate::wire::ip::protocol;
use crate::wire::seq::Seq;
use crate::wire::{ipv4, ipv6};

/// Bytes that the headers of a segment can take, at most: what a frame must leave free before its
/// payload. Tagged Ethernet, IPv6, TCP with all its options.
pub const MAX_HEADERS: usize = ethernet::TAGGED_LEN + ipv6::HEADER_LEN + HEADER_LEN + MAX_OPTIONS;

/// Bytes of the headers that nearly all packets have: untagged Ethernet, IPv4, TCP with timestamps.
pub(crate) const COMMON_HEADERS: usize =
    ethernet::UNTAGGED_LEN + ipv4::HEADER_LEN + HEADER_LEN + TIMESTAMPS_LEN;

/// All that the headers of a segment say, from Ethernet to TCP.
///
/// IPv4 if both addresses are, else IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The link layer.
    pub link: Link,
    /// Our address.
    pub src: Addr,
    /// The peer's address.
    pub dst: Addr,
    /// Our port.
    pub src_port: u16,
    /// The peer's port.
    pub dst_port: u16,
    /// The sequence number.
    pub seq: Seq,
    /// The acknowledgment number.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, already scaled down.
    pub window: u16,
    /// The urgent pointer.
    pub urgent: u16,
    /// The hop limit or time to live.
    pub hop_limit: u8,
    /// The six bits of the Differentiated Services field (RFC 2474).
    pub dscp: u8,
    /// The two ECN bits of the IP header (RFC 3168 section 5).
    pub ecn: u8,
    /// The IPv6 flow label, 20 bits (RFC 6437); unused in IPv4.
    pub flow_label: u32,
    /// The options.
    pub options: Options,
}

/// Where the parts of a packet are, and what is in front of its TCP header.
#[derive(Clone, Copy)]
struct Layout {
    link: Link,
    is_v4: bool,
    options_len: usize,
}

impl Layout {
    #[inline(always)]
    fn headers_len(&self) -> usize {
        let ip = if self.is_v4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        self.link.header_len() + ip + HEADER_LEN + self.options_len
    }
}

impl Headers {
    /// Bytes of all headers: where the payload starts. At most [`MAX_HEADERS`].
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "headers are never empty")]
    pub fn len(&self) -> usize {
        match self.common_layout() {
            Some(layout) => layout.headers_len(),
            None => self.layout().headers_len(),
        }
    }

    #[inline]
    fn is_v4(&self) -> bool {
        self.src.is_v4() && self.dst.is_v4()
    }

    #[inline]
    fn layout(&self) -> Layout {
        let options_len = self.options.emitted_len();
        Layout { link: self.link, is_v4: self.is_v4(), options_len }
    }

    /// The layout that nearly all packets have: whoever knows that all of this is so, at compile
    /// time, has all lengths there too.
    #[inline(always)]
    fn common_layout(&self) -> Option<Layout> {
        let common = self.link.vlan.is_none()
            && self.is_v4()
            && self.options.timestamps.is_some()
            && self.options.is_plain();
        let link = Link { vlan: None, ..self.link };
        common.then_some(Layout { link, is_v4: true, options_len: TIMESTAMPS_LEN })
    }

    /// Writes the headers, lengths and checksums included, before a payload already in place: byte
    /// [`len`](Headers::len) of `packet` is the payload's first, and its last is the packet's.
    ///
    /// # Panics
    /// If `packet` is shorter than the headers, or longer than IP can carry (65,535 bytes after the
    /// Ethernet header).
    #[inline]
    pub fn emit(&self, packet: &mut [u8]) {
        match self.common_layout() {
            Some(layout) => self.emit_as(layout, packet),
            None => self.emit_any(packet),
        }
    }

    /// [`emit`](Headers::emit) of headers that have the common layout: the
    /// caller has seen to it, and what is built for this alone need not lie in memory.
    ///
    /// # Panics
    /// If they have another one.
    #[inline(always)]
    pub(crate) fn emit_common(&self, packet: &mut [u8]) {
        self.emit_as(self.common_layout().expect("headers of the common layout"), packet);
    }

    #[inline(never)]
    fn emit_any(&self, packet: &mut [u8]) {
        self.emit_as(self.layout(), packet);
    }

    #[inline(always)]
    fn emit_as(&self, layout: Layout, packet: &mut [u8]) {
        let Layout { link, is_v4, options_len } = layout;
        assert!(packet.len() >= layout.headers_len(), "headers in {} bytes", packet.len());
        let ether_type = if is_v4 { EtherType::IPV4 } else { EtherType::IPV6 };
        let datagram = link.emit(ether_type, packet);
        let datagram_len = datagram.len();
        assert!(datagram_len <= usize::from(u16::MAX), "{datagram_len} bytes are too many for IP");
        let (addresses, bytes) = if is_v4 {
            let (header, bytes) = datagram.split_at_mut(ipv4::HEADER_LEN);
            let (src, dst) = (self.src.low(), self.dst.low());
            let addresses = sum_array(&src).combine(sum_array(&dst));
            let repr = ipv4::Repr {
                src,
                dst,
                protocol: protocol::TCP,
                hop_limit: self.hop_limit,
                dscp: self.dscp,
                ecn: self.ecn,
                total_len: datagram_len as u16,
            };
            header.copy_from_slice(&repr.to_bytes(addresses));
            (addresses, bytes)
        } else {
            let (header, bytes) = datagram.split_at_mut(ipv6::HEADER_LEN);
            let repr = ipv6::Repr {
                src: self.src,
                dst: self.dst,
                protocol: protocol::TCP,
                hop_limit: self.hop_limit,
                dscp: self.dscp,
                ecn: self.ecn,
                flow_label: self.flow_label,
                payload_len: bytes.len() as u16,
            };
            header.copy_from_slice(&repr.to_bytes());
            (sum_array(&self.src.0).combine(sum_array(&self.dst.0)), bytes)
        };
        self.emit_tcp(bytes, options_len, addresses);
    }

    /// Writes the TCP header and its options at the beginning of `bytes`, the checksum over all.
    #[inline(always)]
    fn emit_tcp(&self, bytes: &mut [u8], options_len: usize, addresses: Sum) {
        let len = bytes.len();
        let (header, rest) = bytes.split_at_mut(HEADER_LEN);
        let (options, payload) = rest.split_at_mut(options_len);
        let offset_flags =
            ((HEADER_LEN + options_len) as u32) << 26 | u32::from(self.flags.bits()) << 16;
        let [ports, seq, ack, control] = [
            u32::from(self.src_port) << 16 | u32::from(self.dst_port),
            self.seq.0,
            self.ack.0,
            offset_flags | u32::from(self.window),
        ];
        // The sum is taken from the values, not read back from where they were just stored.
        let words = [ports, seq, ack, control, u32::from(self.urgent)];
        let checksum = addresses
            .combine(sum_words(&words))
            .upper_layer(protocol::TCP, len)
            .combine(self.options.emit(options))
            .combine(sum(payload))
            .checksum();
        let last = u32::from(checksum) << 16 | u32::from(self.urgent);
        let (places, _) = header.as_chunks_mut();
        for (place, word) in places.iter_mut().zip([ports, seq, ack, control, last]) {
            *place = word.to_be_bytes();
        }
    }
}
