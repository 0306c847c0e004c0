//! What the XDP program counts: the Rust side of bpf/counters.h.

/// Number of counters.
pub(super) const COUNT: usize = 11;

/// Frames by what the XDP program did with them, summed over all processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteerCounters([u64; COUNT]);

impl SteerCounters {
    /// Names of the counters, in the order of bpf/counters.h.
    pub const NAMES: [&'static str; COUNT] = [
        "passed",
        "redirected_tcp",
        "redirected_control",
        "fragments_dropped",
        "no_socket",
        "malformed",
        "syn_cookies_sent",
        "syn_cookies_passed",
        "syn_cookies_failed",
        "flood_dropped",
        "bad_checksum",
    ];

    pub(super) fn new(values: [u64; COUNT]) -> SteerCounters {
        SteerCounters(values)
    }

    /// Name and value of each counter.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        SteerCounters::NAMES.into_iter().zip(self.0)
    }

    /// The counter called `name`; `None` if there is none.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find_map(|(each, value)| (each == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_header() {
        let header = include_str!("../../../bpf/counters.h");
        let names: Vec<&str> = header
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("X("))
            .filter_map(|rest| rest.split_once(')').map(|(name, _)| name))
            .collect();
        assert_eq!(names, SteerCounters::NAMES);
    }

    #[test]
    fn looked_up_by_name() {
        let counters = SteerCounters::new(core::array::from_fn(|n| n as u64 + 1));
        assert_eq!(counters.get("no_socket"), Some(5));
        assert_eq!(counters.get("nonsense"), None);
    }
}
