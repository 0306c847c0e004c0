//! Connections opened and closed, and what that takes in requests' time.

use sidestep_bench::contender::{Kind, Setup};
use sidestep_bench::order::Order;
use sidestep_bench::spread::{Spread, processor_time};

use super::times::Runner;

/// What to measure. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReconnectsOptions {
    /// Servers, beside the load itself and the limit
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sidestep,smoltcp,lwip")]
    servers: Vec<Kind>,

    /// Numbers of clients, which all connect and then all close
    #[arg(long, value_delimiter = ',', default_value = "1,64,1000,10000,100000")]
    connections: Vec<u32>,

    /// Packets a turn
    #[arg(long, value_delimiter = ',', default_value = "32")]
    batch: Vec<u32>,

    /// Rounds; in each one, every server is measured once
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// Connections of one measurement at least
    #[arg(long, default_value_t = 10_000)]
    at_least: u32,

    /// The processor to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// Measures every combination and prints a line for each.
pub(super) fn run(mut options: ReconnectsOptions) {
    options.servers = Kind::present(&options.servers);
    let options = &options;
    core_affinity::set_for_current(core_affinity::CoreId { id: options.core });
    println!(
        "Nanoseconds to open a connection and close it again (client first), without the \n\
         load's: median (min–max) of {} interleaved rounds; then in times a request of the \n\
         same server in the same round, and per second.",
        options.rounds
    );
    print!("clients batch {:>13}", "limit");
    for server in &options.servers {
        print!(" {server:>19} {:>16} {:>8}", "/ request", "1/s");
    }
    println!();
    for &connections in &options.connections {
        for &batch in &options.batch {
            measure(options, Setup { connections, batch, order: Order::Uniform });
        }
    }
}

/// A server that is measured in both ways.
struct Both {
    runner: Runner,
    /// How often all connect in one measurement.
    repeat: u32,
    /// Nanoseconds per connection, by round.
    times: Vec<f64>,
}

impl Both {
    fn new(kind: Kind, setup: Setup, options: &ReconnectsOptions) -> Both {
        let repeat = options.at_least.div_ceil(setup.connections);
        let mut both = Both { runner: Runner::new(kind, setup, 5), repeat, times: Vec::new() };
        both.reconnect(setup.connections);
        both
    }

    fn reconnect(&mut self, connections: u32) {
        let contender = &mut self.runner.contender;
        let counts = (contender.close(), contender.connect());
        assert_eq!(counts, (connections, connections), "all are closed and opened again");
    }

    fn measure(&mut self, connections: u32) {
        self.runner.measure();
        let begun = processor_time();
        (0..self.repeat).for_each(|_| self.reconnect(connections));
        let time = processor_time() - begun;
        let all = f64::from(connections) * f64::from(self.repeat);
        self.times.push(time.as_nanos() as f64 / all);
    }
}

fn measure(options: &ReconnectsOptions, setup: Setup) {
    let connections = setup.connections;
    let both = |kind| Both::new(kind, setup, options);
    let [mut load, mut limit] = [Kind::Reflect, Kind::Limit].map(both);
    let possible = |kind: &Kind| connections <= kind.most_connections();
    let mut servers: Vec<Option<Both>> =
        options.servers.iter().map(|kind| possible(kind).then(|| both(*kind))).collect();
    for _ in 0..options.rounds {
        load.measure(connections);
        limit.measure(connections);
        servers.iter_mut().flatten().for_each(|server| server.measure(connections));
    }
    let net = |times: &[f64], load: &[f64]| -> Vec<f64> {
        times.iter().zip(load).map(|(time, load)| time - load).collect()
    };
    print!("{connections:>7} {:>5}", setup.batch);
    print!(" {:>13.0}", Spread::of(net(&limit.times, &load.times)));
    for server in &servers {
        let Some(server) = server else {
            print!(" {:>19} {:>16} {:>8}", "-", "-", "-");
            continue;
        };
        let connection = net(&server.times, &load.times);
        let request = net(&server.runner.times, &load.runner.times);
        let ratios = Spread::of(connection.iter().zip(&request).map(|(c, r)| c / r));
        let connection = Spread::of(connection);
        print!(" {connection:>19.0} {ratios:>16} {:>8.0}", 1e9 / connection.median);
    }
    println!();
}
