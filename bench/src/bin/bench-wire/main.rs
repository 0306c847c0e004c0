//! What a request costs on the wire: servers on one processor, the load on another, a veth pair
//! between them. Root only.

mod load;
mod open;
mod priority;
mod row;
mod stage;
mod table;

use core::time::Duration;
use std::process::ExitCode;
use std::thread;

use clap::{Parser, ValueEnum};
use sidestep_bench::Spread;

use load::{Sample, Way};
use priority::Priority;
use row::{Row, Running};
use stage::{Error, Stage};
use table::{Cell, Table};

/// How long an idle server is watched, after a moment to settle.
const IDLE: Duration = Duration::from_secs(2);
const SETTLE: Duration = Duration::from_millis(300);
/// Connections of the open loop.
const OPEN_CONNECTIONS: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Connections kept alive, under `sidestep load`
    Keep,
    /// A connection for each request, under `sidestep load`
    Close,
    /// Connections kept alive, under wrk
    Wrk,
    /// The rate at which p99 passes 1 ms, and the tail at half of what the server can do
    Open,
    /// Processor time with nothing to do
    Idle,
}

#[derive(Debug, Parser)]
#[command(about = "Measures servers over a veth pair, in interleaved rounds")]
struct Options {
    /// Everything: all rows, all loads, more and longer rounds. Three quarters of an hour
    #[arg(long)]
    full: bool,

    /// Which servers, separated by commas
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,

    /// Which loads, separated by commas
    #[arg(long, value_delimiter = ',')]
    loads: Vec<Kind>,

    /// Numbers of connections, separated by commas
    #[arg(long, value_delimiter = ',')]
    connections: Vec<u32>,

    /// Seconds of each measurement
    #[arg(long)]
    seconds: Option<u32>,

    /// Rounds, in each of which every server is measured once
    #[arg(long)]
    rounds: Option<u32>,

    /// Let server and load, and this session's other processes, go before everything else on the
    /// machine: for one that others use, too
    #[arg(long)]
    priority: bool,
}

impl Options {
    /// What was not said, filled in.
    fn complete(mut self) -> Options {
        let full = self.full;
        if self.rows.is_empty() {
            let short = [
                Row::Responder,
                Row::Busy,
                Row::Adaptive,
                Row::Smoltcp,
                Row::Kernel,
                Row::KernelBusy,
            ];
            self.rows = if full { Row::value_variants().to_vec() } else { short.to_vec() };
        }
        if self.loads.is_empty() {
            let short = [Kind::Keep, Kind::Idle];
            self.loads = if full { Kind::value_variants().to_vec() } else { short.to_vec() };
        }
        if self.connections.is_empty() {
            self.connections = vec![1, 64, 256, 1_000];
        }
        self.seconds.get_or_insert(if full { 2 } else { 1 });
        self.rounds.get_or_insert(if full { 5 } else { 3 });
        self
    }

    /// Loads that are measured in every round.
    fn closed(&self) -> Vec<(Way, u32)> {
        let ways = self.loads.iter().filter_map(|kind| match kind {
            Kind::Keep => Some(Way::Keep),
            Kind::Close => Some(Way::Close),
            Kind::Wrk => Some(Way::Wrk),
            Kind::Open | Kind::Idle => None,
        });
        ways.flat_map(|way| self.connections.iter().map(move |&n| (way, n))).collect()
    }
}

fn main() -> ExitCode {
    match run(&Options::parse().complete()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-wire: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let _raised = options.priority.then(Priority::raise);
    let stage = Stage::build()?;
    let mut rows = Vec::new();
    for &row in &options.rows {
        match row.missing() {
            Some(why) => eprintln!("bench-wire: {} is skipped: {why}", row.name()),
            None => rows.push(row),
        }
    }
    let rounds = options.rounds.unwrap_or(1);
    let seconds = options.seconds.unwrap_or(1);
    let closed = options.closed();
    let mut table = Table::new(rounds, seconds);
    for round in 1..=rounds {
        for &row in rows.iter().filter(|_| !closed.is_empty()) {
            eprintln!("bench-wire: round {round} of {rounds}: {}", row.name());
            for (way, connections, sample) in measure(&stage, row, &closed, seconds) {
                table.add(Cell { row, way, connections, round }, sample);
            }
        }
    }
    if !closed.is_empty() {
        println!("{table}");
    }
    if options.loads.contains(&Kind::Open) {
        open_loops(&stage, &rows, rounds, seconds)?;
    }
    if options.loads.contains(&Kind::Idle) {
        idle(&stage, &rows, rounds)?;
    }
    Ok(())
}

/// Starts a server and loads it in every way. What fails is said, and is missing in the table.
fn measure(stage: &Stage, row: Row, loads: &[(Way, u32)], seconds: u32) -> Vec<(Way, u32, Sample)> {
    let mut samples = Vec::new();
    let mut server: Option<Running> = None;
    for &(way, connections) in loads {
        if let Some(other) = server.take_if(|running| !running.takes(connections)) {
            other.process.end();
        }
        let measured = server.take().map_or_else(|| row.start(stage, connections), Ok);
        let measured = measured.and_then(|running| {
            let sample = load::run(stage, &running, way, connections, seconds);
            server = Some(running);
            sample
        });
        match measured {
            Ok(sample) => samples.push((way, connections, sample)),
            Err(error) => {
                let name = row.name();
                eprintln!("bench-wire: {name}, {connections} connections, {way}: {error}");
            }
        }
    }
    if let Some(server) = server {
        server.process.end();
    }
    samples
}

fn open_loops(stage: &Stage, rows: &[Row], rounds: u32, seconds: u32) -> Result<(), Error> {
    println!("\nOpen loop, {OPEN_CONNECTIONS} connections kept alive.\n");
    println!(
        "| server | most requests/s | requests/s at which p99 passes 1 ms | at half: p50 µs | \
         p99.9 µs | p99.9 / p50 |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    );
    let mut all: Vec<(Row, Vec<open::Found>)> = rows.iter().map(|&row| (row, Vec::new())).collect();
    for _ in 0..rounds {
        for (row, found) in &mut all {
            let server = row.start(stage, OPEN_CONNECTIONS)?;
            found.push(open::search(stage, &server, OPEN_CONNECTIONS, seconds)?);
            server.process.end();
        }
    }
    for (row, found) in all {
        let spread = |figure: fn(&open::Found) -> f64| Spread::of(found.iter().map(figure));
        println!(
            "| {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} |",
            row.name(),
            spread(|found| found.most),
            spread(|found| found.knee),
            spread(|found| found.half.p50),
            spread(|found| found.half.p999),
            spread(|found| found.half.p999 / found.half.p50.max(1e-3)),
        );
    }
    Ok(())
}

/// Processor time of servers that nobody asks anything.
fn idle(stage: &Stage, rows: &[Row], rounds: u32) -> Result<(), Error> {
    println!("\n| server with nothing to do | percent of a processor |\n| --- | ---: |");
    for &row in rows.iter().filter(|row| row.sleeps()) {
        let mut percents = Vec::new();
        for _ in 0..rounds {
            let server = row.start(stage, 1)?;
            thread::sleep(SETTLE);
            let before = server.process.processor_time();
            thread::sleep(IDLE);
            let spent = server.process.processor_time().saturating_sub(before);
            percents.push(100.0 * spent.as_secs_f64() / IDLE.as_secs_f64());
            server.process.end();
        }
        println!("| {} | {:.3} |", row.name(), Spread::of(percents));
    }
    Ok(())
}
