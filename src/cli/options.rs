//! The options of `serve`: the same on the command line and in the configuration file.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::file::{Frames, TcpSettings};
use super::limits::LimitSettings;
use super::text::{Span, text, texts};
use crate::engine::{Overflow, SynCookies};
use crate::runtime::{Backend, Cidr, Mode, Numbers, ParseSettingError, Poll};
use crate::tcp::Ecn;
use crate::tcp::congestion::Algorithm;

/// The applications that come with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AppName {
    /// HTTP: `Hello, World!` for any GET, N bytes for `GET /bytes/N`.
    #[default]
    Hello,
    /// Returns every byte.
    Echo,
    /// Reads and forgets.
    Discard,
    /// Sends characters without end.
    Chargen,
    /// HTTP: files below a directory.
    Files,
}

impl AppName {
    const ALL: [(&str, AppName); 5] = [
        ("hello", AppName::Hello),
        ("echo", AppName::Echo),
        ("discard", AppName::Discard),
        ("chargen", AppName::Chargen),
        ("files", AppName::Files),
    ];
}

impl FromStr for AppName {
    type Err = ParseSettingError;

    fn from_str(text: &str) -> Result<AppName, ParseSettingError> {
        let found = AppName::ALL.iter().find(|(name, _)| *name == text).map(|(_, app)| *app);
        let expected = AppName::ALL.map(|(name, _)| name).join(", ");
        found.ok_or_else(|| ParseSettingError::new("application", text, &expected))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = AppName::ALL.iter().find(|(_, app)| app == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// What is said on the command line or in a file; what isn't said is `None` or empty.
#[derive(Clone, Debug, Default, clap::Args, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Options {
    /// Network interface whose queues to serve, as `ip link` lists it; with --backend tap, the name
    /// of the device to make. Not needed for --backend kernel
    #[arg(long, value_name = "IF")]
    pub(crate) interface: Option<String>,

    /// Where to accept connections: 10.9.0.1:80, [fd09::1]:80, 0.0.0.0:80 for all IPv4 addresses of
    /// the interface. May be repeated
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(deserialize_with = "texts")]
    pub(crate) listen: Vec<SocketAddr>,

    /// Application to serve [default: hello]
    ///
    /// hello: HTTP, `Hello, World!` for any GET and N bytes for GET /bytes/N;
    /// echo: returns every byte, closes on the line QUIT;
    /// discard: reads and forgets;
    /// chargen: sends characters without end;
    /// files: HTTP, files below --root
    #[arg(long, value_name = "hello|echo|discard|chargen|files", verbatim_doc_comment)]
    #[serde(deserialize_with = "text")]
    pub(crate) app: Option<AppName>,

    /// Directory that --app files serves
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,

    /// How bytes reach the application [default: auto]
    ///
    /// auto: af-xdp where it can be had, else kernel, and says why on stderr;
    /// af-xdp: this program's own TCP over AF_XDP (needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF);
    /// tap: the same over a TAP device (needs CAP_NET_ADMIN);
    /// kernel: ordinary kernel sockets
    #[arg(long, value_name = "auto|af-xdp|tap|kernel", verbatim_doc_comment)]
    #[serde(deserialize_with = "text")]
    pub(crate) backend: Option<Backend>,

    /// How AF_XDP moves packets [default: auto]
    ///
    /// auto: the first of the others that works;
    /// zero-copy: the driver receives into our frames and sends from them;
    /// copy: the driver runs the XDP program, the kernel copies;
    /// generic: the kernel runs the XDP program, on any driver
    #[arg(long, value_name = "auto|zero-copy|copy|generic", verbatim_doc_comment)]
    #[serde(deserialize_with = "text")]
    pub(crate) mode: Option<Mode>,

    /// Receive queues to serve, one thread each: 0-3, or 0,2 [default: all of the interface]
    #[arg(long, value_name = "LIST")]
    #[serde(deserialize_with = "text")]
    pub(crate) queues: Option<Numbers>,

    /// Processors to pin the threads to, as many as queues: 0-3, or 2,4 [default: the first ones]
    #[arg(long, value_name = "LIST")]
    #[serde(deserialize_with = "text")]
    pub(crate) cores: Option<Numbers>,

    /// What a thread does when idle [default: adaptive]
    ///
    /// busy: looks again at once, lowest latency, one whole processor;
    /// sleep: sleeps until something comes;
    /// adaptive: looks for 50 µs, then sleeps
    #[arg(long, value_name = "busy|sleep|adaptive", verbatim_doc_comment)]
    #[serde(deserialize_with = "text")]
    pub(crate) poll: Option<Poll>,

    /// Address that the kernel does not have and that this server takes for itself, ARP, NDP and
    /// ping included: 10.9.0.7/24. May be repeated
    #[arg(long, value_name = "CIDR")]
    #[serde(deserialize_with = "texts")]
    pub(crate) address: Vec<Cidr>,

    /// Next hop for what is not on the link, one for each family [default: the kernel's default
    /// route on the interface]
    #[arg(long, value_name = "IP")]
    #[serde(deserialize_with = "texts")]
    pub(crate) gateway: Vec<IpAddr>,

    /// Established connections that may wait for the application while it does not accept, per
    /// listener and core [default: 1024]
    #[arg(long, value_name = "N")]
    pub(crate) backlog: Option<u32>,

    /// What becomes of a connection for which there is no room [default: drop]
    ///
    /// drop: nothing is said, its peer tries again; on kernel sockets it waits;
    /// reset: its peer is told at once
    #[arg(long, value_name = "drop|reset", verbatim_doc_comment)]
    #[serde(deserialize_with = "text")]
    pub(crate) overflow: Option<Overflow>,

    /// Answer SYNs with cookies, which keep no state: never, when many connections are half open,
    /// or always [default: auto]
    #[arg(long, value_name = "off|auto|always")]
    #[serde(deserialize_with = "text")]
    pub(crate) syn_cookies: Option<SynCookies>,

    /// Keys of SYN cookies, to be shared with other machines and to outlive a restart: lines of a
    /// UNIX time from which a key is in force and 32 hexadecimal digits, the first with time 0.
    /// Nobody else may be able to read it. SIGHUP reads it again [default: a key made at the start]
    #[arg(long, value_name = "FILE")]
    pub(crate) cookie_keys: Option<PathBuf>,

    /// How often to change the cookie key, or to read its file again; 0s for never [default: 1h]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "text")]
    pub(crate) cookie_rotation: Option<Span>,

    /// In a flood of SYNs, answer them in the driver even on veth, whose other end must have an XDP
    /// program too
    #[arg(long)]
    pub(crate) answer_in_driver: bool,

    /// How long connections may take to finish after SIGTERM or SIGINT: 500ms, 5s, 2m [default: 5s]
    #[arg(long, value_name = "TIME")]
    #[serde(deserialize_with = "text")]
    pub(crate) drain: Option<Span>,

    /// How fast connections may send [default: cubic]
    ///
    /// cubic: CUBIC with HyStart++;
    /// newreno: NewReno;
    /// dctcp: DCTCP, for data centres whose switches mark packets;
    /// bbr: BBRv3
    #[arg(long, value_name = "cubic|newreno|dctcp|bbr", verbatim_doc_comment)]
    #[serde(deserialize_with = "text")]
    pub(crate) congestion: Option<Algorithm>,

    /// Explicit congestion notification [default: accept]
    ///
    /// off: none;
    /// accept: agrees to AccECN and to classic ECN, asks for nothing;
    /// accept-classic: agrees to classic ECN;
    /// classic: asks for classic ECN too;
    /// ask-classic: asks for classic ECN, agrees to both;
    /// accurate: asks for AccECN, agrees to both
    #[arg(
        long,
        value_name = "off|accept|accept-classic|classic|ask-classic|accurate",
        verbatim_doc_comment
    )]
    #[serde(deserialize_with = "text")]
    pub(crate) ecn: Option<Ecn>,

    /// Write statistics to this file at the end, and on SIGUSR1
    #[arg(long, value_name = "FILE")]
    pub(crate) stats_json: Option<PathBuf>,

    /// Take TCP segments whose checksum is only begun: what a veth peer sends unless `ethtool -K IF
    /// tx off` is said at its end
    #[arg(long)]
    pub(crate) accept_partial_checksums: bool,

    /// Drop, duplicate and delay this many percent of the frames each way
    #[cfg(debug_assertions)]
    #[arg(long, value_name = "PERCENT", hide = true)]
    #[serde(skip)]
    pub(crate) fault: Option<u8>,

    #[arg(skip)]
    pub(crate) tcp: TcpSettings,
    #[command(flatten)]
    pub(crate) limits: LimitSettings,
    #[arg(skip)]
    pub(crate) frames: Frames,
}

impl Options {
    /// What is said here, else what `file` says.
    pub(crate) fn or(self, file: Options) -> Options {
        fn list<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
            if first.is_empty() { second } else { first }
        }
        Options {
            interface: self.interface.or(file.interface),
            listen: list(self.listen, file.listen),
            app: self.app.or(file.app),
            root: self.root.or(file.root),
            backend: self.backend.or(file.backend),
            mode: self.mode.or(file.mode),
            queues: self.queues.or(file.queues),
            cores: self.cores.or(file.cores),
            poll: self.poll.or(file.poll),
            address: list(self.address, file.address),
            gateway: list(self.gateway, file.gateway),
            backlog: self.backlog.or(file.backlog),
            overflow: self.overflow.or(file.overflow),
            syn_cookies: self.syn_cookies.or(file.syn_cookies),
            cookie_keys: self.cookie_keys.or(file.cookie_keys),
            cookie_rotation: self.cookie_rotation.or(file.cookie_rotation),
            answer_in_driver: self.answer_in_driver || file.answer_in_driver,
            drain: self.drain.or(file.drain),
            congestion: self.congestion.or(file.congestion),
            ecn: self.ecn.or(file.ecn),
            stats_json: self.stats_json.or(file.stats_json),
            accept_partial_checksums: self.accept_partial_checksums
                || file.accept_partial_checksums,
            #[cfg(debug_assertions)]
            fault: self.fault,
            tcp: file.tcp,
            limits: self.limits.or(file.limits),
            frames: file.frames,
        }
    }

    /// How long a drain may take.
    pub(crate) fn drain(&self) -> Duration {
        self.drain.map_or(Duration::from_secs(5), |Span(drain)| drain)
    }
}
