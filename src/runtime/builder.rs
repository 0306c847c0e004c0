//! The public entry: [`Server::builder`].

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::control::Stop;
use super::error::Error;
use super::ready::Ready;
use super::settings::{Backend, Cidr, Mode, Numbers, Poll};
use super::signals::SignalThread;
use crate::app::{App, CoreContext};
use crate::device::PoolConfig;
use crate::engine::{Limits, Overflow, SynCookies};
use crate::tcp::TcpConfig;

/// A TCP server: begin with [`Server::builder`].
#[derive(Clone, Copy, Debug)]
pub struct Server;

impl Server {
    /// A server with every default and nowhere to listen yet.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}

/// Called once, when every core can accept.
pub(super) type OnReady = Box<dyn FnOnce(&Ready) + Send>;

/// What the builder collects; shared by the threads of the cores.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) interface: Option<String>,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) connects_only: bool,
    pub(super) backend: Backend,
    pub(super) mode: Mode,
    pub(super) queues: Option<Numbers>,
    pub(super) cores: Option<Numbers>,
    pub(super) poll: Poll,
    pub(super) addresses: Vec<Cidr>,
    pub(super) gateways: Vec<IpAddr>,
    pub(super) drain: Duration,
    pub(super) overflow: Overflow,
    pub(super) syn_cookies: SynCookies,
    pub(super) cookie_keys: Option<PathBuf>,
    pub(super) cookie_rotation: Duration,
    pub(super) answer_in_driver: bool,
    pub(super) tcp: TcpConfig,
    pub(super) limits: Limits,
    pub(super) pool: PoolConfig,
    pub(super) stats_json: Option<PathBuf>,
    pub(super) accept_partial_checksums: bool,
    #[cfg(debug_assertions)]
    pub(super) fault_percent: u8,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            interface: None,
            listen: Vec::new(),
            connects_only: false,
            backend: Backend::default(),
            mode: Mode::default(),
            queues: None,
            cores: None,
            poll: Poll::default(),
            addresses: Vec::new(),
            gateways: Vec::new(),
            drain: Duration::from_secs(5),
            overflow: Overflow::default(),
            syn_cookies: SynCookies::default(),
            cookie_keys: None,
            cookie_rotation: Duration::from_secs(3_600),
            answer_in_driver: false,
            tcp: TcpConfig::default(),
            limits: Limits::default(),
            pool: PoolConfig::default(),
            stats_json: None,
            accept_partial_checksums: false,
            #[cfg(debug_assertions)]
            fault_percent: 0,
        }
    }
}

/// Everything that can be said of a server before it runs.
#[must_use = "a builder does nothing before run"]
#[derive(Default)]
pub struct ServerBuilder {
    settings: Settings,
    on_ready: Option<OnReady>,
}

impl core::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ServerBuilder").field(&self.settings).finish_non_exhaustive()
    }
}

impl ServerBuilder {
    /// The network interface. Needed for every backend but the kernel's; for a TAP device, the name
    /// of the device to make.
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.settings.interface = Some(name.into());
        self
    }

    /// Where to accept; may be said several times. The address must be the interface's, or one of
    /// [`ServerBuilder::address`]. An unspecified address means all of that family.
    pub fn listen(mut self, at: SocketAddr) -> Self {
        self.settings.listen.push(at);
        self
    }

    /// Listens nowhere: for an application that only [connects](crate::app::Core::connect). Over
    /// AF_XDP and TAP it does so from [`ServerBuilder::address`], as replies to addresses of the
    /// kernel's are the kernel's.
    pub fn connects_only(mut self) -> Self {
        self.settings.connects_only = true;
        self
    }

    /// Which backend. Default: [`Backend::Auto`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.settings.backend = backend;
        self
    }

    /// How AF_XDP moves packets. Default: the best that works.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Which receive queues to serve. Default: all of the interface.
    pub fn queues(mut self, queues: impl Into<Numbers>) -> Self {
        self.settings.queues = Some(queues.into());
        self
    }

    /// Which processor each queue's thread is pinned to, as many as queues. On the kernel backend,
    /// one thread for each. Default: from the first that this process may run on.
    pub fn cores(mut self, cores: impl Into<Numbers>) -> Self {
        self.settings.cores = Some(cores.into());
        self
    }

    /// What a core does when there is nothing to do. Default: [`Poll::Adaptive`].
    pub fn poll(mut self, poll: Poll) -> Self {
        self.settings.poll = poll;
        self
    }

    /// An address that the kernel does not have and that this server answers for alone: ARP,
    /// neighbour discovery and echo too. May be said several times.
    pub fn address(mut self, address: Cidr) -> Self {
        self.settings.addresses.push(address);
        self
    }

    /// The next hop for what is not on the link, one for each family. Default: the kernel's default
    /// route on the interface.
    pub fn gateway(mut self, gateway: IpAddr) -> Self {
        self.settings.gateways.push(gateway);
        self
    }

    /// Established connections that may wait for `on_open`, per listener and core. Default: 1,024.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.settings.limits.backlog = backlog;
        self
    }

    /// How long connections may take to finish when the server is told to drain. Default: 5 s.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.settings.drain = drain;
        self
    }

    /// What happens to a connection that finds a queue full. Default: [`Overflow::Drop`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.settings.overflow = overflow;
        self
    }

    /// When SYNs are answered with cookies, so that a flood of them keeps no state. Default: beyond
    /// [`Limits::syn_cookies_at`] half-open connections. The kernel backend leaves that to the
    /// kernel.
    pub fn syn_cookies(mut self, when: SynCookies) -> Self {
        self.settings.syn_cookies = when;
        self
    }

    /// A file of cookie keys, for machines that share an address and for servers that are started
    /// again: see [`KeyFile`](crate::tcp::cookie::KeyFile). Only its owner may be able to read it.
    /// Default: a key made at the start.
    pub fn cookie_keys(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.cookie_keys = Some(path.into());
        self
    }

    /// How often the cookie key changes, or its file is read again; zero for never. SIGHUP does the
    /// same at once. Handshakes under way go on. Default: every hour.
    pub fn cookie_rotation(mut self, every: Duration) -> Self {
        self.settings.cookie_rotation = every;
        self
    }

    /// In a flood, has the XDP program answer SYNs even on veth, where it does so by default only
    /// with other drivers: veth loses what is sent back by XDP_TX unless an XDP program is attached
    /// to its other end as well. On the generic hook the engine answers in any case.
    pub fn answer_in_driver(mut self, always: bool) -> Self {
        self.settings.answer_in_driver = always;
        self
    }

    /// The protocol's settings.
    pub fn tcp(mut self, tcp: TcpConfig) -> Self {
        self.settings.tcp = tcp;
        self
    }

    /// The maxima of one core, the backlog among them.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// The frames of one core. Over AF_XDP they are made larger, and if larger than a page fewer,
    /// where the interface's MTU asks for it.
    pub fn pool(mut self, pool: PoolConfig) -> Self {
        self.settings.pool = pool;
        self
    }

    /// Writes the statistics to this file when the server ends, and on SIGUSR1.
    pub fn stats_json(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.stats_json = Some(path.into());
        self
    }

    /// Takes TCP segments whose checksum is only begun, as the kernel hands them over to a veth
    /// peer or to another virtual machine unless checksum offload is off at the sender (`ethtool -K
    /// IF tx off`). Such segments are not protected against damage. Default: they are dropped.
    pub fn accept_partial_checksums(mut self, accept: bool) -> Self {
        self.settings.accept_partial_checksums = accept;
        self
    }

    /// Drops, duplicates and delays this many percent of the frames each way, at random but the
    /// same in each run: to see how an application fares on a bad network. Default: 0.
    ///
    /// Only AF_XDP has it, and only in builds with debug assertions.
    #[cfg(debug_assertions)]
    pub fn fault(mut self, percent: u8) -> Self {
        self.settings.fault_percent = percent;
        self
    }

    /// Called once, in the calling thread, when every core can accept.
    pub fn on_ready(mut self, f: impl FnOnce(&Ready) + Send + 'static) -> Self {
        self.on_ready = Some(Box::new(f));
        self
    }

    /// Runs until SIGTERM or SIGINT: then no new connections, those in flight have the
    /// [drain time](ServerBuilder::drain), the rest are reset. A second signal ends at once.
    ///
    /// `factory` is called in each core's own thread and makes the application of that core.
    ///
    /// # Errors
    /// [`Error`]; nothing is left attached then.
    pub fn run<A, F>(self, factory: F) -> Result<(), Error>
    where
        A: App,
        F: Fn(CoreContext<A::Message>) -> A + Sync,
    {
        let stop = Stop::new();
        let _signals = SignalThread::start(stop.clone())?;
        self.run_until(&stop, factory)
    }

    /// As [`ServerBuilder::run`], until `stop` says so, and without a thought about signals.
    ///
    /// # Errors
    /// [`Error`]; nothing is left attached then.
    pub fn run_until<A, F>(self, stop: &Stop, factory: F) -> Result<(), Error>
    where
        A: App,
        F: Fn(CoreContext<A::Message>) -> A + Sync,
    {
        super::server::run(&self.settings, stop, self.on_ready, &factory)
    }
}
