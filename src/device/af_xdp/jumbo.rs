//! Packets larger than a page, in frames that are.
//!
//! The kernel takes no UMEM chunk larger than a page, on huge pages neither; a larger packet is
//! several descriptors in a row, all but the last with `XDP_PKT_CONTD` (multi-buffer AF_XDP,
//! `XDP_USE_SG`, Linux 6.6). A frame of ours is a whole packet's nevertheless: everybody above the
//! device reads, writes, queues, cuts and retransmits one view of one frame, whatever the MTU, and
//! pays nothing for what only jumbo frames need. So a frame of 16 KiB is four chunks side by side:
//!
//! - What is sent lies there in one piece and is described chunk by chunk: nothing is copied.
//! - What is received lies in the first chunks of several frames, as the kernel keeps 256 bytes
//!   free in front of each: what isn't in the first chunk is copied behind it, into the same frame,
//!   and the other frames are free again. That is 5 KiB of a packet of 9,000 bytes, copied once,
//!   while the kernel or the card has just written them.
//!
//! The other way, a packet as a list of frames through the whole engine, would save that copy, and
//! make every queue, scoreboard and retransmission one of lists.
//!
//! The price is memory: a small packet takes a large frame too. That is why frames are large only
//! where the MTU asks for it, and [fewer then](fitting). Rings have as many entries as ever, which
//! hold a quarter of the packets to transmit, and as received, a third of those of 9,000 bytes.

use super::abi;
use super::error::{AfXdpError, Errno};
use super::{Nic, privilege};
use crate::device::{Frame, Pool, PoolConfig};

/// Bytes of the largest chunk that the kernel takes.
pub(super) const CHUNK: u32 = 4_096;
/// Bytes of an Ethernet header with one VLAN tag.
const LINK_HEADER: u32 = 18;
/// Largest MTU that drivers take with a program that knows nothing of fragments: what a page holds
/// beside XDP's headroom and what the kernel keeps at its end. Some take less.
const PLAIN_MTU: u32 = 3_498;
/// Sizes of frames.
const SIZES: [u32; 3] = [2_048, CHUNK, 4 * CHUNK];

/// Largest IP packet that a frame of `size` bytes takes.
pub(super) const fn largest_mtu(size: u32) -> u32 {
    size - abi::PACKET_HEADROOM - LINK_HEADER
}

/// The size of the smallest frames that take packets of `mtu` bytes, if any do.
pub(super) fn frame_size(mtu: u32) -> Option<u32> {
    SIZES.into_iter().find(|size| mtu <= largest_mtu(*size))
}

/// Whether the XDP program must say that it can live with fragments.
pub(super) const fn has_fragments(nic: &Nic) -> bool {
    nic.mtu > PLAIN_MTU
}

/// The pool asked for, or if packets of `mtu` bytes don't fit its frames, one of frames that they
/// fit: of 4,096 bytes, or a quarter as many of 16,384. No frames take more than an MTU of 16,110.
pub fn fitting(pool: PoolConfig, mtu: u32) -> PoolConfig {
    let [.., largest] = SIZES;
    let size = frame_size(mtu).unwrap_or(largest);
    if size <= pool.frame_size {
        return pool;
    }
    let frames = if size > CHUNK { pool.frames / 4 } else { pool.frames };
    PoolConfig { frame_size: size, frames, reserve: pool.reserve.min(frames / 4), ..pool }
}

/// Why packets of this interface can't be had: the kernel refused what they need.
pub(super) fn not_here(nic: &Nic, doing: &'static str, answer: Errno) -> AfXdpError {
    AfXdpError::NoMultiBuffer {
        interface: nic.name.clone(),
        mtu: nic.mtu,
        largest: largest_mtu(CHUNK).min(PLAIN_MTU),
        doing,
        release: privilege::kernel_release(),
        answer,
    }
}

/// What a queue remembers whose frames are larger than a chunk.
#[derive(Debug)]
pub(super) struct Jumbo {
    /// A packet whose last part has not yet come.
    begun: Option<Frame>,
    /// It is larger than a frame, which the link's MTU rules out.
    too_large: bool,
    /// Packets lost for that.
    pub(super) dropped: u64,
    /// Descriptors in the transmit ring, by position of the frame.
    parts: Box<[u8]>,
}

impl Jumbo {
    /// `None` where each frame is one chunk.
    pub(super) fn new(pool: &Pool) -> Option<Jumbo> {
        (pool.frame_size() > CHUNK as usize).then(|| Jumbo {
            begun: None,
            too_large: false,
            dropped: 0,
            parts: vec![0; pool.frames() as usize].into(),
        })
    }

    /// Takes the next part of a packet, and gives the packet out after its last.
    pub(super) fn received(&mut self, pool: &Pool, part: Frame, more: bool) -> Option<Frame> {
        let packet = match self.begun.take() {
            None => part,
            Some(mut packet) => {
                self.append(pool, &mut packet, &part);
                pool.release(part);
                packet
            }
        };
        if more {
            self.begun = Some(packet);
            return None;
        }
        if core::mem::take(&mut self.too_large) {
            self.dropped += 1;
            pool.release(packet);
            return None;
        }
        Some(packet)
    }

    fn append(&mut self, pool: &Pool, packet: &mut Frame, part: &Frame) {
        if part.len() > pool.tailroom(packet) {
            self.too_large = true;
            return;
        }
        let before = packet.len();
        pool.extend(packet, part.len());
        pool.bytes_mut(packet)[before..].copy_from_slice(pool.bytes(part));
    }

    /// The frame at `position` goes into the transmit ring in so many parts.
    pub(super) fn posted(&mut self, position: u32, parts: u32) {
        self.parts[position as usize] = parts as u8;
    }

    /// A part of the frame at `position` was transmitted. Whether that was the last.
    pub(super) fn completed(&mut self, position: u32) -> bool {
        let left = &mut self.parts[position as usize];
        assert!(*left > 0, "more parts of a frame were completed than posted");
        *left -= 1;
        *left == 0
    }
}

/// The parts of a packet of `len` bytes at `address`, in order: addresses, lengths, and whether
/// more follow.
pub(super) fn parts(address: u64, len: usize) -> impl ExactSizeIterator<Item = (u64, u32, bool)> {
    let chunk = u64::from(CHUNK);
    let end = address + len as u64;
    let first = address / chunk;
    let count = end.div_ceil(chunk) - first;
    (0..count as usize).map(move |n| {
        let start = address.max((first + n as u64) * chunk);
        let stop = end.min((first + n as u64 + 1) * chunk);
        (start, (stop - start) as u32, stop < end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Class, Place};

    fn pool() -> Pool {
        let config = PoolConfig { frames: 16, frame_size: 16_384, reserve: 2, huge_pages: false };
        Pool::new(config).expect("frames")
    }

    /// A part as it comes from the ring.
    fn part(pool: &Pool, len: usize, byte: u8) -> Frame {
        let position = pool.take_for_fill().expect("a free frame");
        let mut frame = pool.received(position, 256, len);
        pool.bytes_mut(&mut frame).fill(byte);
        frame
    }

    #[test]
    fn parts_become_one_view_and_their_frames_are_free() {
        let pool = pool();
        let mut jumbo = Jumbo::new(&pool).expect("large frames");
        assert_eq!(jumbo.received(&pool, part(&pool, 3_840, 1), true), None);
        assert_eq!(jumbo.received(&pool, part(&pool, 3_840, 2), true), None);
        let packet = jumbo.received(&pool, part(&pool, 1_334, 3), false).expect("the last part");
        let expected = [vec![1; 3_840], vec![2; 3_840], vec![3; 1_334]].concat();
        assert_eq!(pool.bytes(&packet), expected);
        assert_eq!(pool.free(), pool.frames() - 1);
        pool.release(packet);
        let small = jumbo.received(&pool, part(&pool, 60, 4), false).expect("the only part");
        assert_eq!(small.len(), 60);
        pool.release(small);
    }

    #[test]
    fn what_is_larger_than_a_frame_is_dropped_as_a_whole() {
        let pool = pool();
        let mut jumbo = Jumbo::new(&pool).expect("large frames");
        for n in 0..5 {
            assert_eq!(jumbo.received(&pool, part(&pool, 3_840, n), n < 4), None);
        }
        assert_eq!((jumbo.dropped, pool.free()), (1, pool.frames()));
        let next = jumbo.received(&pool, part(&pool, 100, 5), false).expect("the next packet");
        assert_eq!(next.len(), 100);
        pool.release(next);
    }

    #[test]
    fn no_part_crosses_a_chunk() {
        let of = |address, len| parts(address, len).collect::<Vec<_>>();
        assert_eq!(of(128, 3_968), [(128, 3_968, false)]);
        assert_eq!(of(128, 3_969), [(128, 3_968, true), (4_096, 1, false)]);
        let jumbo = [(16_458, 4_022, true), (20_480, 4_096, true), (24_576, 896, false)];
        assert_eq!(of(16_458, 9_014), jumbo);
        assert_eq!(parts(16_458, 9_014).len(), 3);
    }

    #[test]
    fn a_frame_is_completed_with_its_last_part() {
        let pool = pool();
        let mut jumbo = Jumbo::new(&pool).expect("large frames");
        let frame = pool.alloc(Class::Data).expect("a frame");
        let position = pool.position(&frame);
        jumbo.posted(position, 3);
        assert!(!jumbo.completed(position));
        assert!(!jumbo.completed(position));
        assert!(jumbo.completed(position));
        assert_eq!(pool.census().at(Place::InHand), 1);
        pool.release(frame);
    }

    #[test]
    fn frames_are_as_large_as_the_mtu_asks() {
        let default = PoolConfig::default();
        let of = |mtu| {
            let pool = fitting(default, mtu);
            (pool.frame_size, pool.frames)
        };
        assert_eq!(of(1_500), (2_048, 16_384));
        assert_eq!(of(1_774), (2_048, 16_384));
        assert_eq!(of(1_775), (4_096, 16_384));
        assert_eq!(of(3_822), (4_096, 16_384));
        assert_eq!(of(3_823), (16_384, 4_096));
        assert_eq!(of(16_110), (16_384, 4_096));
        // Refused when a queue is opened, and told what would fit.
        assert_eq!(of(16_111), (16_384, 4_096));
        let chosen = PoolConfig { frame_size: 16_384, frames: 99, ..default };
        assert_eq!(fitting(chosen, 9_000).frames, 99);
    }

    #[test]
    fn an_old_kernel_is_told_from_a_large_mtu() {
        let nic = Nic {
            name: "eth1".into(),
            index: 2,
            mac: [2; 6],
            mtu: 9_000,
            up: true,
            driver: "veth".into(),
            rx_queues: 1,
            tx_queues: 1,
        };
        assert!(has_fragments(&nic) && !has_fragments(&Nic { mtu: 1_500, ..nic.clone() }));
        let text = not_here(&nic, "binding", Errno(libc::EINVAL)).to_string();
        for part in ["machine:", "9000", "Linux 6.6", "EINVAL", "mtu 3498", "4096 bytes"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn ordinary_frames_need_none_of_this() {
        let pool = Pool::new(PoolConfig { frames: 16, reserve: 2, ..PoolConfig::default() });
        assert!(Jumbo::new(&pool.expect("frames")).is_none());
    }
}
