//! An allocator that counts what it gives.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, and how many bytes of it are in use. To be made a program's
/// `#[global_allocator]`.
///
/// It counts what is asked for: what is reserved counts in full, whether it was ever touched or
/// not, and what the system's allocator loses between two allocations does not.
#[derive(Debug)]
pub struct Counting(AtomicUsize);

impl Counting {
    /// With nothing in use.
    #[expect(clippy::new_without_default, reason = "made once, as a constant")]
    pub const fn new() -> Counting {
        Counting(AtomicUsize::new(0))
    }

    /// Bytes in use.
    pub fn in_use(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

// SAFETY: all four calls are the system allocator's own, with the arguments that they came with;
// counting allocates nothing and can't panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.0.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        self.0.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.0.fetch_add(size, Ordering::Relaxed);
        self.0.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(at, layout, size) }
    }
}
