//! Why a server could not start, or had to stop.

use std::io;
use std::panic::AssertUnwindSafe;

use super::interface::InterfaceError;
use crate::device::PoolError;

/// Why a server could not start, or had to stop. The message is one line: who is to blame, what was
/// tried, what the system answered, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked for what makes no sense, or does not exist here.
    #[error("configuration: {0}")]
    Configuration(String),
    /// The system refused something.
    #[error("machine: {tried} failed ({answer}): {advice}")]
    Machine {
        /// What was tried.
        tried: String,
        /// What the system answered.
        answer: io::Error,
        /// What to do about it.
        advice: String,
    },
    /// A backend could not be had; the message says who is to blame.
    #[error("{0}")]
    Backend(String),
    /// The application or the engine panicked on one core: a bug. The panic's own message is on
    /// stderr.
    #[error("core {core} panicked: {message}; this is a bug in the application or in Sidestep")]
    Panicked {
        /// Number of the core, from zero.
        core: usize,
        /// What the panic said.
        message: String,
    },
}

impl Error {
    pub(crate) fn machine(
        tried: impl Into<String>,
        answer: io::Error,
        advice: impl Into<String>,
    ) -> Error {
        Error::Machine { tried: tried.into(), answer, advice: advice.into() }
    }

    /// Whether the caller's configuration is to blame, whatever the machine.
    pub(crate) fn is_configuration(&self) -> bool {
        matches!(self, Error::Configuration(_))
    }

    /// Of an error that says itself who is to blame.
    pub(crate) fn told(error: &impl core::fmt::Display) -> Error {
        let message = error.to_string();
        match message.strip_prefix("configuration: ") {
            Some(rest) => Error::Configuration(rest.to_owned()),
            None => Error::Backend(message),
        }
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Error {
        Error::Configuration(message.into())
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Error {
        match error {
            PoolError::Memory { bytes, source } => Error::machine(
                format!("mapping {bytes} bytes of frame memory"),
                source,
                "configure fewer frames, or raise the limit of memory (ulimit -v)",
            ),
            other => Error::Configuration(other.to_string()),
        }
    }
}

impl From<InterfaceError> for Error {
    fn from(error: InterfaceError) -> Error {
        match error {
            InterfaceError::Netlink { what, source } => Error::machine(
                format!("asking the kernel for its {what} over netlink"),
                source,
                "see whether this process may open netlink sockets",
            ),
            other => Error::told(&other),
        }
    }
}

/// Runs one core, and makes an error of a panic in it.
pub(super) fn catching<T>(core: usize, f: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Whatever the closure left half done is dropped with the core.
    std::panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let message = text.unwrap_or_else(|| String::from("no message"));
        Err(Error::Panicked { core, message })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_names_the_core() {
        let error = catching::<()>(3, || panic!("out of {}", "luck")).expect_err("it panicked");
        assert!(error.to_string().starts_with("core 3 panicked: out of luck"), "{error}");
    }

    #[test]
    fn the_message_is_one_line() {
        let answer = io::Error::from_raw_os_error(libc::EPERM);
        let text = Error::machine("opening the door", answer, "use the key").to_string();
        assert!(text.starts_with("machine: opening the door failed (Operation not permitted"));
        assert!(text.ends_with(": use the key") && !text.contains('\n'), "{text}");
    }
}
