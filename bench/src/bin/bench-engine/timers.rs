//! What a timer costs.

use sidestep::sim::Timers;
use sidestep::time::Tick;
use sidestep_bench::order::Order;
use sidestep_bench::spread::{Spread, processor_time};

/// What to measure. Lists are separated by commas.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TimersOptions {
    /// Numbers of timers
    #[arg(long, value_delimiter = ',', default_value = "64,1000,10000,100000,1000000")]
    timers: Vec<u32>,

    /// Rounds
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// Timers armed in one measurement at least
    #[arg(long, default_value_t = 100_000)]
    at_least: u32,

    /// The processor to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// Ticks within which all timers are due: 200 ms, the shortest retransmission timeout.
const WITHIN: u32 = 1_526;

/// Measures every number and prints a line for each.
pub(super) fn run(options: &TimersOptions) {
    core_affinity::set_for_current(core_affinity::CoreId { id: options.core });
    println!(
        "Nanoseconds for each of so many timers due within 200 ms, in random order; to expire \n\
         includes going through all {WITHIN} ticks: median (min–max) of {} rounds.",
        options.rounds
    );
    println!("{:>9} {:>18} {:>18} {:>18} {:>18}", "timers", "arm", "move", "cancel", "expire");
    options.timers.iter().for_each(|&timers| measure(options, timers));
}

fn measure(options: &TimersOptions, count: u32) {
    let ids = Order::Uniform.cycle(count);
    let repeat = options.at_least.div_ceil(count);
    let mut timers = Timers::new(count as usize);
    let mut now = Tick(0);
    let mut columns = [const { Vec::new() }; 4];
    // The first round is for warming up.
    for round in 0..=options.rounds {
        let mut sums = [0.0; 4];
        for _ in 0..repeat {
            let times = once(&mut timers, &ids, &mut now);
            sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
        }
        if round > 0 {
            let all = f64::from(count) * f64::from(repeat);
            columns.iter_mut().zip(sums).for_each(|(column, sum)| column.push(sum / all));
        }
    }
    print!("{count:>9}");
    columns.into_iter().for_each(|column| print!(" {:>18}", Spread::of(column)));
    println!();
}

/// Nanoseconds to arm all, to move all, to cancel all, and, armed anew, to let all expire.
fn once(timers: &mut Timers, ids: &[u32], now: &mut Tick) -> [f64; 4] {
    let start = *now;
    let at = |n: usize, salt: u32| {
        let spread = (n as u32).wrapping_mul(0x9e37_79b9) ^ salt;
        Tick(start.0.wrapping_add(1 + spread % WITHIN))
    };
    let arm = timed(|| ids.iter().enumerate().for_each(|(n, &id)| timers.arm(id, at(n, 1))));
    let again = timed(|| ids.iter().enumerate().for_each(|(n, &id)| timers.arm(id, at(n, 2))));
    let cancel = timed(|| ids.iter().for_each(|&id| timers.cancel(id)));
    ids.iter().enumerate().for_each(|(n, &id)| timers.arm(id, at(n, 3)));
    let mut fired = 0;
    let expire = timed(|| {
        for tick in 1..=WITHIN {
            *now = Tick(start.0.wrapping_add(tick));
            while timers.expire(*now, |_| fired += 1) {}
        }
    });
    assert_eq!(fired, ids.len(), "all have fired");
    [arm, again, cancel, expire]
}

fn timed(doing: impl FnOnce()) -> f64 {
    let begun = processor_time();
    doing();
    (processor_time() - begun).as_nanos() as f64
}
