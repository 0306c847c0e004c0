//! Asking the cache for memory ahead of its use.
#![allow(unsafe_code)]

/// Bytes of a cache line: 64 on all processors that this is for.
const LINE: usize = 64;

/// Starts loading the cache line at `r` into all cache levels; a hint, and nothing where there is
/// no such instruction. One line is fetched, however large `T` is.
#[inline(always)]
pub(crate) fn read<T>(r: &T) {
    line(core::ptr::from_ref(r).cast());
}

/// Starts loading all cache lines of `r`.
#[inline(always)]
pub(crate) fn read_all<T>(r: &T) {
    let address: *const u8 = core::ptr::from_ref(r).cast();
    for offset in (0..size_of::<T>()).step_by(LINE) {
        line(address.wrapping_add(offset));
    }
}

/// Starts loading the first `most` bytes of `bytes`, or all of fewer.
#[cfg(feature = "af-xdp")]
#[inline(always)]
pub(crate) fn read_first(bytes: &[u8], most: usize) {
    for offset in (0..bytes.len().min(most)).step_by(LINE) {
        line(bytes.as_ptr().wrapping_add(offset));
    }
}

#[inline(always)]
fn line(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing into the program and never faults; SSE is part of
        // x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    {
        // SAFETY: a prefetch reads nothing into the program and never faults; no flag or stack
        // changes.
        unsafe {
            core::arch::asm!("prfm pldl1keep, [{0}]", in(reg) address,
                options(nostack, preserves_flags, readonly));
        }
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        let _ = address;
    }
}
