//! What a connection that does nothing keeps in memory.

use std::fs;
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;

/// How many connections to open.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct MemoryOptions {
    /// Connections
    #[arg(long, default_value_t = 1_000_000)]
    connections: u32,

    /// Only print how much memory a process with this server needs
    #[arg(long, value_enum, hide = true)]
    server: Option<Kind>,
}

/// Compares a process that serves connections with one that has only the load and its frames.
pub(super) fn run(options: &MemoryOptions) -> ExitCode {
    if let Some(server) = options.server {
        println!("{}", needed_by(server, options.connections));
        return ExitCode::SUCCESS;
    }
    let of = |server| resident_of(server, options.connections);
    let (Some(load), Some(sidestep)) = (of(Kind::Limit), of(Kind::Sidestep)) else {
        eprintln!("bench-engine: running itself failed");
        return ExitCode::FAILURE;
    };
    let each = (sidestep as f64 - load as f64) / f64::from(options.connections);
    println!(
        "sidestep: {each:.0} bytes for each of {} idle connections: resident memory of the process \
         less that of the load and its frames",
        options.connections
    );
    ExitCode::SUCCESS
}

/// In a process of its own, so that no memory is anybody else's leftover.
fn resident_of(server: Kind, connections: u32) -> Option<u64> {
    let output = Command::new(std::env::current_exe().ok()?)
        .args(["memory", "--server", server.to_possible_value()?.get_name()])
        .args(["--connections", &connections.to_string()])
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Resident bytes with all clients connected and nothing under way.
fn needed_by(kind: Kind, connections: u32) -> u64 {
    const PAGE: u64 = 4_096;
    let setup = Setup { connections, batch: 32, order: Order::Uniform };
    let mut contender = Contender::new(kind, setup);
    contender.connect();
    // Few requests: a frame is memory that no idle connection keeps.
    contender.request(1_000);
    contender.settle();
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}
