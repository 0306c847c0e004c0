//! What a connection that does nothing keeps in memory.

use std::fs;

use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;

/// How many connections to open.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct MemoryOptions {
    /// Connections
    #[arg(long, default_value_t = 1_000_000)]
    connections: u32,
}

/// Opens them, has each serve a request, and prints what the process has grown by.
pub(super) fn run(options: &MemoryOptions) {
    let connections = options.connections;
    let setup = Setup { connections, batch: 32, order: Order::Uniform };
    // The load and its frames, all touched: what comes on top is the server's.
    let load = grown_by(Kind::Reflect, setup);
    let limit = grown_by(Kind::Limit, setup);
    let sidestep = grown_by(Kind::Sidestep, setup);
    let each = (sidestep as f64 - limit.max(load) as f64) / f64::from(connections);
    println!("sidestep: {each:.0} bytes for each of {connections} idle connections, all included");
}

/// Resident bytes more than before with all clients connected and nothing under way.
fn grown_by(kind: Kind, setup: Setup) -> u64 {
    let before = resident();
    let mut contender = Contender::new(kind, setup);
    contender.connect();
    contender.settle();
    resident().saturating_sub(before)
}

fn resident() -> u64 {
    const PAGE: u64 = 4_096;
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}
