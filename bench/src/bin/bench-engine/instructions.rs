//! Instructions per request: exact, and the same on a busy machine.

use std::process::{Command, ExitCode};

use clap::ValueEnum;
use sidestep_bench::contender::Kind;

use super::CountOptions;

/// What to count.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct InstructionsOptions {
    /// Servers
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "reflect,limit,sidestep,smoltcp"
    )]
    servers: Vec<Kind>,

    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "64")]
    connections: Vec<u32>,

    /// Packets a turn
    #[arg(long, value_delimiter = ',', default_value = "1,32")]
    batch: Vec<u32>,
}

/// Requests of the shorter run and of the longer one; between them lies what a request takes.
const REQUESTS: [u64; 2] = [6_400, 19_200];

/// Counts every combination and prints a line for each.
pub(super) fn run(options: &InstructionsOptions) -> ExitCode {
    println!(
        "instructions per request (callgrind), the load's own subtracted but for its own line"
    );
    for &connections in &options.connections {
        for &batch in &options.batch {
            let mut load = 0.0;
            for &server in &options.servers {
                let order = sidestep_bench::order::Order::Uniform;
                let count = CountOptions { server, connections, batch, order, requests: 0 };
                let Some(each) = per_request(&count) else {
                    eprintln!("bench-engine: valgrind is missing or failed; deploy/setup.sh");
                    return ExitCode::FAILURE;
                };
                println!("{server:<9} {connections:>8} {batch:>3} {:>8.1}", each - load);
                if server == Kind::Reflect {
                    load = each;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// The difference of a longer and a shorter run, each counted whole.
fn per_request(options: &CountOptions) -> Option<f64> {
    let [short, long] = REQUESTS.map(|requests| whole(&CountOptions { requests, ..*options }));
    Some((long? - short?) as f64 / (REQUESTS[1] - REQUESTS[0]) as f64)
}

fn whole(options: &CountOptions) -> Option<u64> {
    let name = |value: Option<clap::builder::PossibleValue>| Some(value?.get_name().to_owned());
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["count", "--server", &name(options.server.to_possible_value())?])
        .args(["--order", &name(options.order.to_possible_value())?])
        .args(["--connections", &options.connections.to_string()])
        .args(["--batch", &options.batch.to_string()])
        .args(["--requests", &options.requests.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.trim().parse().ok()
}
