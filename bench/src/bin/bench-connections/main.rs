//! Ten million connections in one process: bytes and time for each.

mod crowd;

use clap::{Parser, value_parser};
use sidestep_bench::counting::Counting;

use crowd::Bytes;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The budgets, in bytes.
const CONNECTION: f64 = 256.0;
const TIME_WAIT: f64 = 64.0;

#[derive(Debug, Parser)]
#[command(about = "Opens millions of connections, holds them idle, uses some, and closes all")]
struct Options {
    /// Connections; ten million take about 4.5 GB
    #[arg(long, default_value_t = 10_000_000, value_parser = value_parser!(u32).range(1_000..))]
    connections: u32,

    /// Requests, on random ones
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
}

fn main() {
    let Options { connections, requests } = Options::parse();
    let report = crowd::hold(connections, requests, &ALLOCATOR);
    println!("{connections} connections; bytes for each       resident  budget reserved");
    let row = |what: &str, Bytes { resident, reserved }: Bytes, budget: f64| {
        println!("{what:<40} {resident:>12.1} {budget:>7.0} {reserved:>8.0}");
    };
    row("idle, keep-alive timer armed", report.connection, CONNECTION);
    row("in TIME-WAIT", report.time_wait, TIME_WAIT);
    println!("reserved while all this happened: {} bytes", report.grown);
    println!(
        "\n{:<18} {:>10} {:>9} {:>9}  (the load's part included)",
        "", "times", "s", "ns each"
    );
    for (what, times, took) in report.stages {
        let each = took.as_nanos() as f64 / times as f64;
        println!("{what:<18} {times:>10} {:>9.2} {each:>9.0}", took.as_secs_f64());
    }
}
