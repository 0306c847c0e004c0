//! The layout that nearly every segment has, read at places that are known at compile time:
//! untagged Ethernet, IPv4 without options, TCP with its timestamps aligned (RFC 7323 appendix A)
//! and no other option.
//!
//! It says nothing that [`parse`](super::parse()) wouldn't, only sooner: four masked words tell
//! whether a packet is such a one, and whatever isn't, or isn't sound, goes the general way.

use super::addr::Addr;
use super::checksum::{sum, sum_array};
use super::ethernet::{EtherType, Link, Mac, UNTAGGED_LEN};
use super::ip::protocol;
use super::ipv4;
use super::parse::Checks;
use super::reject::Reject;
use super::tcp::{self, ALIGNED_TIMESTAMPS, COMMON_HEADERS, TIMESTAMPS_LEN};

const IP: usize = UNTAGGED_LEN;
const TCP: usize = IP + ipv4::HEADER_LEN;
const OPTIONS: usize = TCP + tcp::HEADER_LEN;
/// TCP's header with the timestamps.
const TCP_LEN: usize = COMMON_HEADERS - TCP;

/// A packet of the common layout, as long as it says.
pub(super) struct Common<'a> {
    headers: &'a [u8; COMMON_HEADERS],
    payload: &'a [u8],
}

impl<'a> Common<'a> {
    /// None for a packet of any other layout, whether sound or not.
    #[inline(always)]
    pub(super) fn find(packet: &'a [u8]) -> Option<Common<'a>> {
        let (headers, rest) = packet.split_first_chunk::<COMMON_HEADERS>()?;
        let mut common = Common { headers, payload: rest };
        // EtherType, version and header length; fragment bits and protocol; data offset; options.
        let [high, low] = EtherType::IPV4.0.to_be_bytes();
        let odd = common.differs::<{ IP - 2 }>([high, low, 0x45, 0], [0xff, 0xff, 0xff, 0])
            | common.differs::<{ IP + 6 }>([0, 0, 0, protocol::TCP], [0x3f, 0xff, 0, 0xff])
            | common.differs::<{ TCP + 12 }>([(TCP_LEN as u8) << 2, 0, 0, 0], [0xf0, 0, 0, 0])
            | common.differs::<OPTIONS>(ALIGNED_TIMESTAMPS, [0xff; 4]);
        let total_len = usize::from(common.word::<{ IP + 2 }>());
        let payload_len = total_len.checked_sub(COMMON_HEADERS - IP)?;
        if odd != 0 {
            return None;
        }
        common.payload = rest.get(..payload_len)?;
        Some(common)
    }

    /// The link layer and the time to live.
    #[inline(always)]
    pub(super) fn outer(&self) -> (Link, u8) {
        let link =
            Link { dst: Mac(*self.bytes::<0, 6>()), src: Mac(*self.bytes::<6, 6>()), vlan: None };
        let [hops] = *self.bytes::<{ IP + 8 }, 1>();
        (link, hops)
    }

    /// Reads the segment into `segment`, after the checksums are verified.
    ///
    /// # Errors
    /// One is wrong.
    #[inline(always)]
    pub(super) fn read(&self, checks: Checks, segment: &mut tcp::Segment) -> Result<(), Reject> {
        let addresses = sum_array(self.bytes::<{ IP + 12 }, 8>());
        let rest = sum_array(self.bytes::<IP, { ipv4::HEADER_LEN - 8 }>());
        if checks.verify && !rest.combine(addresses).is_whole() {
            return Err(Reject::BadIpChecksum);
        }
        let len = self.payload.len();
        let header = self.bytes::<TCP, { tcp::HEADER_LEN }>();
        let found = tcp::Found::of_parts(header, self.bytes::<OPTIONS, TIMESTAMPS_LEN>(), len);
        let pseudo = addresses.upper_layer(protocol::TCP, TCP_LEN + len);
        let rest = || sum_array(self.bytes::<TCP, TCP_LEN>()).combine(sum(self.payload));
        found.verify(checks, pseudo, rest)?;
        let [class] = *self.bytes::<{ IP + 1 }, 1>();
        let src = Addr::from_v4(*self.bytes::<{ IP + 12 }, 4>());
        let dst = Addr::from_v4(*self.bytes::<{ IP + 16 }, 4>());
        found.read((src, dst), class & 3, COMMON_HEADERS as u16, segment);
        Ok(())
    }

    /// Not zero if the four bytes at a place are others, where `mask` has ones.
    #[inline(always)]
    fn differs<const AT: usize>(&self, expected: [u8; 4], mask: [u8; 4]) -> u32 {
        let found = u32::from_ne_bytes(*self.bytes::<AT, 4>());
        (found ^ u32::from_ne_bytes(expected)) & u32::from_ne_bytes(mask)
    }

    #[inline(always)]
    fn word<const AT: usize>(&self) -> u16 {
        u16::from_be_bytes(*self.bytes::<AT, 2>())
    }

    #[inline(always)]
    fn bytes<const AT: usize, const LEN: usize>(&self) -> &'a [u8; LEN] {
        const { assert!(AT + LEN <= COMMON_HEADERS) };
        let (_, rest) = self.headers.split_at(AT);
        rest.first_chunk().expect("within the headers")
    }
}
