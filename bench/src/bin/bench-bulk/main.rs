//! Bulk transfers, in Gbit/s.
//!
//! A program of its own: with a second application in it, the compiler would make other code of the
//! engine in `bench-engine`.

mod transfer;

use clap::Parser;
use sidestep_bench::bulk::Direction;
use sidestep_bench::contender::Kind;
use sidestep_bench::spread::{Spread, processor_time};

use transfer::{Transfer, Transferring};

/// What to measure. Lists are separated by commas.
#[derive(Clone, Debug, Parser)]
#[command(about = "Measures Sidestep's engine and others in bulk transfers, in one process")]
struct BulkOptions {
    /// Servers
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sidestep,smoltcp,lwip")]
    servers: Vec<Kind>,

    /// Sizes of segments, TCP options included
    #[arg(long, value_delimiter = ',', default_value = "1460,8960")]
    segments: Vec<u16>,

    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    connections: Vec<u32>,

    /// Packets a turn
    #[arg(long, default_value_t = 32)]
    batch: u32,

    /// Rounds; in each one, every server is measured once
    #[arg(long, default_value_t = 25)]
    rounds: usize,

    /// Bytes of one measurement
    #[arg(long, default_value_t = 20_000_000)]
    bytes: u64,

    /// The processor to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

fn main() {
    let mut options = BulkOptions::parse();
    options.servers = Kind::present(&options.servers);
    let options = &options;
    core_affinity::set_for_current(core_affinity::CoreId { id: options.core });
    println!(
        "Gbit/s of payload on one core, without the load's part of the time: median (min–max) of \n\
         {} interleaved rounds.",
        options.rounds
    );
    print!("direction  segment connections");
    options.servers.iter().for_each(|server| print!(" {server:>22}"));
    println!();
    for direction in [Direction::ToServer, Direction::ToClients] {
        for &mss in &options.segments {
            for &connections in &options.connections {
                let transfer = Transfer { direction, connections, mss, batch: options.batch };
                measure(options, transfer);
            }
        }
    }
}

fn measure(options: &BulkOptions, transfer: Transfer) {
    let mut load = Transferring::new(Kind::Reflect, transfer);
    let mut servers: Vec<_> =
        options.servers.iter().map(|kind| Transferring::new(*kind, transfer)).collect();
    let mut rates = vec![Vec::new(); servers.len()];
    // The first round is for warming up.
    for round in 0..=options.rounds {
        let own = nanoseconds_per_byte(&mut load, options.bytes);
        for (server, rates) in servers.iter_mut().zip(&mut rates) {
            let time = nanoseconds_per_byte(server, options.bytes) - own;
            if round > 0 {
                rates.push(8.0 / time);
            }
        }
    }
    let what = match transfer.direction {
        Direction::ToServer => "receive",
        Direction::ToClients => "send",
    };
    print!("{what:<10} {:>7} {:>11}", transfer.mss, transfer.connections);
    rates.into_iter().for_each(|rates| print!(" {:>22.1}", Spread::of(rates)));
    println!();
}

fn nanoseconds_per_byte(server: &mut Transferring, bytes: u64) -> f64 {
    let begun = processor_time();
    let bytes = server.transfer(bytes);
    (processor_time() - begun).as_nanos() as f64 / bytes as f64
}
