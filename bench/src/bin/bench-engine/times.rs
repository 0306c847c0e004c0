//! Nanoseconds per request.

use std::time::Instant;

use clap::Parser;
use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;
use sidestep_bench::spread::Spread;

/// What to measure. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TimesOptions {
    /// Servers, beside the load itself and the limit
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sidestep")]
    servers: Vec<Kind>,

    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "1,64,1000,10000,100000,1000000")]
    connections: Vec<u32>,

    /// Packets a turn
    #[arg(long, value_delimiter = ',', default_value = "1,32")]
    batch: Vec<u32>,

    /// In which order clients send
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uniform,zipf")]
    order: Vec<Order>,

    /// Rounds; in each one, every server is measured once
    #[arg(long, default_value_t = 9)]
    rounds: usize,

    /// Requests of one measurement; at least one for each client in any case
    #[arg(long, default_value_t = 300_000)]
    requests: u64,

    /// The processor to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

impl TimesOptions {
    /// The defaults.
    pub(super) fn usual() -> TimesOptions {
        #[derive(Parser)]
        struct Usual {
            #[command(flatten)]
            options: TimesOptions,
        }
        Usual::parse_from(["bench-engine"]).options
    }
}

/// Measures every combination and prints a line for each.
pub(super) fn run(options: &TimesOptions) {
    core_affinity::set_for_current(core_affinity::CoreId { id: options.core });
    println!(
        "ns per request of 100 bytes and its response of 100, net of the load: median (min–max) of \
         {} interleaved rounds\n",
        options.rounds
    );
    print!("order    connections batch         load                limit");
    for server in &options.servers {
        print!("  {server:>22}{:>18}", "times the limit");
    }
    println!("  connect");
    for &order in &options.order {
        for &connections in &options.connections {
            for &batch in &options.batch {
                measure(options, Setup { connections, batch, order });
            }
        }
    }
}

struct Runner {
    contender: Contender,
    /// Nanoseconds per request, by round.
    times: Vec<f64>,
}

/// What one setup shows. A connection that sends alone can't fill a batch.
fn measure(options: &TimesOptions, setup: Setup) {
    if setup.batch > 1 && setup.connections == 1 {
        return;
    }
    let kinds = [Kind::Reflect, Kind::Limit].iter().chain(&options.servers);
    let requests = options.requests.max(u64::from(setup.connections));
    let mut connect = 0.0;
    let mut runners: Vec<Runner> = kinds
        .map(|&kind| {
            let mut contender = Contender::new(kind, setup);
            let begun = Instant::now();
            let opened = contender.connect();
            assert_eq!(opened, setup.connections, "{kind} lets everybody connect");
            connect = begun.elapsed().as_nanos() as f64 / f64::from(opened);
            // Once over everything: memory is touched, caches are as warm as they get.
            contender.request(requests);
            contender.settle();
            Runner { contender, times: Vec::new() }
        })
        .collect();
    for _ in 0..options.rounds {
        for runner in &mut runners {
            let begun = Instant::now();
            runner.contender.request(requests);
            let time = begun.elapsed();
            runner.contender.settle();
            assert_eq!(runner.contender.frames_in_use(), 0, "all frames are back");
            runner.times.push(time.as_nanos() as f64 / requests as f64);
        }
    }
    print_line(setup, &runners, connect);
}

fn print_line(setup: Setup, runners: &[Runner], connect: f64) {
    let Setup { connections, batch, order } = setup;
    let load = &runners[0].times;
    // Differences and ratios within a round: what disturbs it disturbs both.
    let net = |runner: &Runner| -> Vec<f64> {
        runner.times.iter().zip(load).map(|(time, load)| time - load).collect()
    };
    let limit = net(&runners[1]);
    print!("{order:<8} {connections:>11} {batch:>5}  {:.1}", Spread::of(load.iter().copied()));
    print!("  {:.1}", Spread::of(limit.iter().copied()));
    for runner in &runners[2..] {
        let net = net(runner);
        let ratios = net.iter().zip(&limit).map(|(net, limit)| net / limit);
        print!("  {:.1}  {:.2}", Spread::of(net.iter().copied()), Spread::of(ratios));
    }
    println!("  {connect:.0}");
}
