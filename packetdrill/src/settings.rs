//! What a run sets: `--so_flags=name=value,name=value…`.
//!
//! | flag | what |
//! | --- | --- |
//! | `mtu=1500` | the link's largest IP packet |
//! | `local=192.168.0.1` | an address of ours, more than once if there are more |
//! | `sysctls=kernel` | take what this network namespace's `net.ipv4.tcp_…` say |
//! | `tcp_timestamps=0` … | as the sysctl of that name, with or without `net.ipv4.` |
//! | `net.sidestep.rto_min_ms=1000` … | what no sysctl of Linux sets |

use std::net::IpAddr;
use std::time::Duration;

use sidestep::tcp::{Ecn, TcpConfig};

/// Sysctls that are read from the kernel.
const SYSCTLS: [&str; 9] = [
    "tcp_ecn",
    "tcp_timestamps",
    "tcp_sack",
    "tcp_window_scaling",
    "tcp_syn_retries",
    "tcp_fin_timeout",
    "tcp_keepalive_time",
    "tcp_keepalive_intvl",
    "tcp_keepalive_probes",
];

/// And this one, a name.
const CONGESTION: &str = "tcp_congestion_control";

/// Defaults are those of sockets where they differ from the engine's: the Nagle algorithm is on,
/// keep-alive is off.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) mtu: u16,
    pub(crate) locals: Vec<IpAddr>,
    pub(crate) tcp: TcpConfig,
    pub(crate) backlog: u32,
    /// Idle time before keep-alive probes, where a socket has them on.
    pub(crate) keep_alive_idle: Duration,
    from_kernel: bool,
}

impl Settings {
    pub(crate) fn new() -> Settings {
        Settings {
            mtu: 1_500,
            locals: Vec::new(),
            tcp: TcpConfig { no_delay: false, keep_alive: None, ..TcpConfig::default() },
            backlog: 1_024,
            keep_alive_idle: Duration::from_secs(7_200),
            from_kernel: false,
        }
    }

    /// Reads the flags.
    ///
    /// # Errors
    /// The flag that is not understood.
    pub(crate) fn parse(flags: &str) -> Result<Settings, String> {
        let mut settings = Settings::new();
        for flag in flags.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
            let (name, value) =
                flag.split_once('=').ok_or(format!("`{flag}`: expected name=value"))?;
            settings.flag(name, value)?;
        }
        Ok(settings)
    }

    fn flag(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("{name}={value} is not understood");
        match name {
            "mtu" => self.mtu = value.parse().map_err(|_| wrong())?,
            "local" => self.locals.push(value.parse().map_err(|_| wrong())?),
            "sysctls" if value == "kernel" => self.from_kernel = true,
            CONGESTION | "net.ipv4.tcp_congestion_control" => {
                self.tcp.congestion = value.parse().map_err(|_| wrong())?;
            }
            _ => {
                let value = value.parse().map_err(|_| wrong())?;
                if !self.sysctl(name, value) {
                    return Err(wrong());
                }
            }
        }
        Ok(())
    }

    /// Takes over the namespace's sysctls, if that was asked for.
    pub(crate) fn read_sysctls(&mut self) {
        if !self.from_kernel {
            return;
        }
        // One that this kernel doesn't have changes nothing.
        let read = |name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok();
        for name in SYSCTLS {
            if let Some(value) = read(name).and_then(|text| text.trim().parse().ok()) {
                self.sysctl(name, value);
            }
        }
        // An algorithm that this stack doesn't have changes nothing.
        if let Some(algorithm) = read(CONGESTION).and_then(|text| text.trim().parse().ok()) {
            self.tcp.congestion = algorithm;
        }
        // Smallest, initial and largest receive buffer: Linux scales windows for the largest.
        let rmem = read("tcp_rmem");
        let largest = rmem.as_deref().and_then(|text| text.split_whitespace().nth(2));
        if let Some(largest) = largest.and_then(|text| text.parse().ok()) {
            self.tcp.receive_buffer = largest;
        }
    }

    /// False if there is no such sysctl.
    fn sysctl(&mut self, name: &str, value: u64) -> bool {
        let tcp = &mut self.tcp;
        let millis = Duration::from_millis(value);
        let seconds = Duration::from_secs(value);
        match name.strip_prefix("net.ipv4.").unwrap_or(name) {
            "tcp_timestamps" => tcp.timestamps = value != 0,
            "tcp_window_scaling" => tcp.window_scaling = value != 0,
            "tcp_sack" => tcp.sack = value != 0,
            "tcp_ecn" => match Ecn::ALL.get(value as usize) {
                Some(ecn) => tcp.ecn = *ecn,
                None => return false,
            },
            "tcp_syn_retries" => tcp.connect_retries = value.min(255) as u8,
            "tcp_synack_retries" => tcp.syn_retries = value.min(255) as u8,
            "tcp_fin_timeout" => tcp.fin_wait_2 = seconds,
            "tcp_keepalive_time" => self.keep_alive_idle = seconds,
            "tcp_keepalive_intvl" => tcp.keep_alive_interval = seconds,
            "tcp_keepalive_probes" => tcp.keep_alive_probes = value.min(255) as u8,
            "net.sidestep.pacing" => tcp.pacing = value != 0,
            "net.sidestep.delayed_ack_ms" => tcp.delayed_ack = millis,
            "net.sidestep.rto_initial_ms" => tcp.rto_initial = millis,
            "net.sidestep.rto_min_ms" => tcp.rto_min = millis,
            "net.sidestep.rto_max_ms" => tcp.rto_max = millis,
            "net.sidestep.user_timeout_ms" => tcp.user_timeout = millis,
            "net.sidestep.time_wait_ms" => tcp.time_wait = millis,
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use sidestep::tcp::congestion::Algorithm;

    use super::*;

    #[test]
    fn flags_set_what_they_name() {
        let settings =
            Settings::parse("mtu=1040, local=fd::1,tcp_congestion_control=reno,tcp_sack=0");
        let settings = settings.expect("good flags");
        assert_eq!(settings.mtu, 1_040);
        assert_eq!(settings.locals, ["fd::1".parse::<IpAddr>().expect("an address")]);
        assert_eq!(settings.tcp.congestion, Algorithm::NewReno);
        assert!(!settings.tcp.sack && settings.tcp.timestamps);
    }

    #[test]
    fn a_wrong_flag_is_named() {
        for flags in
            ["mtu", "mtu=many", "colour=blue", "colour=1", "local=here", "tcp_congestion_control=0"]
        {
            let error = Settings::parse(flags).expect_err("a wrong flag");
            assert!(error.contains(flags), "{error}");
        }
    }
}
