//! Nanoseconds per request.

use sidestep_bench::contender::{Contender, Kind, Setup};
use sidestep_bench::order::Order;
use sidestep_bench::spread::{Spread, processor_time};

/// What to measure. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TimesOptions {
    /// Servers, beside the load itself and the limit
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sidestep,smoltcp,lwip")]
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
    #[arg(long, default_value_t = 25)]
    rounds: usize,

    /// Milliseconds of one measurement, about: many short ones see the same machine
    #[arg(long, default_value_t = 10)]
    milliseconds: u32,

    /// The processor to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// Measures every combination and prints a line for each.
pub(super) fn run(mut options: TimesOptions) {
    options.servers = Kind::present(&options.servers);
    let options = &options;
    core_affinity::set_for_current(core_affinity::CoreId { id: options.core });
    println!(
        "Nanoseconds per request of 100 bytes and its response of 100, without those of the load \n\
         itself (column 4): median (min–max) of {} interleaved rounds; then in times the limit.",
        options.rounds
    );
    print!("order   clients batch {:>5} {:>19}", "load", "limit");
    for server in &options.servers {
        print!(" {server:>19} {:>16}", "/ limit");
    }
    println!();
    for &order in &options.order {
        for &connections in &options.connections {
            for &batch in &options.batch {
                // Who sends alone can't fill a batch.
                if connections > 1 || batch == 1 {
                    measure(options, Setup { connections, batch, order });
                }
            }
        }
    }
}

/// A server, measured round by round.
pub(super) struct Runner {
    pub(super) contender: Contender,
    /// Requests of one measurement.
    requests: u64,
    /// Nanoseconds per request, by round.
    pub(super) times: Vec<f64>,
}

impl Runner {
    /// A server with everybody connected, every connection used once, and all memory touched.
    pub(super) fn new(kind: Kind, setup: Setup, milliseconds: u32) -> Runner {
        let mut contender = Contender::new(kind, setup);
        let opened = contender.connect();
        assert_eq!(opened, setup.connections, "{kind} lets everybody connect");
        let warm_up = u64::from(setup.connections.max(1_000));
        let begun = processor_time();
        contender.request(warm_up);
        let each = (processor_time() - begun).as_nanos() as f64 / warm_up as f64;
        contender.settle();
        let requests = (f64::from(milliseconds) * 1e6 / each) as u64;
        Runner { contender, requests: requests.clamp(1_000, 1_000_000), times: Vec::new() }
    }

    pub(super) fn measure(&mut self) {
        let begun = processor_time();
        self.contender.request(self.requests);
        let time = processor_time() - begun;
        self.contender.settle();
        assert_eq!(self.contender.frames_in_use(), 0, "all frames are back");
        self.times.push(time.as_nanos() as f64 / self.requests as f64);
    }
}

fn measure(options: &TimesOptions, setup: Setup) {
    let runner = |kind| Runner::new(kind, setup, options.milliseconds);
    let [mut load, mut limit] = [Kind::Reflect, Kind::Limit].map(runner);
    let possible = |kind: &Kind| setup.connections <= kind.most_connections();
    let mut servers: Vec<Option<Runner>> =
        options.servers.iter().map(|kind| possible(kind).then(|| runner(*kind))).collect();
    for _ in 0..options.rounds {
        load.measure();
        limit.measure();
        servers.iter_mut().flatten().for_each(Runner::measure);
    }
    let Setup { connections, batch, order } = setup;
    // Differences and ratios within a round: what disturbs it disturbs both.
    let net = |runner: &Runner| -> Vec<f64> {
        runner.times.iter().zip(&load.times).map(|(time, load)| time - load).collect()
    };
    let limit = net(&limit);
    let load = Spread::of(load.times.iter().copied());
    print!("{order:<7} {connections:>7} {batch:>5} {:>5.1}", load.median);
    print!(" {:>19}", Spread::of(limit.iter().copied()));
    for server in &servers {
        let Some(server) = server else {
            print!(" {:>19} {:>16}", "-", "-");
            continue;
        };
        let net = net(server);
        let ratios = Spread::of(net.iter().zip(&limit).map(|(net, limit)| net / limit));
        print!(" {:>19} {ratios:>16}", Spread::of(net.iter().copied()));
    }
    println!();
}
