//! What a system call gives.

use sidestep::app::Close;

/// An `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// A value, or the error that goes to `errno` while the call returns -1.
pub(crate) type Outcome<T> = Result<T, Errno>;

impl Errno {
    /// What a socket says when its connection has ended this way.
    pub(crate) fn of(why: Close) -> Errno {
        Errno(match why {
            Close::Reset => libc::ECONNRESET,
            Close::TimedOut => libc::ETIMEDOUT,
            Close::Unreachable => libc::EHOSTUNREACH,
            Close::Refused => libc::ECONNREFUSED,
            Close::Aborted | Close::Drained => libc::ECONNABORTED,
            Close::NoResources => libc::EADDRNOTAVAIL,
            Close::Finished => libc::EPIPE,
        })
    }
}
