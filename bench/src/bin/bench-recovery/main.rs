//! What the protocol makes of a bad path, in virtual time: pictures and tables.

mod draw;
mod fairness;
mod goodput;
mod tail;
mod variant;
mod windows;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

/// The path of most experiments.
const RATE: u64 = 100_000_000;
const RTT_MS: u64 = 20;

#[derive(Debug, clap::Parser)]
#[command(about = "Simulates transfers over bad paths; draws goodput, fairness and windows")]
struct Options {
    /// Where the pictures go
    #[arg(long, default_value = "target/bench-recovery")]
    out: PathBuf,

    /// Virtual seconds of each transfer
    #[arg(long, default_value_t = 20)]
    seconds: u64,

    /// Transfers for each point, from as many seeds; their median is drawn
    #[arg(long, default_value_t = 3)]
    seeds: u64,

    /// Only these experiments
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Experiment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Experiment {
    /// Goodput against random loss
    Loss,
    /// Goodput against reordering
    Reordering,
    /// Shares of flows over one bottleneck
    Fairness,
    /// Congestion windows over time
    Windows,
    /// A response whose last segments are lost
    Tail,
}

/// What every experiment is told.
#[derive(Clone, Debug)]
struct Lab {
    out: PathBuf,
    seconds: u64,
    seeds: u64,
}

/// What stops an experiment.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Simulation(#[from] sidestep::sim::Violation),
    #[error("drawing {path}: {what}")]
    Drawing { path: String, what: String },
    #[error("making {path}: {source}")]
    Folder { path: String, source: std::io::Error },
}

fn main() -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-recovery: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Error> {
    let path = options.out.display().to_string();
    std::fs::create_dir_all(&options.out).map_err(|source| Error::Folder { path, source })?;
    let lab =
        Lab { out: options.out.clone(), seconds: options.seconds, seeds: options.seeds.max(1) };
    let wanted = |experiment| options.only.is_empty() || options.only.contains(&experiment);
    if wanted(Experiment::Loss) {
        goodput::loss(&lab)?;
    }
    if wanted(Experiment::Reordering) {
        goodput::reordering(&lab)?;
    }
    if wanted(Experiment::Fairness) {
        fairness::run(&lab)?;
    }
    if wanted(Experiment::Windows) {
        windows::run(&lab)?;
    }
    if wanted(Experiment::Tail) {
        tail::run()?;
    }
    println!("Pictures are in {}.", lab.out.display());
    Ok(())
}

/// Does all `jobs`, as many at once as there are processors; results in the order of the jobs.
fn in_parallel<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0..jobs.len());
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some(index) = next.lock().expect("no job panics").next() else { return };
                    let result = work(&jobs[index]);
                    done.lock().expect("no job panics").push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("all threads are over");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
