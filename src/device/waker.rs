//! Waking a core that sleeps in [`Device::wait`](super::Device::wait) from another thread.
#![allow(unsafe_code)]

#[cfg(not(all(loom, test)))]
use core::sync::atomic::{AtomicBool, Ordering, fence};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

#[cfg(all(loom, test))]
use loom::sync::atomic::{AtomicBool, Ordering, fence};

/// Whether a core sleeps: what it and those who wake it race for.
///
/// One side announces its sleep and then looks for work; the other publishes work and then looks
/// for a sleeper. The fences between see to it that one of them sees the other, however the work is
/// published.
#[derive(Debug)]
struct Sleep(AtomicBool);

impl Sleep {
    /// Announces a sleep.
    fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back; whether somebody has woken us meanwhile.
    fn end(&self) -> bool {
        !self.0.swap(false, Ordering::SeqCst)
    }

    /// Whether there is a sleeper, and it is on us to wake it.
    fn is_ours_to_end(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.swap(false, Ordering::SeqCst)
    }
}

#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    sleep: Sleep,
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
        Ok(Waker(Arc::new(Shared { fd, sleep: Sleep(AtomicBool::new(false)) })))
    }

    /// Ends the sleep of the core, if it sleeps. Publish what it is to see before calling.
    pub fn wake(&self) {
        if self.0.sleep.is_ours_to_end() {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight readable bytes; a full eventfd is awake already, so errors don't
            // matter.
            unsafe { libc::write(self.0.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Announces a sleep. Look for work once more after this and before really sleeping.
    pub fn before_sleep(&self) {
        self.0.sleep.begin();
    }

    /// Takes the announcement back and clears the eventfd if it was written.
    pub fn after_sleep(&self) {
        if self.0.sleep.end() {
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

#[cfg(all(loom, test))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_no_wake_up_is_lost() {
        loom::model(|| {
            let shared = Arc::new((Sleep(AtomicBool::new(false)), AtomicBool::new(false)));
            let other = Arc::clone(&shared);
            let poster = thread::spawn(move || {
                let (sleep, work) = &*other;
                work.store(true, Ordering::Relaxed);
                sleep.is_ours_to_end()
            });
            let (sleep, work) = &*shared;
            sleep.begin();
            let seen = work.load(Ordering::Relaxed);
            let woken = poster.join().expect("no panic");
            assert!(seen || woken, "it sleeps beside its work");
        });
    }
}
