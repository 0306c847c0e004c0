//! What a script sets before its first socket works: `--options`, `sysctl`s and `setsockopt`s.

use std::time::Duration;

use sidestep::engine::{CookieConfig, Limits, Overflow, SynCookies};
use sidestep::tcp::{Ecn, TcpConfig, UserTimeoutLimits};

use super::ast::{Action, Arg, Call, Script};
use crate::segments::path::Family;

/// Everything that a script may set. Defaults are those of sockets, where they differ from ours:
/// the Nagle algorithm is on, keep-alive is off.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) families: Vec<Family>,
    pub(crate) tolerance: Duration,
    /// Of IPv4; that of IPv6 is 20 more, so that a script's segment sizes hold for both.
    pub(crate) mtu: u16,
    pub(crate) tcp: TcpConfig,
    pub(crate) cookies: CookieConfig,
    pub(crate) limits: Limits,
    pub(crate) overflow: Overflow,
    /// Nobody is accepted before the first `accept`.
    pub(crate) accept_later: bool,
    /// The application refuses everybody.
    pub(crate) refuse: bool,
    pub(crate) keep_alive_idle: Duration,
    keep_alive: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let tcp = TcpConfig { no_delay: false, keep_alive: None, ..TcpConfig::default() };
        Settings {
            families: Family::BOTH.to_vec(),
            tolerance: Duration::from_millis(4),
            mtu: 1_500,
            tcp,
            cookies: CookieConfig::default(),
            limits: Limits::default(),
            overflow: Overflow::default(),
            accept_later: false,
            refuse: false,
            keep_alive_idle: Duration::from_secs(7_200),
            keep_alive: false,
        }
    }
}

/// `line: what`.
pub(crate) type Located<T> = Result<T, (usize, String)>;

impl Settings {
    /// Collects what the whole script sets: an engine has one configuration for all its
    /// connections, made before it starts.
    pub(crate) fn of(script: &Script) -> Located<Settings> {
        let mut settings = Settings::default();
        for (line, name, value) in &script.options {
            settings.option(name, value).map_err(|what| (*line, what))?;
        }
        let mut accepted = Vec::new();
        for event in &script.events {
            let done = match &event.action {
                Action::Command(text) => settings.command(text),
                Action::Call(call) if call.name == "accept" => {
                    accepted.push(call.result);
                    Ok(())
                }
                // Of that connection alone: the façade does it.
                Action::Call(call)
                    if call.name == "setsockopt"
                        && call.args[0].integer().is_some_and(|fd| accepted.contains(&fd)) =>
                {
                    Ok(())
                }
                Action::Call(call) if call.name == "setsockopt" => settings.socket_option(call),
                _ => Ok(()),
            };
            done.map_err(|what| (event.line, what))?;
        }
        settings.tcp.keep_alive = settings.keep_alive.then_some(settings.keep_alive_idle);
        Ok(settings)
    }

    /// MTU of the link in this family.
    pub(crate) fn mtu(&self, family: Family) -> u16 {
        self.mtu + (family.headers() - Family::V4.headers())
    }

    fn option(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("--{name}={value}: no number"));
        match (name, value) {
            ("ip_version", "ipv4") => self.families = vec![Family::V4],
            ("ip_version", "ipv6") => self.families = vec![Family::V6],
            ("tolerance_usecs", _) => self.tolerance = Duration::from_micros(number()?),
            ("mtu", _) => {
                self.mtu = number()?.try_into().map_err(|_| format!("--mtu={value}: too large"))?;
            }
            _ => return Err(format!("--{name}={value} is not understood")),
        }
        Ok(())
    }

    /// Only `sysctl [-q] [-w] name=value …`, of which nothing is run.
    fn command(&mut self, text: &str) -> Result<(), String> {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            if words.next() != Some("sysctl") {
                return Err(format!("`{line}`: only sysctl is understood, and nothing is run"));
            }
            for word in words.filter(|word| !word.starts_with('-')) {
                let (name, value) =
                    word.split_once('=').ok_or(format!("`{word}`: expected name=value"))?;
                if name == "net.ipv4.tcp_congestion_control" {
                    self.tcp.congestion = value.parse().map_err(|e| format!("`{word}`: {e}"))?;
                    continue;
                }
                let value: u64 = value.parse().map_err(|_| format!("`{word}`: no number"))?;
                self.sysctl(name, value)?;
            }
        }
        Ok(())
    }

    fn sysctl(&mut self, name: &str, value: u64) -> Result<(), String> {
        let (tcp, limits) = (&mut self.tcp, &mut self.limits);
        let millis = Duration::from_millis(value);
        let seconds = Duration::from_secs(value);
        match name.strip_prefix("net.ipv4.").unwrap_or(name) {
            "tcp_timestamps" => tcp.timestamps = value != 0,
            "tcp_window_scaling" => tcp.window_scaling = value != 0,
            "tcp_mtu_probing" => tcp.path_mtu_probing = value != 0,
            "tcp_sack" => tcp.sack = value != 0,
            "tcp_syncookies" => {
                let modes = [SynCookies::Off, SynCookies::Auto, SynCookies::Always];
                self.cookies.when = modes[value.min(2) as usize];
            }
            "tcp_abort_on_overflow" if value != 0 => self.overflow = Overflow::Reset,
            "tcp_max_syn_backlog" => limits.half_open = value as u32,
            "net.core.somaxconn" => limits.backlog = value as u32,
            "net.sidestep.connections_per_listener" => {
                limits.connections_per_listener = value as u32;
            }
            "net.sidestep.connections_per_source" => limits.connections_per_source = value as u32,
            "net.sidestep.accept_later" => self.accept_later = value != 0,
            "net.sidestep.refuse" => self.refuse = value != 0,
            "net.sidestep.reset_bad_cookies" if value != 0 => {
                self.cookies.bad_ack = Overflow::Reset;
            }
            "tcp_ecn" => {
                let known = Ecn::ALL.get(value as usize);
                tcp.ecn = *known.ok_or(format!("tcp_ecn={value} means nothing"))?;
            }
            "tcp_syn_retries" => tcp.connect_retries = value.min(255) as u8,
            "tcp_synack_retries" => tcp.syn_retries = value.min(255) as u8,
            "tcp_fin_timeout" => tcp.fin_wait_2 = seconds,
            "tcp_keepalive_time" => self.keep_alive_idle = seconds,
            "tcp_keepalive_intvl" => tcp.keep_alive_interval = seconds,
            "tcp_keepalive_probes" => tcp.keep_alive_probes = value.min(255) as u8,
            // What no sysctl of Linux sets.
            "net.sidestep.pacing" => tcp.pacing = value != 0,
            "net.sidestep.delayed_ack_ms" => tcp.delayed_ack = millis,
            "net.sidestep.rto_initial_ms" => tcp.rto_initial = millis,
            "net.sidestep.rto_min_ms" => tcp.rto_min = millis,
            "net.sidestep.rto_max_ms" => tcp.rto_max = millis,
            "net.sidestep.user_timeout_ms" => tcp.user_timeout = millis,
            "net.sidestep.user_timeout_shortest_ms" => timeouts(tcp).shortest = millis,
            "net.sidestep.user_timeout_longest_ms" => timeouts(tcp).longest = millis,
            "net.sidestep.time_wait_ms" => tcp.time_wait = millis,
            _ => return Err(format!("sysctl {name} is not understood")),
        }
        Ok(())
    }

    fn socket_option(&mut self, call: &Call) -> Result<(), String> {
        let [_, _, option, value, ..] = call.args.as_slice() else {
            return Err(String::from("setsockopt(fd, level, option, value, length)"));
        };
        if option.is_word("SO_LINGER") {
            return Ok(()); // Of one socket: the façade does it.
        }
        let Arg::Words(names) = option else {
            return Err(String::from("setsockopt: expected the option's name"));
        };
        let value = value.integer().ok_or("setsockopt: expected a number, as in [1]")?;
        let value = u64::try_from(value).map_err(|_| "setsockopt: a negative value")?;
        let tcp = &mut self.tcp;
        match names.join("|").as_str() {
            "SO_REUSEADDR" => {}
            "TCP_NODELAY" => tcp.no_delay = value != 0,
            // Exactly, while Linux doubles it.
            "SO_RCVBUF" => tcp.receive_buffer = value as u32,
            "SO_SNDBUF" => tcp.send_buffer = value as u32,
            "SO_KEEPALIVE" => self.keep_alive = value != 0,
            "TCP_KEEPIDLE" => self.keep_alive_idle = Duration::from_secs(value),
            "TCP_KEEPINTVL" => tcp.keep_alive_interval = Duration::from_secs(value),
            "TCP_KEEPCNT" => tcp.keep_alive_probes = value as u8,
            "TCP_MAXSEG" => tcp.mss_clamp = Some(value as u16),
            "TCP_USER_TIMEOUT" => tcp.user_timeout = Duration::from_millis(value),
            "TCP_SYNCNT" => tcp.connect_retries = value as u8,
            "TCP_LINGER2" => tcp.fin_wait_2 = Duration::from_secs(value),
            name => return Err(format!("socket option {name} is not understood")),
        }
        Ok(())
    }
}

/// The limits of the user timeout option, which is on if there are any.
fn timeouts(tcp: &mut TcpConfig) -> &mut UserTimeoutLimits {
    tcp.user_timeout_option.get_or_insert_default()
}
