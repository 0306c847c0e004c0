//! Two engines on two cores: what one gains from the other's being elsewhere.

use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;
use sidestep_bench::spread::{Spread, processor_time};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CoresOptions {
    /// Clients of each engine
    #[arg(long, default_value_t = 64)]
    connections: u32,

    /// Rounds
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// Milliseconds of one measurement
    #[arg(long, default_value_t = 200)]
    milliseconds: u64,

    /// The processors to run on
    #[arg(long, value_delimiter = ',', num_args = 2, default_value = "0,1")]
    cores: Vec<usize>,

    /// Only run one engine, in a process of its own, and print its requests per second
    #[arg(long, hide = true)]
    alone_on: Option<usize>,
}

impl CoresOptions {
    fn time(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

/// Requests per second of: each core alone; two threads; two processes, which can share nothing
/// and so show what the machine itself takes from two cores that work at once.
pub(super) fn run(options: &CoresOptions) -> ExitCode {
    if let Some(core) = options.alone_on {
        let _ = std::io::stdin().read_line(&mut String::new());
        println!("{}", rate(core, options, || {}));
        return ExitCode::SUCCESS;
    }
    println!(
        "Requests per second of processor time of two engines with {} connections each, in times \n\
         the mean of one alone: median (min–max) of {} interleaved rounds.",
        options.connections, options.rounds
    );
    let mut ratios: [Vec<f64>; 2] = Default::default();
    let mut against = Vec::new();
    for _ in 0..options.rounds {
        let alone: Vec<f64> =
            options.cores.iter().map(|&core| in_threads(&[core], options)).collect();
        let alone = alone.iter().sum::<f64>() / alone.len() as f64;
        let threads = in_threads(&options.cores, options) / alone;
        let Some(processes) = in_processes(options) else {
            eprintln!("bench-engine: running itself failed");
            return ExitCode::FAILURE;
        };
        ratios[0].push(threads);
        ratios[1].push(processes / alone);
        against.push(threads * alone / processes);
    }
    let [threads, processes] = ratios.map(Spread::of);
    println!("two threads of one process {threads:>22.2}");
    println!("two processes              {processes:>22.2}");
    println!("threads / processes        {:>22.2}", Spread::of(against));
    ExitCode::SUCCESS
}

/// All requests per second of engines on these cores at once.
fn in_threads(cores: &[usize], options: &CoresOptions) -> f64 {
    let barrier = &Barrier::new(cores.len());
    thread::scope(|scope| {
        let all: Vec<_> = cores
            .iter()
            .map(|&core| {
                scope.spawn(move || {
                    rate(core, options, || {
                        barrier.wait();
                    })
                })
            })
            .collect();
        all.into_iter().map(|thread| thread.join().expect("a thread that ends")).sum()
    })
}

fn in_processes(options: &CoresOptions) -> Option<f64> {
    let mut all: Vec<Child> = Vec::new();
    for core in &options.cores {
        let child = Command::new(std::env::current_exe().ok()?)
            .args(["cores", "--alone-on", &core.to_string()])
            .args(["--connections", &options.connections.to_string()])
            .args(["--milliseconds", &options.milliseconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        all.push(child.ok()?);
    }
    // They wait for the end of their input.
    all.iter_mut().for_each(|child| drop(child.stdin.take()));
    let rates = all.into_iter().map(|child| {
        let output = child.wait_with_output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<f64>().ok()
    });
    rates.sum()
}

/// Requests per second of one engine on one core, from the moment on that all are ready.
fn rate(core: usize, options: &CoresOptions, ready: impl FnOnce()) -> f64 {
    const STRETCH: u64 = 20_000;
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let connections = options.connections;
    let setup = Setup { connections, batch: 32.min(connections), order: Order::Uniform };
    let mut contender = Contender::new(Kind::Sidestep, setup);
    assert_eq!(contender.connect(), connections, "everybody is let in");
    contender.request(STRETCH);
    ready();
    // As long as the others run, but in the thread's own time: others on the machine take turns
    // with us, which is not our loss. A cache line that two cores write is.
    let (begun, began) = (Instant::now(), processor_time());
    let mut requests = 0;
    while begun.elapsed() < options.time() {
        contender.request(STRETCH);
        contender.settle();
        requests += STRETCH;
    }
    requests as f64 / (processor_time() - began).as_secs_f64()
}
