//! One AF_XDP socket as system calls: options, ring mappings, bind, kicks and sleep.
#![allow(unsafe_code)]

use core::mem::{size_of, size_of_val};
use core::ptr;
use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::abi;
use super::error::Errno;
use super::mapping::Mapping;
use super::ring::{CompletionRing, FillRing, Layout, RxRing, TxRing};
use crate::device::poll::{poll, polled};

/// Entries of the rings; powers of two.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingSizes {
    pub(super) fill: u32,
    pub(super) completion: u32,
    pub(super) rx: u32,
    pub(super) tx: u32,
}

/// The four rings of a socket, the user's side of each.
#[derive(Debug)]
pub(super) struct Rings {
    pub(super) fill: FillRing,
    pub(super) completion: CompletionRing,
    pub(super) rx: RxRing,
    pub(super) tx: TxRing,
}

/// An AF_XDP socket, closed when dropped.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn new() -> Result<Socket, Errno> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(Errno::last());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        Ok(Socket(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Registers the region as this socket's UMEM. The kernel pins its pages, so that it stays
    /// harmless for the process's memory even if the region is unmapped first.
    pub(super) fn register_umem(
        &self,
        region: (ptr::NonNull<u8>, usize),
        chunk_size: u32,
    ) -> Result<(), Errno> {
        let registration = libc::xdp_umem_reg {
            addr: region.0.as_ptr() as u64,
            len: region.1 as u64,
            chunk_size,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        self.set(libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
    }

    /// Makes the rings and maps them.
    pub(super) fn make_rings(&self, sizes: RingSizes) -> Result<Rings, Errno> {
        self.set(libc::SOL_XDP, libc::XDP_UMEM_FILL_RING, &sizes.fill)?;
        self.set(libc::SOL_XDP, libc::XDP_UMEM_COMPLETION_RING, &sizes.completion)?;
        self.set(libc::SOL_XDP, libc::XDP_RX_RING, &sizes.rx)?;
        self.set(libc::SOL_XDP, libc::XDP_TX_RING, &sizes.tx)?;
        // SAFETY: a plain structure of integers, for which zero is a value.
        let mut offsets: libc::xdp_mmap_offsets = unsafe { core::mem::zeroed() };
        self.get(libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, &mut offsets)?;

        let fill = layout(&offsets.fr);
        let completion = layout(&offsets.cr);
        let (rx, tx) = (layout(&offsets.rx), layout(&offsets.tx));
        let fill_at = libc::XDP_UMEM_PGOFF_FILL_RING as i64;
        let completion_at = libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64;
        let map = |at, len| self.map(at, len);
        Ok(Rings {
            fill: FillRing::new(
                map(fill_at, fill.mapping_len::<u64>(sizes.fill))?,
                fill,
                sizes.fill,
            ),
            completion: CompletionRing::new(
                map(completion_at, completion.mapping_len::<u64>(sizes.completion))?,
                completion,
                sizes.completion,
            ),
            rx: RxRing::new(
                map(libc::XDP_PGOFF_RX_RING, rx.mapping_len::<abi::Descriptor>(sizes.rx))?,
                rx,
                sizes.rx,
            ),
            tx: TxRing::new(
                map(libc::XDP_PGOFF_TX_RING, tx.mapping_len::<abi::Descriptor>(sizes.tx))?,
                tx,
                sizes.tx,
            ),
        })
    }

    fn map(&self, offset: i64, len: usize) -> Result<Arc<Mapping>, Errno> {
        let mapping = Mapping::of_file(self.0.as_fd(), offset, len);
        mapping.map(Arc::new).map_err(|error| Errno::of(&error))
    }

    /// Binds to a queue. `flags`: `XDP_COPY`, `XDP_ZEROCOPY`, `XDP_USE_NEED_WAKEUP`, `XDP_USE_SG`.
    pub(super) fn bind(&self, interface: u32, queue: u32, flags: u16) -> Result<(), Errno> {
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: flags,
            sxdp_ifindex: interface,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        let len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a valid socket address of `len` bytes.
        check(unsafe { libc::bind(self.raw(), ptr::from_ref(&address).cast(), len) })
    }

    /// Whether the kernel moves packets without copying, as it says itself.
    pub(super) fn is_zero_copy(&self) -> Result<bool, Errno> {
        let mut options = libc::xdp_options { flags: 0 };
        self.get(libc::SOL_XDP, libc::XDP_OPTIONS, &mut options)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    /// What the kernel counted for this socket; zeros if it won't say.
    pub(super) fn statistics(&self) -> libc::xdp_statistics {
        // SAFETY: a plain structure of integers, for which zero is a value. Older kernels fill a
        // shorter one and leave the rest zero.
        let mut statistics: libc::xdp_statistics = unsafe { core::mem::zeroed() };
        let _ = self.get(libc::SOL_XDP, libc::XDP_STATISTICS, &mut statistics);
        statistics
    }

    /// Lets one `sendto` transmit a whole ring in copy mode, not 32 packets. Older kernels refuse,
    /// and a flush takes more calls.
    pub(super) fn raise_transmit_limits(&self, ring: u32) {
        let _ = self.set(libc::SOL_XDP, abi::XDP_MAX_TX_SKB_BUDGET, &ring);
        // Packets under way in copy mode are charged to the socket's send buffer.
        let bytes: libc::c_int = 64 << 20;
        let _ = self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes);
    }

    /// Asks for busy polling: our calls drive the driver's NAPI, `budget` packets each.
    pub(super) fn prefer_busy_poll(&self, micros: u32, budget: u32) -> Result<(), Errno> {
        self.set(libc::SOL_SOCKET, abi::SO_PREFER_BUSY_POLL, &1u32)?;
        self.set(libc::SOL_SOCKET, abi::SO_BUSY_POLL, &micros)?;
        self.set(libc::SOL_SOCKET, abi::SO_BUSY_POLL_BUDGET, &budget)
    }

    /// Whether there is a NAPI instance that busy polling could drive. In copy mode known only once
    /// a packet has come.
    pub(super) fn has_napi(&self) -> bool {
        let mut id = 0u32;
        self.get(libc::SOL_SOCKET, abi::SO_INCOMING_NAPI_ID, &mut id).is_ok() && id != 0
    }

    /// Tells the kernel to transmit; in copy mode, transmits.
    pub(super) fn kick_send(&self) -> Result<(), Errno> {
        // SAFETY: no buffer and no address, both of length zero.
        let sent =
            unsafe { libc::sendto(self.raw(), ptr::null(), 0, libc::MSG_DONTWAIT, ptr::null(), 0) };
        check(sent as i32)
    }

    /// Tells the kernel to receive: wakes the driver, or runs its NAPI when busy polling.
    pub(super) fn kick_receive(&self) -> Result<(), Errno> {
        // SAFETY: no buffer and no address, both of length zero.
        let received = unsafe {
            libc::recvfrom(
                self.raw(),
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        check(received as i32)
    }

    /// Wakes the driver for whatever ring asks for it. Under preferred busy polling `sendto` may
    /// succeed without waking a zero-copy driver; this always does.
    pub(super) fn kick_poll(&self) -> Result<(), Errno> {
        let answer = poll(&mut [polled(self.raw(), libc::POLLOUT)], Some(Duration::ZERO));
        answer.map_err(|error| Errno::of(&error))
    }

    /// Sleeps until a packet can be received, `waker` is readable or `timeout` is over.
    pub(super) fn sleep(&self, waker: RawFd, timeout: Option<Duration>) -> Result<(), Errno> {
        let both = [polled(self.raw(), libc::POLLIN), polled(waker, libc::POLLIN)];
        poll(&mut { both }, timeout).map_err(|error| Errno::of(&error))
    }

    fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    fn set<T>(&self, level: i32, option: i32, value: &T) -> Result<(), Errno> {
        let len = size_of::<T>() as libc::socklen_t;
        let value = ptr::from_ref(value).cast();
        // SAFETY: `value` points to `len` readable bytes.
        check(unsafe { libc::setsockopt(self.raw(), level, option, value, len) })
    }

    fn get<T>(&self, level: i32, option: i32, value: &mut T) -> Result<(), Errno> {
        let mut len = size_of::<T>() as libc::socklen_t;
        let value = ptr::from_mut(value).cast();
        // SAFETY: `value` points to `len` writable bytes, and all callers' types are plain
        // integers.
        check(unsafe { libc::getsockopt(self.raw(), level, option, value, &mut len) })
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn layout(offsets: &libc::xdp_ring_offset) -> Layout {
    Layout {
        producer: offsets.producer as usize,
        consumer: offsets.consumer as usize,
        flags: offsets.flags as usize,
        entries: offsets.desc as usize,
    }
}

fn check(answer: i32) -> Result<(), Errno> {
    if answer < 0 { Err(Errno::last()) } else { Ok(()) }
}
