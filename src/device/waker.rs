//! Waking a core that sleeps in [`Device::wait`](super::Device::wait) from another thread.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    asleep: AtomicBool,
}

/// An eventfd and whether anybody sleeps on it: waking a core that is awake costs no system call.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// Makes one.
    ///
    /// # Errors
    /// What `eventfd` answered.
    pub fn new() -> io::Result<Waker> {
        // SAFETY: the call takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Waker(Arc::new(Shared { fd, asleep: AtomicBool::new(false) })))
    }

    /// Ends the sleep of the core, if it sleeps. Publish what it is to see before calling.
    pub fn wake(&self) {
        if self.0.asleep.swap(false, Ordering::SeqCst) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight readable bytes; a full eventfd is awake already, so errors don't
            // matter.
            unsafe { libc::write(self.0.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Announces a sleep. Look for work once more after this and before really sleeping.
    pub fn before_sleep(&self) {
        self.0.asleep.store(true, Ordering::SeqCst);
    }

    /// Takes the announcement back and clears the eventfd if it was written.
    pub fn after_sleep(&self) {
        if !self.0.asleep.swap(false, Ordering::SeqCst) {
            let mut count = [0u8; 8];
            // SAFETY: eight writable bytes; non-blocking, so an empty eventfd answers at once.
            unsafe { libc::read(self.0.fd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        }
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }
}
