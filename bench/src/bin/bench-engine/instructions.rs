//! Instructions per request: exact, and the same on a busy machine.

use std::process::ExitCode;

use sidestep_bench::contender::Kind;

use super::callgrind::{self, Run};

/// What to count.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct InstructionsOptions {
    /// Servers
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "reflect,limit,sidestep,smoltcp,lwip"
    )]
    servers: Vec<Kind>,

    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "64")]
    connections: Vec<u32>,

    /// Packets a turn
    #[arg(long, value_delimiter = ',', default_value = "1,32")]
    batch: Vec<u32>,
}

/// Counts every combination and prints a line for each.
pub(super) fn run(options: &InstructionsOptions) -> ExitCode {
    println!(
        "instructions per request (callgrind), the load's own subtracted but for its own line"
    );
    let servers = Kind::present(&options.servers);
    for &connections in &options.connections {
        for &batch in &options.batch {
            let mut load = 0.0;
            for &server in &servers {
                let each = match callgrind::per_request(Run { server, connections, batch }) {
                    Ok(each) => each,
                    Err(error) => {
                        eprintln!("bench-engine: {error}");
                        return ExitCode::FAILURE;
                    }
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
