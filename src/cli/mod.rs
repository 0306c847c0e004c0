//! The `sidestep` command: a thin layer over [`Server`](crate::Server).

mod check;
mod demo;
mod file;
#[cfg(feature = "af-xdp")]
mod flood;
mod limits;
mod load;
mod options;
mod serve;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::runtime::{Numbers, ServerBuilder};

/// What a command that failed returns to the shell.
const FAILED: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "sidestep",
    version,
    about = "A TCP server that sidesteps the kernel: AF_XDP rings, one TCP engine per core",
    after_help = "Start with: sidestep serve --interface eth1 --listen 10.9.0.1:80\n\
                  What this machine offers: sidestep check --interface eth1"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// What to log to stderr: error, warn, info, debug or trace, or a filter as in RUST_LOG
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve one of the applications that come with this program
    #[command(after_help = SERVE_HELP)]
    Serve {
        #[command(flatten)]
        options: Box<options::Options>,

        /// Read the options from a TOML file: keys as the flags without dashes in front, `listen`,
        /// `address` and `gateway` as lists, tables [tcp], [limits] and [frames]. Flags override it
        #[arg(long, value_name = "FILE.toml")]
        config: Option<PathBuf>,
    },
    /// Say what this machine and an interface offer, and what `serve` would pick
    Check {
        /// Network interface to look at: the XDP program is attached to it for a moment
        #[arg(long, value_name = "IF")]
        interface: Option<String>,

        /// Configuration file to look through as well: whether `serve` would take it
        #[arg(long, value_name = "FILE.toml")]
        config: Option<PathBuf>,
    },
    /// Send HTTP requests past the kernel and measure how long the answers take
    #[command(after_help = LOAD_HELP)]
    Load(Box<load::LoadOptions>),
    /// Compare AF_XDP with kernel sockets under wrk, in network namespaces of its own (needs root)
    Demo(demo::DemoOptions),
    /// Flood a server with segments from spoofed addresses, in a laboratory of this program only
    #[cfg(feature = "af-xdp")]
    #[command(after_help = flood::HELP)]
    Flood(flood::FloodOptions),
}

const SERVE_HELP: &str = "\
Examples:
  sidestep serve --interface eth1 --listen 10.9.0.1:80
  sidestep serve --interface eth1 --address 10.9.0.7/24 --listen 10.9.0.7:7 --app echo
  sidestep serve --backend kernel --listen 127.0.0.1:8080 --app files --root /srv/www

When it can accept it prints one line to stdout:
  ready backend=af-xdp mode=copy listen=10.9.0.1:80 queues=1

SIGTERM or SIGINT: no new connections, those in flight have --drain to finish, exit code 0.
A second signal resets what is left. SIGUSR1 writes --stats-json. Errors: exit code 2.";

const LOAD_HELP: &str = "\
Examples:
  sidestep load 10.9.0.1:80 --interface eth1 --address 10.9.0.3/24 --connections 256
  sidestep load 10.9.0.1:80 --interface eth1 --address 10.9.0.3/24 --rate 100000
  sidestep load 127.0.0.1:8080 --connections 10 --close

One thread for each queue spins for as long as it runs. With --interface, the address is this
program's own: it answers ARP for it, and the kernel does not know it. Latency is from when a
request was due, so that a server that stops for a moment is charged with every request that would
have come meanwhile. Ctrl-C ends early and prints what was measured. Errors: exit code 2.";

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.log.as_deref());
    let outcome = match arguments.command {
        Command::Serve { options, config } => serve::run(*options, config.as_deref()).map(success),
        Command::Check { interface, config } => {
            check::run(interface.as_deref(), config.as_deref()).map(success)
        }
        Command::Load(options) => load::run(&options),
        Command::Demo(options) => demo::run(&options),
        #[cfg(feature = "af-xdp")]
        Command::Flood(options) => flood::run(&options).map(success),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sidestep: error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// The builder told where to run, as far as that was said.
fn placed(
    mut builder: ServerBuilder,
    interface: Option<&str>,
    queues: Option<&Numbers>,
    cores: Option<&Numbers>,
) -> ServerBuilder {
    if let Some(interface) = interface {
        builder = builder.interface(interface);
    }
    if let Some(queues) = queues {
        builder = builder.queues(queues.clone());
    }
    if let Some(cores) = cores {
        builder = builder.cores(cores.clone());
    }
    builder
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

/// Warnings and errors unless more is asked for, by flag or by `RUST_LOG`.
fn log_to_stderr(flag: Option<&str>) {
    let variable = std::env::var("RUST_LOG").ok();
    let filter = flag.or(variable.as_deref()).unwrap_or("warn");
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .init();
}
