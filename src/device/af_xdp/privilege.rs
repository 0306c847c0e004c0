//! What this process may do: capabilities, and the locked-memory limit.
#![allow(unsafe_code)]

use std::fs;

/// The capabilities that AF_XDP takes, with their bits in `CapEff`.
const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_BPF", 39)];
/// Stands in for `CAP_BPF` on kernels before 5.8 and still does.
const SYS_ADMIN: u32 = 21;

/// The needed capabilities that this thread has not.
pub(super) fn missing_capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    missing_in(effective(&status).unwrap_or(u64::MAX))
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing_in(effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let substituted = |name| name == "CAP_BPF" && has(SYS_ADMIN);
    let missing = NEEDED.into_iter().filter(|&(name, bit)| !has(bit) && !substituted(name));
    missing.map(|(name, _)| name).collect()
}

/// The kernel's release, for error messages.
pub(super) fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

fn locked_memory() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &mut limit) };
    limit
}

/// The soft locked-memory limit in words.
pub(super) fn locked_memory_limit() -> String {
    match locked_memory().rlim_cur {
        libc::RLIM_INFINITY => "unlimited".into(),
        bytes => format!("{bytes} bytes"),
    }
}

/// Raises the locked-memory limit as far as the process may. Returns whether that was any further.
pub(super) fn raise_locked_memory() -> bool {
    let before = locked_memory();
    for limit in [libc::RLIM_INFINITY, before.rlim_max] {
        let raised = libc::rlimit { rlim_cur: limit, rlim_max: limit.max(before.rlim_max) };
        // SAFETY: `raised` is a valid limit to read.
        if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raised) } == 0 {
            return limit > before.rlim_cur;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        assert_eq!(missing_in(0), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"]);
        assert_eq!(missing_in(1 << 12 | 1 << 13 | 1 << 39), [""; 0]);
        assert_eq!(missing_in(1 << 12 | 1 << 21), ["CAP_NET_RAW"]);
    }

    #[test]
    fn reads_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\t0\nCapEff:\t0000008000003000\n";
        assert_eq!(missing_in(effective(status).expect("a CapEff line")), [""; 0]);
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
