//! `sidestep load`: HTTP requests from this crate's own engine, so that the load is no slower than
//! the server.

mod arrivals;
mod client;
mod http;
mod plan;
mod report;
mod tally;

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::placed;
use super::text::Span;
use crate::app::Close;
use crate::device::PoolConfig;
use crate::engine::Limits;
use crate::runtime::{Backend, Cidr, Error, Mode, Numbers, Poll, Ready, Server, ServerBuilder};
use crate::tcp::TcpConfig;
use client::Client;
use plan::{Outcome, PORTS, Plan, Trouble};
use report::Report;

/// Retransmissions of a SYN: with one second before the first, it is given up after seven.
const CONNECT_RETRIES: u8 = 2;
/// A load that closes first would keep its ports for a minute otherwise.
const TIME_WAIT: Duration = Duration::from_millis(1);
/// How long connections may take to close at the end.
const DRAIN: Duration = Duration::from_millis(500);
/// Most connections of one run.
const MAX_CONNECTIONS: u32 = 1_000_000;

/// What `sidestep load` is told.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct LoadOptions {
    /// Where the requests go: 10.9.0.1:80, [fd09::1]:80
    #[arg(value_name = "ADDR:PORT")]
    target: SocketAddr,

    /// Network interface to send from, past the kernel; with --backend tap, the name of the device
    /// to make. Without it, kernel sockets are used
    #[arg(long, value_name = "IF")]
    interface: Option<String>,

    /// Address to connect from, which the kernel must not have: 10.9.0.3/24. May be repeated; each
    /// is good for 64,512 connections
    #[arg(long, value_name = "CIDR")]
    address: Vec<Cidr>,

    /// Next hop for what is not on the link [default: the kernel's default route on the interface]
    #[arg(long, value_name = "IP")]
    gateway: Vec<IpAddr>,

    /// How requests leave [default: af-xdp with --interface, else kernel]
    #[arg(long, value_name = "af-xdp|tap|kernel")]
    backend: Option<Backend>,

    /// How AF_XDP moves packets
    #[arg(long, value_name = "auto|zero-copy|copy|generic", default_value_t = Mode::Auto)]
    mode: Mode,

    /// Receive queues to use, one thread each: 0-3, or 0,2 [default: all of the interface]
    #[arg(long, value_name = "LIST")]
    queues: Option<Numbers>,

    /// Processors to pin the threads to, as many as queues; each is kept busy [default: the first
    /// ones]
    #[arg(long, value_name = "LIST")]
    cores: Option<Numbers>,

    /// Connections at a time
    #[arg(long, short, value_name = "N", default_value_t = 64)]
    connections: u32,

    /// Requests a second, evenly spaced, whether or not there are answers: an open loop. Latency
    /// counts from when a request was due. Without it each connection asks as soon as it is
    /// answered: a closed loop
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// Open a connection for each request, and close it when it is answered; latency counts from
    /// its first SYN. We close first, so that TIME-WAIT is ours and not the server's
    #[arg(long)]
    close: bool,

    /// What to GET
    #[arg(long, default_value = "/")]
    path: String,

    /// The Host header [default: the target]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// How long to measure, in seconds
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,

    /// How long to send requests before that: 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "1s")]
    warm_up: Span,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Take TCP segments whose checksum is only begun: what a veth peer sends unless `ethtool -K IF
    /// tx off` is said at its end
    #[arg(long)]
    accept_partial_checksums: bool,
}

/// Sends requests for as long as was said, and prints what came of them.
pub(super) fn run(options: &LoadOptions) -> Result<ExitCode, Error> {
    let backend = backend(options)?;
    let plan = plan(options, backend)?;
    let outcome = Outcome::new(listen_to_signals()?);
    let ready: Arc<Mutex<Option<Ready>>> = Arc::default();
    let kept = Arc::clone(&ready);
    let keep = move |ready: &Ready| {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready.clone());
    };
    let stop = outcome.stop.clone();
    builder(options, backend)
        .on_ready(keep)
        .run_until(&stop, |context| Client::new(&plan, &outcome, &context))?;
    let (tally, trouble) = outcome.collect();
    if let Some(trouble) = trouble {
        return Err(explain(trouble, &plan, backend));
    }
    let ready = ready.lock().unwrap_or_else(PoisonError::into_inner).take();
    let report = Report { plan: &plan, tally: &tally, ready, interrupted: outcome.interrupted() };
    let text = if options.json { report.json() } else { report.text() };
    println!("{text}");
    if tally.responses == 0 {
        return Err(Error::Backend(format!(
            "peer: {} gave no response in the measured time: see what it says of its connections",
            plan.target
        )));
    }
    Ok(ExitCode::SUCCESS)
}

fn backend(options: &LoadOptions) -> Result<Backend, Error> {
    match (options.backend, &options.interface) {
        (None | Some(Backend::Auto), Some(_)) => Ok(Backend::AfXdp),
        (None | Some(Backend::Auto), None) => Ok(Backend::Kernel),
        (Some(Backend::Kernel), Some(interface)) => Err(Error::configuration(format!(
            "--interface {interface}: with kernel sockets the kernel's routes decide: leave one of \
             --interface and --backend kernel out"
        ))),
        (Some(backend), _) => Ok(backend),
    }
}

/// What is asked for, if it makes sense.
fn plan(options: &LoadOptions, backend: Backend) -> Result<Plan, Error> {
    let LoadOptions { target, connections, rate, path, .. } = options;
    let refuse = |message: String| Err(Error::configuration(message));
    if !(1..=MAX_CONNECTIONS).contains(connections) {
        return refuse(format!("--connections {connections}: say 1 to {MAX_CONNECTIONS}"));
    }
    if let Some(rate) = rate.filter(|rate| !(0.001..=1e9).contains(rate)) {
        return refuse(format!("--rate {rate}: say how many requests a second, 0.001 to 10^9"));
    }
    if target.port() == 0 || target.ip().is_unspecified() {
        return refuse(format!("{target} is nobody's address: name a host's, and a port"));
    }
    if !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return refuse(format!("--path '{path}': begin with '/' and escape what is not printable"));
    }
    let host = options.host.clone().unwrap_or_else(|| target.to_string());
    if host.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return refuse(format!("--host '{host}': a host's name has printable characters only"));
    }
    let near = |cidr: &&Cidr| cidr.ip.is_ipv4() == target.is_ipv4();
    let sources: Vec<IpAddr> = options.address.iter().filter(near).map(|cidr| cidr.ip).collect();
    if backend != Backend::Kernel && sources.is_empty() {
        let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
        return refuse(format!(
            "no {family} address to connect from: say --address CIDR with an address on the \
             target's network that nobody has, as 10.9.0.3/24; the kernel would answer for its own"
        ));
    }
    let most = sources.len() as u32 * PORTS;
    if !sources.is_empty() && *connections > most {
        return refuse(format!(
            "--connections {connections}: {} addresses have ports for {most}: give more --address",
            sources.len()
        ));
    }
    Ok(Plan {
        target: *target,
        sources,
        request: http::request(&host, path),
        close: options.close,
        connections: *connections,
        rate: *rate,
        warm_up: options.warm_up.0,
        measure: Duration::from_secs(options.seconds.into()),
    })
}

fn builder(options: &LoadOptions, backend: Backend) -> ServerBuilder {
    let (tcp, limits, pool) = (TcpConfig::default(), Limits::default(), PoolConfig::default());
    let connections = options.connections;
    let builder = Server::builder()
        .connects_only()
        .backend(backend)
        .mode(options.mode)
        .poll(Poll::Busy)
        .drain(DRAIN)
        .tcp(TcpConfig { connect_retries: CONNECT_RETRIES, time_wait: TIME_WAIT, ..tcp })
        .limits(Limits {
            // Those that close stay for a moment beside those that open.
            connections: limits.connections.max(connections * 2),
            messages_per_turn: connections.max(limits.messages_per_turn),
            mailbox: connections.max(limits.mailbox),
            ..limits
        })
        // A request and its response, and as much again for what is on the way.
        .pool(PoolConfig { frames: pool.frames.max(connections * 4), ..pool })
        .accept_partial_checksums(options.accept_partial_checksums);
    let LoadOptions { interface, queues, cores, .. } = options;
    let builder = placed(builder, interface.as_deref(), queues.as_ref(), cores.as_ref());
    // With kernel sockets, the addresses are the kernel's, and connections are bound to them.
    let owned = options.address.iter().filter(|_| backend != Backend::Kernel);
    let builder = owned.fold(builder, |builder, &own| builder.address(own));
    options.gateway.iter().fold(builder, |builder, &gateway| builder.gateway(gateway))
}

/// Set by Ctrl-C; a second one ends the process at once.
fn listen_to_signals() -> Result<Arc<AtomicBool>, Error> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let shutdown =
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag));
        shutdown.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&flag))).map_err(
            |answer| {
                let advice = "see the limits of this process ('ulimit -a')";
                Error::machine("listening to signals", answer, advice)
            },
        )?;
    }
    Ok(flag)
}

/// Why nothing was measured, and what to look at.
fn explain(trouble: Trouble, plan: &Plan, backend: Backend) -> Error {
    let target = plan.target;
    let why = match trouble {
        Trouble::Connecting(Close::Refused) => format!(
            "peer: {target} refused the first connection: nobody listens there, or a firewall \
             says so; see 'ss -tln' on that machine"
        ),
        Trouble::Connecting(Close::Unreachable) => format!(
            "network: there is no way to {target}: nobody answers ARP or neighbour discovery for \
             it or for the gateway, or a router says so; see that both ends are up and on one \
             link, and the prefix of --address, or say --gateway"
        ),
        Trouble::Connecting(Close::NoResources) if backend == Backend::Kernel => format!(
            "machine: the kernel would not connect to {target}: it has no route, no free port, or \
             this process may not open more files ('ulimit -n')"
        ),
        Trouble::Connecting(Close::NoResources) => format!(
            "machine: there is no port, connection or way left to connect to {target}: give more \
             --address"
        ),
        Trouble::Connecting(why) => format!(
            "peer: {target} does not answer: the first connection ended as '{}'; see that nothing \
             filters it, and whether its segments have checksums (ethtool -K IF tx off at its end, \
             or --accept-partial-checksums)",
            why.name()
        ),
        Trouble::Opening { opened, wanted } => format!(
            "peer: only {opened} of {wanted} connections came to be in 20 s: see the server's \
             limits of connections and its backlog"
        ),
    };
    Error::Backend(why)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: LoadOptions,
    }

    fn planned(arguments: &str) -> Result<(Plan, Backend), String> {
        let line = Line::try_parse_from(["load"].into_iter().chain(arguments.split_whitespace()));
        let options = line.map_err(|error| error.to_string())?.options;
        let backend = backend(&options).map_err(|error| error.to_string())?;
        let plan = plan(&options, backend).map_err(|error| error.to_string())?;
        Ok((plan, backend))
    }

    #[test]
    fn the_interface_chooses_the_backend() {
        let (plan, backend) = planned("127.0.0.1:80").expect("enough");
        assert_eq!((backend, plan.connections, plan.rate), (Backend::Kernel, 64, None));
        let line = "10.9.0.1:80 --interface eth1 --address 10.9.0.3/24 --address fd09::3/64";
        let (plan, backend) = planned(line).expect("enough");
        assert_eq!(backend, Backend::AfXdp);
        assert_eq!(plan.sources, ["10.9.0.3".parse::<IpAddr>().expect("valid")]);
    }

    #[test]
    fn what_makes_no_sense_is_explained() {
        for (line, expected) in [
            ("10.9.0.1:80 --interface eth1", "no IPv4 address to connect from"),
            ("[fd09::1]:80 --interface eth1 --address 10.9.0.3/24", "no IPv6 address"),
            ("10.9.0.1:80 --interface eth1 --backend kernel", "leave one of --interface"),
            ("10.9.0.1:0", "name a host's, and a port"),
            ("10.9.0.1", "invalid socket address"),
            ("10.9.0.1:80 -c 0", "say 1 to 1000000"),
            ("10.9.0.1:80 --rate 0", "how many requests a second"),
            ("10.9.0.1:80 --path x", "begin with '/'"),
            ("10.9.0.1:80 --seconds 0", "1..=86400"),
            ("10.9.0.1:80 --warm-up 5", "500ms or 5s"),
            (
                "10.9.0.1:80 --interface e --address 10.9.0.3/24 -c 64513",
                "1 addresses have ports for 64512",
            ),
        ] {
            let message = planned(line).expect_err(line);
            assert!(message.contains(expected), "{line}: {message}");
        }
    }

    #[test]
    fn each_trouble_says_who_is_to_blame() {
        let (plan, backend) = planned("10.9.0.1:80").expect("enough");
        for why in Close::ALL {
            let text = explain(Trouble::Connecting(why), &plan, backend).to_string();
            let blame = ["peer: ", "network: ", "machine: "].iter().any(|b| text.starts_with(b));
            assert!(blame && text.contains("10.9.0.1:80"), "{text}");
        }
    }
}
