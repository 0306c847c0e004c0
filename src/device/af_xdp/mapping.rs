//! One shared memory mapping of a ring.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A readable and writable mapping, page-aligned, unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is no more than an address range, which any thread may use and, being the last
// one, unmap. What is done with the pointers into it is for those who make them to justify.
unsafe impl Send for Mapping {}
// SAFETY: as above; its methods only compute addresses.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the socket or map `fd` at `offset`, all pages present.
    pub(super) fn of_file(fd: BorrowedFd<'_>, offset: i64, len: usize) -> io::Result<Mapping> {
        map(len, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)
    }

    /// Maps `len` zeroed bytes of no file.
    #[cfg(test)]
    pub(super) fn anonymous(len: usize) -> io::Result<Mapping> {
        map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Pointer to `count` values of type `T` at `offset` bytes.
    ///
    /// # Panics
    /// If they are not inside of the mapping, or not aligned.
    pub(super) fn at<T>(&self, offset: usize, count: usize) -> NonNull<T> {
        let bytes = count.checked_mul(size_of::<T>());
        let end = bytes.and_then(|bytes| offset.checked_add(bytes));
        assert!(
            end.is_some_and(|end| end <= self.len),
            "{count} values at {offset} leave the ring"
        );
        assert_eq!(offset % align_of::<T>(), 0, "ring offset {offset} is not aligned");
        // SAFETY: offset is at most len, so the pointer stays in the mapping or at its end.
        unsafe { self.base.add(offset).cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and len are those of a mapping that this value alone owns.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn map(len: usize, flags: i32, fd: i32, offset: i64) -> io::Result<Mapping> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let base = unsafe { libc::mmap(core::ptr::null_mut(), len, protection, flags, fd, offset) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    match NonNull::new(base.cast()) {
        Some(base) => Ok(Mapping { base, len }),
        None => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
    }
}
