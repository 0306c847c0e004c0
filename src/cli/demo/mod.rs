//! `sidestep demo`: the same application on AF_XDP and on kernel sockets, under the same load, in
//! two network namespaces that are made for it and removed after it.

#[cfg(feature = "af-xdp")]
mod flooded;
mod load;
mod measure;
mod process;
mod progress;
mod stage;
mod table;

use std::process::ExitCode;

use measure::{Contender, Measurement, Server};
use progress::Progress;
use stage::{Interrupt, Stage, Trouble};

use crate::runtime::{Backend, Error, Poll};

/// What the shell gets when Ctrl-C ended it.
const INTERRUPTED: u8 = 130;

/// What to compare, and for how long.
#[derive(Debug, clap::Args)]
pub(super) struct DemoOptions {
    /// Measure every combination in interleaved rounds and print a Markdown table of medians: 1, 64
    /// and 256 connections, sleeping and spinning; beside them, if it was built, the stateless
    /// responder of bench/
    #[arg(long)]
    compare: bool,

    /// Measure honest clients, one connection for each request, while the server is flooded with
    /// SYNs: cookies in the driver beside those of Linux, in interleaved rounds
    #[cfg(feature = "af-xdp")]
    #[arg(long, conflicts_with = "compare")]
    flood: bool,

    /// SYNs per second of the lesser flood of --flood; the other one is all that can be sent
    #[cfg(feature = "af-xdp")]
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    flood_rate: u32,

    /// Seconds of each measurement
    #[arg(long, value_name = "N", default_value_t = 5)]
    seconds: u32,

    /// Rounds of --compare and --flood
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,

    /// Connections that wrk keeps open in the short demonstration
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: u32,

    /// What an idle server does in the short demonstration
    #[arg(long, value_name = "busy|sleep|adaptive", default_value_t = Poll::Adaptive)]
    poll: Poll,
}

/// Runs the demonstration; everything that it made is gone when it returns.
pub(super) fn run(options: &DemoOptions) -> Result<ExitCode, Error> {
    let interrupt = Interrupt::listen()?;
    match perform(options, &interrupt) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Trouble::Interrupted) => {
            eprintln!("sidestep: interrupted; everything that was made is removed");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(Trouble::Failed(error)) => Err(error),
    }
}

fn perform(options: &DemoOptions, interrupt: &Interrupt) -> Result<(), Trouble> {
    #[cfg(feature = "af-xdp")]
    if options.flood {
        return flooded::compare(options, interrupt);
    }
    if options.compare { compare(options, interrupt) } else { demonstrate(options, interrupt) }
}

/// One measurement of each backend, side by side.
fn demonstrate(options: &DemoOptions, interrupt: &Interrupt) -> Result<(), Trouble> {
    let stage = Stage::build(interrupt)?;
    let mut progress = Progress::new(2 * options.seconds);
    let mut columns = Vec::new();
    for backend in [Backend::AfXdp, Backend::Kernel] {
        let contender = Contender { server: Server::Ours(backend), poll: options.poll };
        let each = [options.connections];
        let measured = measure::run(&stage, contender, &each, options.seconds, &mut progress)?;
        columns.extend(measured);
    }
    drop(progress);
    drop(stage);
    println!("{}", table::side_by_side(&columns, options.seconds));
    Ok(())
}

/// Interleaved rounds, so that whatever else the machine does falls on all alike.
fn compare(options: &DemoOptions, interrupt: &Interrupt) -> Result<(), Trouble> {
    const CONNECTIONS: [u32; 3] = [1, 64, 256];
    let ours = [Server::Ours(Backend::AfXdp), Server::Ours(Backend::Kernel)];
    let ceiling = process::responder().map(|_| Server::Responder);
    let servers: Vec<Server> = ours.into_iter().chain(ceiling).collect();
    let contenders: Vec<Contender> = [Poll::Sleep, Poll::Busy]
        .into_iter()
        .flat_map(|poll| servers.iter().map(move |&server| Contender { server, poll }))
        .collect();
    let stage = Stage::build(interrupt)?;
    let runs = options.rounds * (contenders.len() * CONNECTIONS.len()) as u32;
    let mut progress = Progress::new(runs * options.seconds);
    let mut all: Vec<Measurement> = Vec::new();
    for _ in 0..options.rounds {
        for &contender in &contenders {
            let seconds = options.seconds;
            all.extend(measure::run(&stage, contender, &CONNECTIONS, seconds, &mut progress)?);
        }
    }
    drop(progress);
    drop(stage);
    println!("{}", table::medians(&all, options.rounds, options.seconds));
    Ok(())
}
