//! Why AF_XDP can't be had. Each message names the culprit, what was tried, what the system
//! answered and what to do about it.

use core::fmt;
use std::io;

/// What a system call answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// The answer to the last system call of this thread.
    pub(super) fn last() -> Errno {
        Errno::of(&io::Error::last_os_error())
    }

    /// The number behind `error`; `EIO` if it has none.
    pub(super) fn of(error: &io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// The symbolic name, or the empty string for numbers that these calls don't answer.
    pub const fn name(self) -> &'static str {
        match self.0 {
            libc::EPERM => "EPERM",
            libc::ENOENT => "ENOENT",
            libc::EIO => "EIO",
            libc::EBADF => "EBADF",
            libc::EAGAIN => "EAGAIN",
            libc::ENOMEM => "ENOMEM",
            libc::EACCES => "EACCES",
            libc::EFAULT => "EFAULT",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::ENODEV => "ENODEV",
            libc::EINVAL => "EINVAL",
            libc::ENFILE => "ENFILE",
            libc::EMFILE => "EMFILE",
            libc::ENOSPC => "ENOSPC",
            libc::ERANGE => "ERANGE",
            libc::ENOSYS => "ENOSYS",
            libc::E2BIG => "E2BIG",
            libc::ENOPROTOOPT => "ENOPROTOOPT",
            libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::EAFNOSUPPORT => "EAFNOSUPPORT",
            libc::EADDRINUSE => "EADDRINUSE",
            libc::ENETDOWN => "ENETDOWN",
            libc::ENOBUFS => "ENOBUFS",
            _ => "",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from_raw_os_error(self.0).to_string();
        match self.name() {
            "" => f.write_str(&text),
            name => write!(f, "{name}, {}", text.split(" (os error").next().unwrap_or(&text)),
        }
    }
}

/// One way that was tried and did not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What was tried.
    pub tried: &'static str,
    /// What the system answered.
    pub answer: Errno,
}

/// The ways tried, in order: why the mode obtained is not a better one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts(pub Vec<Attempt>);

impl Attempts {
    pub(super) fn add(&mut self, tried: &'static str, answer: Errno) {
        self.0.push(Attempt { tried, answer });
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", attempt.tried, attempt.answer)?;
        }
        Ok(())
    }
}

/// Why an AF_XDP device could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AfXdpError {
    /// The configuration makes no sense by itself.
    #[error("configuration: {0}")]
    Config(String),

    /// The process lacks privileges.
    #[error(
        "machine: {doing} was refused ({answer}): this process lacks {}; run it as root, or give \
         the program what it needs: setcap cap_net_admin,cap_net_raw,cap_bpf+ep PROGRAM",
        list(.missing)
    )]
    MissingCapability {
        /// What was tried.
        doing: &'static str,
        /// What the system answered.
        answer: Errno,
        /// The capabilities of those needed that the process has not.
        missing: Vec<&'static str>,
    },

    /// The interface is down.
    #[error(
        "machine: interface {interface} is down, and AF_XDP needs it up: ip link set dev \
         {interface} up"
    )]
    Down {
        /// Its name.
        interface: String,
    },

    /// The interface has not that queue.
    #[error(
        "configuration: interface {interface} has no receive queue {queue}: it has {queues}, \
         numbered from 0; choose others with --queues, or make more with: ethtool -L {interface}"
    )]
    NoSuchQueue {
        /// Name of the interface.
        interface: String,
        /// The queue asked for.
        queue: u32,
        /// How many there are.
        queues: u32,
    },

    /// Another AF_XDP socket has the queue.
    #[error(
        "machine: binding to queue {queue} of {interface} was refused ({answer}): another AF_XDP \
         socket has it; end that process, or choose other queues with --queues"
    )]
    QueueTaken {
        /// Name of the interface.
        interface: String,
        /// The queue asked for.
        queue: u32,
        /// What the system answered.
        answer: Errno,
    },

    /// Somebody else's XDP program is on the interface.
    #[error(
        "machine: attaching the XDP program to {interface} was refused ({answer}): program \
         '{program}' (id {id}) is attached already; stop what attached it, or detach it with: \
         ip link set dev {interface} xdp off"
    )]
    ForeignProgram {
        /// Name of the interface.
        interface: String,
        /// Id of the program that is attached.
        id: u32,
        /// Its name.
        program: String,
        /// What the system answered.
        answer: Errno,
    },

    /// Packets of the interface do not fit a frame.
    #[error(
        "configuration: interface {interface} has an MTU of {mtu} bytes, but at most {largest} fit \
         a frame of {frame_size} bytes: lower it with: ip link set dev {interface} mtu {largest}\
         {hint}"
    )]
    MtuTooLarge {
        /// Name of the interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// The largest MTU that works.
        largest: u32,
        /// Bytes of a frame.
        frame_size: u32,
        /// Another way out, or nothing.
        hint: String,
    },

    /// Packets of the interface are larger than a page, which the kernel is too old for.
    #[error(
        "machine: interface {interface} has an MTU of {mtu} bytes, which takes multi-buffer AF_XDP \
         (Linux 6.6 or newer), and {doing} was refused ({answer}) by this kernel ({release}): \
         lower the MTU, with: ip link set dev {interface} mtu {largest}, and use frames of at most \
         4096 bytes"
    )]
    NoMultiBuffer {
        /// Name of the interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// The largest MTU that works without.
        largest: u32,
        /// What was tried.
        doing: &'static str,
        /// The kernel's release.
        release: String,
        /// What the system answered.
        answer: Errno,
    },

    /// The driver takes no XDP program with this MTU.
    #[error(
        "configuration: attaching the XDP program to {interface} was refused ({answer}): its MTU \
         of {mtu} bytes is too large for XDP in driver {driver} (with veth, the other end's counts \
         too): lower it with: ip link set dev {interface} mtu 1500"
    )]
    DriverMtu {
        /// Name of the interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// Its driver.
        driver: String,
        /// What the system answered.
        answer: Errno,
    },

    /// Not enough memory may be locked for the frames.
    #[error(
        "machine: registering {bytes} bytes of frame memory was refused ({answer}): the \
         locked-memory limit is {limit}; raise it (ulimit -l unlimited, or LimitMEMLOCK=infinity \
         in a systemd unit), or configure fewer frames"
    )]
    LockedMemory {
        /// What was to be registered.
        bytes: usize,
        /// `RLIMIT_MEMLOCK` in words.
        limit: String,
        /// What the system answered.
        answer: Errno,
    },

    /// No mode that was allowed works on this interface.
    #[error(
        "machine: {interface} (driver {driver}) offers no AF_XDP in mode {asked}: {attempts}; use \
         --mode auto, or --backend kernel where nothing else works"
    )]
    NoMode {
        /// Name of the interface.
        interface: String,
        /// Its driver.
        driver: String,
        /// The mode asked for.
        asked: &'static str,
        /// What was tried.
        attempts: Attempts,
    },

    /// Fewer queues for XDP than the driver wants.
    #[error(
        "machine: attaching the XDP program to {interface} was refused ({answer}): it has too few \
         queues for XDP ({rx} receive, {tx} transmit); a veth peer must not have more transmit \
         queues than this end has receive queues, other drivers need spare transmit queues: \
         change it with ethtool -L"
    )]
    TooFewQueues {
        /// Name of the interface.
        interface: String,
        /// Its receive queues.
        rx: u32,
        /// Its transmit queues.
        tx: u32,
        /// What the system answered.
        answer: Errno,
    },

    /// The kernel has not what this backend needs.
    #[error(
        "machine: {doing} was refused ({answer}): this kernel ({release}) is too old or was built \
         without it; AF_XDP here needs Linux 5.9 or newer with CONFIG_XDP_SOCKETS and \
         CONFIG_BPF_SYSCALL; use --backend kernel on this machine"
    )]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// The kernel's release.
        release: String,
        /// What the system answered.
        answer: Errno,
    },

    /// The BPF object could not be loaded, or a map not be changed.
    #[error("machine: {doing} failed: {detail}")]
    Bpf {
        /// What was tried.
        doing: String,
        /// What libbpf said.
        detail: String,
    },

    /// Anything else that the system refused.
    #[error("machine: {doing} failed ({answer})")]
    System {
        /// What was tried.
        doing: String,
        /// What the system answered.
        answer: Errno,
    },
}

fn list(capabilities: &[&str]) -> String {
    if capabilities.is_empty() {
        "no capability that is known here (a security module or container may deny it)".into()
    } else {
        capabilities.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_culprit_answer_and_remedy() {
        let error = AfXdpError::QueueTaken {
            interface: "eth1".into(),
            queue: 3,
            answer: Errno(libc::EBUSY),
        };
        let text = error.to_string();
        for part in ["machine:", "queue 3 of eth1", "EBUSY, Device or resource busy", "--queues"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn attempts_are_listed_in_order() {
        let mut attempts = Attempts::default();
        attempts.add("zero-copy", Errno(libc::EOPNOTSUPP));
        attempts.add("copy", Errno(libc::EINVAL));
        let text = attempts.to_string();
        assert!(text.starts_with("zero-copy: EOPNOTSUPP,"), "{text}");
        assert!(text.contains("; copy: EINVAL,"), "{text}");
    }
}
