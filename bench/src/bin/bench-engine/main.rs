//! One request through the engine, without a kernel: how long, how many instructions, how many
//! bytes.

mod callgrind;
mod cores;
mod gate;
mod instructions;
mod memory;
mod reconnects;
mod timers;
mod times;

use std::process::ExitCode;

use clap::Parser;
use sidestep_bench::contender::Kind;
use sidestep_bench::order::Order;

#[derive(Debug, clap::Parser)]
#[command(about = "Measures Sidestep's engine against the stateless limit, in one process")]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Nanoseconds per request, in interleaved rounds
    Times(times::TimesOptions),
    /// Connections opened and closed per second, and how many requests' time one takes
    Reconnects(reconnects::ReconnectsOptions),
    /// Two engines on two cores, beside one
    Cores(cores::CoresOptions),
    /// Nanoseconds to arm, move, cancel and expire a timer
    Timers(timers::TimersOptions),
    /// Instructions per request: runs `count` twice under valgrind and takes the difference
    Instructions(instructions::InstructionsOptions),
    /// Compares instructions with the committed baseline: fails if there are over 3 % more
    Gate(gate::GateOptions),
    /// Sends requests to one server and does nothing else: for profilers
    Count(CountOptions),
    /// Resident bytes for each idle connection of Sidestep
    Memory(memory::MemoryOptions),
}

/// One server under one load.
#[derive(Clone, Copy, Debug, clap::Args)]
struct CountOptions {
    /// The server
    #[arg(long, value_enum, default_value_t = Kind::Sidestep)]
    server: Kind,

    /// Clients
    #[arg(long, default_value_t = 64)]
    connections: u32,

    /// Packets a turn
    #[arg(long, default_value_t = 32)]
    batch: u32,

    /// Who sends next
    #[arg(long, value_enum, default_value_t = Order::Uniform)]
    order: Order,

    /// Requests in all
    #[arg(long, default_value_t = 100_000)]
    requests: u64,

    /// How often all clients then close and connect again
    #[arg(long, default_value_t = 0)]
    reconnects: u64,
}

/// What happens without a command: each of these with its defaults.
const ALL: [&str; 6] = ["times", "reconnects", "timers", "cores", "instructions", "memory"];

fn main() -> ExitCode {
    if let Some(command) = Options::parse().command {
        return run(command);
    }
    for name in ALL {
        let Some(command) = Options::parse_from(["bench-engine", name]).command else { continue };
        let code = run(command);
        if code != ExitCode::SUCCESS {
            return code;
        }
        println!();
    }
    ExitCode::SUCCESS
}

fn run(command: Command) -> ExitCode {
    match command {
        Command::Times(options) => times::run(options),
        Command::Reconnects(options) => reconnects::run(options),
        Command::Cores(options) => return cores::run(&options),
        Command::Timers(options) => timers::run(&options),
        Command::Instructions(options) => return instructions::run(&options),
        Command::Gate(options) => return gate::run(&options),
        Command::Count(options) => count(&options),
        Command::Memory(options) => return memory::run(&options),
    }
    ExitCode::SUCCESS
}

fn count(options: &CountOptions) {
    use sidestep_bench::contender::{Contender, Setup};
    let CountOptions { connections, batch, order, requests, reconnects, .. } = *options;
    let mut contender = Contender::new(options.server, Setup { connections, batch, order });
    let opened = contender.connect();
    contender.request(requests);
    for _ in 0..reconnects {
        assert_eq!((contender.close(), contender.connect()), (opened, opened));
    }
    println!("{}: {requests} requests over {opened} connections", options.server);
}
