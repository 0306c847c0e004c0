//! Moving a thread into a network namespace.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Moves the calling thread, and it alone, into the network namespace at `path` (as
/// /run/netns/name), for good.
///
/// # Errors
/// The file is missing or no namespace, or `CAP_SYS_ADMIN` is.
pub fn enter_namespace(path: &Path) -> io::Result<()> {
    let namespace = File::open(path)?;
    // SAFETY: the call takes an open descriptor and no pointers; threads may be in different
    // namespaces.
    let answer = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
