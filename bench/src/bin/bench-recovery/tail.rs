//! Responses whose last segments are lost: how long until they are whole.

use core::time::Duration;

use sidestep::sim::Exchange;
use sidestep::tcp::TcpConfig;

use crate::{Error, RTT_MS};

const RESPONSES: [u32; 4] = [1, 2, 10, 25];
const MOST_LOST: u32 = 3;

pub(crate) fn run() -> Result<(), Error> {
    println!("A response loses its last segments once: what that costs, in round trips\n");
    println!("{:<12}{:>6}{:>18}{:>22}", "segments", "lost", "RACK-TLP", "no SACK");
    for segments in RESPONSES {
        for lost in 1..=MOST_LOST.min(segments) {
            print!("{segments:<12}{lost:>6}");
            for (sack, width) in [(true, 18), (false, 22)] {
                let rtt = Duration::from_millis(RTT_MS);
                let tcp = TcpConfig { sack, ..TcpConfig::default() };
                let loss = Exchange { tcp, rtt, segments, lost }.run()?;
                let trips = loss.delay().as_secs_f64() / rtt.as_secs_f64();
                let how = if loss.timeouts > 0 { "timeout" } else { "probe" };
                print!("{:>width$}", format!("{trips:.2} ({how})"));
            }
            println!();
        }
    }
    println!();
    Ok(())
}
