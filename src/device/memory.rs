//! One anonymous mapping, on huge pages where the machine has them.
#![allow(unsafe_code)]

use core::ptr::NonNull;
use std::io;

/// What kind of pages a `Memory` region got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Explicit huge pages (`MAP_HUGETLB`).
    Huge,
    /// Ordinary pages that the kernel was asked to merge (`MADV_HUGEPAGE`).
    Transparent,
}

impl Pages {
    /// `huge` or `transparent`, for the start-up report.
    pub const fn name(self) -> &'static str {
        match self {
            Pages::Huge => "huge",
            Pages::Transparent => "transparent",
        }
    }
}

const HUGE_PAGE: usize = 2 << 20;

/// A zeroed, page-aligned region, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    base: NonNull<u8>,
    len: usize,
    pages: Pages,
}

impl Memory {
    /// Maps at least `len` bytes; tries explicit huge pages first if `huge`.
    ///
    /// # Errors
    /// What `mmap` answered for ordinary pages.
    pub(crate) fn map(len: usize, huge: bool) -> io::Result<Memory> {
        let len = len.next_multiple_of(HUGE_PAGE);
        if huge && let Ok(base) = map_anonymous(len, libc::MAP_HUGETLB) {
            return Ok(Memory { base, len, pages: Pages::Huge });
        }
        let base = map_anonymous(len, 0)?;
        // SAFETY: the range is exactly the mapping just made; the call is advice and may fail.
        unsafe { libc::madvise(base.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        Ok(Memory { base, len, pages: Pages::Transparent })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn pages(&self) -> Pages {
        self.pages
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: base and len are those of a mapping that this value alone owns.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn map_anonymous(len: usize, flags: i32) -> io::Result<NonNull<u8>> {
    // SAFETY: a new private anonymous mapping at an address that the kernel chooses.
    let base = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_back_to_ordinary_pages() {
        let memory = Memory::map(1, true).expect("a mapping of one huge page's size");
        assert_eq!(memory.len, HUGE_PAGE);
        assert_eq!(memory.base().as_ptr() as usize % 4096, 0);
        assert_eq!(Memory::map(1, false).expect("mapping").pages(), Pages::Transparent);
    }
}
